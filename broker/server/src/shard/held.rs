//! Payloads of invocations that are under way, by entry. It does not know when they may go; the engine says so.
//!
//! A payload of a synchronous invocation is always here. One of an event is here while the cache has room, and in
//! the store in any case.

use bytes::Bytes;
use trine_engine::EntryId;

use crate::shard::call::Extra;

#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) payload: Bytes,
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) log_tail: bool,
    pub(crate) qualified: bool,
}

#[derive(Debug)]
pub(crate) struct HeldPayloads {
    places: Vec<Option<Place>>,
    cached_bytes: u64,
    cached_bytes_max: u64,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    /// Counts against the cache; else it must be here.
    cached: bool,
    held: Held,
}

impl HeldPayloads {
    pub(crate) fn new(cached_bytes_max: u64) -> Self {
        Self { places: Vec::new(), cached_bytes: 0, cached_bytes_max }
    }

    /// Holds the payload of a synchronous invocation.
    pub(crate) fn hold(&mut self, entry: EntryId, held: Held) {
        self.put(entry, held, false);
    }

    /// Holds the payload of an event if there is room. A payload is a slice of the frame it came in; a copy does
    /// not keep the whole frame in memory for as long as the event waits.
    pub(crate) fn cache(&mut self, entry: EntryId, held: Held) {
        let bytes = held.payload.len() as u64;
        if self.cached_bytes + bytes <= self.cached_bytes_max {
            self.cached_bytes += bytes;
            let payload = Bytes::copy_from_slice(&held.payload);
            self.put(entry, Held { payload, ..held }, true);
        }
    }

    pub(crate) fn get(&self, entry: EntryId) -> Option<&Held> {
        let place = self.places.get(entry.index as usize)?.as_ref()?;
        (place.generation == entry.generation).then_some(&place.held)
    }

    /// The entry needs its payload no more.
    pub(crate) fn release(&mut self, entry: EntryId) {
        let Some(slot) = self.places.get_mut(entry.index as usize) else { return };
        if slot.as_ref().is_none_or(|place| place.generation != entry.generation) {
            return;
        }
        if let Some(Place { cached: true, held, .. }) = slot.take() {
            self.cached_bytes -= held.payload.len() as u64;
        }
    }

    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cached_bytes
    }

    fn put(&mut self, entry: EntryId, held: Held, cached: bool) {
        let index = entry.index as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        self.places[index] = Some(Place { generation: entry.generation, cached, held });
    }
}

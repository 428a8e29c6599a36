//! Answers on their way to the streams that asked: gathered over a batch, one parcel a stream. It does not know
//! the wire.

use tokio::sync::mpsc;

use crate::shard::call::Reply;

/// Open streams, at most: their place fits 16 bits of a [`StreamId`].
pub(crate) const STREAMS_MAX: usize = 60_000;

/// Place in the low half, generation in the high half. Generations begin at 1, so no stream has the number of another
/// kind of caller; and an answer for a stream that closed does not reach the next tenant of its place.
pub(crate) type StreamId = u32;

#[derive(Debug, Default)]
pub(crate) struct Streams {
    places: Vec<Place>,
    free: Vec<u16>,
    fresh: Vec<u16>,
}

#[derive(Debug)]
struct Place {
    generation: u16,
    stream: Option<Stream>,
}

/// The outbox is unbounded in type only: a stream's edge stops reading when too many of its calls are open.
#[derive(Debug)]
struct Stream {
    outbox: mpsc::UnboundedSender<Vec<Reply>>,
    /// Calls that have no answer yet.
    calls: usize,
    parcel: Vec<Reply>,
}

impl Streams {
    /// `None`: too many are open.
    pub(crate) fn open(&mut self, outbox: mpsc::UnboundedSender<Vec<Reply>>) -> Option<StreamId> {
        let stream = Some(Stream { outbox, calls: 0, parcel: Vec::new() });
        let index = match self.free.pop() {
            Some(index) => {
                let place = &mut self.places[usize::from(index)];
                place.generation = place.generation.checked_add(1).unwrap_or(1);
                place.stream = stream;
                index
            }
            None if self.places.len() < STREAMS_MAX => {
                self.places.push(Place { generation: 1, stream });
                u16::try_from(self.places.len() - 1).ok()?
            }
            None => return None,
        };
        let generation = self.places[usize::from(index)].generation;
        Some(u32::from(generation) << 16 | u32::from(index))
    }

    /// Whether calls of the stream are left without an answer.
    pub(crate) fn close(&mut self, id: StreamId) -> bool {
        let Some((index, place)) = self.place(id) else { return false };
        let Some(closed) = place.stream.take() else { return false };
        self.free.push(index);
        closed.calls > 0
    }

    /// Whether the stream is still open to have that many more calls.
    pub(crate) fn calls(&mut self, id: StreamId, count: usize) -> bool {
        let Some((_, Place { stream: Some(open), .. })) = self.place(id) else { return false };
        open.calls += count;
        true
    }

    pub(crate) fn reply(&mut self, id: StreamId, reply: Reply) {
        let Some((index, Place { stream: Some(open), .. })) = self.place(id) else { return };
        open.calls = open.calls.saturating_sub(1);
        let first = open.parcel.is_empty();
        open.parcel.push(reply);
        if first {
            self.fresh.push(index);
        }
    }

    pub(crate) fn flush(&mut self) {
        for index in self.fresh.drain(..) {
            let Some(open) = &mut self.places[usize::from(index)].stream else { continue };
            // A stream that closed meanwhile wants no answers.
            let _ = open.outbox.send(std::mem::take(&mut open.parcel));
        }
    }

    fn place(&mut self, id: StreamId) -> Option<(u16, &mut Place)> {
        let index = u16::try_from(id & 0xffff).ok()?;
        let place = self.places.get_mut(usize::from(index))?;
        (u32::from(place.generation) == id >> 16).then_some((index, place))
    }
}

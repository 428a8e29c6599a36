//! Where an invocation is, by its request id: a hash table of places in the entry table.
//!
//! A std map would hold every id a second time, 69 bytes an invocation at a million; this holds the place and the
//! hash, 8 bytes a slot. The hash beside the place is why growing does not have to visit the entries.

use crate::RequestId;
use crate::entry::Entry;
use crate::slab::{NONE, Slab};

/// Linear probing, at most half full, so a search is short and ends.
#[derive(Debug)]
pub(crate) struct Index {
    slots: Vec<Slot>,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// [`NONE`]: free.
    place: u32,
    hash: u32,
}

const FREE: Slot = Slot { place: NONE, hash: 0 };
const SLOTS_MIN: usize = 64;

impl Index {
    pub(crate) fn new() -> Self {
        Self { slots: vec![FREE; SLOTS_MIN], len: 0 }
    }

    #[inline]
    pub(crate) fn get(&self, entries: &Slab<Entry>, id: RequestId) -> Option<u32> {
        let at = self.find(hash(id), |place| entries[place].request_id == id)?;
        Some(self.slots[at].place)
    }

    /// Puts in the entry at `place`; it takes the place of an older one with the same id.
    #[inline]
    pub(crate) fn insert(&mut self, entries: &Slab<Entry>, place: u32) {
        let id = entries[place].request_id;
        let hash = hash(id);
        if let Some(at) = self.find(hash, |known| entries[known].request_id == id) {
            self.slots[at].place = place;
            return;
        }
        self.len += 1;
        if self.len * 2 > self.slots.len() {
            self.grow();
        }
        self.put(Slot { place, hash });
    }

    /// Takes out the entry at `place`, if it is the one that its id leads to.
    #[inline]
    pub(crate) fn remove(&mut self, id: RequestId, place: u32) {
        let Some(mut hole) = self.find(hash(id), |known| known == place) else { return };
        self.len -= 1;
        // What was pushed aside by the one that goes moves up, so that no search ends at the hole.
        let mask = self.slots.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot.place == NONE {
                break;
            }
            let home = slot.hash as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = FREE;
    }

    #[inline]
    fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.place == NONE {
                return None;
            }
            if slot.hash == hash && is_it(slot.place) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn put(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.hash as usize & mask;
        while self.slots[at].place != NONE {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    #[cold]
    fn grow(&mut self) {
        let double = vec![FREE; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, double);
        old.into_iter().filter(|slot| slot.place != NONE).for_each(|slot| self.put(slot));
    }
}

/// Request ids are made by the shell and carry 62 random bits of their own at the low end; the mixing is for ids that
/// a test counts up.
#[inline]
fn hash(id: RequestId) -> u32 {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
    let mixed = (half(id.0) ^ half(id.0 >> 64)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_index_agrees_with_a_map() {
        let mut state = 7u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut entries = Slab::new();
        let (mut index, mut model) = (Index::new(), BTreeMap::new());
        for step in 0..60_000u32 {
            // Few ids, so that many of them meet in a slot and the same one comes again.
            let id = RequestId(u128::from(random(if step < 30_000 { 90 } else { 9_000 })));
            if random(3) == 0 {
                if let Some(place) = model.remove(&id) {
                    index.remove(id, place);
                    entries.remove(place);
                }
            } else {
                let (place, _) = entries.insert(Entry::new(id, 0, 0, 0));
                index.insert(&entries, place);
                if let Some(older) = model.insert(id, place) {
                    entries.remove(older);
                }
            }
            let id = RequestId(u128::from(random(9_000)));
            assert_eq!(index.get(&entries, id), model.get(&id).copied());
        }
        assert_eq!(index.len, model.len());
        assert!(model.iter().all(|(id, place)| index.get(&entries, *id) == Some(*place)));
    }

    #[test]
    fn an_older_entry_with_the_same_id_does_not_take_the_newer_one_with_it() {
        let (mut entries, mut index) = (Slab::new(), Index::new());
        let id = RequestId(5);
        let (older, _) = entries.insert(Entry::new(id, 0, 0, 0));
        index.insert(&entries, older);
        let (newer, _) = entries.insert(Entry::new(id, 0, 0, 0));
        index.insert(&entries, newer);
        index.remove(id, older);
        assert_eq!(index.get(&entries, id), Some(newer));
    }
}

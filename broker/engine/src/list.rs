//! Doubly linked queues threaded through the entry table, so that an entry leaves any queue in O(1)
//! and a waiting event costs no allocation. An entry is in at most one queue at a time.

use crate::entry::Entry;
use crate::slab::{NONE, Slab};

#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self { head: NONE, tail: NONE, len: 0 };

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn head(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(crate) fn tail(&self) -> Option<u32> {
        (self.tail != NONE).then_some(self.tail)
    }

    /// From head to tail.
    pub(crate) fn iter(self, entries: &Slab<Entry>) -> impl Iterator<Item = u32> {
        std::iter::successors(self.head(), |place| {
            let next = entries[*place].next;
            (next != NONE).then_some(next)
        })
    }

    pub(crate) fn push_back(&mut self, entries: &mut Slab<Entry>, index: u32) {
        let entry = &mut entries[index];
        (entry.prev, entry.next) = (self.tail, NONE);
        match std::mem::replace(&mut self.tail, index) {
            NONE => self.head = index,
            last => entries[last].next = index,
        }
        self.len += 1;
    }

    pub(crate) fn push_front(&mut self, entries: &mut Slab<Entry>, index: u32) {
        let entry = &mut entries[index];
        (entry.prev, entry.next) = (NONE, self.head);
        match std::mem::replace(&mut self.head, index) {
            NONE => self.tail = index,
            first => entries[first].prev = index,
        }
        self.len += 1;
    }

    /// Takes out an entry that is in this very list.
    pub(crate) fn remove(&mut self, entries: &mut Slab<Entry>, index: u32) {
        let Entry { prev, next, .. } = entries[index];
        match prev {
            NONE => self.head = next,
            before => entries[before].next = next,
        }
        match next {
            NONE => self.tail = prev,
            after => entries[after].prev = prev,
        }
        self.len -= 1;
    }
}

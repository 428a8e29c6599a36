//! Every record of a shard from the moment it is read until its end is durable, and how far all of them
//! have ended. It does not know batches, keys' order or effects.
//!
//! ```text
//! Waiting     --send-->     Sent        it is in a batch
//! Waiting     --divert-->   Parking     its key is parked
//! Sent        --divert-->   Parking
//! Parking     --free-->     Waiting     its key is free again before it was set aside
//! Sent        --give up-->  Delivering  the on-failure destination is being told
//! Waiting     --give up-->  Delivering  no batch can hold it
//! Waiting     --end-->      Ended       filtered, given up or given back
//! Sent        --end-->      Ended
//! Parking     --end-->      Ended
//! Delivering  --end-->      Ended
//! Ended       --durable-->  Gone
//! Sent        --void-->     Void        the source will give it again, and a batch still has it
//! Void        --end-->      Gone        what became of it cannot be told to anyone
//! ```
//!
//! A record that waits, is being parked or delivered when it becomes void is gone at once. Slots lie in a
//! ring in the order of their sequences, so that every look-up is an index; lists of waiting records run
//! through the slots, so that no list allocates.

use std::collections::VecDeque;

use crate::{Key, Millis, RecordMeta, Sequence};

/// Most slots of the ring, however few of its records are still in hand: one record that takes long where
/// verdicts are given for each must not let the ring grow without end.
const SLOTS_MAX: u64 = 1 << 20;

const NONE: u64 = u64::MAX;

/// Where a record is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Sent,
    Parking,
    Delivering,
    Ended,
    Void,
    Gone,
}

/// A record in the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) bytes: u64,
    pub(crate) arrived_at: Millis,
    pub(crate) read_at: Millis,
    pub(crate) key: Key,
    pub(crate) state: State,
    next: u64,
}

/// Records in the order in which they were pushed, linked through their slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    head: u64,
    tail: u64,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

impl List {
    pub(crate) const EMPTY: Self = Self { head: NONE, tail: NONE, count: 0, bytes: 0 };

    pub(crate) const fn head(&self) -> Option<Sequence> {
        if self.head == NONE { None } else { Some(Sequence(self.head)) }
    }
}

#[derive(Debug)]
pub(crate) struct Ledger {
    slots: VecDeque<Slot>,
    first: u64,
    /// All records before this one have ended or are void.
    mark: u64,
    in_hand: u64,
}

impl Ledger {
    pub(crate) const fn new() -> Self {
        Self { slots: VecDeque::new(), first: 0, mark: 0, in_hand: 0 }
    }

    pub(crate) fn add(&mut self, now: Millis, record: &RecordMeta) -> Sequence {
        let sequence = self.end();
        let RecordMeta { bytes, arrived_at, key, .. } = *record;
        let state = State::Waiting;
        self.slots.push_back(Slot { bytes, arrived_at, read_at: now, key, state, next: NONE });
        self.in_hand += 1;
        sequence
    }

    /// The slot of a record that is not gone. Panics on any other: sequences never leave the machines of
    /// their shard except as effects, and what comes in is looked up in a batch first.
    pub(crate) fn slot(&self, record: Sequence) -> &Slot {
        &self.slots[self.index(record)]
    }

    fn slot_mut(&mut self, record: Sequence) -> &mut Slot {
        let index = self.index(record);
        &mut self.slots[index]
    }

    fn index(&self, record: Sequence) -> usize {
        debug_assert!(record.0 >= self.first && record.0 < self.end().0, "{record} is not here");
        usize::try_from(record.0.wrapping_sub(self.first)).unwrap_or(usize::MAX)
    }

    pub(crate) fn send(&mut self, record: Sequence) {
        transition!("Waiting --send--> Sent");
        self.slot_mut(record).state = State::Sent;
    }

    /// The record's key is parked. `false`: it is void, and over.
    pub(crate) fn divert(&mut self, record: Sequence) -> bool {
        let state = match self.slot(record).state {
            State::Waiting => {
                transition!("Waiting --divert--> Parking");
                State::Parking
            }
            State::Sent => {
                transition!("Sent --divert--> Parking");
                State::Parking
            }
            State::Void => {
                self.forget(record);
                return false;
            }
            other => other,
        };
        self.slot_mut(record).state = state;
        true
    }

    /// The record's key is not parked any more. Nothing for one that waits in a lane already.
    pub(crate) fn free(&mut self, record: Sequence) {
        if self.slot(record).state == State::Parking {
            transition!("Parking --free--> Waiting");
            self.slot_mut(record).state = State::Waiting;
        }
    }

    /// The on-failure destination is being told of the record. `false`: it is void, and over.
    pub(crate) fn give_up(&mut self, record: Sequence) -> bool {
        match self.slot(record).state {
            State::Waiting => transition!("Waiting --give up--> Delivering"),
            State::Void => {
                self.forget(record);
                return false;
            }
            _ => transition!("Sent --give up--> Delivering"),
        }
        self.slot_mut(record).state = State::Delivering;
        true
    }

    /// Whether the record has an outcome now that somebody is to be told.
    pub(crate) fn ended(&mut self, record: Sequence) -> bool {
        if record.0 < self.first {
            return false; // it became void while it was being parked or delivered
        }
        match self.slot(record).state {
            State::Waiting => transition!("Waiting --end--> Ended"),
            State::Sent => transition!("Sent --end--> Ended"),
            State::Parking => transition!("Parking --end--> Ended"),
            State::Delivering => transition!("Delivering --end--> Ended"),
            State::Void => {
                self.forget(record);
                return false;
            }
            State::Ended | State::Gone => return false,
        }
        self.slot_mut(record).state = State::Ended;
        self.advance();
        true
    }

    fn forget(&mut self, record: Sequence) {
        transition!("Void --end--> Gone");
        self.gone(record);
        self.pop();
    }

    /// The end of the records before `end` is durable.
    pub(crate) fn durable_before(&mut self, end: Sequence) {
        for record in self.first..end.0.min(self.end().0) {
            self.settle(Sequence(record));
        }
        self.pop();
    }

    /// The end of one record is durable.
    pub(crate) fn durable(&mut self, record: Sequence) {
        self.settle(record);
        self.pop();
    }

    fn settle(&mut self, record: Sequence) {
        if record.0 >= self.first && self.slot(record).state == State::Ended {
            transition!("Ended --durable--> Gone");
            self.gone(record);
        }
    }

    /// The source will give everything again that was not sent or has not ended. Returns how many records that
    /// are.
    pub(crate) fn void(&mut self) -> u64 {
        let mut count = 0;
        for record in self.first..self.end().0 {
            let record = Sequence(record);
            match self.slot(record).state {
                State::Sent => {
                    transition!("Sent --void--> Void");
                    self.slot_mut(record).state = State::Void;
                    count += 1;
                }
                State::Waiting | State::Parking | State::Delivering => {
                    self.gone(record);
                    count += 1;
                }
                State::Ended => self.gone(record),
                State::Void | State::Gone => {}
            }
        }
        self.mark = self.end().0;
        self.pop();
        count
    }

    fn gone(&mut self, record: Sequence) {
        self.slot_mut(record).state = State::Gone;
        self.in_hand -= 1;
    }

    fn advance(&mut self) {
        while self.mark < self.end().0
            && matches!(self.slot(Sequence(self.mark)).state, State::Ended | State::Gone)
        {
            self.mark += 1;
        }
    }

    fn pop(&mut self) {
        while matches!(self.slots.front(), Some(slot) if slot.state == State::Gone) {
            self.slots.pop_front();
            self.first += 1;
        }
        self.mark = self.mark.max(self.first);
    }

    /// Whether a record is in hand that has no outcome.
    pub(crate) fn is_unsettled(&self, record: Sequence) -> bool {
        let open = |slot: &Slot| !matches!(slot.state, State::Ended | State::Void | State::Gone);
        record.0 >= self.first && record < self.end() && open(self.slot(record))
    }

    /// All records before this one have an outcome.
    pub(crate) const fn mark(&self) -> Sequence {
        Sequence(self.mark)
    }

    pub(crate) const fn first(&self) -> Sequence {
        Sequence(self.first)
    }

    /// The place of the record that will be read next.
    pub(crate) fn end(&self) -> Sequence {
        Sequence(self.first + self.slots.len() as u64)
    }

    /// Records that were read and are not gone.
    pub(crate) const fn in_hand(&self) -> u64 {
        self.in_hand
    }

    /// How many records may be read before `lookahead` of them are in hand.
    pub(crate) fn room(&self, lookahead: u32) -> u64 {
        let slots = SLOTS_MAX.saturating_sub(self.slots.len() as u64);
        u64::from(lookahead).saturating_sub(self.in_hand).min(slots)
    }

    pub(crate) fn push(&mut self, list: &mut List, record: Sequence) {
        if list.tail == NONE {
            list.head = record.0;
        } else {
            self.slot_mut(Sequence(list.tail)).next = record.0;
        }
        let slot = self.slot_mut(record);
        slot.next = NONE;
        list.bytes = list.bytes.saturating_add(slot.bytes);
        list.tail = record.0;
        list.count += 1;
    }

    pub(crate) fn pop_front(&self, list: &mut List) -> Option<Sequence> {
        let head = list.head()?;
        let slot = self.slot(head);
        list.head = slot.next;
        if list.head == NONE {
            list.tail = NONE;
        }
        list.bytes = list.bytes.saturating_sub(slot.bytes);
        list.count -= 1;
        Some(head)
    }

    /// Takes those records out of the list that `wanted` chooses, and keeps the order of both.
    pub(crate) fn split(&mut self, list: &mut List, wanted: impl Fn(&Slot) -> bool) -> List {
        let (mut kept, mut taken) = (List::EMPTY, List::EMPTY);
        while let Some(record) = self.pop_front(list) {
            let to = if wanted(self.slot(record)) { &mut taken } else { &mut kept };
            self.push(to, record);
        }
        *list = kept;
        taken
    }

    /// States of all records, for the invariants.
    pub(crate) fn states(&self) -> impl Iterator<Item = (Sequence, State)> {
        let first = self.first;
        self.slots.iter().zip(0..).map(move |(slot, at)| (Sequence(first + at), slot.state))
    }
}

//! Records that wait to be sent, in the order that must be kept: a lane a key, or one for the whole
//! shard. It does not know when a batch is due, nor what becomes of it.
//!
//! ```text
//! Free  --take-->     Busy   a batch has records of the lane; its later ones wait
//! Busy  --release-->  Free   none of its records is in a batch any more
//! ```
//!
//! Without order there is one lane and it is never busy. A batch takes the oldest records of free
//! lanes. Where it may mix keys it takes no more of them than their share of the batches that may run:
//! one batch that took all keys would stand still with the slowest of them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use crate::ledger::{Ledger, List, Slot};
use crate::{BatchLimits, Key, Order, Sequence};

/// What stands between two records in a payload, in bytes: a comma.
pub(crate) const SEPARATOR_BYTES: u64 = 1;

#[derive(Debug)]
pub(crate) struct Lanes {
    order: Order,
    lanes: HashMap<u64, Lane, BuildHasherDefault<KeyHasher>>,
    /// Free lanes by their first record. A lane has at most one entry; entries of lanes that became busy
    /// or empty are dropped when they come up.
    ready: BinaryHeap<Entry>,
    /// Scratch space of `take`, kept for its capacity.
    open: BinaryHeap<Entry>,
    ready_records: u64,
    ready_bytes: u64,
    /// Those behind a batch included.
    waiting_records: u64,
    waiting_bytes: u64,
}

type Entry = Reverse<(Sequence, u64)>;

#[derive(Clone, Copy, Debug)]
struct Lane {
    list: List,
    /// Records of it that are in a batch, and holds.
    busy: u32,
    /// It has an entry in `ready`.
    queued: bool,
}

/// What a batch may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) records_max: u64,
    pub(crate) bytes_max: u64,
    pub(crate) lanes_max: usize,
}

impl Room {
    pub(crate) fn of(limits: &BatchLimits, lanes_max: usize) -> Self {
        let (records_max, bytes_max) = (limits.records_max().into(), limits.records_bytes_max());
        Self { records_max, bytes_max, lanes_max }
    }
}

/// Records for a batch.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) records: Vec<Sequence>,
    /// Other lanes were free that had to be left to other batches.
    pub(crate) left_lanes: bool,
}

impl Lanes {
    pub(crate) fn new(order: Order) -> Self {
        Self {
            order,
            lanes: HashMap::default(),
            ready: BinaryHeap::new(),
            open: BinaryHeap::new(),
            ready_records: 0,
            ready_bytes: 0,
            waiting_records: 0,
            waiting_bytes: 0,
        }
    }

    const fn lane_of(&self, key: Key) -> u64 {
        match self.order {
            Order::None | Order::Shard => 0,
            Order::Key => key.0,
        }
    }

    const fn is_ordered(&self) -> bool {
        !matches!(self.order, Order::None)
    }

    /// Adds a record behind the others of its lane.
    pub(crate) fn push(&mut self, ledger: &mut Ledger, record: Sequence) {
        let Slot { key, bytes, .. } = *ledger.slot(record);
        let id = self.lane_of(key);
        let lane =
            self.lanes.entry(id).or_insert(Lane { list: List::EMPTY, busy: 0, queued: false });
        ledger.push(&mut lane.list, record);
        self.waiting_records += 1;
        self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
        if lane.busy == 0 {
            self.ready_records += 1;
            self.ready_bytes = self.ready_bytes.saturating_add(bytes);
            enqueue(&mut self.ready, lane, id);
        }
    }

    /// Adds records of a key that were set aside, among the others of its lane by their sequences.
    pub(crate) fn insert(&mut self, ledger: &mut Ledger, key: Key, mut freed: List) {
        if freed.count == 0 {
            return;
        }
        let mut behind = self.remove_lane(key);
        while let (Some(old), next) = (freed.head(), behind.head()) {
            let from = if next.is_some_and(|next| next < old) { &mut behind } else { &mut freed };
            if let Some(record) = ledger.pop_front(from) {
                ledger.free(record);
                self.push(ledger, record);
            }
        }
        while let Some(record) = ledger.pop_front(&mut behind) {
            self.push(ledger, record);
        }
    }

    /// Takes all waiting records of a key's lane out, those of other keys too.
    fn remove_lane(&mut self, key: Key) -> List {
        let Some(lane) = self.lanes.get_mut(&self.lane_of(key)) else { return List::EMPTY };
        let removed = std::mem::replace(&mut lane.list, List::EMPTY);
        if lane.busy == 0 {
            self.ready_records -= removed.count;
            self.ready_bytes -= removed.bytes;
        }
        self.waiting_records -= removed.count;
        self.waiting_bytes -= removed.bytes;
        removed
    }

    /// The oldest record that may be sent.
    pub(crate) fn first(&mut self) -> Option<Sequence> {
        loop {
            let &Reverse((record, id)) = self.ready.peek()?;
            let Some(lane) = self.lanes.get_mut(&id) else {
                self.ready.pop();
                continue;
            };
            match lane.list.head() {
                Some(head) if lane.busy == 0 && head == record => return Some(head),
                head => {
                    self.ready.pop();
                    lane.queued = false;
                    if head.is_some() && lane.busy == 0 {
                        enqueue(&mut self.ready, lane, id);
                    }
                    self.tidy(id);
                }
            }
        }
    }

    /// Takes records for a batch, the oldest first, as long as `fits` lets them in. Their lanes are busy
    /// from here on.
    pub(crate) fn take(
        &mut self,
        ledger: &mut Ledger,
        room: Room,
        fits: impl Fn(&Slot) -> bool,
    ) -> Taken {
        let mut taken = Taken { records: Vec::new(), left_lanes: false };
        let (mut bytes, mut lanes) = (0_u64, 0);
        while (taken.records.len() as u64) < room.records_max {
            lanes += usize::from(self.open_next(lanes < room.lanes_max));
            let Some(&Reverse((record, id))) = self.open.peek() else { break };
            let separator = if taken.records.is_empty() { 0 } else { SEPARATOR_BYTES };
            let slot = ledger.slot(record);
            let with = bytes.saturating_add(separator).saturating_add(slot.bytes);
            if with > room.bytes_max || !fits(slot) {
                break;
            }
            bytes = with;
            self.take_first(ledger, id);
            taken.records.push(record);
        }
        let open = std::mem::take(&mut self.open);
        for Reverse((_, id)) in open.iter() {
            self.close(*id);
        }
        self.open = open;
        self.open.clear();
        let keyed = self.order == Order::Key;
        taken.left_lanes = keyed && lanes >= room.lanes_max && self.first().is_some();
        // Records that were parked and became free again stand behind younger ones of other keys.
        taken.records.sort_unstable();
        taken
    }

    /// Opens the next lane, if it may and if that lane has the oldest record.
    fn open_next(&mut self, may: bool) -> bool {
        let Some(next) = self.first().filter(|_| may) else { return false };
        let older = self.open.peek().is_none_or(|Reverse((record, _))| next < *record);
        if older && let Some(entry) = self.ready.pop() {
            self.open.push(entry);
        }
        older
    }

    /// Moves the first record of an open lane into the batch.
    fn take_first(&mut self, ledger: &mut Ledger, id: u64) {
        self.open.pop();
        let ordered = self.is_ordered();
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let before = lane.list;
        let Some(record) = ledger.pop_front(&mut lane.list) else { return };
        ledger.send(record);
        self.waiting_records -= 1;
        self.waiting_bytes -= before.bytes - lane.list.bytes;
        if !ordered {
            self.ready_records -= 1;
            self.ready_bytes -= before.bytes - lane.list.bytes;
        } else if lane.busy == 0 {
            transition!("Free --take--> Busy");
            self.ready_records -= before.count;
            self.ready_bytes -= before.bytes;
        }
        lane.busy += u32::from(ordered);
        if let Some(head) = lane.list.head() {
            self.open.push(Reverse((head, id)));
        } else {
            lane.queued = false;
            self.tidy(id);
        }
    }

    /// Puts an open lane back: into the queue if it is still free.
    fn close(&mut self, id: u64) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.queued = false;
            if lane.busy == 0 {
                enqueue(&mut self.ready, lane, id);
            }
        }
    }

    /// A record of this key left its batch.
    pub(crate) fn release(&mut self, key: Key) {
        if !self.is_ordered() {
            return;
        }
        let id = self.lane_of(key);
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.busy = lane.busy.saturating_sub(1);
        if lane.busy > 0 {
            return;
        }
        transition!("Busy --release--> Free");
        self.ready_records += lane.list.count;
        self.ready_bytes = self.ready_bytes.saturating_add(lane.list.bytes);
        enqueue(&mut self.ready, lane, id);
        self.tidy(id);
    }

    /// Keeps the lane of a key busy for a batch whose records are not in it. `false`: it is busy.
    pub(crate) fn hold(&mut self, key: Key) -> bool {
        if !self.is_ordered() {
            return true;
        }
        let id = self.lane_of(key);
        let lane =
            self.lanes.entry(id).or_insert(Lane { list: List::EMPTY, busy: 0, queued: false });
        if lane.busy > 0 {
            return false;
        }
        transition!("Free --take--> Busy");
        lane.busy = 1;
        self.ready_records -= lane.list.count;
        self.ready_bytes -= lane.list.bytes;
        true
    }

    /// Takes all waiting records of a key out, in order.
    pub(crate) fn remove(&mut self, ledger: &mut Ledger, key: Key) -> List {
        let id = self.lane_of(key);
        let keyed = self.order == Order::Key;
        let Some(lane) = self.lanes.get_mut(&id) else { return List::EMPTY };
        let removed = if keyed {
            std::mem::replace(&mut lane.list, List::EMPTY)
        } else {
            ledger.split(&mut lane.list, |slot| slot.key == key)
        };
        if lane.busy == 0 {
            self.ready_records -= removed.count;
            self.ready_bytes -= removed.bytes;
        }
        self.waiting_records -= removed.count;
        self.waiting_bytes -= removed.bytes;
        self.tidy(id);
        removed
    }

    /// Takes all waiting records out, in the order of their sequences.
    pub(crate) fn clear(&mut self, ledger: &Ledger) -> Vec<Sequence> {
        let mut records = Vec::new();
        for lane in self.lanes.values_mut() {
            while let Some(record) = ledger.pop_front(&mut lane.list) {
                records.push(record);
            }
            lane.queued = false;
        }
        self.ready.clear();
        self.lanes.retain(|_, lane| lane.busy > 0);
        self.nothing_waits();
        records.sort_unstable();
        records
    }

    /// Forgets all waiting records: they are void.
    pub(crate) fn forget(&mut self) {
        self.ready.clear();
        self.lanes.retain(|_, lane| {
            (lane.list, lane.queued) = (List::EMPTY, false);
            lane.busy > 0
        });
        self.nothing_waits();
    }

    const fn nothing_waits(&mut self) {
        (self.ready_records, self.ready_bytes) = (0, 0);
        (self.waiting_records, self.waiting_bytes) = (0, 0);
    }

    fn tidy(&mut self, id: u64) {
        if let Some(lane) = self.lanes.get(&id)
            && lane.list.count == 0
            && lane.busy == 0
            && !lane.queued
        {
            self.lanes.remove(&id);
        }
    }

    /// Records that may be sent now.
    pub(crate) const fn ready_records(&self) -> u64 {
        self.ready_records
    }

    /// Their bytes in a payload, separators included.
    pub(crate) const fn ready_bytes(&self) -> u64 {
        self.ready_bytes.saturating_add(self.ready_records.saturating_sub(1) * SEPARATOR_BYTES)
    }

    /// Lanes with records that wait or are in a batch.
    pub(crate) fn count(&self) -> usize {
        self.lanes.len()
    }

    /// Records that wait, also behind a batch.
    pub(crate) const fn waiting_records(&self) -> u64 {
        self.waiting_records
    }

    /// Their bytes.
    pub(crate) const fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    /// Whether what is counted is what is there.
    pub(crate) fn is_counted(&self) -> bool {
        let lists = || self.lanes.values().map(|lane| lane.list);
        lists().map(|list| list.count).sum::<u64>() == self.waiting_records
            && lists().map(|list| list.bytes).sum::<u64>() == self.waiting_bytes
    }
}

fn enqueue(ready: &mut BinaryHeap<Entry>, lane: &mut Lane, id: u64) {
    if !lane.queued
        && let Some(head) = lane.list.head()
    {
        lane.queued = true;
        ready.push(Reverse((head, id)));
    }
}

/// Spreads keys over the table without a seed: the same run always does the same, and keys are hashes
/// already.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

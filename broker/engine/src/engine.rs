//! Joins the sub-machines: one state, one `step`. What an input leads to is decided in the file named
//! after its noun; here it is only handed on.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::entry::Entry;
use crate::function::{Account, Function};
use crate::index::Index;
use crate::list::List;
use crate::record::After;
use crate::slab::Slab;
use crate::wheel::Wheel;
use crate::worker::{Fleet, Held, Worker};
use crate::{
    Answer, Caller, Effect, EngineLimits, Fact, FunctionName, Input, Millis, PersistNumber,
    Refusal, RequestId,
};

/// Every decision of one shard. See the crate's documentation for its contract.
#[derive(Debug)]
pub struct Engine {
    pub(crate) limits: EngineLimits,
    /// Never goes back, whatever the caller says.
    pub(crate) now: Millis,
    pub(crate) draining: bool,

    pub(crate) functions: Slab<Function>,
    pub(crate) names: HashMap<FunctionName, u32, BuildHasherDefault<NameHasher>>,
    pub(crate) next_function: u64,
    pub(crate) account: Account,

    pub(crate) entries: Slab<Entry>,
    pub(crate) by_request: Index,
    pub(crate) next_seq: u64,
    pub(crate) queued: u64,
    pub(crate) queued_bytes: u64,
    /// Ended events whose record is not delivered yet, and their payload bytes.
    pub(crate) records_pending: u64,
    pub(crate) records_pending_bytes: u64,
    pub(crate) sync_waiting: u32,
    /// Ended and dead: kept for redrive. Oldest first.
    pub(crate) dead: List,
    /// Ended otherwise. Oldest first.
    pub(crate) past: List,
    pub(crate) revision: u64,

    pub(crate) workers: Slab<Worker>,
    pub(crate) fleets: Slab<Fleet>,
    pub(crate) fleet_names: HashMap<Vec<FunctionName>, u32, BuildHasherDefault<NameHasher>>,
    pub(crate) leases: Slab<Held>,
    pub(crate) next_fence: u64,

    /// Placement waits, retry waits, delivery waits; by entry.
    pub(crate) entry_timers: Wheel,
    /// Function timeouts and stop graces; by lease.
    pub(crate) lease_timers: Wheel,
    /// Capacity checks and ages of ready heads; by function.
    pub(crate) function_timers: Wheel,
    pub(crate) due: Vec<u32>,

    pub(crate) next_persist: PersistNumber,
    /// What waits for the disk, by number from `pending_first`.
    pub(crate) pending: VecDeque<Option<After>>,
    pub(crate) pending_first: PersistNumber,
}

impl Engine {
    /// An empty engine at `now`. `epoch` is a number that grows with every start of the shard (the
    /// store's fence): leases of different epochs never share a fencing number.
    #[must_use]
    pub fn new(limits: EngineLimits, epoch: u64, now: Millis) -> Self {
        // What is restored and due already is due now, not a millisecond later: virtual time would have to be moved.
        let before = now.saturating_sub(1);
        Self {
            limits,
            now,
            draining: false,
            functions: Slab::new(),
            names: HashMap::default(),
            next_function: 1,
            account: Account::default(),
            entries: Slab::new(),
            by_request: Index::new(),
            next_seq: 1,
            queued: 0,
            queued_bytes: 0,
            records_pending: 0,
            records_pending_bytes: 0,
            sync_waiting: 0,
            dead: List::EMPTY,
            past: List::EMPTY,
            // Revisions of one invocation keep growing over restarts, because time does.
            revision: now << 16,
            workers: Slab::new(),
            fleets: Slab::new(),
            fleet_names: HashMap::default(),
            leases: Slab::new(),
            next_fence: epoch << 40,
            entry_timers: Wheel::new(before),
            lease_timers: Wheel::new(before),
            function_timers: Wheel::new(before),
            due: Vec::new(),
            next_persist: 1,
            pending: VecDeque::new(),
            pending_first: 1,
        }
    }

    /// Takes one input at `now` and appends its consequences to `out`. Total: every input has a
    /// meaning in every state; same state and input, same effects.
    pub fn step(&mut self, now: Millis, input: Input, out: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        match input {
            Input::Invoke(invoke) => self.invoke(invoke, out),
            Input::Outcome { worker, lease, result } => self.outcome(worker, lease, result, out),
            Input::Started { worker, through } => self.started(worker, through),
            Input::Tick => self.tick(out),
            Input::Persisted { from, through } => self.persisted(from, through, out),
            Input::PersistRejected { number } => self.persist_rejected(number, out),
            Input::CallerGone { caller, request_id } => self.caller_gone(caller, request_id, out),
            Input::CallersGone { edge } => self.callers_gone(edge, out),
            Input::Cancel { caller, request_id } => self.cancel(caller, request_id, 0, out),
            Input::Redrive { caller, request_id, new_request_id } => {
                self.redrive(caller, request_id, new_request_id, out);
            }
            Input::CreateFunction { caller, name, settings } => {
                self.create_function(caller, name, settings, out);
            }
            Input::UpdateFunction { caller, function, change } => {
                self.update_function(caller, function, change, out);
            }
            Input::DeleteFunction { caller, function } => {
                self.delete_function(caller, function, out);
            }
            Input::WorkerJoined { caller, functions, slots } => {
                self.worker_joined(caller, functions, slots, out);
            }
            Input::WorkerLeft { worker } => self.worker_left(worker, out),
            Input::WorkerSlots { worker, slots } => self.worker_slots(worker, slots, out),
            Input::WorkerDraining { worker } => self.worker_draining(worker, out),
            Input::NotSent { worker, lease } => self.not_sent(worker, lease, out),
            Input::Delivered { entry, result } => self.delivered(entry, result, out),
            Input::StoreLost => self.store_lost(out),
            Input::Drain => self.drain(out),
        }
        #[cfg(debug_assertions)]
        if self.entries.len() < 64 {
            debug_assert_eq!(self.check(), Ok(()));
        }
    }

    /// When the engine wants [`Input::Tick`] at the latest; `None`: never, as things stand.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        let wheels = [&self.entry_timers, &self.lease_timers, &self.function_timers];
        let timers = wheels.into_iter().filter_map(Wheel::next).min();
        timers.into_iter().chain(self.next_forgetting()).min()
    }

    /// The first timer exactly, at the cost of a look at all that are due about then: for people who ask.
    #[must_use]
    pub fn first_deadline(&self) -> Option<Millis> {
        let wheels = [&self.entry_timers, &self.lease_timers, &self.function_timers];
        let timers = wheels.into_iter().filter_map(Wheel::first).min();
        timers.into_iter().chain(self.next_forgetting()).min()
    }

    fn tick(&mut self, out: &mut Vec<Effect>) {
        let mut due = std::mem::take(&mut self.due);
        self.lease_timers.expire(self.now, &mut due);
        due.drain(..).for_each(|lease| self.lease_due(lease, out));
        self.entry_timers.expire(self.now, &mut due);
        due.drain(..).for_each(|entry| self.entry_due(entry, out));
        self.function_timers.expire(self.now, &mut due);
        due.drain(..).for_each(|function| self.function_due(function, out));
        self.due = due;
        self.forget(out);
    }

    /// The place of an invocation.
    #[inline]
    pub(crate) fn find(&self, request_id: RequestId) -> Option<u32> {
        self.by_request.get(&self.entries, request_id)
    }

    pub(crate) fn refuse(caller: Caller, refusal: Refusal, out: &mut Vec<Effect>) {
        out.push(Effect::Reply { caller, answer: Answer::Refused(refusal) });
    }

    pub(crate) fn tell(out: &mut Vec<Effect>, fact: Fact) {
        out.push(Effect::Fact(fact));
    }

    pub(crate) fn changed(&mut self, entry: u32, out: &mut Vec<Effect>) {
        self.revision += 1;
        let entry = &mut self.entries[entry];
        entry.revision = self.revision;
        if entry.event {
            out.push(Effect::Changed { request_id: entry.request_id });
        }
    }
}

/// FNV-1a. Function names come from operators, not from callers, so nobody gains from collisions; and
/// the order of a map must be the same in every run, which std's random keys would forbid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

//! Owns the judgement of a run: a history of its own, kept from inputs and effects alone, against which every effect
//! is held. It knows the engine's contract and nothing of its tables.
//!
//! The rules are those of the ledger (I1 to I10). I6 and I7 are about pollers; I4 and I10 are completed by the world
//! when a run is over, with a burst on every function and a backlog that has drained.

mod attempts;
mod calls;
mod counts;
mod events;

use std::collections::{BTreeMap, BTreeSet};

use trine_engine::{
    AttemptResult, Effect, EngineLimits, Fact, FunctionId, FunctionName, FunctionSettings, Input,
    Lease, Millis, Mutation, RequestId, WorkerId,
};

use self::attempts::{Held, Session};
use self::calls::SyncCall;
use self::events::Event;
use super::store::{Durable, ensure};

pub(super) use self::calls::Call;
pub use self::counts::Counts;
pub(super) use self::events::Asked;

/// A rule that was broken.
pub(super) type Judged = Result<(), String>;

/// A function as it is in force.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) name: FunctionName,
    pub(super) settings: FunctionSettings,
}

/// How an attempt ended, by what was put into the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    Answered,
    Failed,
    TimedOut,
    Lost,
    TooLarge,
}

#[derive(Debug)]
pub(super) struct Ledger {
    limits: EngineLimits,
    /// The engine's time: it never goes back.
    now: Millis,
    pub(super) active: BTreeMap<FunctionId, Active>,
    events: BTreeMap<RequestId, Event>,
    syncs: BTreeMap<RequestId, SyncCall>,
    leases: BTreeMap<Lease, Held>,
    sessions: BTreeMap<WorkerId, Session>,
    calls: BTreeMap<u64, Call>,
    /// Leases that a handler was started under, whatever became of them.
    runs: BTreeSet<Lease>,
    /// Invocations that a handler was started for.
    ran: BTreeSet<(RequestId, u32)>,
    fence_last: Option<u64>,
    /// Names of functions that were durable once.
    functions_saved: BTreeMap<FunctionName, FunctionSettings>,
    /// An outcome in this step came under a lease that is no more.
    late_expected: bool,
    /// A lease has expired and its worker is told to stop next; and whether that spent nothing.
    expired: bool,
    expired_unspent: bool,
    /// Invocations whose attempt ended in this step: the engine owes them a decision.
    owed: BTreeMap<RequestId, Finish>,
    pub(super) counts: Counts,
}

impl Ledger {
    pub(super) fn new(limits: EngineLimits, now: Millis) -> Self {
        Self {
            limits,
            now,
            active: BTreeMap::new(),
            events: BTreeMap::new(),
            syncs: BTreeMap::new(),
            leases: BTreeMap::new(),
            sessions: BTreeMap::new(),
            calls: BTreeMap::new(),
            runs: BTreeSet::new(),
            ran: BTreeSet::new(),
            fence_last: None,
            functions_saved: BTreeMap::new(),
            late_expected: false,
            expired: false,
            expired_unspent: false,
            owed: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Before a step.
    pub(super) fn input(&mut self, now: Millis, input: &Input) {
        self.now = self.now.max(now);
        match input {
            Input::WorkerLeft { worker } => self.session_over(*worker),
            Input::WorkerSlots { worker, slots } => {
                if let Some(session) = self.sessions.get_mut(worker) {
                    session.slots = *slots;
                }
            }
            Input::WorkerDraining { worker } => {
                if let Some(session) = self.sessions.get_mut(worker) {
                    session.draining = true;
                }
            }
            Input::Started { worker, through } => {
                if let Some(session) = self.sessions.get_mut(worker) {
                    session.started = session.started.max(*through);
                }
            }
            Input::Outcome { worker, lease, result } => self.outcome(*worker, *lease, *result),
            Input::NotSent { lease, .. } => {
                self.give_back(*lease);
            }
            Input::CallerGone { caller, request_id } => self.caller_gone(*caller, *request_id),
            _ => {}
        }
    }

    /// One effect of the step, in its order. `durable`: what the store holds now.
    pub(super) fn effect(&mut self, effect: &Effect, durable: &Durable) -> Judged {
        match effect {
            Effect::Dispatch(dispatch) => self.dispatched(dispatch),
            Effect::Stop { lease, .. } => self.stopped(*lease),
            Effect::Reply { caller, answer } => self.replied(*caller, answer, durable),
            Effect::Persist { mutation, .. } => self.decided(mutation),
            Effect::Deliver(deliver) => self.delivering(deliver),
            Effect::Fact(fact) => self.fact(*fact),
            Effect::Hold { .. } | Effect::Release { .. } | Effect::Changed { .. } => Ok(()),
        }
    }

    fn fact(&mut self, fact: Fact) -> Judged {
        match fact {
            Fact::SlotAbandoned { function } => return self.abandoned(function),
            Fact::LateOutcome => {
                self.counts.late += 1;
                let expected = std::mem::take(&mut self.late_expected);
                return ensure(expected, || "an outcome in time was refused as late".to_owned());
            }
            Fact::Unspent { .. } => {
                self.counts.unspent += 1;
                self.expired_unspent = std::mem::take(&mut self.expired);
            }
            Fact::LeaseExpired { .. } => {
                self.counts.timed_out += 1;
                self.expired = true;
            }
            Fact::Throttled { .. } => self.counts.throttled += 1,
            Fact::Undelivered { .. } => self.counts.undelivered += 1,
            _ => {}
        }
        Ok(())
    }

    /// After a step: nothing is owed. I9: what the engine counts as queued is what was accepted and has not ended.
    pub(super) fn stepped(&mut self, queued: u64) -> Judged {
        if let Some((id, finish)) = self.owed.pop_first() {
            return Err(format!("I1: the attempt of {id} ended ({finish:?}) and nothing followed"));
        }
        ensure(!std::mem::take(&mut self.late_expected), || {
            "a late outcome was not refused".to_owned()
        })?;
        let live = self.events.values().filter(|event| event.end.is_none()).count() as u64;
        ensure(live == queued, || format!("I9: {live} events have not ended, {queued} are counted"))
    }

    /// Mutations that became durable, whether the engine is told or not.
    pub(super) fn saved(&mut self, mutation: &Mutation) -> Judged {
        if let Mutation::PutFunction(record) = mutation {
            self.functions_saved.insert(record.name.clone(), record.settings.clone());
        }
        self.event_saved(mutation)
    }

    /// Mutations that were refused for good.
    pub(super) fn refused(&mut self, mutation: &Mutation) {
        match mutation {
            Mutation::Accept(record) => {
                self.events.remove(&record.request_id);
            }
            Mutation::Redrive { new, .. } => {
                self.events.remove(&new.request_id);
            }
            _ => {}
        }
    }

    /// The process ended: what is durable is what counts.
    pub(super) fn crashed(&mut self, now: Millis, durable: &Durable) -> Judged {
        self.counts.crashes += 1;
        self.now = now;
        self.calls.clear();
        self.syncs.clear();
        self.leases.clear();
        self.sessions.clear();
        self.active.clear();
        self.fence_last = None;
        self.events_after_crash(durable)
    }

    /// The run is over and the backlog has drained (I1, I4, I10).
    pub(super) fn finish(&self) -> Judged {
        let taken = self.leases.iter().next();
        ensure(taken.is_none(), || format!("I4: a slot is missing: {taken:?}"))?;
        for (id, event) in &self.events {
            event.finish().map_err(|wrong| format!("I1: {id} {wrong}"))?;
        }
        let open = self.syncs.iter().find(|(_, sync)| !sync.done);
        ensure(open.is_none(), || format!("I10: {open:?} was never answered"))?;
        let open = self.calls.iter().next();
        ensure(open.is_none(), || format!("I10: {open:?} was never answered"))
    }

    /// Events that have not ended.
    pub(super) fn live_ids(&self) -> Vec<RequestId> {
        let live = self.events.iter().filter(|(_, event)| !event.end_saved);
        live.map(|(id, _)| *id).collect()
    }

    /// A function is in force without anybody being told: after a start.
    pub(super) fn activated(&mut self, id: FunctionId, active: Active) {
        self.active.insert(id, active);
    }

    /// Nobody waits for an answer.
    pub(super) fn is_answered(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn reserved(&self, function: FunctionId) -> Option<u32> {
        self.active.get(&function)?.settings.reserved_concurrency
    }

    fn settings_of(&self, name: &FunctionName) -> Option<&FunctionSettings> {
        self.active.values().find(|active| active.name == *name).map(|active| &active.settings)
    }

    fn finish_of(&self, result: AttemptResult) -> Option<Finish> {
        let max = self.limits.response_bytes_max;
        Some(match result {
            AttemptResult::Response { bytes } | AttemptResult::FunctionError { bytes }
                if bytes > max =>
            {
                Finish::TooLarge
            }
            AttemptResult::Response { .. } => Finish::Answered,
            AttemptResult::FunctionError { .. } => Finish::Failed,
            AttemptResult::Stopped { timed_out: true } => Finish::TimedOut,
            AttemptResult::Stopped { timed_out: false } => Finish::Lost,
            AttemptResult::Returned => return None,
        })
    }
}

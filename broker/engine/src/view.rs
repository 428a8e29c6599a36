//! What clients may ask of the engine: invocations, functions, the account, and why something waits.
//! Reads only.

use crate::entry::{Entry, State};
use crate::function::{Function, Life};
use crate::slab::NONE;
use crate::worker::LeasePhase;
use crate::{
    Blocker, Engine, EntryId, EventRecord, EventStage, FunctionId, FunctionName, FunctionSettings,
    InvocationView, Lease, Millis, Phase, RequestId, Throttle,
};

/// A function as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionView {
    /// Its handle.
    pub id: FunctionId,
    /// Its name.
    pub name: FunctionName,
    /// As its user set them.
    pub settings: FunctionSettings,
    /// When it was created.
    pub created_at: Millis,
    /// When its settings last changed.
    pub modified_at: Millis,
    /// What goes on in it.
    pub usage: FunctionUsage,
}

/// What goes on in a function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FunctionUsage {
    /// Concurrency in use.
    pub running: u32,
    /// Events that have not ended.
    pub queued: u64,
    /// Payload bytes of queued events.
    pub queued_bytes: u64,
    /// Events ready to start.
    pub ready: u64,
    /// Age of the first of them.
    pub oldest_ready_age_ms: Option<Millis>,
    /// Sessions that serve it.
    pub workers: u32,
    /// Slots free for it.
    pub free_slots: u32,
}

/// What goes on in the account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountView {
    /// The limit.
    pub concurrency: u32,
    /// What reservations leave of it.
    pub unreserved: u32,
    /// Concurrency in use.
    pub running: u32,
    /// Of it, in functions without a reservation.
    pub unreserved_running: u32,
    /// Functions that exist.
    pub functions: u32,
    /// Events that have not ended.
    pub queued: u64,
    /// Their payload bytes.
    pub queued_bytes: u64,
    /// Ended events whose record is still to be delivered; they count against the queue's bounds too.
    pub records_pending: u64,
    /// Callers that wait for a slot.
    pub sync_waiting: u32,
    /// Connected sessions.
    pub workers: u32,
    /// Slots of all sessions.
    pub slots: u64,
    /// Of them, taken by a lease.
    pub slots_taken: u64,
    /// Leases that are held; equals `slots_taken`, or slots leak (users.md A13).
    pub leases: u64,
    /// Ended invocations that are remembered.
    pub remembered: u64,
}

impl Engine {
    /// What clients see of an invocation.
    #[must_use]
    pub fn invocation(&self, request_id: RequestId) -> Option<InvocationView> {
        let place = self.find(request_id)?;
        Some(self.view(place))
    }

    /// The invocations at `from` and the next places of the table, at most `places` of them, that `wanted`
    /// chooses; and where to go on. Unordered, bounded work: a page of a long table.
    pub fn invocations(
        &self,
        from: u32,
        places: u32,
        limit: usize,
        mut wanted: impl FnMut(&InvocationView) -> bool,
    ) -> (Vec<InvocationView>, Option<u32>) {
        let end = self.entries.places();
        let mut found = Vec::new();
        let mut place = from;
        while place < end && place - from < places && found.len() < limit {
            let entry = self.entries.get(place);
            // What is not durable yet is nobody's business.
            if entry.is_some_and(|entry| !entry.event || entry.revision > 0) {
                let view = self.view(place);
                if wanted(&view) {
                    found.push(view);
                }
            }
            place += 1;
        }
        (found, (place < end).then_some(place))
    }

    fn view(&self, place: u32) -> InvocationView {
        let entry = &self.entries[place];
        InvocationView {
            entry: EntryId { index: place, generation: self.entries.generation(place) },
            request_id: entry.request_id,
            function: self.functions[entry.function].name.clone(),
            event: entry.event,
            phase: Self::phase(entry),
            attempts: entry.attempts,
            accepted_at: entry.accepted_at,
            payload_bytes: entry.payload_bytes,
            record: entry.event.then(|| self.shown_record(place)),
            delivery_tries: entry.rare.as_ref().map_or(0, |rare| rare.delivery_tries),
            revision: entry.revision,
        }
    }

    /// The record as the disk has it, as far as its end is concerned.
    fn shown_record(&self, place: u32) -> EventRecord {
        let entry = &self.entries[place];
        if entry.end_saved || entry.is_live() {
            return self.current_record(place);
        }
        let stage = EventStage::Waiting { due_at: entry.age_from, retry: entry.failed };
        self.record(place, stage)
    }

    fn phase(entry: &Entry) -> Phase {
        if let Some(ended) = entry.ended().filter(|_| entry.end_saved) {
            return Phase::Ended { end: ended.end, at: ended.at, delivery: ended.delivery };
        }
        match entry.state {
            State::Scheduled { due_at, retry } => Phase::Scheduled { due_at, retry },
            State::Running => Phase::Running,
            // What an attempt led to is shown when it is durable.
            State::Saving if entry.attempts > 0 => Phase::Running,
            _ => Phase::Ready,
        }
    }

    /// The one thing that an invocation waits for.
    #[must_use]
    pub fn explain(&self, request_id: RequestId) -> Option<Blocker> {
        let place = self.find(request_id)?;
        let entry = &self.entries[place];
        Some(match entry.state {
            State::Ended => Blocker::Finished,
            State::Running => Blocker::Running,
            State::Saving => Blocker::Store,
            State::Scheduled { due_at, retry: true } => Blocker::RetryWait(due_at),
            State::Scheduled { due_at, retry: false } => Blocker::NotBefore(due_at),
            State::Delivering => Blocker::Destination { until: self.now },
            State::Redelivering { until } => Blocker::Destination { until },
            State::Placing => self.slot_blocker(
                entry.function,
                self.entry_timers.deadline(place).unwrap_or(self.now),
            ),
            State::Ready => {
                let function = &self.functions[entry.function];
                if function.ready.head() == Some(place) {
                    self.capacity_blocker(entry.function)
                } else {
                    Blocker::QueueAhead { events: u64::from(function.ready.len()) - 1 }
                }
            }
        })
    }

    /// What the head of the function's queue waits for, looked at afresh.
    fn capacity_blocker(&self, index: u32) -> Blocker {
        let function = &self.functions[index];
        let until = function.blocked.map_or(self.now, |blocked| blocked.until);
        match self.permit(index) {
            _ if function.workers == 0 => Blocker::NoWorker { until },
            Err(Throttle::Account) => {
                Blocker::AccountConcurrency { limit: self.unreserved_limit(), until }
            }
            Err(_) => Blocker::ReservedConcurrency {
                limit: function.settings.reserved_concurrency.unwrap_or(0),
                until,
            },
            Ok(()) => self.slot_blocker(index, until),
        }
    }

    fn slot_blocker(&self, index: u32, until: Millis) -> Blocker {
        let function = &self.functions[index];
        if function.workers == 0 {
            return Blocker::NoWorker { until };
        }
        Blocker::NoFreeSlot { slots: self.slots(function).0, until }
    }

    /// A function that exists.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<FunctionView> {
        let index = *self.names.get(name)?;
        (self.functions[index].life == Life::Active).then(|| self.function_view(index))
    }

    /// The settings behind a handle, also of a deleted function whose invocations are remembered.
    #[must_use]
    pub fn settings(&self, id: FunctionId) -> Option<(&FunctionName, &FunctionSettings)> {
        let function = self.functions.get_exact(id.index, id.generation)?;
        Some((&function.name, &function.settings))
    }

    /// All functions that exist, in no particular order.
    pub fn functions(&self) -> impl Iterator<Item = FunctionView> {
        let active = |function: &Function| function.life == Life::Active;
        let indexes = self.functions.iter().filter(move |(_, function)| active(function));
        indexes.map(|(index, _)| self.function_view(index))
    }

    fn function_view(&self, index: u32) -> FunctionView {
        let function = &self.functions[index];
        let oldest = function.ready.head().map(|head| self.entries[head].age_from);
        FunctionView {
            id: self.function_id(index),
            name: function.name.clone(),
            settings: function.settings.clone(),
            created_at: function.created_at,
            modified_at: function.modified_at,
            usage: FunctionUsage {
                running: function.running,
                queued: function.queued,
                queued_bytes: function.queued_bytes,
                ready: u64::from(function.ready.len()),
                oldest_ready_age_ms: oldest.map(|since| self.now.saturating_sub(since)),
                workers: function.workers,
                free_slots: self.slots(function).1,
            },
        }
    }

    /// All and free slots of the workers that serve a function.
    fn slots(&self, function: &Function) -> (u32, u32) {
        let fleets = || function.links.iter().map(|link| &self.fleets[link.fleet]);
        let total = |slots: u64| u32::try_from(slots).unwrap_or(u32::MAX);
        (total(fleets().map(|f| f.slots).sum()), total(fleets().map(|f| f.free).sum()))
    }

    /// Whether the attempt under `lease` runs, as far as anybody knows, and was not told to stop.
    #[must_use]
    pub fn runs(&self, lease: Lease) -> bool {
        let held = self.leases.get(lease.index).filter(|held| held.fence == lease.fence);
        held.is_some_and(|held| held.phase == LeasePhase::Running)
    }

    /// What goes on in the account.
    #[must_use]
    pub fn account(&self) -> AccountView {
        let active = |function: &Function| function.life == Life::Active;
        let running = self.functions.iter().map(|(_, function)| function.running).sum();
        AccountView {
            concurrency: self.limits.account_concurrency,
            unreserved: self.unreserved_limit(),
            running,
            unreserved_running: self.account.unreserved_running,
            functions: u32::try_from(self.functions.iter().filter(|(_, f)| active(f)).count())
                .unwrap_or(NONE),
            queued: self.queued,
            queued_bytes: self.queued_bytes,
            records_pending: self.records_pending,
            sync_waiting: self.sync_waiting,
            workers: self.workers.len(),
            slots: self.workers.iter().map(|(_, worker)| u64::from(worker.slots)).sum(),
            slots_taken: self.workers.iter().map(|(_, worker)| worker.leases.len() as u64).sum(),
            leases: u64::from(self.leases.len()),
            remembered: u64::from(self.dead.len()) + u64::from(self.past.len()),
        }
    }

    /// Mutations that wait for the disk.
    #[must_use]
    pub fn unsaved(&self) -> usize {
        self.pending.len()
    }
}

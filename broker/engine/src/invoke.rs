//! Admission: what becomes of a request to run a function (LS 1, 3.1, 5). It does not start
//! anything itself; `dispatch.rs` does.

use crate::entry::{Entry, State};
use crate::function::Life;
use crate::record::{After, EventStage, Idempotency, Mutation};
use crate::{
    Answer, Caller, Effect, Engine, EntryId, Fact, FunctionId, Invoke, Millis, Mode, Qualifier,
    Refusal, Throttle,
};

impl Engine {
    /// The function that a caller names.
    ///
    /// # Errors
    /// [`Refusal::UnknownFunction`] or [`Refusal::UnknownQualifier`].
    pub fn resolve(&self, name: &str, qualifier: &Qualifier) -> Result<FunctionId, Refusal> {
        let index = *self.names.get(name).ok_or(Refusal::UnknownFunction)?;
        if self.functions[index].life != Life::Active {
            return Err(Refusal::UnknownFunction);
        }
        match qualifier {
            Qualifier::Latest => Ok(self.function_id(index)),
            Qualifier::Version(_) | Qualifier::Alias(_) => Err(Refusal::UnknownQualifier),
        }
    }

    pub(crate) fn invoke(&mut self, invoke: Invoke, out: &mut Vec<Effect>) {
        let FunctionId { index, generation } = invoke.function;
        let active = |function: &crate::function::Function| function.life == Life::Active;
        if !self.functions.get_exact(index, generation).is_some_and(active) {
            return Self::refuse(invoke.caller, Refusal::UnknownFunction, out);
        }
        if self.draining {
            return Self::refuse(invoke.caller, Refusal::ShuttingDown, out);
        }
        let Invoke { caller, request_id, payload_bytes, mode, .. } = invoke;
        let mut entry = Entry::new(request_id, index, self.now, payload_bytes);
        match mode {
            Mode::Sync { deadline } => {
                entry.caller = caller;
                entry.deadline = deadline.unwrap_or(Millis::MAX);
                if let Err(refusal) = self.admit_sync(entry, out) {
                    Self::refuse(caller, refusal, out);
                }
            }
            Mode::Event { not_before, hops, idempotency } => {
                entry.event = true;
                entry.age_from = not_before.unwrap_or(self.now).max(self.now);
                entry.hops = hops;
                if let Err(refusal) = self.accept_event(entry, caller, idempotency, out) {
                    Self::refuse(caller, refusal, out);
                }
            }
        }
    }

    /// A synchronous invocation takes its concurrency here and keeps it while it waits for a slot, as a
    /// starting environment does in Lambda: so a limit is never exceeded by those that wait.
    fn admit_sync(&mut self, entry: Entry, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        let (now, index) = (self.now, entry.function);
        if entry.deadline <= now {
            return Err(Refusal::DeadlineExpired);
        }
        if let Err(throttle) = self.permit(index) {
            self.throttled(index, throttle, out);
            return Err(self.throttle_refusal(index, throttle));
        }
        if self.functions[index].workers == 0 {
            self.throttled(index, Throttle::NoWorker, out);
            return Err(Refusal::NoWorker);
        }
        let slot = self.find_slot(index);
        if slot.is_none() && self.sync_waiting >= self.limits.sync_waiting_max {
            return Err(Refusal::Overloaded);
        }
        let until = entry.deadline.min(now + self.limits.placement_wait_ms);
        let place = self.insert_entry(entry, out);
        self.take_permit(index);
        match slot {
            Some(slot) => self.start(place, slot, out),
            None => self.wait_for_slot(place, until, false),
        }
        Ok(())
    }

    fn accept_event(
        &mut self,
        mut entry: Entry,
        caller: Caller,
        idempotency: Option<Box<Idempotency>>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let index = entry.function;
        if let Some(idempotency) = &idempotency
            && let Some(earlier) = self.functions[index].idempotency.get(&idempotency.key)
        {
            return self.repeat(*earlier, caller, idempotency.digest, out);
        }
        self.check_queue_bounds(entry.payload_bytes, entry.hops)?;
        entry.seq = self.next_seq;
        entry.payload_seq = self.next_seq;
        self.next_seq += 1;
        if let Some(idempotency) = idempotency {
            entry.rare().idempotency = Some(idempotency);
        }
        let place = self.insert_entry(entry, out);
        let warn_no_worker = self.functions[index].workers == 0;
        let due_at = self.entries[place].age_from;
        let record = self.record(place, EventStage::Waiting { due_at, retry: false });
        let after = After::Accepted { entry: place, caller: Some(caller), warn_no_worker };
        self.persist(Mutation::Accept(record), after, out);
        Ok(())
    }

    /// Answers a request whose idempotency key is known, not before the first one is durable.
    fn repeat(
        &mut self,
        earlier: u32,
        caller: Caller,
        digest: u64,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let known = self.entries[earlier].rare.as_ref().and_then(|rare| rare.idempotency.as_ref());
        if known.is_none_or(|known| known.digest != digest) {
            return Err(Refusal::IdempotencyMismatch);
        }
        if self.entries[earlier].state == State::Saving {
            let generation = self.entries.generation(earlier);
            let after = After::Repeated { entry: earlier, generation, caller };
            self.persist(Mutation::Barrier, after, out);
            return Ok(());
        }
        let request_id = self.entries[earlier].request_id;
        let answer = Answer::Accepted { request_id, duplicate: true, no_worker: false };
        out.push(Effect::Reply { caller, answer });
        Ok(())
    }

    /// Records that nobody has taken yet count as the events did that they tell of: a dead destination fills the queue,
    /// not the memory. An event that is itself such a record (it has `hops`) takes the place of the one it tells of, so
    /// that a queue full of records can still empty itself into the functions that they are for.
    pub(crate) fn check_queue_bounds(&self, payload_bytes: u32, hops: u8) -> Result<(), Refusal> {
        let (mut count, mut bytes) = (self.queued, self.queued_bytes);
        if hops == 0 {
            count += self.records_pending;
            bytes += self.records_pending_bytes;
        }
        if count >= self.limits.queue_count_max {
            return Err(Refusal::QueueFullByCount { max: self.limits.queue_count_max });
        }
        if bytes + u64::from(payload_bytes) > self.limits.queue_bytes_max {
            return Err(Refusal::QueueFullByBytes { max: self.limits.queue_bytes_max });
        }
        Ok(())
    }

    /// Gives an entry its place, with its payload, and counts it.
    pub(crate) fn insert_entry(&mut self, entry: Entry, out: &mut Vec<Effect>) -> u32 {
        let (place, generation) = self.insert_counted(entry);
        self.by_request.insert(&self.entries, place);
        out.push(Effect::Hold { entry: EntryId { index: place, generation } });
        place
    }

    pub(crate) fn insert_counted(&mut self, entry: Entry) -> (u32, u32) {
        let function = &mut self.functions[entry.function];
        function.known += 1;
        if entry.event {
            if entry.is_live() {
                function.queued += 1;
                function.queued_bytes += u64::from(entry.payload_bytes);
                self.queued += 1;
                self.queued_bytes += u64::from(entry.payload_bytes);
            }
            if entry.is_pending() {
                self.records_pending += 1;
                self.records_pending_bytes += u64::from(entry.payload_bytes);
            }
            if !matches!(entry.state, State::Ended) {
                function.unsettled += 1;
            }
        }
        let idempotency = entry.rare.as_ref().and_then(|rare| rare.idempotency.as_ref());
        let key = idempotency.map(|idempotency| idempotency.key.clone());
        let function = entry.function;
        let (place, generation) = self.entries.insert(entry);
        if let Some(key) = key {
            self.functions[function].idempotency.insert(key, place);
        }
        (place, generation)
    }

    /// Takes an entry out of the engine for good; it is in no queue any more.
    pub(crate) fn remove_entry(&mut self, place: u32, out: &mut Vec<Effect>) {
        let generation = self.entries.generation(place);
        let entry = &self.entries[place];
        let index = entry.function;
        self.by_request.remove(entry.request_id, place);
        if let Some(idempotency) = entry.rare.as_ref().and_then(|rare| rare.idempotency.as_ref()) {
            let keys = &mut self.functions[index].idempotency;
            if keys.get(&idempotency.key) == Some(&place) {
                keys.remove(&idempotency.key);
            }
        }
        self.entries.vacate(place);
        self.entry_timers.clear(place);
        out.push(Effect::Release { entry: EntryId { index: place, generation } });
        self.leave_function(index);
    }

    pub(crate) fn throttled(&self, index: u32, reason: Throttle, out: &mut Vec<Effect>) {
        Self::tell(out, Fact::Throttled { function: self.function_id(index), reason });
    }

    pub(crate) fn throttle_refusal(&self, index: u32, throttle: Throttle) -> Refusal {
        match throttle {
            Throttle::Reserved => Refusal::ReservedConcurrency {
                limit: self.functions[index].settings.reserved_concurrency.unwrap_or(0),
            },
            Throttle::Account => Refusal::AccountConcurrency { limit: self.unreserved_limit() },
            Throttle::NoWorker => Refusal::NoWorker,
            Throttle::NoCapacity => Refusal::NoCapacity,
        }
    }
}

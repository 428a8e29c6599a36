//! The life of an accepted event after its attempts: retries, its end, its record's delivery, its memory
//! (LS 3.1, 3.3). Transition table: `entry.rs`.

use crate::entry::State;
use crate::outcome::Finish;
use crate::record::{After, Delivery, End, Ended, EventRecord, EventStage, Mutation};
use crate::retry::{AfterFailure, after_failure, backoff_ms};
use crate::{
    Answer, Caller, Deliver, DeliveryResult, Effect, Engine, EntryId, EventSeq, Fact, Millis,
    Refusal, RequestId, ResponseAtHand,
};

/// Invocations forgotten in one step; the rest follow at the next millisecond.
const FORGOTTEN_PER_STEP_MAX: u32 = 1_000;

impl Engine {
    pub(crate) fn attempt_finished(&mut self, place: u32, finish: Finish, out: &mut Vec<Effect>) {
        let entry = &mut self.entries[place];
        let Finish::Failed(error) = finish else {
            entry.failed = false;
            return self.end_event(place, End::Succeeded, ResponseAtHand::Response, None, out);
        };
        entry.failed = true;
        let (age_from, attempts) = (entry.age_from, entry.attempts);
        let settings = &self.functions[entry.function].settings;
        match after_failure(settings, self.now, age_from, attempts) {
            AfterFailure::RetryAt(due_at) => {
                self.entries[place].state = State::Saving;
                let record = self.record(place, EventStage::Waiting { due_at, retry: true });
                let mutation = Mutation::Retry { record, error };
                self.persist(mutation, After::Waits { entry: place, due_at }, out);
            }
            AfterFailure::Dead(death) => {
                self.end_event(place, End::Dead(death), ResponseAtHand::Error(error), None, out);
            }
        }
    }

    /// Ends an event that is in no queue: durably, together with the duty to deliver its record (users.md A7).
    pub(crate) fn end_event(
        &mut self,
        place: u32,
        end: End,
        response: ResponseAtHand,
        caller: Option<Caller>,
        out: &mut Vec<Effect>,
    ) {
        let index = self.entries[place].function;
        let delivery =
            if self.wants_record(index, end) { Delivery::Pending } else { Delivery::None };
        if let End::Dead(death) = end {
            let (function, request_id) = (self.function_id(index), self.entries[place].request_id);
            Self::tell(out, Fact::EventDropped { function, death, request_id });
        }
        let entry = &mut self.entries[place];
        let bytes = u64::from(entry.payload_bytes);
        let keep_payload = delivery == Delivery::Pending || matches!(end, End::Dead(_));
        entry.owns_payload &= keep_payload;
        entry.rare().ended = Some(Ended { end, at: self.now, delivery });
        entry.state = State::Saving;
        self.queued -= 1;
        self.queued_bytes -= bytes;
        let function = &mut self.functions[index];
        function.queued -= 1;
        function.queued_bytes -= bytes;
        let record = self.current_record(place);
        let mutation = Mutation::End { record, keep_payload, response };
        self.persist(mutation, After::Ended { entry: place, caller }, out);
    }

    /// Whether a destination is configured for this outcome.
    fn wants_record(&self, index: u32, end: End) -> bool {
        let settings = &self.functions[index].settings;
        match end {
            End::Succeeded => settings.on_success.is_some(),
            End::Dead(_) => settings.on_failure.is_some(),
            End::Cancelled | End::Redriven { .. } => false,
        }
    }

    /// The end is durable.
    pub(crate) fn ended(&mut self, place: u32, caller: Option<Caller>, out: &mut Vec<Effect>) {
        let request_id = self.entries[place].request_id;
        if let Some(caller) = caller {
            out.push(Effect::Reply { caller, answer: Answer::Cancelled { request_id } });
        }
        let pending =
            self.entries[place].ended().is_some_and(|ended| ended.delivery == Delivery::Pending);
        if pending {
            self.deliver(place, out);
        } else {
            self.remember(place, out);
        }
        self.changed(place, out);
    }

    /// Hands the record to the shell.
    fn deliver(&mut self, place: u32, out: &mut Vec<Effect>) {
        let Some(end) = self.entries[place].ended().map(|ended| ended.end) else { return };
        self.entries[place].state = State::Delivering { until: None };
        let index = self.entries[place].function;
        if !self.wants_record(index, end) {
            // The destination was taken away meanwhile: the record is kept, where it can be seen.
            return self.delivery_over(place, Delivery::Undelivered, out);
        }
        let deliver = Deliver {
            entry: EntryId { index: place, generation: self.entries.generation(place) },
            record: self.current_record(place),
            function: self.function_id(index),
            tries: self.entries[place].rare().delivery_tries,
        };
        out.push(Effect::Deliver(deliver));
    }

    pub(crate) fn delivered(
        &mut self,
        entry: EntryId,
        result: DeliveryResult,
        out: &mut Vec<Effect>,
    ) {
        let place = entry.index;
        let waiting = State::Delivering { until: None };
        let known = self.entries.get_exact(place, entry.generation);
        if known.is_none_or(|known| known.state != waiting) {
            return;
        }
        let function = self.function_id(self.entries[place].function);
        let entry = &mut self.entries[place];
        entry.rare().delivery_tries += 1;
        let tries = entry.rare().delivery_tries;
        let ended_at = entry.ended().map_or(self.now, |ended| ended.at);
        if result == DeliveryResult::Taken {
            Self::tell(out, Fact::RecordDelivered { function });
            return self.delivery_over(place, Delivery::Delivered, out);
        }
        Self::tell(out, Fact::DeliveryFailed { function });
        let until = self.now + backoff_ms(tries - 1);
        if result == DeliveryResult::Refused || until >= ended_at + self.limits.delivery_age_ms {
            return self.delivery_over(place, Delivery::Undelivered, out);
        }
        self.entries[place].state = State::Delivering { until: Some(until) };
        self.entry_timers.set(place, until);
        self.changed(place, out);
    }

    fn delivery_over(&mut self, place: u32, delivery: Delivery, out: &mut Vec<Effect>) {
        let function = self.function_id(self.entries[place].function);
        let entry = &mut self.entries[place];
        entry.state = State::Saving;
        let mut keep_payload = delivery == Delivery::Undelivered;
        if let Some(ended) = &mut entry.rare().ended {
            ended.delivery = delivery;
            keep_payload |= matches!(ended.end, End::Dead(_));
        }
        entry.owns_payload &= keep_payload;
        if delivery == Delivery::Undelivered {
            let request_id = entry.request_id;
            Self::tell(out, Fact::Undelivered { function, request_id });
        }
        let record = self.current_record(place);
        let mutation = Mutation::Delivery { record, keep_payload };
        self.persist(mutation, After::DeliveryEnded { entry: place }, out);
    }

    pub(crate) fn delivery_ended(&mut self, place: u32, out: &mut Vec<Effect>) {
        self.remember(place, out);
        self.changed(place, out);
    }

    /// Puts an ended event into its history queue; the oldest beyond the bound is forgotten.
    pub(crate) fn remember(&mut self, place: u32, out: &mut Vec<Effect>) {
        let entry = &mut self.entries[place];
        entry.state = State::Ended;
        let generation = self.entries.generation(place);
        out.push(Effect::Release { entry: EntryId { index: place, generation } });
        let index = self.entries[place].function;
        self.functions[index].unsettled -= 1;
        let list = if is_dead(&self.entries[place]) { &mut self.dead } else { &mut self.past };
        list.push_back(&mut self.entries, place);
        let over = u64::from(list.len()) > self.limits.history_count_max;
        if over && let Some(oldest) = list.head() {
            self.forget_one(oldest, out);
        }
    }

    /// Drops what was remembered long enough.
    pub(crate) fn forget(&mut self, out: &mut Vec<Effect>) {
        for _ in 0..FORGOTTEN_PER_STEP_MAX {
            let next = [
                self.dead.head().filter(|place| self.forget_at(*place) <= self.now),
                self.past.head().filter(|place| self.forget_at(*place) <= self.now),
            ];
            let Some(place) = next.into_iter().flatten().next() else { return };
            self.forget_one(place, out);
        }
    }

    pub(crate) fn next_forgetting(&self) -> Option<Millis> {
        let heads = [self.dead.head(), self.past.head()];
        heads.into_iter().flatten().map(|place| self.forget_at(place)).min()
    }

    fn forget_at(&self, place: u32) -> Millis {
        let entry = &self.entries[place];
        let kept =
            if is_dead(entry) { self.limits.dead_age_ms } else { self.limits.history_age_ms };
        entry.ended().map_or(0, |ended| ended.at) + kept
    }

    fn forget_one(&mut self, place: u32, out: &mut Vec<Effect>) {
        self.leave_history(place);
        let entry = &self.entries[place];
        if is_dead(entry) {
            let (function, request_id) = (self.function_id(entry.function), entry.request_id);
            Self::tell(out, Fact::DeadForgotten { function, request_id });
        }
        let payload = entry.owns_payload.then_some(EventSeq(entry.payload_seq));
        let mutation = Mutation::Forget { seq: EventSeq(entry.seq), payload };
        self.remove_entry(place, out);
        self.persist(mutation, After::Forgotten, out);
    }

    fn leave_history(&mut self, place: u32) {
        let list = if is_dead(&self.entries[place]) { &mut self.dead } else { &mut self.past };
        list.remove(&mut self.entries, place);
    }

    /// A timer of an entry.
    pub(crate) fn entry_due(&mut self, place: u32, out: &mut Vec<Effect>) {
        let Some(entry) = self.entries.get(place) else { return };
        match entry.state {
            State::Scheduled { .. } => {
                self.enqueue(place, false, out);
                self.changed(place, out);
            }
            State::Placing => {
                let (caller, deadline, function) = (entry.caller, entry.deadline, entry.function);
                let refusal = if deadline <= self.now {
                    Refusal::DeadlineExpired
                } else {
                    self.throttled(function, crate::Throttle::NoCapacity, out);
                    Refusal::NoCapacity
                };
                Self::refuse(caller, refusal, out);
                self.leave_placing(place, out);
            }
            State::Delivering { .. } => self.deliver(place, out),
            State::Saving | State::Ready | State::Running | State::Ended => {}
        }
    }

    /// Lets an event wait until `due_at`.
    pub(crate) fn schedule(
        &mut self,
        place: u32,
        due_at: Millis,
        retry: bool,
        out: &mut Vec<Effect>,
    ) {
        if due_at <= self.now {
            self.enqueue(place, false, out);
        } else {
            self.entries[place].state = State::Scheduled { due_at, retry };
            self.entry_timers.set(place, due_at);
        }
        self.changed(place, out);
    }

    pub(crate) fn redrive(
        &mut self,
        caller: Caller,
        request_id: RequestId,
        new_request_id: RequestId,
        out: &mut Vec<Effect>,
    ) {
        let Some(place) = self.by_request.get(&request_id).copied() else {
            return Self::refuse(caller, Refusal::UnknownInvocation, out);
        };
        let entry = &self.entries[place];
        let ended = entry.ended().filter(|_| entry.state == State::Ended && entry.owns_payload);
        let refused = match ended.map(|ended| (ended.end, ended.delivery)) {
            Some((End::Dead(_), _)) => self.redrive_dead(caller, place, new_request_id, out),
            Some((_, Delivery::Undelivered)) => {
                self.redeliver(caller, place, out);
                Ok(())
            }
            _ => Err(Refusal::NotRedrivable),
        };
        if let Err(refusal) = refused {
            Self::refuse(caller, refusal, out);
        }
    }

    /// A dead event goes on as a new one with fresh attempts and age; payload and history stay linked (users.md A6).
    fn redrive_dead(
        &mut self,
        caller: Caller,
        old: u32,
        new_request_id: RequestId,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let dead = &self.entries[old];
        let index = dead.function;
        if self.functions[index].life != crate::function::Life::Active {
            return Err(Refusal::UnknownFunction);
        }
        if self.draining {
            return Err(Refusal::ShuttingDown);
        }
        self.check_queue_bounds(dead.payload_bytes)?;
        let mut entry =
            crate::entry::Entry::new(new_request_id, index, self.now, dead.payload_bytes);
        entry.event = true;
        entry.seq = self.next_seq;
        entry.payload_seq = dead.payload_seq;
        entry.rare().redriven_from = Some(dead.request_id);
        self.next_seq += 1;
        let old_record = EventRecord {
            stage: EventStage::Ended(Ended {
                end: End::Redriven { to: new_request_id },
                at: self.now,
                delivery: dead.ended().map_or(Delivery::None, |ended| ended.delivery),
            }),
            ..self.current_record(old)
        };
        self.leave_history(old);
        self.entries[old].state = State::Saving;
        self.functions[index].unsettled += 1;
        let (new, _) = self.insert_counted(entry);
        self.by_request.insert(new_request_id, new);
        let new_record = self.record(new, EventStage::Waiting { due_at: self.now, retry: false });
        let mutation = Mutation::Redrive { old: old_record, new: new_record };
        self.persist(mutation, After::Redriven { old, new, caller }, out);
        Ok(())
    }

    pub(crate) fn redriven(&mut self, old: u32, new: u32, caller: Caller, out: &mut Vec<Effect>) {
        let new_request_id = self.entries[new].request_id;
        let entry = &mut self.entries[old];
        entry.owns_payload = false;
        if let Some(ended) = &mut entry.rare().ended {
            ended.end = End::Redriven { to: new_request_id };
            ended.at = self.now;
        }
        self.remember(old, out);
        self.changed(old, out);
        let answer = Answer::Redriven { new_request_id: Some(new_request_id) };
        out.push(Effect::Reply { caller, answer });
        self.enqueue(new, false, out);
        self.changed(new, out);
    }

    /// A record that was set aside is offered again.
    fn redeliver(&mut self, caller: Caller, place: u32, out: &mut Vec<Effect>) {
        self.leave_history(place);
        let now = self.now;
        let entry = &mut self.entries[place];
        entry.state = State::Saving;
        entry.rare().delivery_tries = 0;
        if let Some(ended) = &mut entry.rare().ended {
            (ended.delivery, ended.at) = (Delivery::Pending, now);
        }
        let index = entry.function;
        self.functions[index].unsettled += 1;
        let record = self.current_record(place);
        let mutation = Mutation::Delivery { record, keep_payload: true };
        self.persist(mutation, After::Redelivers { entry: place, caller }, out);
    }

    pub(crate) fn redelivers(&mut self, place: u32, caller: Caller, out: &mut Vec<Effect>) {
        out.push(Effect::Reply { caller, answer: Answer::Redriven { new_request_id: None } });
        self.deliver(place, out);
        self.changed(place, out);
    }

    pub(crate) fn record(&self, place: u32, stage: EventStage) -> EventRecord {
        let entry = &self.entries[place];
        entry.record(&self.functions[entry.function].name, stage)
    }

    pub(crate) fn current_record(&self, place: u32) -> EventRecord {
        self.record(place, self.entries[place].stage())
    }
}

/// Dead or undelivered: what somebody may still want to put back.
fn is_dead(entry: &crate::entry::Entry) -> bool {
    entry.ended().is_some_and(|ended| {
        matches!(ended.end, End::Dead(_)) || ended.delivery == Delivery::Undelivered
    })
}

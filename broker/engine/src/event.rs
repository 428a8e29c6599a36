//! The life of an accepted event between and after its attempts: its times, its retries, its end (LS 3.1).
//! Transition table: `entry.rs`. What becomes of its record is in `delivery.rs`, of its memory in `history.rs`.

use crate::entry::State;
use crate::outcome::Finish;
use crate::record::{After, Delivery, End, Ended, EventRecord, EventStage, Mutation};
use crate::retry::{AfterFailure, after_failure};
use crate::{Answer, Caller, Effect, Engine, Fact, Millis, Refusal, ResponseAtHand, Throttle};

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
        if delivery == Delivery::Pending {
            self.records_pending += 1;
            self.records_pending_bytes += bytes;
        }
        let record = self.current_record(place);
        let mutation = Mutation::End { record, keep_payload, response };
        self.persist(mutation, After::Ended { entry: place, caller }, out);
    }

    /// The end is durable.
    pub(crate) fn ended(&mut self, place: u32, caller: Option<Caller>, out: &mut Vec<Effect>) {
        let request_id = self.entries[place].request_id;
        if let Some(caller) = caller {
            out.push(Effect::Reply { caller, answer: Answer::Cancelled { request_id } });
        }
        self.entries[place].end_saved = true;
        self.changed(place, out);
        if self.entries[place].is_pending() {
            self.deliver(place, out);
        } else {
            self.remember(place, out);
        }
    }

    /// A timer of an entry.
    pub(crate) fn entry_due(&mut self, place: u32, out: &mut Vec<Effect>) {
        let Some(entry) = self.entries.get(place) else { return };
        match entry.state {
            State::Scheduled { .. } => {
                self.enqueue(place, out);
                self.changed(place, out);
            }
            State::Placing => {
                let (caller, deadline, function) = (entry.caller, entry.deadline, entry.function);
                let refusal = if deadline <= self.now {
                    Refusal::DeadlineExpired
                } else {
                    self.throttled(function, Throttle::NoCapacity, out);
                    Refusal::NoCapacity
                };
                Self::refuse(caller, refusal, out);
                self.leave_placing(place, out);
            }
            State::Redelivering { .. } => self.deliver(place, out),
            State::Saving | State::Ready | State::Running | State::Delivering | State::Ended => {}
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
            self.enqueue(place, out);
        } else {
            self.entries[place].state = State::Scheduled { due_at, retry };
            self.entry_timers.set(place, due_at);
        }
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

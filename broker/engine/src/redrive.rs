//! Putting back what was given up: a dead event as a new one, an undelivered record as it is (users.md A6).

use crate::entry::{Entry, State};
use crate::function::Life;
use crate::record::{After, Delivery, End, Ended, EventRecord, EventStage, Mutation};
use crate::{Answer, Caller, Effect, Engine, Millis, Refusal, RequestId};

impl Engine {
    pub(crate) fn redrive(
        &mut self,
        caller: Caller,
        request_id: RequestId,
        new_request_id: RequestId,
        out: &mut Vec<Effect>,
    ) {
        let Some(place) = self.find(request_id) else {
            return Self::refuse(caller, Refusal::UnknownInvocation, out);
        };
        let entry = &self.entries[place];
        let ended = entry.ended().filter(|_| entry.state == State::Ended && entry.owns_payload);
        let refused = match ended.map(|ended| (ended.end, ended.delivery)) {
            Some((End::Dead(_), _)) => self.redrive_dead(caller, place, new_request_id, out),
            Some((_, Delivery::Undelivered)) => self.redeliver(caller, place, out),
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
        if self.functions[index].life != Life::Active {
            return Err(Refusal::UnknownFunction);
        }
        if self.draining {
            return Err(Refusal::ShuttingDown);
        }
        self.check_queue_bounds(dead.payload_bytes, 0)?;
        let mut entry = Entry::new(new_request_id, index, self.now, dead.payload_bytes);
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
        self.by_request.insert(&self.entries, new);
        let new_record = self.record(new, EventStage::Waiting { due_at: self.now, retry: false });
        let mutation = Mutation::Redrive { old: old_record, new: new_record };
        self.persist(mutation, After::Redriven { old, new, at: self.now, caller }, out);
        Ok(())
    }

    pub(crate) fn redriven(
        &mut self,
        old: u32,
        new: u32,
        at: Millis,
        caller: Caller,
        out: &mut Vec<Effect>,
    ) {
        let new_request_id = self.entries[new].request_id;
        let entry = &mut self.entries[old];
        entry.owns_payload = false;
        if let Some(ended) = &mut entry.rare().ended {
            ended.end = End::Redriven { to: new_request_id };
            ended.at = at;
        }
        self.changed(old, out);
        self.remember(old, out);
        let answer = Answer::Redriven { new_request_id: Some(new_request_id) };
        out.push(Effect::Reply { caller, answer });
        self.enqueue(new, out);
        self.changed(new, out);
    }

    /// A record that was set aside is offered again.
    fn redeliver(
        &mut self,
        caller: Caller,
        place: u32,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.check_queue_bounds(self.entries[place].payload_bytes, 0)?;
        self.leave_history(place);
        let now = self.now;
        let entry = &mut self.entries[place];
        self.records_pending += 1;
        self.records_pending_bytes += u64::from(entry.payload_bytes);
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
        Ok(())
    }

    pub(crate) fn redelivers(&mut self, place: u32, caller: Caller, out: &mut Vec<Effect>) {
        out.push(Effect::Reply { caller, answer: Answer::Redriven { new_request_id: None } });
        self.deliver(place, out);
        self.changed(place, out);
    }
}

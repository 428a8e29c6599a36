//! The record of an ended event on its way to a destination: offered, offered again, delivered or set aside
//! (LS 3.3, users.md A7). It does not know what a destination is.

use crate::entry::State;
use crate::record::{After, Delivery, End, Mutation};
use crate::retry::backoff_ms;
use crate::{Deliver, DeliveryResult, Effect, Engine, EntryId, Fact};

impl Engine {
    /// Whether a destination is configured for this outcome.
    pub(crate) fn wants_record(&self, index: u32, end: End) -> bool {
        let settings = &self.functions[index].settings;
        match end {
            End::Succeeded => settings.on_success.is_some(),
            End::Dead(_) => settings.on_failure.is_some(),
            End::Cancelled | End::Redriven { .. } => false,
        }
    }

    /// Hands the record to the shell.
    pub(crate) fn deliver(&mut self, place: u32, out: &mut Vec<Effect>) {
        let Some(end) = self.entries[place].ended().map(|ended| ended.end) else { return };
        self.entries[place].state = State::Delivering;
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
        out.push(Effect::Deliver(Box::new(deliver)));
    }

    pub(crate) fn delivered(
        &mut self,
        entry: EntryId,
        result: DeliveryResult,
        out: &mut Vec<Effect>,
    ) {
        let place = entry.index;
        let known = self.entries.get_exact(place, entry.generation);
        if known.is_none_or(|known| known.state != State::Delivering) {
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
        if result == DeliveryResult::Refused
            || until >= ended_at.saturating_add(self.limits.delivery_age_ms)
        {
            return self.delivery_over(place, Delivery::Undelivered, out);
        }
        self.entries[place].state = State::Redelivering { until };
        self.entry_timers.set(place, until);
        self.changed(place, out);
    }

    fn delivery_over(&mut self, place: u32, delivery: Delivery, out: &mut Vec<Effect>) {
        let function = self.function_id(self.entries[place].function);
        let entry = &mut self.entries[place];
        entry.state = State::Saving;
        self.records_pending -= 1;
        self.records_pending_bytes -= u64::from(entry.payload_bytes);
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
        self.changed(place, out);
        self.remember(place, out);
    }
}

//! Recovery: the engine's state from what is durable. Attempts that ran when the process ended were not
//! spent (I2); they are ready again.

use crate::entry::{Entry, Rare, State};
use crate::function::{Function, Life};
use crate::record::{Delivery, End, EventRecord, EventStage, FunctionRecord};
use crate::retry::retry_delay_ms;
use crate::{Effect, Engine, FunctionName, FunctionSettings, Millis};

impl Engine {
    /// Room for this many events that are restored next. Tables that grow step by step leave behind what they grew out
    /// of, at a million events as much memory again as they need.
    pub fn reserve_events(&mut self, events: usize) {
        self.entries.reserve(events);
        self.entry_timers.reserve(events);
    }

    /// Takes a function as it was stored. All functions come before the first event.
    pub fn restore_function(&mut self, record: FunctionRecord) {
        self.next_function = self.next_function.max(record.number + 1);
        let function = Function::new(
            record.number,
            record.name.clone(),
            FunctionSettings::default(),
            record.created_at,
        );
        let (index, _) = self.functions.insert(function);
        self.names.insert(record.name.clone(), index);
        self.apply_settings(index, record);
        self.functions[index].life = Life::Active;
    }

    /// Takes an event as it was stored, in the order of their numbers.
    pub fn restore_event(&mut self, record: EventRecord) {
        self.next_seq = self.next_seq.max(record.seq.0 + 1);
        let index = self.restored_function(&record.function);
        let mut entry =
            Entry::new(record.request_id, index, record.accepted_at, record.payload_bytes);
        entry.event = true;
        entry.age_from = record.age_from;
        entry.seq = record.seq.0;
        entry.payload_seq = record.payload_seq.0;
        entry.attempts = record.attempts;
        entry.hops = record.hops;
        entry.failed = record.failed;
        self.revision += 1;
        entry.revision = self.revision;
        let due_at = self.due_again(&record);
        if !record.waits_for_client() {
            entry.age_from = entry.age_from.min(self.now);
        }
        if record.idempotency.is_some() || record.redriven_from.is_some() {
            let (idempotency, redriven_from) = (record.idempotency, record.redriven_from);
            entry.rare = Some(Box::new(Rare { idempotency, redriven_from, ..Rare::default() }));
        }
        match record.stage {
            EventStage::Waiting { retry, .. } if due_at > self.now => {
                entry.state = State::Scheduled { due_at, retry };
                let place = self.insert_restored(entry);
                self.entry_timers.set(place, due_at);
            }
            EventStage::Waiting { .. } => {
                entry.state = State::Ready;
                let place = self.insert_restored(entry);
                self.functions[index].ready.push_back(&mut self.entries, place);
                if self.function_timers.deadline(index).is_none() {
                    self.function_timers.set(index, self.now);
                }
            }
            EventStage::Ended(ended) => {
                let pending = ended.delivery == Delivery::Pending;
                let dead = matches!(ended.end, End::Dead(_));
                let redriven = matches!(ended.end, End::Redriven { .. });
                entry.owns_payload =
                    !redriven && (dead || pending || ended.delivery == Delivery::Undelivered);
                entry.end_saved = true;
                entry.rare().ended = Some(ended);
                self.restore_ended(entry, pending);
            }
        }
    }

    /// When a stored event is due. A clock that shows less than it did before the restart must not stretch a wait: a
    /// retry is at most as far ahead as when it was decided, and what nobody asked to delay does not wait at all.
    fn due_again(&self, record: &EventRecord) -> Millis {
        match record.stage {
            EventStage::Waiting { due_at, retry: true } => {
                due_at.min(self.now + retry_delay_ms(record.attempts))
            }
            EventStage::Waiting { due_at, .. } if record.waits_for_client() => due_at,
            EventStage::Waiting { .. } | EventStage::Ended(_) => self.now,
        }
    }

    fn restore_ended(&mut self, mut entry: Entry, pending: bool) {
        if pending {
            entry.state = State::Redelivering { until: self.now };
            let place = self.insert_restored(entry);
            self.entry_timers.set(place, self.now);
            return;
        }
        entry.state = State::Saving;
        let place = self.insert_restored(entry);
        let mut quiet: Vec<Effect> = Vec::new();
        self.remember_restored(place, &mut quiet);
    }

    /// History beyond its bound is cut at the first ticks, not while the store is being read.
    fn remember_restored(&mut self, place: u32, quiet: &mut Vec<Effect>) {
        let bound = std::mem::replace(&mut self.limits.history_count_max, u64::MAX);
        self.remember(place, quiet);
        self.limits.history_count_max = bound;
    }

    fn insert_restored(&mut self, entry: Entry) -> u32 {
        let (place, _) = self.insert_counted(entry);
        self.by_request.insert(&self.entries, place);
        place
    }

    /// The function of a stored event; a stand-in for one that was deleted since.
    fn restored_function(&mut self, name: &FunctionName) -> u32 {
        if let Some(index) = self.names.get(name) {
            return *index;
        }
        let mut function = Function::new(0, name.clone(), FunctionSettings::default(), self.now);
        function.life = Life::Deleted;
        let (index, _) = self.functions.insert(function);
        // Named while recovery lasts, so that all its events find it.
        self.names.insert(name.clone(), index);
        index
    }

    /// Recovery is over.
    pub fn restored(&mut self) {
        let functions = &self.functions;
        self.names.retain(|_, index| functions[*index].life != Life::Deleted);
        self.sort_history();
    }
}

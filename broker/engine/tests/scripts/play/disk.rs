//! Owns the store of a case: what it takes, what it refuses, and what is left after a crash.

use super::*;

impl Play {
    pub(super) fn remember_save(&mut self, mutation: &Mutation) {
        let (record, what) = match mutation {
            Mutation::Accept(record) => (record, "Saving(accept)"),
            Mutation::Retry { record, .. } => (record, "Saving(retry)"),
            Mutation::End { record, .. } => (record, "Saving(end)"),
            Mutation::Delivery { record, .. } => (record, "Saving(delivery)"),
            Mutation::PutFunction(record) if !self.lives.contains_key(&record.number) => {
                return self.live(record.number, "Creating");
            }
            Mutation::DeleteFunction { number } => return self.live(*number, "Deleting"),
            Mutation::Redrive { old, new } => {
                self.names.seqs.insert(new.seq, self.names.request(new.request_id).to_owned());
                self.saving.insert(new.request_id, "Saving(accept)");
                (old, "Saving(redrive)")
            }
            _ => return,
        };
        self.names.seqs.insert(record.seq, self.names.request(record.request_id).to_owned());
        self.saving.insert(record.request_id, what);
    }

    pub(super) fn save_all(&mut self, said: &mut Vec<String>) {
        while let Some((from, _)) = self.unsaved.front() {
            let from = *from;
            let mut through = from;
            while let Some((number, mutation)) = self.unsaved.pop_front() {
                self.ledger.apply(&mutation);
                self.settle_life(&mutation, true);
                through = through.max(number);
            }
            self.step_once(Input::Persisted { from, through }, said);
        }
    }

    pub(super) fn save_next(&mut self, said: &mut Vec<String>) {
        let (number, mutation) = self.unsaved.pop_front().expect("something to save");
        self.ledger.apply(&mutation);
        self.settle_life(&mutation, true);
        self.step_once(Input::Persisted { from: number, through: number }, said);
    }

    /// A full disk: the mutation is refused, and comes back if it has to.
    pub(super) fn reject_next(&mut self, said: &mut Vec<String>) {
        let (number, mutation) = self.unsaved.pop_front().expect("something to reject");
        self.settle_life(&mutation, false);
        if mutation.on_rejection() == OnRejection::Repeat {
            self.unsaved.push_back((number, mutation));
        }
        self.step_once(Input::PersistRejected { number }, said);
    }

    /// The process ends and starts again: what was not durable is gone, and so are the sessions.
    pub(super) fn crash(&mut self) {
        for lease in self.attempts.keys().copied().collect::<Vec<_>>() {
            self.attempts.remove(&lease);
        }
        self.epoch += 1;
        self.now = self.clock;
        self.unsaved.clear();
        self.held.clear();
        self.offered.clear();
        self.saving.clear();
        self.names.forget_workers();
        self.lives.clear();
        self.numbers.clear();
        self.engine = Engine::new(self.limits.clone(), self.epoch, self.clock);
        for record in self.ledger.functions.values() {
            self.engine.restore_function(record.clone());
        }
        for record in self.ledger.events.values() {
            self.engine.restore_event(record.clone());
        }
        self.engine.restored();
        let known: Vec<_> = self.engine.functions().map(|f| (f.id, f.name.to_string())).collect();
        for (id, name) in known {
            self.names.add_function(id, &name);
        }
    }

    /// Many events at once, `flood1` and so on; they are saved together.
    pub(super) fn flood(&mut self, words: &Words<'_>) {
        let mut out = Vec::new();
        for n in 1..=words.word_number(1) {
            let name = format!("flood{n}");
            let (caller, id) = (self.names.new_caller(&name), self.names.new_request(&name));
            let function = self.names.function_id(words.word(0));
            let not_before = words.span("in").map(|span| self.clock + span);
            let mode = Mode::Event { not_before, hops: 0, idempotency: None };
            let invoke = Invoke { caller, function, request_id: id, payload_bytes: 1, mode };
            self.engine.step(self.clock, Input::Invoke(invoke), &mut out);
        }
        out.iter().for_each(|effect| self.apply(effect, &mut BTreeSet::new()));
        self.save_all(&mut Vec::new());
    }
}

//! Owns the rules that hold in every case whatever it is about, and which transitions it went through.

use super::*;

impl Play {
    /// Leases that this input ends in the eyes of their worker.
    pub(super) fn input_ends(&self, input: &Input) -> Vec<Lease> {
        match input {
            Input::Outcome { lease, .. } | Input::NotSent { lease, .. } => vec![*lease],
            Input::WorkerLeft { worker } => {
                let of = self.attempts.iter().filter(|(_, attempt)| attempt.worker == *worker);
                of.map(|(lease, _)| *lease).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn end_attempt(&mut self, lease: Lease) {
        if let Some(attempt) = self.attempts.remove(&lease) {
            self.seen.transition("lease", attempt.state, "gone");
        }
    }

    pub(super) fn live(&mut self, number: u64, state: &'static str) {
        let before = self.lives.insert(number, state).unwrap_or("-");
        self.seen.transition("function", before, state);
    }

    /// What the disk's answer means for the life of a function.
    pub(super) fn settle_life(&mut self, mutation: &Mutation, taken: bool) {
        let number = match mutation {
            Mutation::PutFunction(record) => record.number,
            Mutation::DeleteFunction { number } => *number,
            _ => return,
        };
        match (self.lives.get(&number).copied(), taken) {
            (Some("Creating"), true) | (Some("Deleting"), false) => self.live(number, "Active"),
            (Some("Creating"), false) => self.live(number, "gone"),
            (Some("Deleting"), true) => self.live(number, "Deleted"),
            _ => {}
        }
    }

    /// A deleted function is gone with the last thing that names it.
    pub(super) fn bury_functions(&mut self) {
        let deleted: Vec<_> =
            self.lives.iter().filter(|(_, s)| **s == "Deleted").map(|(n, _)| *n).collect();
        for number in deleted {
            let id = self.numbers.get(&number);
            if id.is_none_or(|id| self.engine.settings(*id).is_none()) {
                self.live(number, "gone");
            }
        }
    }

    pub(super) fn fact(&mut self, fact: Fact) {
        if let Fact::SlotAbandoned { function } = fact {
            let due = self.now - self.limits.stop_grace_ms;
            let found = self.attempts.values_mut().find(|attempt| {
                attempt.function == function
                    && attempt.state == "Stopping"
                    && attempt.stopped_at <= due
            });
            let attempt = found.expect("an attempt whose grace is over");
            self.seen.transition("lease", attempt.state, "Abandoned");
            attempt.state = "Abandoned";
        }
        if let Fact::Ended { function, duration_ms, .. } = fact {
            let fits = |attempt: &Attempt| {
                attempt.function == function && self.now - attempt.sent_at == duration_ms
            };
            assert!(self.attempts.values().any(fits), "{fact:?} fits no attempt");
        }
    }

    /// Where each invocation stands, by the names of `entry.rs`.
    pub(super) fn states(&self) -> BTreeMap<RequestId, (&'static str, u64)> {
        let state = |id: RequestId| {
            let view = self.engine.invocation(id)?;
            use trine_engine::Blocker as B;
            let state = match self.engine.explain(id)? {
                B::Finished => "Ended",
                B::Running => "Running",
                B::Store => self.saving.get(&id).copied().unwrap_or("Saving(accept)"),
                B::NotBefore(_) => "Scheduled",
                B::RetryWait(_) => "Scheduled(retry)",
                B::Destination { .. } => "Delivering",
                _ if view.event => "Ready",
                _ => "Placing",
            };
            Some((state, view.revision))
        };
        self.names.requests().filter_map(|id| Some((id, state(id)?))).collect()
    }

    pub(super) fn judge(
        &mut self,
        before: &BTreeMap<RequestId, (&'static str, u64)>,
        changed: &BTreeSet<RequestId>,
    ) {
        let after = self.states();
        for id in self.names.requests().collect::<Vec<_>>() {
            let (was, now) = (before.get(&id), after.get(&id));
            if let Some(view) = self.engine.invocation(id) {
                self.events.insert(id, view.event);
            }
            let event = self.events.get(&id).copied().unwrap_or(true);
            let machine = if event { "event" } else { "sync" };
            let name = |state: Option<&(&'static str, u64)>| state.map_or("-", |(name, _)| name);
            self.seen.transition(machine, name(was), name(now));
            let revision = |state: Option<&(&'static str, u64)>| state.map_or(0, |(_, r)| *r);
            if event && now.is_some() {
                let told = changed.contains(&id);
                assert_eq!(
                    told,
                    revision(was) != revision(now),
                    "{} changes if and only if it is told",
                    self.names.request(id)
                );
            }
            if let Some(view) = self.engine.invocation(id) {
                self.seen.word("Phase", &view.phase);
                self.judge_view(&view);
            }
            if let Some(blocker) = self.engine.explain(id) {
                self.seen.word("Blocker", &blocker);
            }
        }
    }

    /// An end that clients see survives a crash.
    pub(super) fn judge_view(&self, view: &trine_engine::InvocationView) {
        let trine_engine::Phase::Ended { .. } = view.phase else { return };
        let seq = view.record.as_ref().map(|record| record.seq);
        let stored = seq.and_then(|seq: EventSeq| self.ledger.events.get(&seq));
        let ended =
            stored.is_some_and(|record| matches!(record.stage, trine_engine::EventStage::Ended(_)));
        assert!(ended, "{} is shown as ended before the disk knows", view.request_id);
    }
}

//! Owns the end of a run: faults heal, the backlog drains by itself, and then nothing is missing (I1, I4, I10).

use trine_engine::{Delivery, EventRecord, EventStage, Phase, RequestId};

use super::ledger::Judged;
use super::plan::FUNCTIONS;
use super::random::Random;
use super::store::ensure;
use super::worker::Worker;
use super::world::{Happening, World};

/// Longest rest, after the last fault: the longest `not_before`, the longest age and some waits of five minutes.
const REST_MS: u64 = 12 * 3_600_000;

/// Slots of the worker that comes with the calm: more than any limit of concurrency.
const SLOTS: u32 = 40;

impl World {
    pub(super) fn come_to_rest(&mut self) -> Judged {
        self.begin_calm()?;
        let until = self.now + REST_MS;
        while !self.is_at_rest() {
            if self.now >= until || !self.can_go_on() {
                // Says which rule, if it is one event or one slot.
                self.ledger.finish()?;
                return Err(self.what_is_left());
            }
            self.happen()?;
        }
        self.store.durable.check()?;
        self.ledger.finish()?;
        self.judge_counts()?;
        self.burst()?;
        self.restart_changes_nothing()
    }

    fn begin_calm(&mut self) -> Judged {
        self.trace.note(|| "---- calm".to_owned());
        self.calm = true;
        (self.store.full, self.disk_slow, self.destinations_down) = (false, false, false);
        // A clock that was set back is set right, or the broker would wait for what it showed before.
        let behind = self.clock_max.saturating_sub(self.clock());
        self.skew += i64::try_from(behind).unwrap_or(0);
        // A broker that drains is about to end; of the others, one half does.
        if self.draining || self.faults.chance(50) {
            self.crash()?;
        }
        for worker in 0..self.workers.len() {
            let deeds = self.workers[worker].wake_up();
            self.deeds(worker, deeds)?;
        }
        let random = Random::new(self.epoch, "calm");
        self.workers.push(Worker::new(FUNCTIONS.to_vec(), SLOTS, random));
        let worker = self.workers.len() - 1;
        self.after(0, Happening::Connects { worker });
        Ok(())
    }

    fn what_is_left(&self) -> String {
        let left = self.ledger.live_ids();
        let why: Vec<_> = left.iter().map(|id| (id, self.engine.explain(*id))).collect();
        let (account, unsaved) = (self.engine.account(), self.engine.unsaved());
        format!("I10: at {} there is left {why:?}, {unsaved} unsaved, {account:?}", self.now)
    }

    fn is_at_rest(&self) -> bool {
        let pending = |record: &EventRecord| matches!(&record.stage, EventStage::Ended(ended) if ended.delivery == Delivery::Pending);
        let account = self.engine.account();
        self.workers.last().is_some_and(|worker| worker.session.is_some())
            && self.ledger.is_answered()
            && self.ledger.live_ids().is_empty()
            && account.leases == 0
            && self.engine.unsaved() == 0
            && self.store.is_idle()
            && !self.store.durable.events.values().any(pending)
    }

    /// I4, I9: nothing is left in any count.
    fn judge_counts(&self) -> Judged {
        let a = self.engine.account();
        let left = (a.running, a.unreserved_running, a.queued, a.queued_bytes, a.sync_waiting);
        ensure(left == (0, 0, 0, 0, 0) && a.slots_taken == 0, || format!("I4: {a:?} at rest"))
    }

    /// I4: as many as the limit allows start at once, and not one more.
    fn burst(&mut self) -> Judged {
        for function in self.function_ids() {
            let reserved = self.ledger.reserved(function);
            let limit = reserved.unwrap_or_else(|| self.engine.account().unreserved);
            for n in 0..=limit {
                self.invoke_sync(function, None)?;
                let starts = self.sent_in_step == 1;
                ensure(starts == (n < limit), || {
                    format!("I4: number {n} of {limit} starts at once: {starts}")
                })?;
            }
            while !self.is_at_rest() {
                self.happen()?;
            }
        }
        Ok(())
    }

    /// What is remembered is what is durable.
    fn restart_changes_nothing(&mut self) -> Judged {
        let ids: Vec<RequestId> = self.known.iter().map(|(id, _)| *id).collect();
        let before: Vec<Option<Phase>> = ids.iter().map(|id| self.phase(*id)).collect();
        self.crash()?;
        for (id, before) in ids.into_iter().zip(before) {
            let after = self.phase(id);
            ensure(before == after, || format!("{id} was {before:?}, after a restart {after:?}"))?;
        }
        Ok(())
    }

    fn phase(&self, id: RequestId) -> Option<Phase> {
        self.engine.invocation(id).map(|view| view.phase)
    }
}

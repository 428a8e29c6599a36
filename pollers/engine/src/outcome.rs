//! What the answer to a batch means for its shard (LS 4.5, 4.6, 4.8). It does not know when anything is sent again.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::flight::{Batch, Exhaustion, Kind, Outcome, Said, State};
use crate::shard::Shard;
use crate::{
    Answer, BatchId, Condition, Delay, Exhausted, Fact, Failure, Key, Order, Origin, Sequence,
    Verdict,
};

impl Shard {
    pub(crate) fn answered(
        &mut self,
        cx: &mut Context<'_>,
        id: BatchId,
        answer: Answer<'_>,
        state_bytes: u64,
    ) {
        let is_running = |batch: &Batch| batch.state == State::Running;
        if !self.batches.get(&id).is_some_and(is_running) {
            return cx.out_of_turn("BatchAnswered");
        }
        let Some(batch) = self.batches.remove(&id) else { return };
        self.running -= 1;
        match answer {
            Answer::Succeeded => self.reached(cx, batch, Said::Succeeded, state_bytes),
            Answer::Partial { failed } => {
                self.reached(cx, batch, Said::Partial(failed), state_bytes);
            }
            Answer::FunctionFailed => self.reached(cx, batch, Said::Failed, state_bytes),
            Answer::Throttled => self.not_reached(cx, batch, Delay::Throttled),
            Answer::NoCapacity => self.not_reached(cx, batch, Delay::NoCapacity),
            Answer::Refused => self.not_reached(cx, batch, Delay::Refused),
            Answer::Lost => self.not_reached(cx, batch, Delay::Lost),
        }
    }

    fn not_reached(&mut self, cx: &mut Context<'_>, mut batch: Batch, delay: Delay) {
        batch.not_reached();
        let is_kept = !self.is_ending() && !batch.is_void;
        batch.is_held = is_kept;
        cx.fact(Fact::Delayed { shard: self.id, batch: batch.id, delay });
        cx.permits.not_reached(cx.now, is_kept, cx.out);
        if is_kept {
            self.keep(batch);
        } else {
            self.let_go(cx, batch);
        }
        if !cx.run.may_start() {
            self.give_back_gathered_in(cx);
        }
    }

    fn reached(&mut self, cx: &mut Context<'_>, mut batch: Batch, said: Said<'_>, state: u64) {
        let lowers = !matches!(said, Said::Succeeded) && !cx.settings.report_batch_item_failures;
        cx.permits.reached(lowers, cx.out);
        self.gather.batch_ended(cx.now);
        let outcome = batch.reached(cx.now, said, cx.settings);
        let is_accepted = outcome.failed.is_none() || !outcome.done.is_empty();
        self.tell(cx, &batch, &outcome);
        self.move_window(cx, &batch, is_accepted, state);
        let Outcome { done, given_back, exhausted, .. } = outcome;
        self.leave_all(batch.origin, &done, Verdict::Done);
        self.give_back(cx.settings.order, batch.origin, given_back);
        if let Some(exhaustion) = exhausted {
            self.exhausted(cx, &mut batch, exhaustion);
        }
        if batch.is_over() {
            self.over(&batch);
        } else if self.is_ending() || batch.is_void {
            self.let_go(cx, batch);
        } else {
            self.keep(batch);
        }
    }

    fn tell(&self, cx: &mut Context<'_>, batch: &Batch, outcome: &Outcome) {
        let (shard, id) = (self.id, batch.id);
        let done = outcome.done.len() as u64;
        if done > 0 || outcome.failed.is_none() {
            cx.fact(Fact::Succeeded { shard, batch: id, records: done });
        }
        if let Some((attempt, records)) = outcome.failed {
            let again = outcome.given_back.is_empty() && outcome.exhausted.is_none();
            let retry_at = match batch.state {
                State::Waiting { until } if again && !self.is_ending() => Some(until),
                _ => None,
            };
            cx.fact(Fact::FunctionFailed { shard, batch: id, attempt, records, retry_at });
        }
        if let Some((first, second)) = outcome.split {
            cx.fact(Fact::Split { shard, batch: id, first, second });
        }
    }

    fn move_window(&mut self, cx: &mut Context<'_>, batch: &Batch, is_accepted: bool, state: u64) {
        let Some(window) = self.window.as_mut().filter(|_| is_accepted) else { return };
        match (batch.origin, batch.kind) {
            (Origin::Source, Kind::Records) => window.answered(cx.now, state),
            (_, Kind::WindowEnd { .. }) => self.window_closed(cx, true),
            (Origin::Park(_), Kind::Records) => {}
        }
    }

    pub(crate) fn window_closed(&mut self, cx: &mut Context<'_>, done: bool) {
        if let Some((start_ms, early)) = self.window.as_mut().and_then(|window| window.closed()) {
            cx.fact(Fact::WindowClosed { shard: self.id, start_ms, early, done });
        }
    }

    fn leave_all(&mut self, origin: Origin, records: &[Sequence], verdict: Verdict) {
        for record in records {
            self.leave(origin, *record);
            self.end(origin, *record, verdict);
        }
    }

    /// The source sends these again, and what is in hand behind them in their order.
    fn give_back(&mut self, order: Order, origin: Origin, records: Vec<Sequence>) {
        let keys: BTreeSet<Key> = match order {
            Order::Key => records.iter().map(|record| self.ledger.slot(*record).key).collect(),
            Order::None | Order::Shard => BTreeSet::new(),
        };
        let any = !records.is_empty();
        self.leave_all(origin, &records, Verdict::Failed);
        if order == Order::Shard && any {
            self.release_waiting();
        }
        for key in keys {
            let mut behind = self.lanes.remove(&mut self.ledger, key);
            while let Some(record) = self.ledger.pop_front(&mut behind) {
                self.end(Origin::Source, record, Verdict::Released);
            }
        }
    }

    /// The retries of some records are used up.
    fn exhausted(&mut self, cx: &mut Context<'_>, batch: &mut Batch, exhaustion: Exhaustion) {
        let is_window_end = matches!(batch.kind, Kind::WindowEnd { .. });
        match (cx.settings.exhausted, batch.origin) {
            (Exhausted::ParkKey, Origin::Source) if !is_window_end => {
                self.park_keys(cx, batch, exhaustion);
            }
            (Exhausted::ParkKey, Origin::Park(key)) => {
                batch.remove(|_| true);
                self.parks.failed_again(key);
                self.turn_key(cx, key);
            }
            (Exhausted::ParkKey | Exhausted::Discard, origin) => {
                let Exhaustion { records, invoke_count, function_error, .. } = exhaustion;
                records.iter().for_each(|record| self.leave(origin, *record));
                self.give_up(
                    cx,
                    Failure {
                        batch: Some(batch.id),
                        origin,
                        records: records.into_iter().collect(),
                        condition: Condition::RetryAttemptsExhausted,
                        approximate_invoke_count: invoke_count,
                        function_error,
                        had_response: true,
                    },
                );
                if is_window_end {
                    self.window_closed(cx, false);
                }
            }
        }
    }

    /// Parks the keys of the records that the function named; the others are sent again with all their retries. If it named none, and
    /// there are several keys, the batch is halved instead: no key is parked for another's record.
    fn park_keys(&mut self, cx: &mut Context<'_>, batch: &mut Batch, exhaustion: Exhaustion) {
        let Exhaustion { records, named, .. } = exhaustion;
        let key_of = |record: Sequence| self.ledger.slot(record).key;
        let failed =
            records.iter().filter(|r| named.as_ref().is_none_or(|named| named.contains(r)));
        let keys: BTreeSet<Key> = failed.map(|record| key_of(*record)).collect();
        if named.is_none() && keys.len() > 1 {
            let (first, second) = batch.split(cx.now, records, cx.settings);
            return cx.fact(Fact::Split { shard: self.id, batch: batch.id, first, second });
        }
        let (mut parked, others): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| keys.contains(&key_of(*record)));
        parked.extend(batch.remove(|record| keys.contains(&key_of(record))));
        batch.keep(others);
        for key in &keys {
            self.parks.park(*key, batch.id);
        }
        for record in parked {
            let key = self.ledger.slot(record).key;
            self.lanes.release(key);
            self.parks.push(&mut self.ledger, key, record);
        }
        for key in keys {
            let behind = self.lanes.remove(&mut self.ledger, key);
            self.divert(key, behind);
        }
    }

    /// Nothing is left of a batch.
    pub(crate) fn over(&mut self, batch: &Batch) {
        if let Origin::Park(key) = batch.origin {
            self.parks.batch_over(key);
            self.lanes.release(key);
        }
    }
}

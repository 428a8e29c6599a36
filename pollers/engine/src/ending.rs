//! How a shard ends, and what is given back to its source untouched. It does not know why the shard ends.
//!
//! ```text
//! Open      --revoke-->    Revoked   what is in flight may end until a time
//! Open      --stop-->      Stopping  the mapping stops: what is in flight ends
//! Open      --no more-->   Ended     the source has no more records; the rest is worked off
//! Ended     --revoke-->    Revoked
//! Ended     --stop-->      Stopping
//! Revoked   --quiet-->     Gone      effect ShardReleased
//! Revoked   --too late-->  Gone      effect ShardReleased; what still runs is nobody's
//! Stopping  --quiet-->     Gone
//! Ended     --finished-->  Gone      everything is settled, and the source's end is durable
//! ```

use crate::context::Context;
use crate::flight::{Batch, State};
use crate::shard::Shard;
use crate::window::Window;
use crate::{BatchId, Effect, Fact, Millis, Origin, Sequence, Verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    Ended,
    Revoked { until: Millis },
    Stopping,
}

/// Whether the end of the source's shard is being recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    No,
    Asked,
    Waiting { until: Millis, failures: u32 },
}

impl Shard {
    /// Nothing new is begun, and nothing tried again.
    pub(crate) const fn is_ending(&self) -> bool {
        matches!(self.life, Life::Revoked { .. } | Life::Stopping)
    }

    /// The source has no more records.
    pub(crate) const fn has_ended(&self) -> bool {
        matches!(self.life, Life::Ended)
    }

    pub(crate) fn no_more(&mut self, cx: &mut Context<'_>) {
        if self.life == Life::Open {
            transition!("Open --no more--> Ended");
            self.life = Life::Ended;
        } else if !self.is_ending() {
            cx.out_of_turn("ShardEnded");
        }
    }

    pub(crate) fn revoke(&mut self, cx: &mut Context<'_>) {
        match self.life {
            Life::Open => transition!("Open --revoke--> Revoked"),
            Life::Ended => transition!("Ended --revoke--> Revoked"),
            Life::Revoked { .. } | Life::Stopping => return,
        }
        let until = cx.now.saturating_add(cx.settings.revoke_drain_ms);
        self.life = Life::Revoked { until };
        self.begin_end(cx);
    }

    pub(crate) fn stop(&mut self, cx: &mut Context<'_>) {
        match self.life {
            Life::Open => transition!("Open --stop--> Stopping"),
            Life::Ended => transition!("Ended --stop--> Stopping"),
            Life::Revoked { .. } | Life::Stopping => return,
        }
        self.life = Life::Stopping;
        self.begin_end(cx);
    }

    fn begin_end(&mut self, cx: &mut Context<'_>) {
        self.release_waiting_batches(cx, |_| true);
        self.give_back_gathered();
    }

    /// Someone paused the mapping: what waits is given back where that is possible.
    pub(crate) fn pause(&mut self, cx: &mut Context<'_>) {
        self.give_back_gathered_in(cx);
    }

    /// Gives back what was gathered and batches that nothing was done with.
    pub(crate) fn give_back_gathered_in(&mut self, cx: &mut Context<'_>) {
        if self.is_per_record {
            self.release_waiting_batches(cx, |batch| {
                batch.is_untouched() && batch.origin == Origin::Source
            });
        }
        self.give_back_gathered();
    }

    /// Gives back what is in no batch and not being set aside.
    pub(crate) fn give_back_gathered(&mut self) {
        if self.is_per_record {
            self.release_waiting();
            for record in self.parks.drain(&self.ledger) {
                self.end(Origin::Source, record, Verdict::Released);
            }
        }
    }

    /// Gives everything back that is in a lane.
    pub(crate) fn release_waiting(&mut self) {
        for record in self.lanes.clear(&self.ledger) {
            self.end(Origin::Source, record, Verdict::Released);
        }
    }

    fn release_waiting_batches(&mut self, cx: &mut Context<'_>, which: impl Fn(&Batch) -> bool) {
        let waits = |batch: &Batch| matches!(batch.state, State::Waiting { .. }) && which(batch);
        let ids: Vec<BatchId> =
            self.batches.values().filter(|batch| waits(batch)).map(|batch| batch.id).collect();
        for id in ids {
            if let Some(batch) = self.batches.remove(&id) {
                self.let_go(cx, batch);
            }
        }
    }

    /// Gives up a batch that will not be sent again: its records come again from the source.
    pub(crate) fn let_go(&mut self, cx: &mut Context<'_>, batch: Batch) {
        if let State::Waiting { until } = batch.state {
            self.waiting.remove(&(until, batch.id));
            cx.permits.unhold(batch.is_held);
        }
        let origin = batch.origin;
        for record in batch.left() {
            self.leave(origin, record);
            let must_tell = origin == Origin::Source && (self.is_per_record || batch.is_void);
            if must_tell {
                self.end(origin, record, Verdict::Released);
            }
        }
        self.over(&batch);
    }

    /// The source went, and will give everything again that has no durable end.
    pub(crate) fn void(&mut self, cx: &mut Context<'_>) {
        let records = self.ledger.void();
        self.lanes.forget();
        self.parks.forget();
        self.settle.clear();
        self.lease.clear();
        self.failures.give_up();
        self.checkpoint.void(self.ledger.mark());
        for batch in self.batches.values_mut() {
            batch.is_void = batch.origin == Origin::Source;
        }
        self.release_waiting_batches(cx, |batch| batch.is_void);
        if records > 0 {
            cx.fact(Fact::Abandoned { shard: self.id, records });
        }
    }

    /// Gives up what would have to be tried again, if the shard ends.
    pub(crate) fn wind_up(&mut self) {
        if !self.is_ending() {
            return;
        }
        if self.checkpoint.give_up(self.ledger.mark())
            && let Some(window) = &mut self.window
        {
            window.stored();
        }
        self.settle.give_up();
        let delivering = self.failures.give_up();
        let parking = self.parks.give_up(&self.ledger);
        if self.is_per_record {
            let of_source = delivering.iter().filter(|failure| failure.origin == Origin::Source);
            let delivering: Vec<Sequence> =
                of_source.flat_map(|failure| failure.records.iter()).collect();
            for record in delivering.into_iter().chain(parking) {
                self.end(Origin::Source, record, Verdict::Released);
            }
        }
    }

    /// Records the end of the source's shard once everything in it is settled.
    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) {
        let failures = match self.finish {
            Finish::No => 0,
            Finish::Waiting { until, failures } if until <= cx.now => failures,
            Finish::Asked | Finish::Waiting { .. } => return,
        };
        if self.has_ended() && self.is_settled() {
            self.finish = Finish::Asked;
            cx.out.push(Effect::FinishShard { shard: self.id });
        } else if failures > 0 {
            self.finish = Finish::No;
        }
    }

    fn is_settled(&self) -> bool {
        self.batches.is_empty()
            && self.ledger.in_hand() == 0
            && self.failures.is_empty()
            && !self.parks.is_returning()
            && !self.receive.is_asked()
            && !self.checkpoint.is_storing()
            && !self.lease.is_extending()
            && self.window.as_ref().is_none_or(|w: &Window| !w.is_open() && !w.is_changed())
    }

    /// Whether this was waited for.
    pub(crate) fn finish_failed(&mut self, cx: &mut Context<'_>) {
        if self.finish != Finish::Asked {
            return cx.out_of_turn("ShardFinishFailed");
        }
        let wait_ms = cx.settings.checkpoint.wait_ms(1, cx.settings.salt);
        self.finish = Finish::Waiting { until: cx.now.saturating_add(wait_ms), failures: 1 };
    }

    /// Whether the shard has come to its end.
    pub(crate) fn is_gone(&self, now: Millis) -> bool {
        match self.life {
            Life::Open | Life::Ended => false,
            Life::Stopping => self.is_quiet(),
            Life::Revoked { until } => until <= now || self.is_quiet(),
        }
    }

    fn is_quiet(&self) -> bool {
        self.running == 0
            && !self.receive.is_asked()
            && !self.checkpoint.is_storing()
            && !self.settle.is_telling()
            && !self.lease.is_extending()
            && !self.failures.is_telling()
            && !self.parks.is_telling()
            && self.finish != Finish::Asked
    }

    /// Says good-bye.
    pub(crate) fn gone(&self, cx: &mut Context<'_>) {
        let records = self.ledger.in_hand();
        if records > 0 {
            cx.fact(Fact::Abandoned { shard: self.id, records });
        }
        match self.life {
            Life::Revoked { .. } if self.is_quiet() => transition!("Revoked --quiet--> Gone"),
            Life::Revoked { .. } => transition!("Revoked --too late--> Gone"),
            Life::Open | Life::Ended | Life::Stopping => {
                transition!("Stopping --quiet--> Gone");
                return;
            }
        }
        cx.out.push(Effect::ShardReleased { shard: self.id });
    }

    /// Whether the shard is over because its end is durable.
    pub(crate) fn finished(&self) -> bool {
        let finished = self.finish == Finish::Asked;
        if finished {
            transition!("Ended --finished--> Gone");
        }
        finished
    }

    /// Batches that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = BatchId> {
        let is_running = |batch: &&Batch| batch.state == State::Running;
        self.batches.values().filter(is_running).map(|batch| batch.id)
    }

    pub(crate) const fn ending_until(&self) -> Option<Millis> {
        match (self.life, self.finish) {
            (Life::Revoked { until }, _) | (_, Finish::Waiting { until, .. }) => Some(until),
            _ => None,
        }
    }
}

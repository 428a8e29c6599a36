//! One shard: joins its machines. Each decides for itself; this file says what comes in, what is asked for
//! without a permit, and when the shard wants to be looked at again. What takes permits is in `turn.rs`, what
//! answers mean in `outcome.rs`, how it ends in `ending.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::Checkpoint;
use crate::context::Context;
use crate::ending::{Finish, Life};
use crate::failures::Failures;
use crate::flight::{Batch, State};
use crate::gather::Gather;
use crate::lanes::Lanes;
use crate::lease::Lease;
use crate::ledger::{self, Ledger};
use crate::park::{Ask, Parks, Turn};
use crate::receive::Receive;
use crate::settle::Settle;
use crate::window::Window;
use crate::{
    BatchId, Condition, Effect, Fact, Failure, Key, Millis, OpenWindow, Origin, ParkedKey,
    RecordMeta, Records, Sequence, Settings, Settling, ShardId, Span, Ticket, Verdict,
};

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) life: Life,
    pub(crate) finish: Finish,
    pub(crate) ledger: Ledger,
    pub(crate) lanes: Lanes,
    pub(crate) gather: Gather,
    pub(crate) receive: Receive,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) settle: Settle,
    pub(crate) lease: Lease,
    pub(crate) failures: Failures,
    pub(crate) parks: Parks,
    pub(crate) window: Option<Window>,
    pub(crate) batches: BTreeMap<BatchId, Batch>,
    /// Batches that wait to be sent, by time.
    pub(crate) waiting: BTreeSet<(Millis, BatchId)>,
    pub(crate) running: u32,
    /// When the youngest record arrived.
    pub(crate) newest_arrival: Millis,
    pub(crate) is_per_record: bool,
}

impl Shard {
    pub(crate) fn open(
        cx: &Context<'_>,
        id: ShardId,
        lease_ms: Option<Millis>,
        parked: &[ParkedKey],
        window: Option<OpenWindow>,
    ) -> Self {
        let Settings { order, settling, source_lease_ms, tumbling_window_ms, .. } = *cx.settings;
        let is_per_record = settling == Settling::PerRecord;
        let lease_ms = lease_ms.filter(|_| is_per_record).or(source_lease_ms);
        let mut parks = Parks::default();
        for ParkedKey { key, records } in parked {
            parks.open(*key, *records);
        }
        Self {
            id,
            life: Life::Open,
            finish: Finish::No,
            ledger: Ledger::new(),
            lanes: Lanes::new(order),
            gather: Gather::new(cx.now, cx.settings),
            receive: Receive::new(),
            checkpoint: Checkpoint::new(),
            settle: Settle::default(),
            lease: Lease::new(lease_ms),
            failures: Failures::default(),
            parks,
            window: tumbling_window_ms.map(|length_ms| Window::new(cx.now, length_ms, window)),
            batches: BTreeMap::new(),
            waiting: BTreeSet::new(),
            running: 0,
            newest_arrival: 0,
            is_per_record,
        }
    }

    pub(crate) fn records_read(&mut self, cx: &mut Context<'_>, records: &[RecordMeta]) {
        if !self.receive.read(cx.now, records.is_empty()) {
            // Taken even when nobody asked: the shell has them already, and dropping them here would let
            // the checkpoint of a later record pass them.
            cx.out_of_turn("RecordsRead");
        }
        let first = self.ledger.end();
        let filtered = records.iter().filter(|record| record.filtered).count() as u64;
        if !records.is_empty() {
            let (shard, records) = (self.id, records.len() as u64);
            cx.fact(Fact::Polled { shard, records, filtered });
        }
        for record in records {
            self.add(cx, record);
        }
        self.lease.began(cx.now, Span { first, end: self.ledger.end() });
        if self.is_ending() || !cx.run.may_start() {
            self.give_back_gathered();
        }
    }

    fn add(&mut self, cx: &mut Context<'_>, record: &RecordMeta) {
        let sequence = self.ledger.add(cx.now, record);
        self.newest_arrival = self.newest_arrival.max(record.arrived_at);
        if record.filtered {
            self.end(Origin::Source, sequence, Verdict::Filtered);
        } else if record.bytes > cx.settings.batch.records_bytes_max() {
            self.give_up(
                cx,
                Failure {
                    batch: None,
                    origin: Origin::Source,
                    records: [sequence].into_iter().collect(),
                    condition: Condition::MaximumPayloadSizeExceeded,
                    approximate_invoke_count: 0,
                    function_error: false,
                    had_response: false,
                },
            );
        } else if self.parks.is_parked(record.key) {
            self.parks.push(&mut self.ledger, record.key, sequence);
        } else {
            self.lanes.push(&mut self.ledger, sequence);
        }
    }

    /// A record has an outcome; the source, or the park it came from, is told in time.
    pub(crate) fn end(&mut self, origin: Origin, record: Sequence, verdict: Verdict) {
        match origin {
            Origin::Source => {
                if self.ledger.ended(record) && self.is_per_record {
                    self.settle.push(record, verdict);
                }
            }
            Origin::Park(key) => self.parks.ended(key, record),
        }
    }

    /// A record leaves its batch: its lane may go on.
    pub(crate) fn leave(&mut self, origin: Origin, record: Sequence) {
        if origin == Origin::Source {
            let key = self.ledger.slot(record).key;
            self.lanes.release(key);
        }
    }

    /// Gives records up that are in no batch any more.
    pub(crate) fn give_up(&mut self, cx: &mut Context<'_>, failure: Failure) {
        let (shard, origin) = (self.id, failure.origin);
        if let Some(first) = failure.records.iter().next() {
            let (records, condition) = (failure.records.count(), failure.condition);
            cx.fact(Fact::GivenUp { shard, records, first, condition });
        }
        if !cx.settings.on_failure_destination {
            for record in failure.records.iter() {
                self.end(origin, record, Verdict::Rejected);
            }
            return;
        }
        let kept = |record: &Sequence| origin != Origin::Source || self.ledger.give_up(*record);
        let records: Records = failure.records.iter().filter(kept).collect();
        if records.is_empty() && !failure.records.is_empty() {
            return;
        }
        let (ticket, failure) = (cx.numbers.ticket(), Failure { records, ..failure });
        self.failures.tell(ticket, failure.clone());
        cx.out.push(Effect::DeliverFailure { shard, ticket, failure });
    }

    pub(crate) fn failure_delivered(&mut self, cx: &mut Context<'_>, ticket: Ticket) {
        let Some(failure) = self.failures.delivered(ticket) else {
            return cx.out_of_turn("FailureDelivered");
        };
        cx.fact(Fact::FailureDelivered { shard: self.id, records: failure.records.count() });
        for record in failure.records.iter() {
            self.end(failure.origin, record, Verdict::Rejected);
        }
    }

    pub(crate) fn failure_delivery_failed(&mut self, cx: &mut Context<'_>, ticket: Ticket) {
        let Settings { delivery, salt, .. } = *cx.settings;
        match self.failures.failed(cx.now, ticket, delivery, salt) {
            Some(retry_at) => cx.fact(Fact::FailureDeliveryFailed { shard: self.id, retry_at }),
            None => cx.out_of_turn("FailureDeliveryFailed"),
        }
    }

    pub(crate) fn parked(&mut self, cx: &mut Context<'_>, ticket: Ticket) {
        let Some((key, records)) = self.parks.parked(ticket) else {
            return cx.out_of_turn("Parked");
        };
        cx.fact(Fact::Parked { shard: self.id, key, records: records.len() as u64 });
        for record in records {
            self.end(Origin::Source, record, Verdict::Parked);
        }
    }

    pub(crate) fn park_failed(&mut self, cx: &mut Context<'_>, ticket: Ticket, full: bool) {
        let Settings { park, salt, .. } = *cx.settings;
        match self.parks.park_failed(cx.now, ticket, park, salt) {
            Some((key, retry_at)) => {
                cx.fact(Fact::ParkFailed { shard: self.id, key, full, retry_at });
            }
            None => cx.out_of_turn("ParkFailed"),
        }
    }

    pub(crate) fn unpark(
        &mut self,
        cx: &mut Context<'_>,
        key: Key,
        dropped: u64,
        records: &[RecordMeta],
    ) {
        if self.is_ending() || !self.parks.unpark(key, dropped, records) {
            return cx.fact(Fact::UnparkRefused { shard: self.id, key });
        }
        // Nothing of a parked key is in its lane, except of one that the shell had not told of.
        let waiting = self.lanes.remove(&mut self.ledger, key);
        self.divert(key, waiting);
        self.turn_key(cx, key);
    }

    pub(crate) fn divert(&mut self, key: Key, mut records: ledger::List) {
        while let Some(record) = self.ledger.pop_front(&mut records) {
            self.parks.push(&mut self.ledger, key, record);
        }
    }

    /// Lets a key go on whose returned records have ended.
    pub(crate) fn turn_key(&mut self, cx: &mut Context<'_>, key: Key) {
        let (turn, freed) = self.parks.turn(key);
        self.lanes.insert(&mut self.ledger, key, freed);
        if let Turn::Ended { left, done } = turn {
            cx.fact(Fact::UnparkEnded { shard: self.id, key, left, done });
        }
    }

    pub(crate) fn settled(&mut self, cx: &mut Context<'_>, ticket: Ticket) {
        if let Some(verdicts) = self.settle.settled(ticket) {
            for (span, verdict) in verdicts {
                let (shard, records) = (self.id, span.count());
                cx.fact(Fact::Settled { shard, verdict, records });
                span.iter().for_each(|record| self.ledger.durable(record));
            }
        } else if let Some(records) = self.lease.held(ticket) {
            cx.fact(Fact::Held { shard: self.id, records });
        } else if let Some(key) = self.parks.settled(ticket) {
            self.turn_key(cx, key);
        } else {
            cx.out_of_turn("Settled");
        }
    }

    pub(crate) fn settle_failed(&mut self, cx: &mut Context<'_>, ticket: Ticket) {
        let Settings { checkpoint, salt, .. } = *cx.settings;
        let retry_at = self
            .settle
            .failed(cx.now, ticket, checkpoint, salt)
            .or_else(|| self.lease.failed(cx.now, ticket, checkpoint, salt))
            .or_else(|| self.parks.settle_failed(cx.now, ticket, checkpoint, salt));
        match retry_at {
            Some(_) => cx.fact(Fact::SettleFailed { shard: self.id, retry_at }),
            None => cx.out_of_turn("SettleFailed"),
        }
    }

    pub(crate) fn checkpoint_stored(&mut self, cx: &mut Context<'_>, ticket: Ticket) {
        let Some((end, records)) = self.checkpoint.stored(ticket) else {
            return cx.out_of_turn("CheckpointStored");
        };
        self.ledger.durable_before(end);
        let through = end.0.checked_sub(1).map(Sequence).filter(|_| records > 0);
        cx.fact(Fact::CheckpointStored { shard: self.id, through, records });
    }

    pub(crate) fn checkpoint_failed(&mut self, cx: &mut Context<'_>, ticket: Ticket) {
        let Settings { checkpoint, salt, .. } = *cx.settings;
        let Some(retry_at) = self.checkpoint.failed(cx.now, ticket, checkpoint, salt) else {
            return cx.out_of_turn("CheckpointFailed");
        };
        if let Some(window) = &mut self.window {
            window.unstored();
        }
        cx.fact(Fact::CheckpointFailed { shard: self.id, retry_at });
    }

    pub(crate) fn receive_failed(&mut self, cx: &mut Context<'_>) {
        let Settings { reconnect, salt, .. } = *cx.settings;
        match self.receive.failed(cx.now, reconnect, salt ^ u64::from(self.id.0)) {
            Some(retry_at) => cx.fact(Fact::ReceiveFailed { shard: self.id, retry_at }),
            None => cx.out_of_turn("ReceiveFailed"),
        }
    }

    /// Asks for everything that needs no permit and whose time has come.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        self.wind_up();
        self.flush_parks(cx);
        let shard = self.id;
        while let Some((ticket, failure)) = self.failures.due(cx.now) {
            cx.out.push(Effect::DeliverFailure { shard, ticket, failure });
        }
        self.extend_leases(cx);
        while let Some(verdicts) = self.settle.due(cx.now) {
            let ticket = cx.numbers.ticket();
            cx.out.push(Effect::Settle { shard, ticket, verdicts: verdicts.clone() });
            self.settle.told(ticket, verdicts);
        }
        self.store_checkpoint(cx);
        self.finish(cx);
    }

    fn flush_parks(&mut self, cx: &mut Context<'_>) {
        let shard = self.id;
        loop {
            match self.parks.due(cx.now, &self.ledger, cx.numbers) {
                Some(Ask::Park { ticket, key, records, failed }) => {
                    cx.out.push(Effect::Park { shard, ticket, key, records, failed });
                }
                Some(Ask::Settle { ticket, key, count }) => {
                    cx.out.push(Effect::UnparkSettled { shard, ticket, key, count });
                }
                None => return,
            }
        }
    }

    fn extend_leases(&mut self, cx: &mut Context<'_>) {
        let mut held: Vec<Span> = Vec::new();
        while let Some(group) = self.lease.due(cx.now) {
            for record in group.iter().filter(|record| self.ledger.is_unsettled(*record)) {
                match held.last_mut() {
                    Some(span) if span.end == record => span.end = record.plus(1),
                    _ => held.push(Span { first: record, end: record.plus(1) }),
                }
            }
        }
        if held.is_empty() {
            return;
        }
        let ticket = cx.numbers.ticket();
        let verdicts = held.iter().map(|span| (*span, Verdict::Held)).collect();
        cx.out.push(Effect::Settle { shard: self.id, ticket, verdicts });
        self.lease.extending(cx.now, ticket, held);
    }

    fn store_checkpoint(&mut self, cx: &mut Context<'_>) {
        let changed = self.window.as_ref().is_some_and(Window::is_changed);
        let mark = self.ledger.mark();
        if self.window.as_ref().is_some_and(Window::is_oversized) {
            return;
        }
        if self.is_per_record || !self.checkpoint.is_due(cx.now, mark, changed) {
            return;
        }
        let ticket = cx.numbers.ticket();
        self.checkpoint.store(ticket, mark);
        let window = self.window.as_mut().and_then(|window| {
            window.stored();
            window.mark()
        });
        let through = mark.0.checked_sub(1).map(Sequence);
        cx.out.push(Effect::StoreCheckpoint { shard: self.id, ticket, through, window });
    }

    /// When the shard wants to be looked at if nothing happens before.
    pub(crate) fn next_deadline(&mut self, cx: &Context<'_>) -> Option<Millis> {
        let always = [
            self.checkpoint.until(),
            self.settle.until(),
            self.lease.until(),
            self.failures.until(),
            self.parks.until(),
            self.ending_until(),
        ];
        let while_running = if cx.run.may_start() && !self.is_ending() {
            [self.next_send(cx.now), self.receive.until(), self.cut_at(cx), self.idle_at()]
        } else {
            [None; 4]
        };
        let later = |at: &Millis| *at > cx.now;
        always.into_iter().chain(while_running).flatten().filter(later).min()
    }

    /// When the next batch that waits is due; those that are due already wait for a permit.
    fn next_send(&self, now: Millis) -> Option<Millis> {
        let later = (now.saturating_add(1), BatchId(0));
        self.waiting.range(later..).next().map(|(until, _)| *until)
    }

    fn cut_at(&mut self, cx: &Context<'_>) -> Option<Millis> {
        let first = self.lanes.first()?;
        let read_at = self.ledger.slot(first).read_at;
        Some(self.gather.window_end(&cx.settings.batch, read_at))
    }

    fn idle_at(&self) -> Option<Millis> {
        self.window.as_ref().filter(|_| self.batches.is_empty())?.idle_at()
    }

    /// Puts a batch that is not over among those that wait.
    pub(crate) fn keep(&mut self, batch: Batch) {
        if let State::Waiting { until } = batch.state {
            self.waiting.insert((until, batch.id));
        }
        self.batches.insert(batch.id, batch);
    }
}

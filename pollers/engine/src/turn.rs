//! What a shard does with a permit: send a batch again, conclude a window, send what came back from the
//! park, send a new batch, or ask for records (LS 4.3). It does not know what answers mean.

use crate::context::Context;
use crate::flight::{Batch, Kind};
use crate::gather::Waiting;
use crate::lanes::Room;
use crate::shard::Shard;
use crate::{BatchId, Condition, Effect, Fact, Failure, Millis, Order, Origin, Sequence, Settings};

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something was done, and more may be possible.
    Again,
    /// The mapping's permits are in the way.
    Blocked,
    /// There is nothing to send, and room for more records.
    Fetch,
    /// Nothing is to be done before something happens to the shard.
    Rest,
}

impl Shard {
    /// Does the one thing that comes first; some permit is free.
    pub(crate) fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        if !cx.run.may_start() || self.is_ending() {
            return Turn::Rest;
        }
        if self.is_full(cx) {
            return if self.may_fetch(cx) { Turn::Fetch } else { Turn::Rest };
        }
        let due = self.waiting.first().copied().filter(|(until, _)| *until <= cx.now);
        if let Some((_, id)) = due {
            let is_held = self.batches.get(&id).is_some_and(|batch| batch.is_held);
            if !is_held && !cx.permits.may_send_new() {
                return Turn::Blocked;
            }
            self.send(cx, id);
            return Turn::Again;
        }
        if !cx.permits.may_send_new() {
            return Turn::Blocked;
        }
        if self.conclude_window(cx) || self.send_returned(cx) || self.cut(cx) {
            return Turn::Again;
        }
        if self.may_fetch(cx) { Turn::Fetch } else { Turn::Rest }
    }

    /// As many batches run as may.
    const fn is_full(&self, cx: &Context<'_>) -> bool {
        self.running >= cx.settings.batches_per_shard_max
    }

    fn may_fetch(&mut self, cx: &Context<'_>) -> bool {
        let is_ready = cx.is_up && !self.has_ended() && self.receive.is_ready(cx.now);
        is_ready && self.fetch_room(cx).is_some()
    }

    fn start(&mut self, cx: &mut Context<'_>, origin: Origin, kind: Kind, records: Vec<Sequence>) {
        let id = cx.numbers.batch();
        self.keep(Batch::new(id, origin, kind, records));
        self.send(cx, id);
    }

    /// Starts the final invocation of a window whose time has come.
    fn conclude_window(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.batches.is_empty() || self.is_setting_aside() {
            return false;
        }
        let next = self.lanes.first().map(|first| self.ledger.slot(first).arrived_at);
        let is_last = self.has_ended();
        let Some(window) = &mut self.window else { return false };
        window.close(cx.now, next, is_last);
        if !window.is_closing() {
            return false;
        }
        let kind = Kind::WindowEnd { since: cx.now };
        self.start(cx, Origin::Source, kind, Vec::new());
        true
    }

    /// Records that were given up are on their way to where they go, and hold the mark. The state of a window must not run ahead of it:
    /// who reads on from there would count twice.
    fn is_setting_aside(&self) -> bool {
        !self.failures.is_empty() || self.parks.is_parking()
    }

    fn send_returned(&mut self, cx: &mut Context<'_>) -> bool {
        // Records that are to be parked may wait for the end of those that came back.
        if self.window.is_some() && (!self.batches.is_empty() || !self.failures.is_empty()) {
            return false;
        }
        let lanes = &mut self.lanes;
        let Some(key) = self.parks.waiting(|key| lanes.hold(key)) else { return false };
        let records = self.parks.take(key, &cx.settings.batch);
        if records.is_empty() {
            self.lanes.release(key);
            return false;
        }
        self.start(cx, Origin::Park(key), Kind::Records, records);
        true
    }

    /// Sends a new batch, if one is due.
    fn cut(&mut self, cx: &mut Context<'_>) -> bool {
        if self.window.is_some() && (!self.batches.is_empty() || self.is_setting_aside()) {
            return false; // the final invocation of a window is in no lane, and goes first
        }
        let Some(first) = self.lanes.first() else { return false };
        let slot = *self.ledger.slot(first);
        let before = self.window_takes_before(cx, slot.arrived_at);
        let waiting = Waiting {
            records: self.lanes.ready_records(),
            bytes: self.lanes.ready_bytes(),
            read_at: slot.read_at,
            is_last: self.has_ended() || self.newest_arrival >= before,
        };
        if !self.gather.is_due(cx.now, &cx.settings.batch, waiting) {
            return false;
        }
        let room = Room::of(&cx.settings.batch, self.lanes_max(cx));
        let taken = self.lanes.take(&mut self.ledger, room, |slot| slot.arrived_at < before);
        self.gather.cut(taken.records.len() as u64, taken.left_lanes);
        if taken.records.is_empty() {
            return false;
        }
        self.start(cx, Origin::Source, Kind::Records, taken.records);
        true
    }

    /// Where the window ends that the next record goes into; it is opened if there is none.
    fn window_takes_before(&mut self, cx: &mut Context<'_>, arrived_at: Millis) -> Millis {
        let Some(window) = &mut self.window else { return Millis::MAX };
        let opened = window.open(cx.now, arrived_at);
        let before = window.takes_before().unwrap_or(Millis::MAX);
        if let Some(start_ms) = opened {
            cx.fact(Fact::WindowOpened { shard: self.id, start_ms });
        }
        before
    }

    /// Lanes that one batch may take: their share of the batches that may run.
    fn lanes_max(&self, cx: &Context<'_>) -> usize {
        if cx.settings.order != Order::Key {
            return 1;
        }
        let batches = cx.settings.batches_per_shard_max.min(cx.permits.limit());
        self.lanes.count().div_ceil(usize::try_from(batches).unwrap_or(usize::MAX)).max(1)
    }

    /// Asks for records, as many as free permits can take.
    pub(crate) fn fetch(&mut self, cx: &mut Context<'_>) {
        let Some((records_max, bytes_max)) = self.fetch_room(cx) else { return };
        let wait_ms = self.fetch_wait_ms(cx);
        self.receive.asked(cx.now, wait_ms);
        cx.out.push(Effect::Receive { shard: self.id, records_max, bytes_max, wait_ms });
    }

    fn free_batches(&self, cx: &Context<'_>) -> u32 {
        let of_shard = cx.settings.batches_per_shard_max.saturating_sub(self.running);
        cx.permits.free().min(of_shard)
    }

    /// While as many batches run as may, the next one is read, if a permit is free for it: a source that is asked only then would wait for
    /// each answer of the function, and the function for each of the source.
    fn batches_ahead(&self, cx: &Context<'_>) -> u32 {
        cx.settings.batches_ahead.min(cx.permits.free())
    }

    /// How many records may be asked for, and of how many bytes. `None`: none.
    fn fetch_room(&self, cx: &Context<'_>) -> Option<(u32, u64)> {
        let Settings { batch, lookahead_records_max, .. } = cx.settings;
        let lanes = &self.lanes;
        let (batches, records, bytes) = match self.is_full(cx) {
            // What is read ahead waits behind batches that may take long: nothing beyond it, however large its records are.
            true => (self.batches_ahead(cx), lanes.waiting_records(), lanes.waiting_bytes() + 1),
            false => (self.free_batches(cx), lanes.ready_records(), lanes.ready_bytes() + 1),
        };
        let wanted = (u64::from(batches) * u64::from(batch.records_max())).saturating_sub(records);
        let records_max = wanted.min(self.ledger.room(*lookahead_records_max));
        let records_max = u32::try_from(records_max).ok().filter(|most| *most > 0)?;
        let room = u64::from(batches).saturating_mul(batch.records_bytes_max());
        match room.saturating_sub(bytes) {
            0 if self.is_full(cx) => None,
            room => Some((records_max, room.max(1))),
        }
    }

    /// A receive must not outlast the window of records that wait already, unless it is over: then they wait for
    /// something else.
    fn fetch_wait_ms(&mut self, cx: &Context<'_>) -> Millis {
        let most = cx.settings.receive_wait_ms;
        let Some(first) = self.lanes.first() else { return most };
        let read_at = self.ledger.slot(first).read_at;
        match self.gather.window_end(&cx.settings.batch, read_at).saturating_sub(cx.now) {
            0 => most,
            left => left.min(most),
        }
    }

    /// Sends the next piece of a batch that waits, without what has become too old (LS 4.6).
    fn send(&mut self, cx: &mut Context<'_>, id: BatchId) {
        let Some(mut batch) = self.batches.remove(&id) else { return };
        if let crate::flight::State::Waiting { until } = batch.state {
            self.waiting.remove(&(until, id));
        }
        self.expire(cx, &mut batch);
        if batch.is_over() {
            cx.permits.unhold(batch.is_held);
            return self.over(&batch);
        }
        cx.permits.take(batch.is_held);
        self.running += 1;
        batch.send();
        let (shard, attempt, origin) = (self.id, batch.attempt(), batch.origin);
        let last = batch.piece().last().and_then(|last| self.arrived_at(origin, *last));
        let age_ms = last.map(|arrived_at| cx.now.saturating_sub(arrived_at));
        let count = batch.piece().len() as u64;
        cx.fact(Fact::Invoking { shard, batch: id, attempt, records: count, age_ms });
        let records = batch.piece().iter().copied().collect();
        let window = self.window.as_ref().filter(|_| origin == Origin::Source);
        let window = window.and_then(|window| window.part());
        cx.out.push(Effect::Invoke { shard, batch: id, attempt, origin, records, window });
        self.batches.insert(id, batch);
    }

    fn arrived_at(&self, origin: Origin, record: Sequence) -> Option<Millis> {
        match origin {
            Origin::Source => Some(self.ledger.slot(record).arrived_at),
            Origin::Park(key) => self.parks.arrived_at(key, record),
        }
    }

    /// Gives up what is too old at the front of a batch. What came back from the park was sent for by a person, at
    /// whatever age.
    fn expire(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let Some(age_max) = cx.settings.record_age_ms_max else { return };
        let (now, origin) = (cx.now, batch.origin);
        if origin != Origin::Source {
            return;
        }
        if let Kind::WindowEnd { since } = batch.kind {
            if now.saturating_sub(since) > age_max {
                let invoke_count = batch.attempt() - 1;
                batch.drop_piece();
                self.give_up_expired(cx, batch, Vec::new(), invoke_count);
                self.window_closed(cx, false);
            }
            return;
        }
        while !batch.is_over() {
            let ledger = &self.ledger;
            let too_old = |record| now.saturating_sub(ledger.slot(record).arrived_at) > age_max;
            let (expired, invoke_count) = batch.expire(too_old, cx.settings);
            if expired.is_empty() {
                return;
            }
            expired.iter().for_each(|record| self.leave(origin, *record));
            self.give_up_expired(cx, batch, expired, invoke_count);
        }
    }

    fn give_up_expired(
        &mut self,
        cx: &mut Context<'_>,
        batch: &Batch,
        records: Vec<Sequence>,
        invoke_count: u32,
    ) {
        self.give_up(
            cx,
            Failure {
                batch: Some(batch.id),
                origin: batch.origin,
                records: records.into_iter().collect(),
                condition: Condition::RecordAgeExceeded,
                approximate_invoke_count: invoke_count,
                function_error: false,
                had_response: false,
            },
        );
    }
}

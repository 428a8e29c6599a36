//! One mapping: joins its shards. It says whose input it is, who may use a free permit and when the next
//! deadline comes; what a shard does it leaves to the shard.
//!
//! Shards that want a permit stand in one queue, each takes one batch a turn: a shard with a long backlog does
//! not starve the others. A step costs what the shards cost that it touches, not what all of them do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::context::{Context, Numbers};
use crate::ending::Life;
use crate::link::Link;
use crate::permits::Permits;
use crate::run::Run;
use crate::shard::Shard;
use crate::turn::Turn;
use crate::{
    Answer, BatchId, Effect, Fact, Input, Millis, Phase, Sequence, Settings, ShardId, invariants,
};

/// The poll engine of one mapping.
#[derive(Debug)]
pub struct Poll {
    pub(crate) settings: Settings,
    pub(crate) run: Run,
    pub(crate) link: Link,
    pub(crate) permits: Permits,
    numbers: Numbers,
    pub(crate) shards: BTreeMap<ShardId, Entry>,
    /// Shards that may be able to use a permit.
    hungry: VecDeque<ShardId>,
    /// Shards that this step has to look at.
    touched: VecDeque<ShardId>,
    timers: BTreeSet<(Millis, ShardId)>,
    /// Batches that still run of shards that were released.
    pub(crate) orphans: BTreeSet<BatchId>,
    pub(crate) now: Millis,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) shard: Shard,
    is_hungry: bool,
    is_touched: bool,
    armed: Option<Millis>,
}

impl Poll {
    /// A mapping that is not connected and has no shards. It wants an [`Input::Tick`] to begin.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let settings = settings.normal();
        Self {
            run: Run::Running,
            link: Link::new(settings.reconnect, settings.salt),
            permits: Permits::new(&settings),
            numbers: Numbers::default(),
            shards: BTreeMap::new(),
            hungry: VecDeque::new(),
            touched: VecDeque::new(),
            timers: BTreeSet::new(),
            orphans: BTreeSet::new(),
            now: 0,
            settings,
        }
    }

    /// Takes one input and appends what follows from it. Total: every input is allowed in every
    /// state, and the same state and input always give the same effects.
    ///
    /// `now` must not be smaller than in the step before. A step looks at what its input touches and at all
    /// deadlines, so an [`Input::Tick`] is needed only when nothing else happens.
    pub fn step(&mut self, now: Millis, input: Input<'_>, out: &mut Vec<Effect>) {
        self.now = now;
        if self.run == Run::Stopped {
            return;
        }
        if !self.run.is_ending() && self.link.due(now) {
            out.push(Effect::Connect);
        }
        while let Some(&(_, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.disarm(id);
            self.touch(id);
        }
        self.take(now, input, out);
        if self.permits.look(now, out) {
            self.touch_all();
        }
        self.settle_touched(now, out);
        self.turns(now, out);
        self.settle_touched(now, out);
        self.permits.look(now, out);
        self.end_stop(out);
        debug_assert_eq!(invariants::broken(self), None);
    }

    /// When the mapping wants an [`Input::Tick`] if nothing happens before. `None`: never. Always later than
    /// the `now` of the last step.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        if self.run == Run::Stopped {
            return None;
        }
        let link = if self.run.is_ending() { None } else { self.link.until() };
        let permits = if self.run.may_start() { self.permits.until() } else { None };
        let shards = self.timers.first().map(|(at, _)| *at);
        [link, permits, shards].into_iter().flatten().min().map(|at| at.max(self.now + 1))
    }

    /// What a shard does or waits for now, for people.
    #[must_use]
    pub fn phase(&self, shard: ShardId) -> Phase {
        match self.shards.get(&shard) {
            Some(entry) if self.run != Run::Stopped => Phase::of(self, &entry.shard),
            _ => Phase::Gone,
        }
    }

    /// The sequence that the next record read of this shard will have. `None`: it is not open.
    #[must_use]
    pub fn next_record(&self, shard: ShardId) -> Option<Sequence> {
        self.shards.get(&shard).map(|entry| entry.shard.ledger.end())
    }

    /// The first record of this shard that the engine may still speak of; what the shell holds of earlier
    /// ones can go. `None`: the shard is not open.
    #[must_use]
    pub fn first_held(&self, shard: ShardId) -> Option<Sequence> {
        self.shards.get(&shard).map(|entry| entry.shard.ledger.first())
    }

    /// How many records of this shard are in hand: read, and not durably settled. `None`: it is not open.
    #[must_use]
    pub fn in_hand(&self, shard: ShardId) -> Option<u64> {
        self.shards.get(&shard).map(|entry| entry.shard.ledger.in_hand())
    }

    /// Batches that are under way.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.permits.in_flight()
    }

    /// The first numbered invariant that does not hold, `None` if all do.
    #[must_use]
    pub fn broken_invariant(&self) -> Option<&'static str> {
        invariants::broken(self)
    }

    fn take(&mut self, now: Millis, input: Input<'_>, out: &mut Vec<Effect>) {
        match input {
            Input::Tick => {}
            Input::SourceConnected => self.connected(out),
            Input::SourceGone => self.gone(now, out),
            Input::Pause => self.pause(now, out),
            Input::Resume => {
                if self.run.resume() {
                    out.push(Effect::Fact(Fact::Resumed));
                    self.touch_all();
                }
            }
            Input::Stop => {
                if self.run.stop() {
                    self.each(now, out, Shard::stop);
                }
            }
            Input::ShardOpened { shard, lease_ms, parked, window } => {
                self.open(now, shard, out, |cx| Shard::open(cx, shard, lease_ms, parked, window));
            }
            Input::ShardFinished { shard } => self.finished(now, shard, out),
            Input::BatchAnswered { shard, batch, answer, state_bytes } => {
                if self.orphans.remove(&batch) {
                    self.orphan_answered(now, answer, out);
                } else {
                    self.of(now, shard, out, |shard, cx| {
                        shard.answered(cx, batch, answer, state_bytes);
                    });
                }
            }
            other => self.take_of_shard(now, other, out),
        }
    }

    fn take_of_shard(&mut self, now: Millis, input: Input<'_>, out: &mut Vec<Effect>) {
        match input {
            Input::ShardRevoked { shard } => self.of(now, shard, out, Shard::revoke),
            Input::ShardEnded { shard } => self.of(now, shard, out, Shard::no_more),
            Input::RecordsRead { shard, records } => {
                self.link.works();
                self.of(now, shard, out, |shard, cx| shard.records_read(cx, records));
            }
            Input::ReceiveFailed { shard } => self.of(now, shard, out, Shard::receive_failed),
            Input::Settled { shard, ticket } => {
                self.of(now, shard, out, |shard, cx| shard.settled(cx, ticket));
            }
            Input::SettleFailed { shard, ticket } => {
                self.of(now, shard, out, |shard, cx| shard.settle_failed(cx, ticket));
            }
            Input::CheckpointStored { shard, ticket } => {
                self.of(now, shard, out, |shard, cx| shard.checkpoint_stored(cx, ticket));
            }
            Input::CheckpointFailed { shard, ticket } => {
                self.of(now, shard, out, |shard, cx| shard.checkpoint_failed(cx, ticket));
            }
            Input::FailureDelivered { shard, ticket } => {
                self.of(now, shard, out, |shard, cx| shard.failure_delivered(cx, ticket));
            }
            Input::FailureDeliveryFailed { shard, ticket } => {
                self.of(now, shard, out, |shard, cx| shard.failure_delivery_failed(cx, ticket));
            }
            Input::Parked { shard, ticket } => {
                self.of(now, shard, out, |shard, cx| shard.parked(cx, ticket));
            }
            Input::ParkFailed { shard, ticket, full } => {
                self.of(now, shard, out, |shard, cx| shard.park_failed(cx, ticket, full));
            }
            Input::Unpark { shard, key, dropped, records } => {
                self.of(now, shard, out, |shard, cx| shard.unpark(cx, key, dropped, records));
            }
            Input::ShardFinishFailed { shard } => self.of(now, shard, out, Shard::finish_failed),
            _ => {}
        }
    }

    fn connected(&mut self, out: &mut Vec<Effect>) {
        if self.link.back() {
            out.push(Effect::Fact(Fact::SourceConnected));
            self.touch_all();
        } else {
            out.push(Effect::Fact(Fact::OutOfTurn { input: "SourceConnected" }));
        }
    }

    fn gone(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let Some(retry_at) = self.link.gone(now) else {
            out.push(Effect::Fact(Fact::OutOfTurn { input: "SourceGone" }));
            return;
        };
        out.push(Effect::Fact(Fact::SourceLost { retry_at }));
        let survives = self.settings.survives_reconnect;
        self.each(now, out, |shard, cx| {
            shard.receive.gone();
            if !survives {
                shard.void(cx);
            }
        });
    }

    fn pause(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.run.pause() {
            out.push(Effect::Fact(Fact::Paused));
            self.each(now, out, Shard::pause);
        }
    }

    fn open(
        &mut self,
        now: Millis,
        id: ShardId,
        out: &mut Vec<Effect>,
        make: impl FnOnce(&Context<'_>) -> Shard,
    ) {
        if self.shards.contains_key(&id) || self.run.is_ending() {
            out.push(Effect::Fact(Fact::OutOfTurn { input: "ShardOpened" }));
            return;
        }
        let shard = {
            let Self { settings, permits, numbers, run, link, .. } = self;
            let (run, is_up) = (*run, link.is_up());
            make(&Context { now, settings, permits, numbers, run, is_up, out })
        };
        let entry = Entry { shard, is_hungry: false, is_touched: false, armed: None };
        self.shards.insert(id, entry);
        self.touch(id);
    }

    fn finished(&mut self, now: Millis, id: ShardId, out: &mut Vec<Effect>) {
        let Some(entry) = self.shards.get(&id) else { return };
        let is_revoked = matches!(entry.shard.life, Life::Revoked { .. });
        if !entry.shard.finished() {
            out.push(Effect::Fact(Fact::OutOfTurn { input: "ShardFinished" }));
        } else {
            self.remove(now, id, is_revoked, out);
        }
    }

    fn orphan_answered(&mut self, now: Millis, answer: Answer<'_>, out: &mut Vec<Effect>) {
        match answer {
            Answer::Succeeded | Answer::Partial { .. } | Answer::FunctionFailed => {
                self.permits.reached(false, out);
            }
            _ => self.permits.not_reached(now, false, out),
        }
    }

    /// Steps one shard. Nothing for one that is not open: its answers come late.
    fn of(
        &mut self,
        now: Millis,
        id: ShardId,
        out: &mut Vec<Effect>,
        step: impl FnOnce(&mut Shard, &mut Context<'_>),
    ) {
        self.touch(id);
        let Self { shards, settings, permits, numbers, run, link, .. } = self;
        if let Some(entry) = shards.get_mut(&id) {
            let (run, is_up) = (*run, link.is_up());
            step(
                &mut entry.shard,
                &mut Context { now, settings, permits, numbers, run, is_up, out },
            );
        }
    }

    fn each(
        &mut self,
        now: Millis,
        out: &mut Vec<Effect>,
        step: impl Fn(&mut Shard, &mut Context<'_>),
    ) {
        let ids: Vec<_> = self.shards.keys().copied().collect();
        for id in ids {
            self.of(now, id, out, &step);
        }
    }

    fn touch(&mut self, id: ShardId) {
        if let Some(entry) = self.shards.get_mut(&id) {
            if !entry.is_touched {
                entry.is_touched = true;
                self.touched.push_back(id);
            }
            if !entry.is_hungry {
                entry.is_hungry = true;
                self.hungry.push_back(id);
            }
        }
    }

    fn touch_all(&mut self) {
        let ids: Vec<_> = self.shards.keys().copied().collect();
        ids.into_iter().for_each(|id| self.touch(id));
    }

    /// Lets every shard that was touched ask for what needs no permit, and sets its timer.
    fn settle_touched(&mut self, now: Millis, out: &mut Vec<Effect>) {
        while let Some(id) = self.touched.pop_front() {
            let mut is_gone = false;
            let mut at = None;
            let Self { shards, settings, permits, numbers, run, link, .. } = self;
            if let Some(entry) = shards.get_mut(&id) {
                entry.is_touched = false;
                let (run, is_up) = (*run, link.is_up());
                let cx = &mut Context { now, settings, permits, numbers, run, is_up, out };
                entry.shard.flush(cx);
                is_gone = entry.shard.is_gone(now);
                at = entry.shard.next_deadline(cx);
            }
            if is_gone {
                self.remove(now, id, true, out);
            } else {
                self.arm(id, at);
            }
        }
    }

    fn remove(&mut self, now: Millis, id: ShardId, tell: bool, out: &mut Vec<Effect>) {
        self.disarm(id);
        let Some(entry) = self.shards.remove(&id) else { return };
        // The number may be given again: nothing may be left that means this shard.
        self.hungry.retain(|hungry| *hungry != id);
        self.touched.retain(|touched| *touched != id);
        self.orphans.extend(entry.shard.running());
        if tell {
            let Self { settings, permits, numbers, run, link, .. } = self;
            let (run, is_up) = (*run, link.is_up());
            entry.shard.gone(&mut Context { now, settings, permits, numbers, run, is_up, out });
        }
    }

    fn arm(&mut self, id: ShardId, at: Option<Millis>) {
        let Some(entry) = self.shards.get_mut(&id) else { return };
        if entry.armed == at {
            return;
        }
        if let Some(before) = entry.armed.take() {
            self.timers.remove(&(before, id));
        }
        entry.armed = at;
        if let Some(at) = at {
            self.timers.insert((at, id));
        }
    }

    fn disarm(&mut self, id: ShardId) {
        self.arm(id, None);
    }

    /// Hands out free permits, a batch a turn. Only what no batch takes is fetched against.
    fn turns(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let mut blocked = 0;
        let mut empty_handed = Vec::new();
        while self.permits.free() > 0
            && blocked < self.hungry.len()
            && let Some(id) = self.hungry.pop_front()
        {
            let Self { shards, settings, permits, numbers, run, link, .. } = self;
            let Some(entry) = shards.get_mut(&id) else { continue };
            let (run, is_up) = (*run, link.is_up());
            let cx = &mut Context { now, settings, permits, numbers, run, is_up, out };
            let turn = entry.shard.turn(cx);
            entry.is_hungry = turn != Turn::Rest;
            match turn {
                Turn::Fetch => empty_handed.push(id),
                Turn::Again | Turn::Blocked => self.hungry.push_back(id),
                Turn::Rest => {}
            }
            if !entry.is_touched {
                entry.is_touched = true;
                self.touched.push_back(id);
            }
            blocked =
                if turn == Turn::Again { 0 } else { blocked + usize::from(turn == Turn::Blocked) };
        }
        self.fetch(now, empty_handed, out);
    }

    fn fetch(&mut self, now: Millis, ids: Vec<ShardId>, out: &mut Vec<Effect>) {
        for id in ids {
            let Self { shards, settings, permits, numbers, run, link, .. } = self;
            let Some(entry) = shards.get_mut(&id) else { continue };
            if permits.may_fetch() {
                let (run, is_up) = (*run, link.is_up());
                entry.is_hungry = false;
                entry.shard.fetch(&mut Context {
                    now,
                    settings,
                    permits,
                    numbers,
                    run,
                    is_up,
                    out,
                });
            } else {
                self.hungry.push_back(id);
            }
        }
    }

    fn end_stop(&mut self, out: &mut Vec<Effect>) {
        let quiet = self.shards.is_empty() && self.orphans.is_empty() && !self.link.is_connecting();
        if self.run == Run::Stopping && quiet {
            self.run.quiet();
            out.push(Effect::Stopped);
        }
    }
}

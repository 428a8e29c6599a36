//! The seeded simulation: a world that misbehaves, then one that does not, then the end. Each seed runs twice
//! and must do the same; what is judged stands in `world.rs`.

use super::world::{BYTES_MAX, Dice, SHARDS, World};
use crate::{
    Answer, Backoff, BatchLimits, Effect, Exhausted, Input, Key, Order, Origin, Ramp, Records,
    RetriedBy, Sequence, Settings, Settling, ShardId, WINDOW_STATE_BYTES_MAX, WindowStart,
};

const SEEDS: u64 = 100;
const STEPS: u64 = 500;

fn settings(dice: &mut Dice, seed: u64, order: Order, settling: Settling) -> Settings {
    let one_of = |dice: &mut Dice, choices: &[u64]| {
        choices[usize::try_from(dice.below(choices.len() as u64)).unwrap()]
    };
    let records_max = 1 + u32::try_from(dice.below(6)).unwrap();
    let window_ms = one_of(dice, &[0, 0, 40, 300]);
    let tumbling = order == Order::Shard && settling == Settling::LowWater && dice.one_in(3);
    let state_bytes = if tumbling { WINDOW_STATE_BYTES_MAX } else { 0 };
    let bytes_max = BYTES_MAX + state_bytes;
    let batch = BatchLimits::new(records_max, window_ms).unwrap().with_bytes_max(bytes_max);
    let is_queue = settling == Settling::PerRecord;
    let small = |number: u64| u32::try_from(number).unwrap();
    Settings {
        order,
        settling,
        window_start: if dice.one_in(2) {
            WindowStart::FirstRecord
        } else {
            WindowStart::PreviousBatchEnd
        },
        batches_per_shard_max: small(1 + dice.below(4)),
        maximum_concurrency: small(one_of(dice, &[1, 2, 100])),
        lookahead_records_max: small(one_of(dice, &[3, 10, 1_000])),
        retries_max: [None, Some(0), Some(2)][usize::try_from(dice.below(3)).unwrap()],
        bisect: dice.one_in(2),
        report_batch_item_failures: dice.one_in(2),
        batches_ahead: u32::from(dice.one_in(2)),
        exhausted: if dice.one_in(2) { Exhausted::ParkKey } else { Exhausted::Discard },
        on_failure_destination: true,
        retried_by: if is_queue && dice.one_in(2) { RetriedBy::Source } else { RetriedBy::Engine },
        source_lease_ms: if is_queue && dice.one_in(2) { Some(3_000) } else { None },
        survives_reconnect: dice.one_in(2),
        record_age_ms_max: if dice.one_in(4) { Some(3_000) } else { None },
        tumbling_window_ms: if tumbling { Some(2_000) } else { None },
        ramp: if dice.one_in(3) { Some(Ramp::SQS) } else { None },
        revoke_drain_ms: 500,
        receive_wait_ms: 50,
        not_reached: Backoff::NOT_REACHED.capped(4_000),
        function_errors: Backoff::new(50, 400),
        salt: seed,
        ..Settings::new(batch)
    }
}

impl World {
    /// Answers something that is owed, badly now and then while there are faults.
    fn answer(&mut self) {
        let at = self.dice.below(self.owed.len() as u64);
        let (effect, generation) = self.owed.remove(usize::try_from(at).unwrap()).unwrap();
        let bad = self.faults && self.dice.one_in(4);
        match effect {
            Effect::Connect if bad => self.step(Input::SourceGone),
            Effect::Connect => self.step(Input::SourceConnected),
            Effect::Invoke { shard, batch, origin, records, .. } => {
                let is_current = self.is_current(shard, generation);
                self.invocation_ends(shard, batch, origin, &records, is_current, bad);
            }
            other => self.answer_shard(other, generation, bad),
        }
    }

    fn is_current(&mut self, shard: ShardId, generation: u32) -> bool {
        let stream = self.stream(shard);
        stream.is_open && stream.generation == generation
    }

    fn answer_shard(&mut self, effect: Effect, generation: u32, bad: bool) {
        let (Effect::Receive { shard, .. }
        | Effect::Settle { shard, .. }
        | Effect::StoreCheckpoint { shard, .. }
        | Effect::DeliverFailure { shard, .. }
        | Effect::Park { shard, .. }
        | Effect::UnparkSettled { shard, .. }) = effect
        else {
            unreachable!("nobody owes an answer to {effect:?}")
        };
        if !self.is_current(shard, generation) {
            return; // it was released before this was done
        }
        match effect {
            Effect::Receive { .. } if bad => self.step(Input::ReceiveFailed { shard }),
            Effect::Receive { records_max, .. } => {
                let records = &self.metas(shard, records_max);
                self.step(Input::RecordsRead { shard, records });
            }
            Effect::Settle { ticket, .. } if bad => {
                self.step(Input::SettleFailed { shard, ticket })
            }
            Effect::Settle { ticket, verdicts, .. } => {
                for (span, verdict) in verdicts {
                    span.iter().for_each(|record| self.stream(shard).settle(record, verdict));
                }
                self.step(Input::Settled { shard, ticket });
            }
            Effect::StoreCheckpoint { ticket, .. } if bad => {
                self.step(Input::CheckpointFailed { shard, ticket });
            }
            Effect::StoreCheckpoint { ticket, through, .. } => {
                self.stream(shard).store(through);
                self.step(Input::CheckpointStored { shard, ticket });
            }
            other => self.answer_aside(other, shard, bad),
        }
    }

    /// What goes to the destination and the park, and comes from there.
    fn answer_aside(&mut self, effect: Effect, shard: ShardId, bad: bool) {
        match effect {
            Effect::DeliverFailure { ticket, .. } if bad => {
                self.step(Input::FailureDeliveryFailed { shard, ticket });
            }
            Effect::DeliverFailure { ticket, failure, .. } => {
                let stream = self.stream(shard);
                for place in stream.places(failure.origin, &failure.records) {
                    stream.rejected(place);
                }
                self.step(Input::FailureDelivered { shard, ticket });
            }
            Effect::Park { ticket, .. } if bad => {
                let full = self.dice.one_in(2);
                self.step(Input::ParkFailed { shard, ticket, full });
            }
            Effect::Park { ticket, records, .. } => {
                let stream = self.stream(shard);
                for place in stream.places(Origin::Source, &records) {
                    stream.set_aside(place);
                }
                self.step(Input::Parked { shard, ticket });
            }
            Effect::UnparkSettled { ticket, .. } if bad => {
                self.step(Input::SettleFailed { shard, ticket });
            }
            Effect::UnparkSettled { ticket, key, count, .. } => {
                self.stream(shard).take_back(key.0, count);
                self.step(Input::Settled { shard, ticket });
            }
            other => unreachable!("nobody owes an answer to {other:?}"),
        }
    }

    fn invocation_ends(
        &mut self,
        shard: ShardId,
        batch: crate::BatchId,
        origin: Origin,
        records: &Records,
        is_current: bool,
        bad: bool,
    ) {
        let unreached = [Answer::Throttled, Answer::NoCapacity, Answer::Refused, Answer::Lost];
        if bad || !is_current {
            let which = usize::try_from(self.dice.below(5)).unwrap();
            let answer = unreached.get(which).copied().unwrap_or(Answer::FunctionFailed);
            return self.step(Input::BatchAnswered { shard, batch, answer, state_bytes: 0 });
        }
        let partial = self.settings.report_batch_item_failures;
        let low_water = !self.is_per_record() || origin != Origin::Source;
        let faults = self.faults;
        let stream = self.stream(shard);
        let places = stream.places(origin, records);
        let poisoned = |place: &usize| faults && stream.records[*place].poison;
        let failed: Vec<Sequence> = records
            .iter()
            .zip(&places)
            .filter(|(_, place)| poisoned(place))
            .map(|(record, _)| record)
            .collect();
        let (answer, done): (_, Vec<usize>) = match (failed.first(), partial) {
            (None, _) => (Answer::Succeeded, places),
            (Some(_), false) => (Answer::FunctionFailed, Vec::new()),
            (Some(first), true) => {
                let is_done = |record: &Sequence| {
                    if low_water { record < first } else { !failed.contains(record) }
                };
                let pairs = records.iter().zip(&places).filter(|(record, _)| is_done(record));
                (Answer::Partial { failed: &failed }, pairs.map(|(_, place)| *place).collect())
            }
        };
        done.into_iter().for_each(|place| stream.done(place));
        self.step(Input::BatchAnswered { shard, batch, answer, state_bytes: 0 });
    }

    /// Time goes on: to the deadline, beyond it, or a little.
    fn wait(&mut self) {
        self.now = match (self.poll.next_deadline(), self.dice.below(4)) {
            (Some(at), 0 | 1) => at,
            (Some(at), 2) => at + self.dice.below(100),
            _ => self.now + self.dice.below(30),
        };
        self.step(Input::Tick);
    }

    fn source_goes(&mut self) {
        if self.owed.iter().any(|(effect, _)| matches!(effect, Effect::Connect)) || !self.is_up() {
            return;
        }
        self.owed.retain(|(effect, _)| !matches!(effect, Effect::Receive { .. }));
        if !self.settings.survives_reconnect {
            let per_record = self.is_per_record();
            self.streams.iter_mut().for_each(|stream| stream.rewind(per_record));
            // Verdicts that are on their way do not arrive.
            for (effect, _) in &mut self.owed {
                if let Effect::Settle { verdicts, .. } = effect {
                    verdicts.clear();
                }
            }
        }
        self.step(Input::SourceGone);
    }

    fn is_up(&self) -> bool {
        self.poll.link.is_up()
    }

    fn unpark(&mut self) {
        let shard = ShardId(u32::try_from(self.dice.below(u64::from(SHARDS))).unwrap());
        let most = 1 + usize::try_from(self.dice.below(4)).unwrap();
        let stream = self.stream(shard);
        let key = stream.park.iter().find(|(_, places)| !places.is_empty()).map(|(key, _)| *key);
        let Some(key) = key.filter(|_| stream.is_open && !stream.is_revoked) else { return };
        let records = stream.give(key, most);
        if !records.is_empty() {
            self.step(Input::Unpark { shard, key: Key(key), dropped: 0, records: &records });
        }
    }

    fn shard_moves(&mut self) {
        let shard = ShardId(u32::try_from(self.dice.below(u64::from(SHARDS))).unwrap());
        if self.stream(shard).is_open {
            self.stream(shard).is_revoked = true;
            self.step(Input::ShardRevoked { shard });
        } else {
            self.open(shard);
        }
    }
}

/// One run: faults, then none, then the end. Returns the hash of all effects.
fn run(seed: u64, order: Order, settling: Settling) -> u64 {
    let mut dice = Dice::new(seed ^ 0x5eed);
    let settings = settings(&mut dice, seed, order, settling);
    let mut world = World::new(seed, settings);
    world.crash();
    for _ in 0..STEPS {
        match world.dice.below(60) {
            0 => world.step(Input::Pause),
            1 | 2 => world.step(Input::Resume),
            3 => world.source_goes(),
            4 if world.dice.one_in(3) => world.crash(),
            5 | 6 => world.unpark(),
            7 => world.shard_moves(),
            8..=20 => world.wait(),
            _ if world.owed.is_empty() => world.wait(),
            _ => world.answer(),
        }
    }
    world.faults = false;
    world.step(Input::Resume);
    finish(&mut world);
    world.streams.iter().for_each(super::world::Stream::judge_end);
    world.step(Input::Stop);
    while !world.stopped {
        assert!(!world.owed.is_empty(), "neither stopped nor waiting for anything");
        world.answer();
    }
    assert_eq!(world.poll.next_deadline(), None);
    world.trace()
}

/// Without faults everything comes to its end.
fn finish(world: &mut World) {
    let per_record = world.is_per_record();
    let mut patience = 20_000;
    while !world.streams.iter().all(|stream| stream.is_settled(per_record)) || !world.owed_is_idle()
    {
        for shard in (0..SHARDS).map(ShardId) {
            if !world.stream(shard).is_open {
                world.open(shard);
            }
        }
        match world.dice.below(4) {
            0 => world.unpark(),
            1 => world.wait(),
            _ if world.owed.is_empty() => world.wait(),
            _ => world.answer(),
        }
        patience -= 1;
        assert!(patience > 0, "not everything was settled: {:#?}", world.streams);
    }
}

impl World {
    /// Nothing is under way but receives.
    fn owed_is_idle(&self) -> bool {
        self.owed.iter().all(|(effect, _)| matches!(effect, Effect::Receive { .. }))
    }
}

fn judge(order: Order, settling: Settling) {
    for seed in 0..SEEDS {
        let judged =
            std::panic::catch_unwind(|| (run(seed, order, settling), run(seed, order, settling)));
        let (once, twice) = judged.unwrap_or_else(|_| panic!("seed {seed}"));
        assert_eq!(once, twice, "seed {seed} is not deterministic");
    }
}

macro_rules! simulations {
    ($($name:ident, $order:ident, $settling:ident;)*) => {
        $(#[test]
        fn $name() {
            judge(Order::$order, Settling::$settling);
        })*
    };
}

simulations! {
    a_stream_without_order, None, LowWater;
    a_stream_in_strict_order, Shard, LowWater;
    a_stream_with_keys, Key, LowWater;
    a_queue_without_order, None, PerRecord;
    a_queue_in_strict_order, Shard, PerRecord;
    a_queue_with_groups, Key, PerRecord;
}

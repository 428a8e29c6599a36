//! A source, a park, a destination and a function that misbehave in every allowed way, and the ledger that
//! judges what the mapping did with them: order (I6), checkpoints and verdicts (I7), nothing lost.
//! Who drives it is `simulation.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    BatchId, Effect, Fact, Input, Key, Millis, Order, Origin, ParkedKey, Poll, RecordMeta, Records,
    Sequence, Settings, Settling, ShardId, Span, Verdict,
};

pub(super) const SHARDS: u32 = 2;
pub(super) const RECORDS: usize = 60;
const KEYS: u64 = 4;
pub(super) const BYTES_MAX: u64 = 100;

/// Numbers from a seed (xorshift64*); the engine itself draws none.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    pub(super) fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }
}

/// A record in the source, and what is true of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) key: u64,
    bytes: u64,
    filtered: bool,
    pub(super) poison: bool,
    /// The function took it, so many times.
    done: u32,
    /// How often it may be taken: once, and once more for each time that its end was forgotten.
    allowed: u32,
    /// The destination has word of it.
    rejected: bool,
    /// It is in the park, or was.
    parked: bool,
    /// It was sent on its way to one of these ends; the next of its key may start.
    over: bool,
    started: bool,
    /// The source needs no further word of it.
    settled: bool,
    /// In hand of the poller, where verdicts are given for each record.
    in_hand: bool,
}

/// A shard as the outside knows it.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) records: Vec<Record>,
    /// Place of each sequence that the engine was told of.
    told: Vec<usize>,
    cursor: usize,
    pub(super) checkpoint: usize,
    /// Places of parked records by key; the first so many were given back.
    pub(super) park: BTreeMap<u64, VecDeque<usize>>,
    pub(super) given: BTreeMap<u64, usize>,
    last_given: usize,
    /// Place of each sequence of the records that came back from the park.
    returned: Vec<usize>,
    /// Keys that were parked: their records are set aside while others go on.
    parked_keys: BTreeSet<u64>,
    pub(super) is_open: bool,
    pub(super) is_revoked: bool,
    pub(super) generation: u32,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) poll: Poll,
    asked: Settings,
    /// As the engine understands them.
    pub(super) settings: Settings,
    pub(super) dice: Dice,
    pub(super) now: Millis,
    /// What the shell owes an answer to, and of which generation of its shard it is.
    pub(super) owed: VecDeque<(Effect, u32)>,
    pub(super) streams: Vec<Stream>,
    pub(super) stopped: bool,
    pub(super) faults: bool,
    shut_until: Millis,
    trace: u64,
    /// The last steps, for whoever reads of a failure.
    history: VecDeque<String>,
}

const HISTORY_MAX: usize = 100;

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let history: Vec<_> = self.history.drain(..).collect();
            eprintln!("{:#?}\n{}", self.settings, history.join("\n"));
        }
    }
}

impl World {
    pub(super) fn new(seed: u64, settings: Settings) -> Self {
        let (mut dice, asked) = (Dice::new(seed), settings);
        let settings = settings.normal();
        let streams = (0..SHARDS).map(|_| Stream::new(&mut dice)).collect();
        Self {
            poll: Poll::new(asked),
            asked,
            settings,
            dice,
            now: 0,
            owed: VecDeque::new(),
            streams,
            stopped: false,
            faults: true,
            shut_until: 0,
            trace: seed,
            history: VecDeque::new(),
        }
    }

    pub(super) const fn trace(&self) -> u64 {
        self.trace
    }

    pub(super) fn is_per_record(&self) -> bool {
        self.settings.settling == Settling::PerRecord
    }

    pub(super) fn stream(&mut self, shard: ShardId) -> &mut Stream {
        &mut self.streams[usize::try_from(shard.0).unwrap()]
    }

    pub(super) fn step(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.poll.step(self.now, input, &mut out);
        self.history.push_back(format!("{} {input:?} -> {out:?}", self.now));
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
        assert_eq!(self.poll.broken_invariant(), None, "after {input:?}");
        for effect in out {
            for byte in format!("{} {effect:?}", self.now).bytes() {
                self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            self.judge(effect);
        }
    }

    /// Opens a shard from what is durable.
    pub(super) fn open(&mut self, shard: ShardId) {
        let per_record = self.is_per_record();
        let stream = self.stream(shard);
        stream.reset(per_record);
        (stream.is_open, stream.is_revoked) = (true, false);
        stream.generation += 1;
        let park = stream.park.iter().filter(|(_, places)| !places.is_empty());
        let parked: Vec<_> = park
            .map(|(key, places)| ParkedKey { key: Key(*key), records: places.len() as u64 })
            .collect();
        self.step(Input::ShardOpened { shard, lease_ms: None, parked: &parked, window: None });
    }

    /// The process dies; a new one begins from what is durable.
    pub(super) fn crash(&mut self) {
        self.poll = Poll::new(self.asked);
        self.owed.clear();
        self.shut_until = 0;
        self.streams.iter_mut().for_each(|stream| stream.is_open = false);
        self.step(Input::Tick);
        for shard in 0..SHARDS {
            self.open(ShardId(shard));
        }
    }

    fn judge(&mut self, effect: Effect) {
        assert!(!self.stopped, "an effect after the end: {effect:?}");
        let mut shard = ShardId(0);
        match &effect {
            Effect::Fact(fact) => return self.judge_fact(fact),
            Effect::Stopped => {
                self.stopped = true;
                return;
            }
            Effect::ShardReleased { shard } => {
                let released = self.stream(*shard);
                released.is_open = false;
                return;
            }
            Effect::Connect => {}
            Effect::Receive { shard: of, records_max, bytes_max, .. } => {
                shard = *of;
                assert!(*records_max > 0 && *bytes_max > 0);
                assert!(self.now >= self.shut_until, "records were fetched while throttled");
            }
            Effect::Invoke { shard: of, batch, origin, records, .. } => {
                shard = *of;
                self.judge_invoke(*of, *batch, *origin, records);
            }
            Effect::Settle { shard: of, verdicts, .. } => {
                shard = *of;
                verdicts
                    .iter()
                    .for_each(|(span, verdict)| self.judge_verdict(*of, *span, *verdict));
            }
            Effect::StoreCheckpoint { shard: of, through, .. } => {
                shard = *of;
                self.judge_checkpoint(*of, *through);
            }
            Effect::DeliverFailure { shard: of, failure, .. } => {
                shard = *of;
                let (origin, records) = (failure.origin, failure.records.clone());
                let stream = self.stream(*of);
                for place in stream.places(origin, &records) {
                    stream.records[place].over = true;
                }
            }
            Effect::Park { shard: of, key, records, .. } => {
                shard = *of;
                let stream = self.stream(*of);
                stream.parked_keys.insert(key.0);
                for place in stream.places(Origin::Source, records) {
                    assert_eq!(stream.records[place].key, key.0);
                    stream.records[place].over = true;
                }
            }
            Effect::UnparkSettled { shard: of, .. } | Effect::FinishShard { shard: of } => {
                shard = *of;
            }
        }
        let generation = self.stream(shard).generation;
        self.owed.push_back((effect, generation));
    }

    fn judge_fact(&mut self, fact: &Fact) {
        match fact {
            Fact::OutOfTurn { input } => panic!("{input} was in turn"),
            Fact::GateShut { probe_at } => self.shut_until = *probe_at,
            Fact::UnparkRefused { shard, key } => self.stream(*shard).not_given(key.0),
            Fact::UnparkEnded { shard, key, left, .. } => {
                let stream = self.stream(*shard);
                stream.given.insert(key.0, 0);
                if *left == 0 {
                    stream.parked_keys.remove(&key.0);
                }
            }
            _ => {}
        }
    }

    /// I6: no record starts before its predecessor ended, no two batches of one order run at a time.
    fn judge_invoke(&mut self, shard: ShardId, batch: BatchId, origin: Origin, records: &Records) {
        let (order, limit) = (self.settings.order, self.settings.maximum_concurrency);
        let generation = self.stream(shard).generation;
        let running = self.running();
        assert!(running.len() < usize::try_from(limit).unwrap(), "{batch} is one too many");
        let lanes = |stream: &Stream, origin, records: &Records| -> BTreeSet<u64> {
            let places = stream.places(origin, records).into_iter();
            match order {
                Order::None => BTreeSet::new(),
                Order::Shard => places.map(|_| 0).collect(),
                Order::Key => places.map(|place| stream.records[place].key).collect(),
            }
        };
        let stream = &self.streams[usize::try_from(shard.0).unwrap()];
        let mine = lanes(stream, origin, records);
        for (of, other, other_origin, other_records, other_generation) in &running {
            assert_ne!(*other, batch, "{batch} is under way already");
            if *of == shard && *other_generation == generation {
                let theirs = lanes(stream, *other_origin, other_records);
                assert!(mine.is_disjoint(&theirs), "{batch} and {other} run at a time");
            }
        }
        let places = stream.places(origin, records);
        let of_lane = |lane: &u64| -> Vec<usize> {
            let is_in =
                |place: &&usize| order != Order::Key || stream.records[**place].key == *lane;
            places.iter().filter(is_in).copied().collect()
        };
        let in_order = |lane: &u64| of_lane(lane).windows(2).all(|pair| pair[0] < pair[1]);
        // A record that was parked twice comes back twice, the second time behind younger ones.
        let may_repeat = origin != Origin::Source;
        assert!(may_repeat || mine.iter().all(in_order), "{batch} is out of order");
        let bytes: u64 = places.iter().map(|place| stream.records[*place].bytes + 1).sum();
        assert!(bytes <= BYTES_MAX + 1, "{batch} has {bytes} bytes");
        for place in &places {
            stream.judge_start(order, origin, *place, &places);
        }
        let stream = self.stream(shard);
        places.into_iter().for_each(|place| stream.records[place].started = true);
    }

    fn running(&self) -> Vec<(ShardId, BatchId, Origin, Records, u32)> {
        let running = self.owed.iter().filter_map(|(effect, generation)| match effect {
            Effect::Invoke { shard, batch, origin, records, .. } => {
                Some((*shard, *batch, *origin, records.clone(), *generation))
            }
            _ => None,
        });
        running.collect()
    }

    fn judge_verdict(&mut self, shard: ShardId, span: Span, verdict: Verdict) {
        let stream = self.stream(shard);
        for record in span.iter() {
            let place = stream.told[usize::try_from(record.0).unwrap()];
            let record = &stream.records[place];
            let is_true = match verdict {
                Verdict::Done => record.done > 0,
                Verdict::Filtered => record.filtered,
                Verdict::Rejected => record.rejected,
                Verdict::Parked => record.parked,
                Verdict::Failed | Verdict::Released | Verdict::Held => !record.settled,
            };
            assert!(is_true, "{place} was not {verdict:?}: {record:?}");
        }
    }

    /// I7: the checkpoint never passes a record without outcome.
    fn judge_checkpoint(&mut self, shard: ShardId, through: Option<Sequence>) {
        let stream = self.stream(shard);
        let Some(through) = through else { return };
        let place = stream.told[usize::try_from(through.0).unwrap()];
        for (at, record) in stream.records[..=place].iter().enumerate() {
            let has_ended = record.done > 0 || record.filtered || record.rejected || record.parked;
            assert!(has_ended, "the checkpoint {place} passes {at}: {record:?}");
        }
    }

    pub(super) fn metas(&mut self, shard: ShardId, records_max: u32) -> Vec<RecordMeta> {
        let (per_record, order, now) = (self.is_per_record(), self.settings.order, self.now);
        let most = self.dice.below(u64::from(records_max.min(8)) + 1);
        let stream = self.stream(shard);
        let places = if per_record {
            stream.visible(order, most)
        } else {
            let end = stream.records.len().min(stream.cursor + usize::try_from(most).unwrap());
            (std::mem::replace(&mut stream.cursor, end)..end).collect()
        };
        let mut metas = Vec::new();
        for place in places {
            stream.told.push(place);
            let record = &mut stream.records[place];
            record.in_hand = true;
            record.over |= record.filtered;
            let Record { key, bytes, filtered, .. } = *record;
            metas.push(RecordMeta { bytes, arrived_at: now, key: Key(key), filtered });
        }
        metas
    }
}

impl Stream {
    fn new(dice: &mut Dice) -> Self {
        let record = |dice: &mut Dice| Record {
            key: dice.below(KEYS),
            bytes: if dice.one_in(20) { BYTES_MAX + 1 } else { 1 + dice.below(40) },
            filtered: dice.one_in(6),
            poison: dice.one_in(12),
            allowed: 1,
            ..Record::default()
        };
        let records = (0..RECORDS).map(|_| record(dice)).collect();
        Self { records, ..Self::default() }
    }

    /// Everything that is not durable is forgotten.
    fn reset(&mut self, per_record: bool) {
        self.told.clear();
        self.given.clear();
        self.returned.clear();
        self.parked_keys =
            self.park.iter().filter(|(_, p)| !p.is_empty()).map(|(key, _)| *key).collect();
        self.cursor = self.checkpoint;
        for (place, record) in self.records.iter_mut().enumerate() {
            let forgotten = if per_record { !record.settled } else { place >= self.checkpoint };
            record.in_hand = false;
            record.allowed += u32::from(forgotten && (record.done > 0 || record.parked));
        }
        // What came back from the park and was not told to it comes back again.
        for place in self.park.values().flatten() {
            self.records[*place].allowed += 1;
        }
    }

    /// The source was built anew and gives what has no durable end again, under new sequences.
    pub(super) fn rewind(&mut self, per_record: bool) {
        self.cursor = self.checkpoint;
        for (place, record) in self.records.iter_mut().enumerate() {
            let forgotten = if per_record { !record.settled } else { place >= self.checkpoint };
            record.in_hand = false;
            record.allowed += u32::from(forgotten);
        }
    }

    pub(super) fn places(&self, origin: Origin, records: &Records) -> Vec<usize> {
        let at = |record: Sequence| usize::try_from(record.0).unwrap();
        match origin {
            Origin::Source => records.iter().map(|record| self.told[at(record)]).collect(),
            Origin::Park(_) => records.iter().map(|record| self.returned[at(record)]).collect(),
        }
    }

    /// What a queue gives: of a group with a record in hand nothing.
    fn visible(&self, order: Order, most: u64) -> Vec<usize> {
        let group = |record: &Record| match order {
            Order::None => None,
            Order::Shard => Some(0),
            Order::Key => Some(record.key),
        };
        let busy: BTreeSet<_> =
            self.records.iter().filter(|r| r.in_hand && !r.settled).filter_map(group).collect();
        let is_free = |record: &Record| group(record).is_none_or(|group| !busy.contains(&group));
        let free = self.records.iter().enumerate().filter(|(_, r)| !r.settled && !r.in_hand);
        let places = free.filter(|(_, record)| is_free(record)).map(|(place, _)| place);
        places.take(usize::try_from(most).unwrap()).collect()
    }

    fn judge_start(&self, order: Order, origin: Origin, place: usize, together: &[usize]) {
        let record = &self.records[place];
        assert!(!record.filtered && record.bytes <= BYTES_MAX, "{place} must never be sent");
        let precedes = |(at, other): &(usize, &Record)| {
            let same = match order {
                Order::None => false,
                // What comes back from the park is in order with its key alone.
                Order::Shard => origin == Origin::Source || other.key == record.key,
                Order::Key => other.key == record.key,
            };
            same && *at < place && !together.contains(at)
        };
        for (at, other) in self.records.iter().enumerate().filter(precedes) {
            let aside = order == Order::Shard && self.parked_keys.contains(&other.key);
            assert!(
                other.over || aside || record.started,
                "{place} starts before {at} has ended: {other:?}"
            );
        }
        let is_parked = self.park.get(&record.key).is_some_and(|places| !places.is_empty());
        if order == Order::Key && origin == Origin::Source {
            assert!(!is_parked, "{place} overtakes parked records of its key");
        }
    }

    /// What the function took.
    pub(super) fn done(&mut self, place: usize) {
        let record = &mut self.records[place];
        record.done += 1;
        record.over = true;
        assert!(record.done <= record.allowed, "{place} was taken too often: {record:?}");
    }

    pub(super) fn rejected(&mut self, place: usize) {
        self.records[place].rejected = true;
    }

    pub(super) fn set_aside(&mut self, place: usize) {
        let record = &mut self.records[place];
        record.parked = true;
        record.allowed += 1;
        self.park.entry(record.key).or_default().push_back(place);
    }

    pub(super) fn take_back(&mut self, key: u64, count: u64) {
        let count = usize::try_from(count).unwrap();
        self.park.get_mut(&key).unwrap().drain(..count);
        let given = self.given.entry(key).or_default();
        *given = given.saturating_sub(count);
    }

    /// Gives parked records of a key back that were not given yet.
    pub(super) fn give(&mut self, key: u64, most: usize) -> Vec<RecordMeta> {
        let given = self.given.entry(key).or_default();
        let Some(park) = self.park.get(&key) else { return Vec::new() };
        let places: Vec<_> = park.iter().copied().skip(*given).take(most).collect();
        *given += places.len();
        self.last_given = places.len();
        let meta = |place: &usize| {
            let Record { key, bytes, .. } = self.records[*place];
            RecordMeta { bytes, arrived_at: 0, key: Key(key), filtered: false }
        };
        let metas = places.iter().map(meta).collect();
        self.returned.extend(places);
        metas
    }

    /// The records that were given last were not taken.
    fn not_given(&mut self, key: u64) {
        let given = self.given.entry(key).or_default();
        *given = given.saturating_sub(self.last_given);
        self.returned.truncate(self.returned.len() - self.last_given);
    }

    pub(super) fn settle(&mut self, record: Sequence, verdict: Verdict) {
        let place = self.told[usize::try_from(record.0).unwrap()];
        let record = &mut self.records[place];
        match verdict {
            Verdict::Held => {}
            Verdict::Failed | Verdict::Released => record.in_hand = false,
            Verdict::Done | Verdict::Filtered | Verdict::Rejected | Verdict::Parked => {
                (record.in_hand, record.settled) = (false, true);
            }
        }
    }

    pub(super) fn store(&mut self, through: Option<Sequence>) {
        if let Some(through) = through {
            let place = self.told[usize::try_from(through.0).unwrap()];
            self.checkpoint = self.checkpoint.max(place + 1);
        }
    }

    /// Everything has an end that is durable, and nothing is parked.
    pub(super) fn is_settled(&self, per_record: bool) -> bool {
        let all = if per_record {
            self.records.iter().all(|record| record.settled)
        } else {
            self.checkpoint == self.records.len()
        };
        all && self.park.values().all(VecDeque::is_empty)
    }

    pub(super) fn judge_end(&self) {
        for (place, record) in self.records.iter().enumerate() {
            let is_lost = !record.filtered && record.done == 0 && !record.rejected;
            assert!(!is_lost, "{place} was lost: {record:?}");
        }
    }
}

//! A shell that misbehaves in every allowed way, driven by a seed, and the ledger that judges what the
//! shard did: order (I6), the checkpoint (I7), attempts (I2), nothing left behind once the faults end
//! (I10). Each seed runs twice and must do the same.

use std::collections::VecDeque;

use crate::{
    Answer, Backoff, BatchId, BatchLimits, Effect, Fact, Input, Millis, RecordMeta, Sequence,
    Settings, Shard, Span, Verdict,
};

const SEEDS: u64 = 400;
const STEPS: u64 = 600;
const BYTES_MAX: u64 = 100;

/// Numbers from a seed (xorshift64*); the shard itself draws none.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// What the shell owes an answer to, and what it knows to be true of the records.
struct World {
    shard: Shard,
    dice: Dice,
    now: Millis,
    owed: VecDeque<Effect>,
    lengths: Vec<u64>,
    /// Records before this one have ended; before the other, durably.
    ended: u64,
    stored: u64,
    sending: Option<(BatchId, u32, Span)>,
    last_attempt: Option<(BatchId, u32, bool)>,
    stopped: bool,
    trace: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let records_max = 1 + u32::try_from(dice.below(5)).unwrap();
        let window_ms = [0, 0, 40, 300][usize::try_from(dice.below(4)).unwrap()];
        let batch = BatchLimits::new(records_max, window_ms).unwrap().with_bytes_max(BYTES_MAX);
        let not_reached = Backoff::NOT_REACHED.capped(4_000);
        let settings =
            Settings { not_reached, receive_wait_ms: 50, salt: seed, ..Settings::new(batch) };
        Self {
            shard: Shard::new(settings),
            dice,
            now: 0,
            owed: VecDeque::new(),
            lengths: Vec::new(),
            ended: 0,
            stored: 0,
            sending: None,
            last_attempt: None,
            stopped: false,
            trace: seed,
        }
    }

    fn step(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.shard.step(self.now, input, &mut out);
        assert_eq!(self.shard.broken_invariant(self.now), None);
        for effect in out {
            self.hash(&effect);
            self.judge(effect);
        }
    }

    fn hash(&mut self, effect: &Effect) {
        for byte in format!("{} {effect:?}", self.now).bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The ledger: every effect against what must be true.
    fn judge(&mut self, effect: Effect) {
        assert!(!self.stopped, "an effect after the end: {effect:?}");
        match effect {
            Effect::Invoke { batch, attempt, records } => {
                self.judge_invoke(batch, attempt, records)
            }
            Effect::StoreCheckpoint { records, verdict } => self.judge_store(records, verdict),
            Effect::Receive { records_max, bytes_max, .. } => {
                assert!(records_max > 0 && bytes_max > 0);
                assert!(self.sending.is_none(), "records were fetched without room to send them");
            }
            Effect::Fact(Fact::OutOfTurn { input }) => panic!("{input} was in turn"),
            Effect::Stopped => self.stopped = true,
            Effect::Connect | Effect::Fact(_) => {}
        }
        if !matches!(effect, Effect::Fact(_) | Effect::Stopped) {
            self.owed.push_back(effect);
        }
    }

    fn judge_invoke(&mut self, batch: BatchId, attempt: u32, records: Span) {
        assert_eq!(self.sending, None, "two batches in flight");
        assert_eq!(records.first.0, self.ended, "out of order");
        assert_eq!(self.stored, self.ended, "sent before the checkpoint was durable");
        let lengths = &self.lengths[index(records.first)..index(records.end)];
        let bytes = lengths.iter().sum::<u64>() + records.count() - 1;
        assert!(bytes <= BYTES_MAX, "{bytes} bytes in {records}");
        if let Some((last, spent, failed)) = self.last_attempt.filter(|(last, ..)| *last == batch) {
            assert_eq!(attempt, spent + u32::from(failed), "attempts of {last}");
        } else {
            assert_eq!(attempt, 1);
        }
        self.sending = Some((batch, attempt, records));
    }

    fn judge_store(&mut self, records: Span, verdict: Verdict) {
        assert_eq!(records.first.0, self.stored, "a checkpoint that leaves a gap");
        if verdict == Verdict::Rejected {
            let lengths = &self.lengths[index(records.first)..index(records.end)];
            assert!(lengths.iter().all(|length| *length > BYTES_MAX));
            self.ended = records.end.0;
        }
        assert_eq!(records.end.0, self.ended, "a checkpoint past a record without outcome");
    }

    /// Answers something that is owed: badly in one of `fault_in` cases, never if it is 0.
    fn answer(&mut self, fault_in: u64) {
        let at = self.dice.below(self.owed.len() as u64);
        let effect = self.owed.remove(usize::try_from(at).unwrap()).unwrap();
        let bad = fault_in > 0 && self.dice.below(fault_in) == 0;
        match effect {
            Effect::Connect | Effect::Receive { .. } if bad => self.step(Input::SourceGone),
            Effect::Connect => self.step(Input::SourceBack),
            Effect::Receive { records_max, .. } => self.read(records_max),
            Effect::Invoke { batch, attempt, records } => {
                let answer = if bad { self.bad_answer() } else { Answer::Succeeded };
                self.sending = None;
                self.last_attempt = Some((batch, attempt, answer == Answer::FunctionFailed));
                if answer == Answer::Succeeded {
                    self.ended = records.end.0;
                }
                self.step(Input::InvocationAnswered { batch, answer });
            }
            Effect::StoreCheckpoint { .. } if bad => self.step(Input::CheckpointFailed),
            Effect::StoreCheckpoint { records, .. } => {
                self.stored = records.end.0;
                self.step(Input::CheckpointStored);
            }
            Effect::Stopped | Effect::Fact(_) => unreachable!("nobody owes an answer to these"),
        }
    }

    fn bad_answer(&mut self) -> Answer {
        use Answer as A;
        let all = [A::FunctionFailed, A::Throttled, A::NoCapacity, A::Refused, A::Lost];
        all[usize::try_from(self.dice.below(5)).unwrap()]
    }

    fn read(&mut self, records_max: u32) {
        let count = self.dice.below(u64::from(records_max) + 1);
        let records: Vec<_> = (0..count)
            .map(|_| {
                let large = self.dice.below(10) == 0;
                let bytes = if large { 90 + self.dice.below(20) } else { 1 + self.dice.below(40) };
                RecordMeta { bytes, age_ms: 0 }
            })
            .collect();
        self.lengths.extend(records.iter().map(|record| record.bytes));
        self.step(Input::RecordsRead { records: &records });
    }

    /// Time goes on: to the deadline, beyond it, or a little.
    fn wait(&mut self) {
        let deadline = self.shard.next_deadline();
        self.now = match (deadline, self.dice.below(4)) {
            (Some(at), 0 | 1) => at,
            (Some(at), 2) => at + self.dice.below(100),
            _ => self.now + self.dice.below(30),
        };
        self.step(Input::Tick);
    }
}

fn index(sequence: Sequence) -> usize {
    usize::try_from(sequence.0).unwrap()
}

/// One run: faults, then none, then the end. Returns the hash of all effects.
fn run(seed: u64) -> u64 {
    let mut world = World::new(seed);
    world.step(Input::Tick);
    for _ in 0..STEPS {
        match world.dice.below(20) {
            0 => world.step(Input::Pause),
            1 | 2 => world.step(Input::Resume),
            3..=8 => world.wait(),
            _ if world.owed.is_empty() => world.wait(),
            _ => world.answer(3),
        }
    }
    world.step(Input::Resume);
    let read = world.lengths.len() as u64;
    let mut patience = 10_000;
    while world.stored < read || world.sending.is_some() {
        if world.owed.is_empty() {
            world.wait()
        } else {
            world.answer(0)
        }
        patience -= 1;
        assert!(patience > 0, "{} of {read} records settled", world.stored);
    }
    world.step(Input::Stop);
    while !world.stopped {
        assert!(!world.owed.is_empty(), "neither stopped nor waiting for anything");
        world.answer(3);
    }
    assert_eq!(world.shard.next_deadline(), None);
    assert!(world.shard.stored_end().0 >= read);
    world.trace
}

#[test]
fn whatever_the_world_does_order_and_checkpoints_hold() {
    for seed in 0..SEEDS {
        let judged = std::panic::catch_unwind(|| (run(seed), run(seed)));
        let (once, twice) = judged.unwrap_or_else(|_| panic!("seed {seed}"));
        assert_eq!(once, twice, "seed {seed} is not deterministic");
    }
}

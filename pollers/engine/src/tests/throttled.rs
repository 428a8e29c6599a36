//! Ten minutes without concurrency cost nothing (users.md A1, bar 3 of the issue): no attempt is spent, nothing
//! goes back to the source, nothing is fetched, and every lease is extended before half of it has passed.

use std::collections::BTreeMap;

use crate::{
    Answer, BatchLimits, Effect, Input, Key, Millis, Order, Poll, RecordMeta, RetriedBy, Sequence,
    Settings, Settling, ShardId, Verdict,
};

const LEASE_MS: Millis = 30_000;
const TEN_MINUTES: Millis = 600_000;
const SHARD: ShardId = ShardId(0);

fn queue(order: Order) -> Settings {
    Settings {
        order,
        settling: Settling::PerRecord,
        retried_by: RetriedBy::Source,
        batches_per_shard_max: 10,
        maximum_concurrency: 5,
        source_lease_ms: Some(LEASE_MS),
        ..Settings::new(BatchLimits::new(10, 0).unwrap())
    }
}

struct Shell {
    poll: Poll,
    now: Millis,
    /// When the source last heard of a record.
    heard: BTreeMap<Sequence, Millis>,
    invoked: Vec<Effect>,
    invocations: u64,
}

impl Shell {
    fn new(settings: Settings, records: u64) -> Self {
        let (heard, invoked) = (BTreeMap::new(), Vec::new());
        let mut shell = Self { poll: Poll::new(settings), now: 1, heard, invoked, invocations: 0 };
        let open = Input::ShardOpened { shard: SHARD, lease_ms: None, parked: &[], window: None };
        for input in [Input::Tick, Input::SourceConnected, open] {
            shell.step(input, true);
        }
        let meta = |key| RecordMeta { bytes: 1_000, arrived_at: 1, key: Key(key), filtered: false };
        let metas: Vec<_> = (0..records).map(|number| meta(number % 7)).collect();
        shell.heard = (0..records).map(|number| (Sequence(number), 1)).collect();
        shell.step(Input::RecordsRead { shard: SHARD, records: &metas }, true);
        shell
    }

    fn step(&mut self, input: Input<'_>, may_fetch: bool) {
        let mut out = Vec::new();
        self.poll.step(self.now, input, &mut out);
        for effect in out {
            match effect {
                Effect::Receive { .. } => assert!(may_fetch, "fetched while throttled"),
                Effect::Invoke { attempt, .. } => {
                    assert_eq!(attempt, 1, "an attempt was spent");
                    self.invocations += 1;
                    self.invoked.push(effect);
                }
                Effect::Settle { ticket, verdicts, .. } => {
                    for (span, verdict) in verdicts {
                        assert_eq!(verdict, Verdict::Held, "{span} left the hand");
                        span.iter().for_each(|record| self.hear(record));
                    }
                    self.step(Input::Settled { shard: SHARD, ticket }, may_fetch);
                }
                _ => {}
            }
        }
    }

    fn hear(&mut self, record: Sequence) {
        let silent = self.now - self.heard.insert(record, self.now).unwrap();
        assert!(silent < LEASE_MS / 2, "{record} was not extended for {silent} ms");
    }

    fn refuse_all(&mut self) {
        while let Some(effect) = self.invoked.pop() {
            let Effect::Invoke { batch, .. } = effect else { continue };
            let answer =
                if self.now.is_multiple_of(2) { Answer::Throttled } else { Answer::NoCapacity };
            self.step(Input::BatchAnswered { shard: SHARD, batch, answer, state_bytes: 0 }, false);
        }
    }
}

fn survives_ten_minutes(order: Order) {
    let mut shell = Shell::new(queue(order), 60);
    let sent = shell.invocations;
    assert!(sent >= 1);
    shell.refuse_all();
    while shell.now < TEN_MINUTES {
        shell.now = shell.poll.next_deadline().unwrap();
        shell.step(Input::Tick, false);
        shell.refuse_all();
    }
    let probes = shell.invocations - sent;
    assert!((5..20).contains(&probes), "{probes} probes in ten minutes");
    assert_eq!(shell.heard.len(), 60);
    for (record, heard) in &shell.heard {
        assert!(shell.now - heard < LEASE_MS / 2, "{record} was forgotten");
    }
    assert_eq!(shell.poll.in_hand(SHARD), Some(60));
}

#[test]
fn a_queue_without_order() {
    survives_ten_minutes(Order::None);
}

#[test]
fn a_queue_with_groups() {
    survives_ten_minutes(Order::Key);
}

#[test]
fn a_queue_in_strict_order() {
    survives_ten_minutes(Order::Shard);
}

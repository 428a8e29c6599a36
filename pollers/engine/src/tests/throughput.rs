//! One slow key in ten: key lanes give at least five times the throughput of the shard's order (bar 4 of
//! the issue), in virtual time.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Answer, BatchId, BatchLimits, Effect, Input, Key, Millis, Order, Poll, RecordMeta, Sequence,
    Settings, ShardId,
};

const RECORDS: u64 = 20_000;
const KEYS: u64 = 10;
const SHARD: ShardId = ShardId(0);
const FAST_MS: Millis = 2;
const SLOW_MS: Millis = 100;

/// How long it takes until every record has ended. A batch takes as long as its slowest key.
fn drain(settings: Settings) -> Millis {
    let mut poll = Poll::new(settings);
    let mut running: BTreeSet<(Millis, BatchId)> = BTreeSet::new();
    let mut sent: BTreeMap<BatchId, Vec<Sequence>> = BTreeMap::new();
    let (mut now, mut read, mut ended) = (0, 0, 0);
    let mut out = Vec::new();
    poll.step(now, Input::Tick, &mut out);
    poll.step(now, Input::SourceConnected, &mut out);
    let open = Input::ShardOpened { shard: SHARD, lease_ms: None, parked: &[], window: None };
    poll.step(now, open, &mut out);
    loop {
        while let Some(effect) = out.pop() {
            match effect {
                Effect::Receive { records_max, .. } if read < RECORDS => {
                    let end = RECORDS.min(read + u64::from(records_max));
                    let metas: Vec<_> = (read..end).map(|n| meta(now, n % KEYS)).collect();
                    read = end;
                    poll.step(now, Input::RecordsRead { shard: SHARD, records: &metas }, &mut out);
                }
                Effect::Invoke { batch, records, .. } => {
                    let is_slow = records.iter().any(|record| record.0 % KEYS == 0);
                    running.insert((now + if is_slow { SLOW_MS } else { FAST_MS }, batch));
                    sent.insert(batch, records.iter().collect());
                }
                Effect::StoreCheckpoint { ticket, .. } => {
                    poll.step(now, Input::CheckpointStored { shard: SHARD, ticket }, &mut out);
                }
                _ => {}
            }
        }
        let Some((at, batch)) = running.pop_first() else { break };
        now = at;
        ended += sent.remove(&batch).unwrap().len() as u64;
        let answer = Answer::Succeeded;
        poll.step(
            now,
            Input::BatchAnswered { shard: SHARD, batch, answer, state_bytes: 0 },
            &mut out,
        );
    }
    assert_eq!(ended, RECORDS);
    now
}

fn meta(now: Millis, key: u64) -> RecordMeta {
    RecordMeta { bytes: 100, arrived_at: now, key: Key(key), filtered: false }
}

#[test]
fn lanes_go_around_a_slow_key() {
    let strict = Settings::new(BatchLimits::new(100, 0).unwrap());
    let lanes = Settings { order: Order::Key, batches_per_shard_max: 10, ..strict };
    let (strict, lanes) = (drain(strict), drain(lanes));
    assert!(strict >= 5 * lanes, "strict order {strict} ms, lanes {lanes} ms");
}

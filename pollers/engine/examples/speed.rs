//! How many records a second the engine decides on, through one shard: `cargo run --release -p trine-poll-engine
//! --example speed`. Sources and functions answer at once; what is measured is the engine alone.

use std::time::Instant;

use trine_poll_engine::{
    Answer, BatchLimits, Effect, Input, Key, Order, Poll, RecordMeta, Settings, Settling, ShardId,
};

const RECORDS: u64 = 4_000_000;
const SHARD: ShardId = ShardId(0);

fn main() {
    let batch = BatchLimits::new(100, 0).unwrap_or_else(|_| unreachable!("100 is a batch size"));
    let strict = Settings::new(batch);
    let lanes = Settings { order: Order::Key, batches_per_shard_max: 10, ..strict };
    let queue = Settings { order: Order::None, settling: Settling::PerRecord, ..lanes };
    let leased = Settings { source_lease_ms: Some(30_000), ..queue };
    let wide = Settings { lookahead_records_max: 100_000, ..lanes };
    run("strict order, checkpoints", strict, 1_000);
    run("lanes of 1000 keys, checkpoints", lanes, 1_000);
    run("lanes of a million keys, lookahead 100000", wide, 1_000_000);
    run("no order, verdicts", queue, 1_000);
    run("no order, verdicts, leases", leased, 1_000);
}

fn run(name: &str, settings: Settings, keys: u64) {
    let mut poll = Poll::new(settings);
    let (mut owed, mut out) = (Vec::new(), Vec::new());
    let (mut read, mut ended, mut now) = (0, 0, 0);
    let mut metas = Vec::new();
    let began = Instant::now();
    poll.step(now, Input::Tick, &mut owed);
    poll.step(now, Input::SourceConnected, &mut owed);
    let open = Input::ShardOpened { shard: SHARD, lease_ms: None, parked: &[], window: None };
    poll.step(now, open, &mut owed);
    while ended < RECORDS {
        let Some(effect) = owed.pop() else { break };
        match effect {
            Effect::Receive { records_max, .. } => {
                metas.clear();
                let end = read + u64::from(records_max);
                metas.extend((read..end).map(|number| RecordMeta {
                    bytes: 1_024,
                    arrived_at: now,
                    key: Key(number.wrapping_mul(0x9e37_79b9) % keys),
                    filtered: false,
                }));
                read = end;
                now += 1;
                poll.step(now, Input::RecordsRead { shard: SHARD, records: &metas }, &mut out);
            }
            Effect::Invoke { batch, records, .. } => {
                ended += records.count();
                let answer = Answer::Succeeded;
                let answered = Input::BatchAnswered { shard: SHARD, batch, answer, state_bytes: 0 };
                poll.step(now, answered, &mut out);
            }
            Effect::StoreCheckpoint { ticket, .. } => {
                poll.step(now, Input::CheckpointStored { shard: SHARD, ticket }, &mut out);
            }
            Effect::Settle { ticket, .. } => {
                poll.step(now, Input::Settled { shard: SHARD, ticket }, &mut out);
            }
            _ => {}
        }
        owed.append(&mut out);
    }
    let seconds = began.elapsed().as_secs_f64();
    let millions = f64::from(u32::try_from(ended).unwrap_or(u32::MAX)) / seconds / 1e6;
    println!("{name:45} {millions:6.2} million records a second");
}

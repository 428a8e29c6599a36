//! How fast an adapter drains its source, beside a bare client that does the same: records of 1 KiB, batches of 100.
//!
//! ```text
//! cargo run --release -p trine-pollers --no-default-features --features nats,redis --example drain -- nats://127.0.0.1:4222
//! cargo run --release -p trine-pollers --no-default-features --features nats,redis --example drain -- redis://127.0.0.1:6379
//! ```
//!
//! The source is filled before the clock runs. A stream that is called `trine-drain` is removed and made anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{self, Context, stream};
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use trine_pollers::{Binding, Change, Connect, Places, Secrets, Settled, Start, Verdict, Want};
use trine_proto::v1::{NatsSource, RedisSource};

const RECORDS: usize = 200_000;
const RECORD_BYTES: usize = 1024;
const BATCH: usize = 100;
const ROUNDS: usize = 5;
const NAME: &str = "trine-drain";

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url =
        std::env::args().nth(1).ok_or("name a server: nats://host:port or redis://host:port")?;
    if url.starts_with("nats") { nats(&url).await } else { redis(&url).await }
}

#[allow(clippy::cast_precision_loss)]
fn report(what: &str, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    println!("{what:<50} {:>9.0} records/s", RECORDS as f64 / seconds);
}

fn binding(mapping_id: &str) -> Binding {
    Binding {
        mapping_id: mapping_id.into(),
        start: Start::TrimHorizon,
        secrets: Secrets::default(),
    }
}

/// Receives and settles as the runner does: the next receive runs while what came before is settled.
async fn adapter(
    what: &str,
    connector: Arc<dyn Connect>,
    records_max: usize,
) -> Result<(), Failure> {
    let source = connector.connect(Places::new()).await?;
    let Change::Opened(opened) = source.next_change().await? else { return Err("no shard".into()) };
    let reader = opened.reader;
    let want = Want {
        records_max: u32::try_from(records_max)?,
        bytes_max: 6 * 1024 * 1024,
        wait: Duration::from_secs(5),
    };
    let since = Instant::now();
    let (mut drained, mut settled) = (0, Vec::new());
    while drained < RECORDS {
        let (received, done) =
            tokio::join!(reader.receive(want), reader.settle(std::mem::take(&mut settled)));
        done?;
        let records = received?.records;
        drained += records.len();
        let done = |record: &trine_pollers::Record| Settled {
            position: record.position.clone(),
            verdict: Verdict::Done,
        };
        settled.extend(records.iter().map(done));
    }
    reader.settle(settled).await?;
    report(what, since);
    Ok(())
}

async fn nats(url: &str) -> Result<(), Failure> {
    let context = jetstream::new(async_nats::connect(url).await?);
    fill_nats(&context).await?;
    for round in 0..ROUNDS {
        let consumer = bare(&context, &format!("stream-{round}")).await?;
        let since = Instant::now();
        let messages = consumer.stream().max_messages_per_batch(BATCH).messages().await?;
        let mut messages = messages.take(RECORDS);
        while let Some(message) = messages.try_next().await? {
            message.ack().await?;
        }
        context.get_stream(NAME).await?;
        report("bare: a stream of messages, acks unconfirmed", since);

        let consumer = bare(&context, &format!("fetch-{round}")).await?;
        let (since, mut drained) = (Instant::now(), 0);
        while drained < RECORDS {
            let batch = consumer.fetch().max_messages(BATCH).messages().await?;
            let batch: Vec<_> = batch.try_collect().await?;
            drained += batch.len();
            for message in &batch {
                message.ack().await?;
            }
        }
        report("bare: fetches of 100, acks unconfirmed", since);

        let consumer = bare(&context, &format!("double-{round}")).await?;
        let (since, mut drained) = (Instant::now(), 0);
        while drained < RECORDS {
            let batch = consumer.fetch().max_messages(BATCH).messages().await?;
            let batch: Vec<_> = batch.try_collect().await?;
            drained += batch.len();
            future::try_join_all(batch.iter().map(|message| message.double_ack())).await?;
        }
        report("bare: fetches of 100, acks confirmed together", since);

        for records_max in [BATCH, 10 * BATCH] {
            let source = NatsSource {
                urls: vec![url.to_owned()],
                stream: NAME.to_owned(),
                durable: format!("adapter-{round}-{records_max}"),
                ..NatsSource::default()
            };
            let connector = trine_pollers::nats::connector(&source, &binding("drain"))?;
            adapter(&format!("adapter: receives of {records_max}"), connector, records_max).await?;
        }
    }
    context.delete_stream(NAME).await?;
    Ok(())
}

async fn bare(context: &Context, name: &str) -> Result<PullConsumer, Failure> {
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        max_ack_pending: 100_000,
        ..pull::Config::default()
    };
    Ok(context.create_consumer_on_stream(config, NAME).await?)
}

async fn fill_nats(context: &Context) -> Result<(), Failure> {
    // It need not be there.
    let _ = context.delete_stream(NAME).await;
    let config = stream::Config {
        name: NAME.to_owned(),
        subjects: vec!["drain.*".to_owned()],
        ..stream::Config::default()
    };
    context.create_stream(config).await?;
    let payload = bytes::Bytes::from(vec![b'x'; RECORD_BYTES]);
    for thousand in 0..RECORDS / 1000 {
        let mut stored = Vec::new();
        for number in 0..1000 {
            let subject = format!("drain.{}", (thousand * 1000 + number) % 100);
            stored.push(context.publish(subject, payload.clone()).await?.into_future());
        }
        future::try_join_all(stored).await?;
    }
    Ok(())
}

async fn redis(url: &str) -> Result<(), Failure> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    fill_redis(&mut connection).await?;
    for round in 0..ROUNDS {
        let group = format!("bare-{round}");
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(NAME).arg(&group).arg("0").exec_async(&mut connection).await?;
        let (since, mut drained) = (Instant::now(), 0);
        while drained < RECORDS {
            let mut read = redis::cmd("XREADGROUP");
            read.arg("GROUP").arg(&group).arg("one").arg("COUNT").arg(BATCH);
            read.arg("STREAMS").arg(NAME).arg(">");
            let reply: redis::streams::StreamReadReply = read.query_async(&mut connection).await?;
            let ids: Vec<_> = reply.keys[0].ids.iter().map(|entry| entry.id.as_str()).collect();
            drained += ids.len();
            let mut ack = redis::cmd("XACK");
            ack.arg(NAME).arg(&group).arg(ids).exec_async(&mut connection).await?;
        }
        report("bare: XREADGROUP of 100, XACK", since);
        for records_max in [BATCH, 10 * BATCH] {
            let source = RedisSource {
                url: url.to_owned(),
                stream: NAME.to_owned(),
                group: format!("adapter-{round}-{records_max}"),
                ..RedisSource::default()
            };
            let connector = trine_pollers::redis::connector(&source, &binding("drain"))?;
            adapter(&format!("adapter: receives of {records_max}"), connector, records_max).await?;
        }
    }
    redis::cmd("DEL").arg(NAME).exec_async(&mut connection).await?;
    Ok(())
}

async fn fill_redis(connection: &mut redis::aio::MultiplexedConnection) -> Result<(), Failure> {
    redis::cmd("DEL").arg(NAME).exec_async(connection).await?;
    let payload = vec![b'x'; RECORD_BYTES];
    for _ in 0..RECORDS / 1000 {
        let mut thousand = redis::pipe();
        for _ in 0..1000 {
            thousand.cmd("XADD").arg(NAME).arg("*").arg("value").arg(&payload).ignore();
        }
        thousand.exec_async(connection).await?;
    }
    Ok(())
}

//! How fast records that wait in a real source go through a function: batches of 100, records of 1 KiB, settings as a user gets them.
//! Counted from the first record that the function sees to the last. A bare consumer of the same records is the peer.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;
use trine_proto::v1::mapping_service_client::MappingServiceClient;
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{CreateMappingRequest, KeyOrder, MappingSettings, SourceConfig};
use trine_worker::{Error, Worker};
use xtask::repo::Repo;
use xtask::servers::{Product, Server};

use crate::bench::process::{Process, scratch};
use crate::bench::report::Bar;
use crate::bench::rows::{Measure, Spec, create_functions, wait};
use crate::bench::{bare_consumer, stream};
use crate::sources::{BATCH, Field, Ground, KafkaField, Kind, Record, count_of, records_of};

const FUNCTION: &str = "drain";

const SLOTS: u32 = 64;

/// Records that are written at a time.
const BURST: usize = 100;

/// A run in which nothing came for this long is broken.
const STALL: Duration = Duration::from_secs(120);

/// Records of a row. The stand-ins for AWS are slow to fill.
const RECORDS: u64 = 200_000;
const RECORDS_OF_STAND_INS: u64 = 20_000;

/// One slow key in ten: what a batch with it takes longer.
const SLOW: Duration = Duration::from_millis(100);
const SLOW_KEY: u32 = 0;
const LANES: u32 = 10;
const RECORDS_OF_LANES: u64 = 20_000;

/// All rows of this file.
pub(super) fn rows() -> Vec<Spec> {
    let mut rows = vec![
        Spec {
            name: "drain_kafka",
            ours: |_| ours(Kind::Kafka, RECORDS),
            peer: Some(|_| bare(Kind::Kafka, RECORDS)),
            unit: "records/s",
            durability: "a commit a batch | a commit a batch",
            bar: Bar::AtLeast(0.6),
        },
        Spec {
            name: "drain_jetstream",
            ours: |_| ours(Kind::Nats, RECORDS),
            peer: Some(|_| bare(Kind::Nats, RECORDS)),
            unit: "records/s",
            durability: "acks, confirmed | acks, sent",
            bar: Bar::AtLeast(0.6),
        },
        Spec {
            name: "key_lanes_slow_key",
            ours: |_| slow_key(KeyOrder::Key),
            peer: Some(|_| slow_key(KeyOrder::Shard)),
            unit: "records/s",
            durability: "one partition of Kafka, keys | strict",
            bar: Bar::AtLeast(5.0),
        },
    ];
    let figures: [(&str, Measure); 8] = [
        ("drain_file", |_| ours(Kind::File, RECORDS)),
        ("drain_redis", |_| ours(Kind::Redis, RECORDS)),
        ("drain_rabbitmq", |_| ours(Kind::RabbitMq, RECORDS)),
        ("drain_activemq", |_| ours(Kind::ActiveMq, RECORDS)),
        ("drain_sqs", |_| ours(Kind::Sqs, RECORDS_OF_STAND_INS)),
        ("drain_sqs_fifo", |_| ours(Kind::SqsFifo, RECORDS_OF_STAND_INS)),
        ("drain_kinesis", |_| ours(Kind::Kinesis, RECORDS_OF_STAND_INS)),
        ("drain_dynamodb", |_| ours(Kind::DynamoDb, RECORDS_OF_STAND_INS)),
    ];
    rows.extend(figures.map(|(name, ours)| Spec {
        name,
        ours,
        peer: None,
        unit: "records/s",
        durability: "as the source settles",
        bar: Bar::Figure,
    }));
    rows
}

fn ours(kind: Kind, records: u64) -> Result<f64, String> {
    wait(async {
        let (_scratch, ground) = filled(kind, records).await?;
        let field = &*ground.field;
        drained(field, field.settings(), records, |event| (count_of(event), None)).await
    })
}

fn bare(kind: Kind, records: u64) -> Result<f64, String> {
    wait(async {
        let (_scratch, ground) = filled(kind, records).await?;
        match ground.field.source() {
            Source::Kafka(kafka) => bare_consumer::kafka(kafka, records).await,
            Source::Nats(nats) => bare_consumer::jetstream(nats, records).await,
            _ => Err(format!("there is no bare consumer of {}", kind.name())),
        }
    })
}

/// The same records and the same function in either order.
fn slow_key(order: KeyOrder) -> Result<f64, String> {
    wait(async {
        let scratch = Scratch(scratch("drain")?);
        let folder = scratch.0.clone();
        let started = move || Server::start(Product::Kafka, &Repo::find()?, &folder);
        let server = tokio::task::spawn_blocking(started).await.map_err(|e| e.to_string())?;
        let server = server.map_err(|failure| failure.to_string())?;
        let field = KafkaField::open(&server.address(), 1).await?;
        fill(&field, RECORDS_OF_LANES, LANES).await?;
        let lanes = order == KeyOrder::Key;
        let settings = MappingSettings {
            key_order: Some(order.into()),
            maximum_concurrency: lanes.then_some(LANES),
            ..field.settings()
        };
        let look = |event: &[u8]| {
            let records = records_of(event).unwrap_or_default();
            let is_slow = records.iter().any(|record| record.key == SLOW_KEY);
            (records.len() as u64, is_slow.then_some(SLOW))
        };
        drained(&field, settings, RECORDS_OF_LANES, look).await
    })
}

/// A folder that goes when this goes.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A source with `records` in it.
async fn filled(kind: Kind, records: u64) -> Result<(Scratch, Ground), String> {
    let scratch = Scratch(scratch("drain")?);
    let ground = Ground::start(kind, &scratch.0).await?;
    fill(&*ground.field, records, ground.field.order().keys()).await?;
    Ok((scratch, ground))
}

async fn fill(field: &dyn Field, records: u64, keys: u32) -> Result<(), String> {
    let keys = u64::from(keys);
    let record = |number: u64| Record {
        // Below `keys`, which is a u32.
        key: u32::try_from(number % keys).unwrap_or_default(),
        sequence: number / keys,
    };
    let all: Vec<_> = (0..records).map(record).collect();
    let mut producer = field.producer().await?;
    for burst in all.chunks(BURST) {
        producer.send(burst).await?;
    }
    Ok(())
}

/// Records a second through a function that takes as long as `look` says of an event, beside how many records it has.
async fn drained(
    field: &dyn Field,
    settings: MappingSettings,
    records: u64,
    look: impl Fn(&[u8]) -> (u64, Option<Duration>) + Send + Sync + 'static,
) -> Result<f64, String> {
    let broker = Process::broker_with(field.environment())?;
    let url = format!("http://{}", broker.address);
    create_functions(&broker.address, &[FUNCTION]).await?;
    let count = Arc::new(Count::new(records));
    let (counting, look) = (Arc::clone(&count), Arc::new(look));
    let handler = move |event: Bytes, _| {
        let (count, look) = (Arc::clone(&counting), Arc::clone(&look));
        async move {
            let (records, takes) = look(&event);
            count.begin();
            if let Some(takes) = takes {
                tokio::time::sleep(takes).await; // tidy: allow sleeps: the function is slow
            }
            count.add(records);
            Ok::<_, Error>(Bytes::from_static(b"null"))
        }
    };
    let worker = Worker::connect(url.clone()).function_raw(FUNCTION, handler).slots(SLOTS);
    let serving = tokio::spawn(worker.run_until(std::future::pending::<()>()));
    let settings = MappingSettings { batch_size: settings.batch_size.or(Some(BATCH)), ..settings };
    let request = CreateMappingRequest {
        function: FUNCTION.to_owned(),
        source: Some(SourceConfig { source: Some(field.source()) }),
        settings: Some(settings),
        ..CreateMappingRequest::default()
    };
    let mut mappings = MappingServiceClient::new(stream::channel(&url)?);
    mappings.create_mapping(request).await.map_err(|status| status.to_string())?;
    let rate = count.rate().await;
    serving.abort();
    rate
}

/// Records that the function has had.
struct Count {
    records: u64,
    seen: AtomicU64,
    first: OnceLock<Instant>,
    changed: Notify,
}

impl Count {
    fn new(records: u64) -> Self {
        let (seen, first) = (AtomicU64::new(0), OnceLock::new());
        Self { records, seen, first, changed: Notify::new() }
    }

    fn begin(&self) {
        self.first.get_or_init(Instant::now);
    }

    fn add(&self, records: u64) {
        self.seen.fetch_add(records, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Records a second, once all are there.
    async fn rate(&self) -> Result<f64, String> {
        while self.seen.load(Ordering::Relaxed) < self.records {
            timeout(STALL, self.changed.notified()).await.map_err(|_| {
                let seen = self.seen.load(Ordering::Relaxed);
                format!("{seen} of {} records came, and then none for {STALL:?}", self.records)
            })?;
        }
        let first = self.first.get().ok_or("no record came")?;
        Ok(self.records as f64 / first.elapsed().as_secs_f64())
    }
}

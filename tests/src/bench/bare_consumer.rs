//! The peers of the drain rows: a client library's own consumer, that does nothing with a record but count it and settle it.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::StreamExt as _;
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use trine_proto::v1::{KafkaSource, NatsSource};

use crate::sources::BATCH;

/// Longest wait for the next record.
const STALL: Duration = Duration::from_secs(60);

/// Records a second of a consumer in a group that commits after each batch, and waits for that as ours does.
///
/// # Errors
/// If it cannot read or commit.
pub(super) async fn kafka(source: KafkaSource, records: u64) -> Result<f64, String> {
    let drained = tokio::task::spawn_blocking(move || drain_topic(&source, records));
    drained.await.map_err(|error| error.to_string())?
}

fn drain_topic(source: &KafkaSource, records: u64) -> Result<f64, String> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", source.bootstrap_servers.join(","))
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().map_err(text)?;
    consumer.subscribe(&[&source.topic]).map_err(text)?;
    let mut began = None;
    let mut offsets = TopicPartitionList::new();
    for read in 1..=records {
        let message = next(&consumer)?;
        began.get_or_insert_with(Instant::now);
        let (partition, next) = (message.partition(), Offset::Offset(message.offset() + 1));
        if offsets.find_partition(&source.topic, partition).is_none() {
            offsets.add_partition(&source.topic, partition);
        }
        offsets.set_partition_offset(&source.topic, partition, next).map_err(text)?;
        if read % u64::from(BATCH) == 0 || read == records {
            consumer.commit(&offsets, CommitMode::Sync).map_err(text)?;
            offsets = TopicPartitionList::new();
        }
    }
    rate(records, began)
}

/// The next record. The library comes back without one for other events too.
fn next(consumer: &BaseConsumer) -> Result<BorrowedMessage<'_>, String> {
    let begun = Instant::now();
    while begun.elapsed() < STALL {
        if let Some(message) = consumer.poll(STALL) {
            return message.map_err(text);
        }
    }
    Err(format!("no record came for {STALL:?}"))
}

/// Records a second of a durable pull consumer that asks for batches and acknowledges each message.
///
/// # Errors
/// If it cannot read or acknowledge.
pub(super) async fn jetstream(source: NatsSource, records: u64) -> Result<f64, String> {
    let client = async_nats::connect(source.urls.join(",")).await.map_err(text)?;
    let context = jetstream::new(client.clone());
    let config = pull::Config {
        durable_name: Some("bare".to_owned()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 100_000,
        ..pull::Config::default()
    };
    let consumer =
        context.create_consumer_on_stream(config, source.stream.as_str()).await.map_err(text)?;
    let batch = usize::try_from(BATCH).map_err(text)?;
    let stream = consumer.stream().max_messages_per_batch(batch).messages();
    let mut messages = stream.await.map_err(text)?;
    let mut began = None;
    for _ in 0..records {
        let next = tokio::time::timeout(STALL, messages.next()).await;
        let message = next.map_err(text)?.ok_or("the consumer ended")?.map_err(text)?;
        began.get_or_insert_with(Instant::now);
        message.ack().await.map_err(text)?;
    }
    client.flush().await.map_err(text)?;
    rate(records, began)
}

fn rate(records: u64, began: Option<Instant>) -> Result<f64, String> {
    let began = began.ok_or("there were no records")?;
    Ok(records as f64 / began.elapsed().as_secs_f64())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

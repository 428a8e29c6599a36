//! A topic of Kafka.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{KafkaSource, MappingSettings, StartingPosition};

use super::Record;
use super::field::{Field, Order, Producer, Reading, Trouble, trouble};

const TOPIC: &str = "records";
const KEYS: u32 = 64;

/// Longest wait for room in the producer's own queue.
const QUEUE_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct KafkaField {
    address: String,
    partitions: u32,
}

struct Idempotent(FutureProducer);

impl KafkaField {
    /// Makes a topic of so many partitions.
    ///
    /// # Errors
    /// What the server at `address` did not do.
    pub async fn open(address: &str, partitions: u32) -> Result<Self, Trouble> {
        let field = Self { address: address.to_owned(), partitions };
        let admin: AdminClient<DefaultClientContext> =
            field.client().create().map_err(|error| trouble("connect")(&error))?;
        let topic = NewTopic::new(TOPIC, partitions.cast_signed(), TopicReplication::Fixed(1));
        let made = admin.create_topics([&topic], &AdminOptions::new()).await;
        let made = made.map_err(|error| trouble("create the topic")(&error))?;
        match made.into_iter().find_map(Result::err) {
            Some((topic, error)) => Err(format!("create {topic}: {error}")),
            None => Ok(field),
        }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }
}

impl Field for KafkaField {
    fn source(&self) -> Source {
        Source::Kafka(KafkaSource {
            bootstrap_servers: vec![self.address.clone()],
            topic: TOPIC.to_owned(),
            ..KafkaSource::default()
        })
    }

    fn settings(&self) -> MappingSettings {
        let start = StartingPosition::TrimHorizon.into();
        MappingSettings {
            starting_position: Some(start),
            batching_window_ms: Some(0),
            ..MappingSettings::default()
        }
    }

    fn order(&self) -> Order {
        Order::Key(KEYS)
    }

    fn reading(&self) -> Reading {
        Reading::Shards(self.partitions)
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, Trouble>> {
        async {
            // What it sends again by itself is not there twice.
            let made =
                self.client().set("enable.idempotence", "true").set("linger.ms", "1").create();
            let producer: FutureProducer = made.map_err(|error| trouble("connect")(&error))?;
            Ok(Box::new(Idempotent(producer)) as Box<dyn Producer>)
        }
        .boxed()
    }
}

impl Producer for Idempotent {
    fn send<'a>(&'a mut self, records: &'a [Record]) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let producer = &self.0;
            let deliveries = records.iter().map(|record| async move {
                let (key, text) = (record.key_text(), record.text());
                let message = FutureRecord::to(TOPIC).key(&key).payload(&text);
                producer.send(message, QUEUE_WAIT).await
            });
            // They enter the producer's queue in the order in which they are first polled.
            try_join_all(deliveries).await.map(drop).map_err(|(e, _)| trouble("produce")(&e))
        }
        .boxed()
    }
}

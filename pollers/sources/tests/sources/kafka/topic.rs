//! A topic of a test's own on the real broker, and the mapping that reads it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use trine_pollers::{Binding, Connect, Secrets, Start};
use trine_proto::v1::KafkaSource;

/// What the topics take, in bytes.
pub(super) const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest wait for the broker to do what it is asked.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Topic {
    pub(super) bootstrap: String,
    pub(super) name: String,
    /// The mapping that reads it, and so its consumer group.
    pub(super) mapping: String,
    pub(super) producer: FutureProducer,
}

impl Topic {
    /// `None` if there is no broker: the test is skipped then.
    pub(super) async fn create(partitions: i32) -> Option<Self> {
        let bootstrap = broker()?;
        let topic = Self::named(&bootstrap, &unique("trine-test"));
        topic.make(partitions).await;
        Some(topic)
    }

    /// One that is not made yet.
    pub(super) fn named(bootstrap: &str, name: &str) -> Self {
        let producer = client(bootstrap)
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            .set("linger.ms", "0")
            .create()
            .expect("a producer");
        Self {
            bootstrap: bootstrap.to_owned(),
            name: name.to_owned(),
            mapping: unique("mapping"),
            producer,
        }
    }

    /// The same, with a producer that knows nothing of it yet.
    pub(super) fn again(&self) -> Self {
        Self { mapping: self.mapping.clone(), ..Self::named(&self.bootstrap, &self.name) }
    }

    pub(super) async fn make(&self, partitions: i32) {
        let bytes = RECORD_BYTES_MAX.to_string();
        let new = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1))
            .set("max.message.bytes", &bytes);
        let made = self.admin().create_topics([&new], &AdminOptions::new()).await;
        made.expect("the broker answers").remove(0).expect("the topic is made");
    }

    pub(super) async fn add_partitions(&self, count: usize) {
        let new = NewPartitions::new(&self.name, count);
        let made = self.admin().create_partitions([&new], &AdminOptions::new()).await;
        made.expect("the broker answers").remove(0).expect("partitions are added");
    }

    pub(super) async fn delete(&self) {
        let gone = self.admin().delete_topics(&[&self.name], &AdminOptions::new()).await;
        gone.expect("the broker answers").remove(0).expect("the topic is deleted");
    }

    /// What retention does: everything before `offset` goes.
    pub(super) async fn delete_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).expect("fits");
        let gone = self.admin().delete_records(&list, &AdminOptions::new()).await;
        gone.expect("the broker deletes");
    }

    pub(super) async fn produce(&self, key: &str, value: &[u8]) {
        let record = FutureRecord::to(&self.name).key(key).payload(value);
        self.producer.send(record, PATIENCE).await.expect("it is produced");
    }

    /// Records `numbers` of one partition, as JSON strings.
    pub(super) async fn fill(&self, partition: i32, numbers: std::ops::Range<i32>) {
        let texts: Vec<_> = numbers.map(|number| format!("\"{number}\"")).collect();
        let sent: Vec<_> = texts
            .iter()
            .map(|text| {
                let record =
                    FutureRecord::<(), _>::to(&self.name).partition(partition).payload(text);
                self.producer
                    .send_result(record)
                    .map_err(|(error, _)| error)
                    .expect("there is room")
            })
            .collect();
        for sent in sent {
            sent.await.expect("it is told").map_err(|(error, _)| error).expect("it is produced");
        }
    }

    pub(super) fn source(&self) -> KafkaSource {
        KafkaSource {
            bootstrap_servers: self.bootstrap.split(',').map(str::to_owned).collect(),
            topic: self.name.clone(),
            ..KafkaSource::default()
        }
    }

    pub(super) fn binding(&self, start: Start) -> Binding {
        let secrets = BTreeMap::from([("kafka-test".to_owned(), "secret".to_owned())]);
        Binding { mapping_id: self.mapping.as_str().into(), start, secrets: Secrets::new(secrets) }
    }

    pub(super) fn connector(&self, start: Start) -> Arc<dyn Connect> {
        trine_pollers::kafka::connector(&self.source(), &self.binding(start)).expect("it is right")
    }

    /// What the group has committed in a partition.
    pub(super) fn committed(&self, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer =
            client(&self.bootstrap).set("group.id", &self.mapping).create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name, partition);
        let list = consumer.committed_offsets(list, PATIENCE).expect("the broker answers");
        let offset = list.elements().first().map(|one| one.offset());
        offset.and_then(|offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        })
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        client(&self.bootstrap).create().expect("an admin client")
    }
}

/// Where the real broker is. `None`: there is none, which is noted.
pub(super) fn broker() -> Option<String> {
    crate::skip::server("TRINE_KAFKA")
}

pub(super) fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

pub(super) fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{}-{count}", std::process::id(), now_ms())
}

pub(super) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is late");
    i64::try_from(now.as_millis()).expect("fits")
}

/// The value of an event's record.
pub(super) fn text(event: &[u8]) -> String {
    let event: serde_json::Value = serde_json::from_slice(event).expect("JSON");
    let value = STANDARD.decode(event["value"].as_str().expect("a value")).expect("base64");
    String::from_utf8(value).expect("UTF-8")
}

//! Records of Kafka that a function never takes, on their way to another topic of the same cluster (LS 4.8).

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use trine_proto::v1::destination::Target;
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{
    CreateMappingRequest, Destination, FunctionSettings, KafkaDestination, KafkaSource,
    MappingSettings, Reason, SourceConfig, StartingPosition,
};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{reason, refusal};
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::tools::address;
use trine_tests::fixture::wait::until;
use trine_tests::fixture::{LIMIT, run};
use trine_worker::{Context, Error, Worker};

/// Of the topic for what failed.
const PARTITIONS: i32 = 3;

/// Keys of the records, by their offset.
const KEYS: [Option<&str>; 4] = [Some("a"), Some("b"), None, Some("a")];

/// The topics of one test.
struct Topics {
    servers: String,
    read: String,
    failed: String,
}

/// A message of the topic for what failed.
struct Failed {
    partition: i32,
    key: Option<String>,
    record: Value,
}

impl Topics {
    fn new(servers: String, test: &str) -> Self {
        let name = |what: &str| format!("{test}-{what}-{}", std::process::id());
        Self { servers, read: name("read"), failed: name("failed") }
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.servers);
        client
    }

    async fn create(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let made = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
        made[0].as_ref().unwrap();
    }

    /// The topic that is read, with a record for each of [`KEYS`].
    async fn fill(&self) {
        self.create(&self.read, 1).await;
        let producer: FutureProducer = self.client().create().unwrap();
        for (offset, key) in KEYS.into_iter().enumerate() {
            let value = format!("record {offset}");
            let message = FutureRecord { key, ..FutureRecord::to(&self.read).payload(&value) };
            producer.send(message, LIMIT).await.unwrap();
        }
    }

    fn source(&self) -> Source {
        Source::Kafka(KafkaSource {
            bootstrap_servers: vec![self.servers.clone()],
            topic: self.read.clone(),
            ..KafkaSource::default()
        })
    }

    /// `kafka://TOPIC`: of the same cluster.
    fn settings(&self, topic: &str) -> MappingSettings {
        let target = KafkaDestination { bootstrap_servers: Vec::new(), topic: topic.to_owned() };
        MappingSettings {
            starting_position: Some(StartingPosition::TrimHorizon.into()),
            batching_window_ms: Some(0),
            maximum_retry_attempts: Some(0),
            on_failure: Some(Destination { target: Some(Target::Kafka(target)) }),
            ..MappingSettings::default()
        }
    }

    /// What is in the topic for what failed, once that is as much as was read.
    async fn failed(&self) -> Vec<Failed> {
        let client = self.client().set("group.id", &self.failed).clone();
        let topic = self.failed.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = client.create().unwrap();
            let mut partitions = TopicPartitionList::new();
            for partition in 0..PARTITIONS {
                partitions.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
            }
            consumer.assign(&partitions).unwrap();
            let begun = std::time::Instant::now();
            let mut failed = Vec::new();
            while failed.len() < KEYS.len() {
                assert!(begun.elapsed() < LIMIT, "{} of {} came", failed.len(), KEYS.len());
                let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
                let message = message.unwrap();
                let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
                failed.push(Failed {
                    partition: message.partition(),
                    key: message.key().map(text),
                    record: serde_json::from_slice(message.payload().unwrap()).unwrap(),
                });
            }
            failed
        });
        let mut failed = reading.await.unwrap();
        failed.sort_by_key(|failed| offset(&failed.record));
        failed
    }
}

/// Of the record that was read.
fn offset(record: &Value) -> u64 {
    let offset = record["KafkaBatchInfo"]["recordInfo"]["offset"].as_str();
    offset.unwrap().parse().unwrap()
}

/// A broker with a function that takes nothing.
async fn broker() -> (Broker, Serving) {
    let broker = Setup::new().start().await;
    broker.client().create("fails", FunctionSettings::default()).await;
    let worker = Worker::connect(broker.url());
    let worker = worker.function("fails", |_: Value, _: Context| async move {
        Err::<Value, _>(Error::new("Fails", "it does"))
    });
    let worker = Serving::start(worker).await;
    (broker, worker)
}

#[test]
fn what_a_function_never_takes_is_in_the_topic_record_by_record() {
    run(async {
        let test = "what_a_function_never_takes_is_in_the_topic_record_by_record";
        let Some(servers) = address(test, "TRINE_KAFKA") else { return };
        let topics = Topics::new(servers, "record-by-record");
        topics.fill().await;
        topics.create(&topics.failed, PARTITIONS).await;
        let (broker, _worker) = broker().await;
        let settings = topics.settings(&topics.failed);
        let mapping = broker.client().create_mapping("fails", topics.source(), settings).await;
        let shown = mapping.settings.unwrap().on_failure;
        assert_eq!(shown, topics.settings(&topics.failed).on_failure, "it is shown as it was set");

        let failed = topics.failed().await;
        for ((n, key), failed) in (0..).zip(KEYS).zip(&failed) {
            assert_eq!((offset(&failed.record), failed.key.as_deref()), (n, key));
            let record = &failed.record;
            assert_eq!(record["version"], "1.0");
            let context = &record["requestContext"];
            assert_eq!(context["condition"], "RetryAttemptsExhausted");
            assert_eq!(context["functionArn"], "trine:function:fails");
            assert_eq!(record["responseContext"]["functionError"], "Unhandled");
            let info = &record["KafkaBatchInfo"];
            assert_eq!(
                (&info["batchSize"], &info["bootstrapServers"]),
                (&json!(1), &json!(topics.servers))
            );
            assert!(info["recordInfo"]["timestamp"].is_string(), "{info}");
            let payload = &record["payload"];
            assert_eq!(payload["eventSource"], "SelfManagedKafka");
            let sent = payload["records"][format!("{}-0", topics.read)].as_array().unwrap();
            assert_eq!(sent.len(), 1, "{payload}");
            assert_eq!(sent[0]["offset"], n);
            let value = BASE64_STANDARD.decode(sent[0]["value"].as_str().unwrap()).unwrap();
            assert_eq!(value, format!("record {n}").into_bytes());
        }
        assert_eq!(failed[0].partition, failed[3].partition, "the same key, the same partition");
    });
}

#[test]
fn what_was_given_up_waits_for_a_topic_that_is_missing() {
    run(async {
        let test = "what_was_given_up_waits_for_a_topic_that_is_missing";
        let Some(servers) = address(test, "TRINE_KAFKA") else { return };
        let topics = Topics::new(servers, "missing");
        topics.fill().await;
        let (broker, _worker) = broker().await;
        let client = broker.client();
        let settings = topics.settings(&topics.failed);
        let mapping = client.create_mapping("fails", topics.source(), settings).await.id;
        let missing = format!("there is no topic \"{}\"", topics.failed);
        until("word of the missing topic", LIMIT, async || {
            let activity = client.mapping(&mapping).await.activity.unwrap_or_default();
            activity.waiting_for.contains(&missing)
        })
        .await;
        topics.create(&topics.failed, PARTITIONS).await;
        let failed = topics.failed().await;
        let offsets: Vec<_> = failed.iter().map(|failed| offset(&failed.record)).collect();
        assert_eq!(offsets, [0, 1, 2, 3]);
    });
}

#[test]
fn the_topic_that_is_read_takes_no_records_of_its_own_failures() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("fails", FunctionSettings::default()).await;
        let topics = Topics::new("kafka.example:9092".to_owned(), "own");
        let create = |settings| CreateMappingRequest {
            function: "fails".to_owned(),
            source: Some(SourceConfig { source: Some(topics.source()) }),
            settings: Some(settings),
            ..CreateMappingRequest::default()
        };
        let request = create(topics.settings(&topics.read));
        let refused = client.mappings().create_mapping(request).await.map_err(refusal);
        assert_eq!(reason(&refused), Some(Reason::InvalidArgument));
        assert!(refused.unwrap_err().message.contains("would come back to it"));
        // A topic of that name on another cluster is another topic.
        let mut settings = topics.settings(&topics.read);
        if let Some(Target::Kafka(kafka)) = &mut settings.on_failure.as_mut().unwrap().target {
            kafka.bootstrap_servers = vec!["other.example:9092".to_owned()];
        }
        client.mappings().create_mapping(create(settings)).await.unwrap();
    });
}

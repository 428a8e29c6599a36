//! Kafka destinations against a real server: what arrives, and that nothing is called delivered that was not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use trine_broker::destinations::{DeliveryOutcome, Destinations};
use trine_broker::{DestinationPolicy, KafkaCredential, KafkaLogin, KafkaMechanism};
use trine_engine::Destination;

use crate::skip::server;
use crate::{ID, failed, failure, refused, success, unique};

/// Longest that a message takes to be there for a reader.
const READ_WAIT: Duration = Duration::from_secs(30);

const PARTITIONS: i32 = 3;

/// What a message holds.
#[derive(Debug, PartialEq)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: BTreeMap<String, String>,
}

/// Makes a topic of [`PARTITIONS`] partitions.
pub(crate) async fn create(servers: &str, topic: &str, setting: Option<(&str, &str)>) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    let mut new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    if let Some((name, value)) = setting {
        new = new.set(name, value);
    }
    let made = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
    made[0].as_ref().unwrap();
}

/// The first `count` messages of a topic, by partition and offset.
pub(crate) async fn read(servers: &str, topic: &str, count: usize) -> Vec<Read> {
    let (servers, topic) = (servers.to_owned(), topic.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", &topic)
            .create()
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&partitions).unwrap();
        let (mut all, start) = (Vec::new(), Instant::now());
        while all.len() < count && start.elapsed() < READ_WAIT {
            if let Some(message) = consumer.poll(Duration::from_secs(1)) {
                all.push(message_of(&message.unwrap()));
            }
        }
        all
    });
    let all = reading.await.unwrap();
    assert_eq!(all.len(), count, "{all:?}");
    all
}

fn message_of(message: &BorrowedMessage<'_>) -> Read {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = message.headers().unwrap().iter();
    Read {
        partition: message.partition(),
        key: text(message.key().unwrap()),
        value: message.payload().unwrap().to_vec(),
        headers: headers.map(|h| (h.key.to_owned(), text(h.value.unwrap()))).collect(),
    }
}

fn to(servers: &str, topic: &str) -> Destination {
    let bootstrap_servers = servers.split(',').map(Into::into).collect();
    Destination::Kafka { bootstrap_servers, topic: topic.into() }
}

fn anonymous() -> Destinations {
    Destinations::new(DestinationPolicy::default())
}

/// Tries as the engine does, until it is taken.
async fn until_taken(destinations: &Destinations, target: &Destination) {
    let mut tries = tokio::time::interval(Duration::from_millis(500));
    let start = Instant::now();
    while destinations.deliver(target, success()).await != DeliveryOutcome::Taken {
        assert!(start.elapsed() < READ_WAIT, "it is not taken");
        tries.tick().await;
    }
}

#[tokio::test]
async fn a_record_is_a_message_with_its_id_as_key() {
    let test = "a_record_is_a_message_with_its_id_as_key";
    let Some(servers) = server(test, "TRINE_KAFKA") else { return };
    let topic = unique("records");
    create(&servers, &topic, None).await;
    let destinations = anonymous();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let record = failure(r#"{"a": 1.0}"#).with_trace(trace.to_owned(), String::new());
    for _ in 0..3 {
        let outcome = destinations.deliver(&to(&servers, &topic), record.clone()).await;
        assert_eq!(outcome, DeliveryOutcome::Taken);
    }
    let read = read(&servers, &topic, 3).await;
    assert_eq!((read[0].key.as_str(), read[0].value.as_slice()), (ID, record.json.as_ref()));
    let headers = [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", ID),
        ("ce_source", "trine:function:resize:$LATEST"),
        ("ce_type", "trine.invocation.failure"),
        ("ce_subject", "resize"),
        ("ce_time", "2019-11-14T18:16:05.568Z"),
        ("traceparent", trace),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(read[0].headers, BTreeMap::from(headers));
    assert!(read.iter().all(|message| *message == read[0]), "the same key, the same partition");
}

#[tokio::test]
async fn a_missing_topic_is_named_and_not_made() {
    let test = "a_missing_topic_is_named_and_not_made";
    let Some(servers) = server(test, "TRINE_KAFKA") else { return };
    let topic = unique("missing");
    let destinations = anonymous();
    let why = failed(destinations.deliver(&to(&servers, &topic), success()).await);
    assert!(why.contains(&format!("there is no topic \"{topic}\"; create it")), "{why}");
    // Once it is there, it is found, by the same producer: the engine tries again, and so does this.
    create(&servers, &topic, None).await;
    until_taken(&destinations, &to(&servers, &topic)).await;
    assert_eq!(read(&servers, &topic, 1).await[0].value, success().json);
}

#[tokio::test]
async fn a_topics_limit_is_told() {
    let Some(servers) = server("a_topics_limit_is_told", "TRINE_KAFKA") else { return };
    let topic = unique("small");
    create(&servers, &topic, Some(("max.message.bytes", "2000"))).await;
    let destinations = anonymous();
    let large = failure(&format!("\"{}\"", "x".repeat(4000)));
    let why = refused(destinations.deliver(&to(&servers, &topic), large).await);
    assert!(why.contains("larger than the topic") && why.contains("max.message.bytes"), "{why}");
    // What is too large does no harm to the next one.
    let outcome = destinations.deliver(&to(&servers, &topic), success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
}

#[tokio::test]
async fn nobody_there_is_a_failure_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let why = failed(anonymous().deliver(&to(&nobody, "topic"), success()).await);
    assert_eq!(why, format!("{nobody}: no Kafka server answers there"));
}

#[tokio::test]
async fn silence_is_a_failure_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let why = failed(anonymous().deliver(&to(&silent, "topic"), success()).await);
    assert!(why.starts_with(&format!("{silent}: nobody acknowledged the record")), "{why}");
}

#[tokio::test]
async fn a_silent_cluster_does_not_take_the_room_of_others() {
    let test = "a_silent_cluster_does_not_take_the_room_of_others";
    let Some(servers) = server(test, "TRINE_KAFKA") else { return };
    let topic = unique("room");
    create(&servers, &topic, None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = to(&listener.local_addr().unwrap().to_string(), "topic");
    let destinations = anonymous();
    let mut waiting = JoinSet::new();
    for _ in 0..50 {
        let (destinations, silent) = (destinations.clone(), silent.clone());
        waiting.spawn(async move { destinations.deliver(&silent, success()).await });
    }
    let _connection = listener.accept().await.unwrap();
    let outcome = destinations.deliver(&to(&servers, &topic), success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
    waiting.abort_all();
}

#[tokio::test]
async fn a_login_that_is_not_taken_is_told() {
    let test = "a_login_that_is_not_taken_is_told";
    let Some(servers) = server(test, "TRINE_KAFKA") else { return };
    let login = KafkaLogin {
        mechanism: KafkaMechanism::Plain,
        user: "trine".to_owned(),
        secret: "hush".to_owned(),
    };
    let credential =
        KafkaCredential { server: String::new(), login: Some(login), tls: false, ca_file: None };
    let destinations = Destinations::new(DestinationPolicy {
        kafka_credentials: vec![credential],
        ..DestinationPolicy::default()
    });
    // Its listener takes none at all.
    let why = failed(destinations.deliver(&to(&servers, "topic"), success()).await);
    assert!(why.contains("refused the login") && why.contains("destinations.kafka"), "{why}");
    assert!(!why.contains("hush"), "{why}");
}

/// A cluster of the client library's own, for what a real one cannot be made to say.
fn mock(topic: &str) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic, 1, 1).unwrap();
    cluster
}

#[tokio::test]
async fn what_the_user_may_not_do_is_told() {
    let cluster = mock("topic");
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::Produce, &[denied]);
    let (destinations, target) = (anonymous(), to(&cluster.bootstrap_servers(), "topic"));
    let why = failed(destinations.deliver(&target, success()).await);
    assert!(why.contains("may not write to the topic \"topic\""), "{why}");
    // A producer that was refused needs a moment before it writes again.
    until_taken(&destinations, &target).await;
}

#[tokio::test]
async fn a_topic_with_too_few_replicas_has_not_taken_it() {
    let cluster = mock("topic");
    let too_few = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    // More than are asked for within one try.
    cluster.request_errors(RDKafkaApiKey::Produce, &[too_few; 1_000]);
    let target = to(&cluster.bootstrap_servers(), "topic");
    let why = failed(anonymous().deliver(&target, success()).await);
    assert!(why.contains("nobody acknowledged the record"), "{why}");
}

#[tokio::test]
async fn a_cluster_that_fails_for_a_moment_is_asked_again() {
    let cluster = mock("topic");
    let moved = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    cluster.request_errors(RDKafkaApiKey::Produce, &[moved, moved]);
    let target = to(&cluster.bootstrap_servers(), "topic");
    assert_eq!(anonymous().deliver(&target, success()).await, DeliveryOutcome::Taken);
}

/// The listener with TLS and SCRAM-SHA-512 knows the user `trine` with the password `secret`; only the file vouches for it.
#[tokio::test]
async fn a_cluster_with_tls_and_scram_takes_records_if_it_can_be_trusted() {
    let test = "a_cluster_with_tls_and_scram_takes_records_if_it_can_be_trusted";
    let (Some(servers), Some(secured), Some(ca_file)) = (
        server(test, "TRINE_KAFKA"),
        server(test, "TRINE_KAFKA_TLS"),
        server(test, "TRINE_KAFKA_CA"),
    ) else {
        return;
    };
    let topic = unique("secured");
    create(&servers, &topic, None).await;
    let with = |ca_file: Option<PathBuf>| {
        let login = KafkaLogin {
            mechanism: KafkaMechanism::ScramSha512,
            user: "trine".to_owned(),
            secret: "secret".to_owned(),
        };
        let server = String::new();
        let credential = KafkaCredential { server, login: Some(login), tls: true, ca_file };
        Destinations::new(DestinationPolicy {
            kafka_credentials: vec![credential],
            ..DestinationPolicy::default()
        })
    };
    let target = to(&secured, &topic);
    let outcome = with(Some(ca_file.into())).deliver(&target, success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
    assert_eq!(read(&servers, &topic, 1).await.len(), 1);
    let why = failed(with(None).deliver(&target, success()).await);
    assert!(why.contains(&secured) && why.contains("destinations.kafka_ca_file"), "{why}");
    let gone = failed(with(Some("/nowhere".into())).deliver(&target, success()).await);
    assert!(gone.contains("there is no file /nowhere"), "{gone}");
}

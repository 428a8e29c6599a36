//! What goes wrong, by name: what a real broker can be made to say, and for the rest the client library's mock cluster.

use std::time::{Duration, Instant};

use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::timeout;
use trine_pollers::{Places, Problem, ShardName, Source, SourceError, Start};
use trine_proto::v1::KafkaSource;

use super::poller::{Poller, numbers, places};
use super::topic::{PATIENCE, Topic, broker, unique};

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn shard(topic: &Topic, partition: i32) -> ShardName {
    ShardName::new(&format!("{}-{partition}", topic.name))
}

/// Why a connection cannot be had, and soon.
async fn refused(topic: &Topic) -> SourceError {
    refused_by(topic, &topic.source()).await
}

async fn refused_by(topic: &Topic, source: &KafkaSource) -> SourceError {
    let connector = trine_pollers::kafka::connector(source, &topic.binding(Start::TrimHorizon));
    let connector = connector.expect("it is right");
    let connected = timeout(Duration::from_secs(15), connector.connect(Places::new())).await;
    match connected.expect("it is told before long") {
        Ok(source) => first_trouble(&*source).await,
        Err(error) => error,
    }
}

async fn first_trouble(source: &dyn Source) -> SourceError {
    let change = timeout(PATIENCE, source.next_change()).await;
    change.expect("it is told").expect_err("it cannot be used")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named_and_found_as_soon_as_it_is_made() {
    let Some(bootstrap) = broker() else { return };
    let topic = Topic::named(&bootstrap, &unique("trine-test-late"));
    let error = refused(&topic).await;
    assert_eq!(error.problem, Problem::Configuration);
    assert!(error.to_string().contains(&format!("the topic \"{}\" does not exist", topic.name)));
    topic.make(1).await;
    topic.fill(0, 0..1).await;
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    assert_eq!(numbers(&poller.read(&shard(&topic, 0), 1).await), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_under_a_reader_is_named() {
    let Some(topic) = Topic::create(1).await else { return };
    topic.fill(0, 0..1).await;
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    drop(poller.read(&shard(&topic, 0), 1).await);
    topic.delete().await;
    let error = poller.breaks().await;
    assert_eq!(error.problem, Problem::Configuration, "{error}");
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_not_there_are_told_before_long() {
    // A port that nobody has, because the test holds it without listening.
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("an address");
    drop(held);
    let topic = Topic::named(&address.to_string(), "orders");
    let began = Instant::now();
    let error = refused(&topic).await;
    assert_eq!(error.problem, Problem::Unreachable);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_never_answers_is_told_before_long() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let topic = Topic::named(&silent.local_addr().expect("an address").to_string(), "orders");
    let error = refused(&topic).await;
    assert_eq!(error.problem, Problem::Unreachable, "{error}");
}

/// Credentials for a listener that takes none.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_not_accepted_are_told() {
    let Some(topic) = Topic::create(1).await else { return };
    let error = refused_by(&topic, &with_password(&topic, "trine")).await;
    assert_eq!(error.problem, Problem::Authentication, "{error}");
}

/// A listener of the same broker that wants SASL PLAIN and knows the user `trine` with the password `secret`: `TRINE_KAFKA_SASL`.
#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_checked_by_a_broker_that_wants_them() {
    let (Some(topic), Some(sasl)) =
        (Topic::create(1).await, crate::skip::server("TRINE_KAFKA_SASL"))
    else {
        return;
    };
    topic.fill(0, 0..2).await;
    let source = |user: &str| KafkaSource {
        bootstrap_servers: vec![sasl.clone()],
        ..with_password(&topic, user)
    };
    let connector =
        trine_pollers::kafka::connector(&source("trine"), &topic.binding(Start::TrimHorizon));
    let mut poller = Poller::start(&connector.expect("it is right"), Places::new(), 1).await;
    assert_eq!(numbers(&poller.read(&shard(&topic, 0), 2).await), [0, 1]);
    let began = Instant::now();
    let error = refused_by(&topic, &source("nobody")).await;
    assert_eq!(error.problem, Problem::Authentication, "{error}");
    assert!(error.to_string().contains("do not accept the credentials"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// The listener with TLS and SCRAM-SHA-512 is `TRINE_KAFKA_TLS`; `TRINE_KAFKA_CA` vouches for it and no authority of this machine does.
#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_who_can_be_trusted_and_scram_over_it() {
    let (Some(topic), Some(address), Some(ca_file)) = (
        Topic::create(1).await,
        crate::skip::server("TRINE_KAFKA_TLS"),
        crate::skip::server("TRINE_KAFKA_CA"),
    ) else {
        return;
    };
    topic.fill(0, 0..2).await;
    let source = KafkaSource {
        bootstrap_servers: vec![address],
        security_protocol: "sasl_ssl".to_owned(),
        sasl_mechanism: "SCRAM-SHA-512".to_owned(),
        ca_file,
        ..with_password(&topic, "trine")
    };
    let connector = trine_pollers::kafka::connector(&source, &topic.binding(Start::TrimHorizon));
    let mut poller = Poller::start(&connector.expect("it is right"), Places::new(), 1).await;
    assert_eq!(numbers(&poller.read(&shard(&topic, 0), 2).await), [0, 1]);

    let nobody = KafkaSource { sasl_username: "nobody".to_owned(), ..source.clone() };
    let error = refused_by(&topic, &nobody).await;
    assert_eq!(error.problem, Problem::Authentication, "{error}");
    let unknown = KafkaSource { ca_file: String::new(), ..source.clone() };
    let error = refused_by(&topic, &unknown).await;
    assert_eq!(error.problem, Problem::Unreachable, "{error}");
    assert!(error.to_string().contains("name it in ca_file"), "{error}");
    let gone = KafkaSource { ca_file: "/nowhere/ca.pem".to_owned(), ..source };
    let error = refused_by(&topic, &gone).await;
    assert_eq!(error.problem, Problem::Configuration, "{error}");
    assert!(error.to_string().contains("ca_file /nowhere/ca.pem cannot be read"), "{error}");
}

fn with_password(topic: &Topic, user: &str) -> KafkaSource {
    KafkaSource {
        security_protocol: "sasl_plaintext".to_owned(),
        sasl_mechanism: "PLAIN".to_owned(),
        sasl_username: user.to_owned(),
        sasl_password_secret: "kafka-test".to_owned(),
        ..topic.source()
    }
}

async fn mocked(brokers: i32, records: i32) -> (Cluster, Topic) {
    let cluster = Cluster::new(brokers).expect("a mock cluster");
    let topic = Topic::named(&cluster.bootstrap_servers(), "orders");
    cluster.create_topic(&topic.name, 1, 1).expect("a topic");
    topic.fill(0, 0..records).await;
    (cluster, topic)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_credentials_do_not_allow_is_named() {
    let (cluster, topic) = mocked(1, 0).await;
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.topic_error(&topic.name, denied).expect("it is set");
    let error = refused(&topic).await;
    assert_eq!(error.problem, Problem::Authorization, "{error}");
    assert!(error.to_string().contains("on the topic \"orders\""), "{error}");
    cluster.topic_error(&topic.name, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).expect("set");

    let denied = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 20];
    cluster.request_errors(RDKafkaApiKey::FindCoordinator, &denied);
    let error = refused(&topic).await;
    assert_eq!(error.problem, Problem::Authorization, "{error}");
    assert!(error.to_string().contains(&topic.mapping), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_fetches_lose_and_repeat_nothing() {
    let (cluster, topic) = mocked(1, 30).await;
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    let shard = shard(&topic, 0);
    let mut came = numbers(&poller.read(&shard, 10).await);
    cluster.request_errors(
        RDKafkaApiKey::Fetch,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN,
        ],
    );
    topic.fill(0, 30..60).await;
    came.extend(numbers(&poller.read(&shard, 50).await));
    assert_eq!(came, (0..60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_follow_the_coordinator() {
    let (cluster, topic) = mocked(3, 10).await;
    let group = || MockCoordinator::Group(topic.mapping.clone());
    cluster.coordinator(group(), 1).expect("it is set");
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    let shard = shard(&topic, 0);
    let came = poller.read(&shard, 10).await;
    poller.commit(&shard, &came[0]).await;
    cluster.coordinator(group(), 2).expect("it is moved");
    poller.commit(&shard, &came[4]).await;
    assert_eq!(topic.committed(0), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_says_so_and_a_later_one_counts() {
    let (cluster, topic) = mocked(1, 10).await;
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    let shard = shard(&topic, 0);
    let came = poller.read(&shard, 10).await;
    let denied = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED];
    cluster.request_errors(RDKafkaApiKey::OffsetCommit, &denied);
    let reader = std::sync::Arc::clone(&poller.open[&shard].reader);
    let error = reader.commit(came[2].position.clone()).await.expect_err("it is denied");
    assert_eq!(error.problem, Problem::Authorization, "{error}");
    assert_eq!(topic.committed(0), None);
    poller.commit(&shard, &came[2]).await;
    assert_eq!(topic.committed(0), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_go_away_are_told_and_reading_goes_on_when_they_are_back() {
    let (cluster, mut topic) = mocked(1, 10).await;
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    let shard = shard(&topic, 0);
    let came = poller.read(&shard, 4).await;
    let reader = std::sync::Arc::clone(&poller.open[&shard].reader);
    cluster.broker_down(-1).expect("it is down");
    let (error, committed) = tokio::join!(poller.breaks(), reader.commit(came[3].position.clone()));
    assert_eq!(error.problem, Problem::Unreachable, "{error}");
    let unknown = committed.expect_err("nobody knows whether it is");
    assert_eq!(unknown.problem, Problem::Unreachable, "{unknown}");
    assert_eq!(reader.receive(super::poller::SOON).await.expect_err("it is broken"), error);
    drop(poller);
    assert_eq!(refused(&topic).await.problem, Problem::Unreachable);
    cluster.broker_up(-1).expect("it is up");
    // In a group of its own: the mock cluster knows no static members and would wait for the old one.
    topic.mapping = unique("mapping");
    let connector = topic.connector(Start::TrimHorizon);
    let mut poller = Poller::start(&connector, places(&shard, &came), 1).await;
    // What was in flight is settled on the new connection; reading goes on after it.
    poller.commit(&shard, &came[3]).await;
    assert_eq!(numbers(&poller.read(&shard, 6).await), (4..10).collect::<Vec<_>>());
}

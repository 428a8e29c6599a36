//! The `nats` source on a real server.

mod server;

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull, push};
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use async_nats::jetstream::{self, Context};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;
use trine_pollers::conformance::Subject;
use trine_pollers::{
    Connect, Places, Problem, Record, SeekTo, ShardName, Sought, SourceError, Start, Target,
    Verdict, Want, conformance_suite,
};
use trine_proto::v1::NatsSource;

use self::server::Server;
use crate::by_hand::{Hand, PROMPT, WANT, binding, bodies, event, until};
use crate::proxy::{Mode, Proxy};
use crate::tls::Certificate;

const STREAM: &str = "ORDERS";

/// Well below the wait for an answer that does not come.
const SOON: Duration = Duration::from_secs(3);

/// A server with a stream that takes all subjects `orders.…`.
struct World {
    server: Server,
    context: Context,
    source: NatsSource,
}

impl World {
    async fn new() -> Option<Self> {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Option<Self> {
        Some(Self::on(Server::start().await?, config).await)
    }

    async fn on(server: Server, config: Config) -> Self {
        let client = async_nats::connect(server.url()).await.expect("a client");
        let context = jetstream::new(client);
        let stream =
            Config { name: STREAM.to_owned(), subjects: vec!["orders.>".to_owned()], ..config };
        context.create_stream(stream).await.expect("a stream");
        let source = NatsSource {
            urls: vec![server.url()],
            stream: STREAM.to_owned(),
            ..NatsSource::default()
        };
        Self { server, context, source }
    }

    /// With a consumer that the user made, whose lease is short.
    async fn with_short_lease() -> Option<Self> {
        let mut world = Self::new().await?;
        let consumer = pull::Config { ack_wait: Duration::from_secs(2), ..named("mine") };
        world.make(consumer).await;
        world.source.durable = "mine".to_owned();
        Some(world)
    }

    async fn make(&self, consumer: pull::Config) {
        let made = self.context.create_consumer_on_stream(consumer, STREAM).await;
        made.expect("a consumer");
    }

    async fn publish(&self, subject: &str, text: &str) {
        let sent = self.context.publish(subject.to_owned(), text.to_owned().into()).await;
        sent.expect("sent").await.expect("stored");
    }

    async fn publish_numbers(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.publish("orders.a", &number.to_string()).await;
        }
    }

    fn connector(&self, start: Start) -> Arc<dyn Connect> {
        connector(&self.source, start)
    }

    async fn info(&self) -> jetstream::consumer::Info {
        let name = if self.source.durable.is_empty() { "trine-m" } else { &self.source.durable };
        let found: jetstream::consumer::PullConsumer =
            self.context.get_consumer_from_stream(name, STREAM).await.expect("it is there");
        found.cached_info().clone()
    }
}

fn named(durable: &str) -> pull::Config {
    pull::Config { durable_name: Some(durable.to_owned()), ..pull::Config::default() }
}

fn connector(source: &NatsSource, start: Start) -> Arc<dyn Connect> {
    trine_pollers::nats::connector(source, &binding("m", start)).expect("a good configuration")
}

async fn refused(connector: &Arc<dyn Connect>) -> SourceError {
    Hand::try_open(connector).await.err().expect("it is refused")
}

fn numbers(records: &[Record]) -> Vec<usize> {
    bodies(records).into_iter().map(|text| text.parse().expect("a number")).collect()
}

impl Subject for World {
    fn connector(&mut self) -> Arc<dyn Connect> {
        Self::connector(self, Start::TrimHorizon)
    }

    async fn produce(&mut self, key: &str, text: &str) {
        self.publish(&format!("orders.{}", key.replace(' ', "-")), text).await;
    }

    fn text(&self, event: &[u8]) -> String {
        let event: Value = serde_json::from_slice(event).expect("JSON");
        let data = STANDARD.decode(event["data"].as_str().expect("a string")).expect("base64");
        String::from_utf8(data).expect("UTF-8")
    }

    fn record_bytes_max(&self) -> usize {
        8 * 1024 * 1024 - 1024
    }
}

conformance_suite!(
    #[tokio::test(flavor = "multi_thread")]
    World::with_short_lease().await
);

#[tokio::test]
async fn an_event_is_documented() {
    let Some(world) = World::new().await else { return };
    let mut headers = HeaderMap::new();
    headers.insert("Trace", "t-1");
    let payload = Bytes::from_static(b"\xff{");
    let sent = world.context.publish_with_headers("orders.a", headers, payload).await;
    sent.expect("sent").await.expect("stored");
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let records = hand.receive(1).await;
    let at_ms = records[0].arrived_at_ms.expect("it has a time");
    assert_eq!(
        event(&records[0]),
        json!({"eventSource": "trine:nats", "stream": STREAM, "consumer": "trine-m",
               "subject": "orders.a", "streamSequence": 1, "consumerSequence": 1, "deliveredCount": 1,
               "timestamp": at_ms, "headers": {"Trace": ["t-1"]}, "data": "/3s="})
    );
    let record = &records[0];
    assert_eq!((&*record.identifier, record.key.as_deref()), ("1", Some(&b"orders.a"[..])));
    assert_eq!(record.body, &b"\xff{"[..]);
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_with_what_it_lacks() {
    let Some(old) = Server::of("TRINE_NATS_OLD", "").await else { return };
    let source =
        NatsSource { urls: vec![old.url()], stream: STREAM.to_owned(), ..NatsSource::default() };
    let error = refused(&connector(&source, Start::Latest)).await;
    assert_eq!(error.problem, Problem::Configuration);
    let says = error.to_string();
    assert!(says.contains("is version 2.9.") && says.contains("expected 2.10 or later"), "{says}");
    assert!(says.contains("several filter subjects"), "{says}");
}

#[tokio::test]
async fn what_is_missing_is_named_until_it_is_there() {
    let Some(world) = World::new().await else { return };
    let absent = NatsSource { stream: "NOSUCH".to_owned(), ..world.source.clone() };
    let connector = connector(&absent, Start::TrimHorizon);
    let error = refused(&connector).await;
    assert_eq!(error.problem, Problem::Configuration);
    assert!(error.to_string().contains("there is no stream \"NOSUCH\""), "{error}");
    let config = Config {
        name: "NOSUCH".to_owned(),
        subjects: vec!["other".to_owned()],
        ..Config::default()
    };
    world.context.create_stream(config).await.expect("a stream");
    world.publish("other", "1").await;
    let hand = Hand::open(&connector).await;
    assert_eq!(hand.opened.shard, ShardName::new("NOSUCH"));
    assert_eq!(bodies(&hand.receive(1).await), ["1"]);
}

#[tokio::test]
async fn credentials_rights_and_jetstream_are_told_apart() {
    let accounts = "accounts { A { jetstream: enabled, users: [
            {user: all, password: right}
            {user: few, password: right, permissions: {publish: [\"nothing\"]}} ] }
        B { users: [{user: bare, password: right}] } }\n";
    let Some(server) = Server::of("TRINE_NATS_SERVER", accounts).await else { return };
    let error = async |user: &str, secret: &str| {
        let source = NatsSource {
            urls: vec![server.url()],
            stream: STREAM.to_owned(),
            username: user.to_owned(),
            password_secret: secret.to_owned(),
            ..NatsSource::default()
        };
        refused(&connector(&source, Start::Latest)).await
    };
    let wrong = error("all", "wrong").await;
    assert_eq!(wrong.problem, Problem::Authentication);
    assert!(wrong.to_string().contains("does not accept the credentials"), "{wrong}");
    assert_eq!(error("", "").await.problem, Problem::Authentication);
    let few = error("few", "right").await;
    assert_eq!(few.problem, Problem::Authorization);
    assert!(few.to_string().contains("STREAM.INFO.ORDERS"), "{few}");
    let bare = error("bare", "right").await;
    assert_eq!(bare.problem, Problem::Configuration);
    assert!(bare.to_string().contains("JetStream"), "{bare}");
    let all = error("all", "right").await;
    assert!(all.to_string().contains("there is no stream"), "{all}");
}

/// Whoever answers could say that it wants none, and have the password.
#[tokio::test]
async fn who_names_authorities_speaks_tls_or_not_at_all() {
    let Some(world) = World::new().await else { return };
    let ca_file = Certificate::new();
    let source = NatsSource { ca_file: ca_file.ca_file(), ..world.source.clone() };
    let error = refused(&connector(&source, Start::TrimHorizon)).await;
    assert_eq!(error.problem, Problem::Unreachable, "{error}");
}

/// NATS says in the clear that it wants TLS, whatever the scheme is.
#[tokio::test]
async fn tls_is_spoken_with_who_can_be_trusted() {
    let certificate = Certificate::new();
    let (file, key) = (certificate.ca_file(), certificate.key_file());
    let more = format!("tls {{ cert_file: \"{file}\", key_file: \"{}\" }}\n", key.display());
    let Some(server) = Server::of("TRINE_NATS_SERVER", &more).await else { return };
    let client = async_nats::ConnectOptions::new().add_root_certificates(certificate.file());
    let client = client.connect(server.url()).await.expect("a client");
    let context = jetstream::new(client);
    let stream = Config {
        name: STREAM.to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..Config::default()
    };
    context.create_stream(stream).await.expect("a stream");
    context.publish("orders.a", "1".into()).await.expect("sent").await.expect("stored");
    for scheme in ["nats", "tls"] {
        let source = NatsSource {
            urls: vec![format!("{scheme}://{}", server.address)],
            stream: STREAM.to_owned(),
            durable: scheme.to_owned(),
            ca_file: certificate.ca_file(),
            ..NatsSource::default()
        };
        let hand = Hand::open(&connector(&source, Start::TrimHorizon)).await;
        let records = hand.receive(1).await;
        hand.settle(&records, Verdict::Done).await;

        let unknown = NatsSource { ca_file: String::new(), ..source.clone() };
        let error = refused(&connector(&unknown, Start::TrimHorizon)).await;
        assert_eq!(error.problem, Problem::Unreachable, "{error}");
        assert!(error.to_string().contains("name it in ca_file"), "{error}");
        let gone = NatsSource { ca_file: "/nowhere".to_owned(), ..source };
        let error = refused(&connector(&gone, Start::TrimHorizon)).await;
        assert_eq!(error.problem, Problem::Configuration, "{error}");
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_told() {
    let source = NatsSource {
        urls: vec!["nats://127.0.0.1:1".to_owned()],
        stream: STREAM.to_owned(),
        ..NatsSource::default()
    };
    let error = refused(&connector(&source, Start::Latest)).await;
    assert_eq!(error.problem, Problem::Unreachable);
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn the_consumer_is_made_as_documented_and_begins_where_it_should() {
    let Some(world) = World::new().await else { return };
    world.publish_numbers(0..2).await;
    // Times of the stream have nanoseconds; the next millisecond is behind both.
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let info = world.info().await;
    assert_eq!(info.config.ack_policy, AckPolicy::Explicit);
    assert_eq!((info.config.ack_wait, info.config.max_deliver), (Duration::from_secs(30), -1));
    assert_eq!(info.config.deliver_policy, DeliverPolicy::All);
    assert_eq!(hand.opened.lease, Some(Duration::from_secs(30)));
    let first = hand.receive(2).await;
    for (durable, start, expected) in [
        ("latest", Start::Latest, vec![2]),
        ("second", Start::AtTimestamp(first[1].arrived_at_ms.expect("a time")), vec![1, 2]),
        ("late", Start::AtTimestamp(first[1].arrived_at_ms.expect("a time") + 1), vec![2]),
    ] {
        let source = NatsSource { durable: durable.to_owned(), ..world.source.clone() };
        let hand = Hand::open(&connector(&source, start)).await;
        if durable == "latest" {
            world.publish_numbers(2..3).await;
        }
        let came = numbers(&hand.receive(expected.len()).await);
        // Both may have come within one millisecond.
        assert!(came == expected || durable == "second" && came == [0, 1], "{durable}: {came:?}");
    }
}

#[tokio::test]
async fn several_filters_and_what_does_not_fit_a_consumer() {
    let Some(world) = World::new().await else { return };
    for subject in ["orders.a", "orders.b", "orders.c"] {
        world.publish(subject, subject).await;
    }
    let filters = |filters: &[&str]| NatsSource {
        filter_subjects: filters.iter().map(|&filter| filter.to_owned()).collect(),
        ..world.source.clone()
    };
    let hand =
        Hand::open(&connector(&filters(&["orders.c", "orders.a"]), Start::TrimHorizon)).await;
    assert_eq!(bodies(&hand.receive(2).await), ["orders.a", "orders.c"]);
    assert!(hand.once().await.records.is_empty());
    let error = refused(&connector(&filters(&["orders.b"]), Start::TrimHorizon)).await;
    assert_eq!(error.problem, Problem::Configuration);
    assert!(error.to_string().contains("expected [\"orders.b\"]"), "{error}");
    let pushed = push::Config {
        durable_name: Some("pushed".to_owned()),
        deliver_subject: "there".to_owned(),
        ..push::Config::default()
    };
    world.context.create_consumer_on_stream(pushed, STREAM).await.expect("a consumer");
    world.make(pull::Config { ack_policy: AckPolicy::All, ..named("all") }).await;
    for (durable, says) in [("pushed", "is a push consumer"), ("all", "has the ack policy All")] {
        let source = NatsSource { durable: durable.to_owned(), ..world.source.clone() };
        let error = refused(&connector(&source, Start::Latest)).await;
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn what_a_dead_process_held_comes_first_in_order_and_at_once() {
    let Some(world) = World::new().await else { return };
    world.publish_numbers(0..20).await;
    let dead = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let records = dead.receive(10).await;
    dead.settle(&[records[3].clone(), records[7].clone()], Verdict::Done).await;
    drop(dead);
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    // The lease is 30 s; this does not wait for it.
    let expected: Vec<_> = (0..20).filter(|number| ![3, 7].contains(number)).collect();
    let records = hand.receive(18).await;
    assert_eq!(numbers(&records), expected);
    assert_eq!(event(&records[0])["deliveredCount"], 2);
    assert!(hand.once().await.records.is_empty());
}

#[tokio::test]
async fn what_the_server_could_not_hand_over_comes_in_its_order_too() {
    for version in ["TRINE_NATS_SERVER", "TRINE_NATS_OLDEST"] {
        let Some(server) = Server::of(version, "").await else { return };
        let mut world = World::on(server, Config::default()).await;
        world.publish_numbers(0..600).await;
        // The second one takes no request that waits for longer.
        for (durable, max_expires) in [("any", Duration::ZERO), ("brief", Duration::from_secs(1))] {
            world.make(pull::Config { max_expires, ..named(durable) }).await;
            world.source.durable = durable.to_owned();
            ask_and_go(&world).await;
            let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
            let came = numbers(&hand.receive(600).await);
            assert_eq!(came, (0..600).collect::<Vec<_>>(), "{version} {durable}");
        }
    }
}

/// Asks for messages, and is gone in the middle of them, from the server's side like one that was killed. It keeps what did not leave for
/// redelivery: the later part, before anybody asks for the earlier one.
async fn ask_and_go(world: &World) {
    let client = async_nats::connect(world.server.url()).await.expect("a client");
    let mut taken = 0;
    // It may notice at once, and have nothing left then.
    while world.info().await.num_ack_pending == taken {
        assert!(taken < 450, "it never noticed in the middle");
        let mut answers = client.subscribe("gone").await.expect("a subscription");
        answers.unsubscribe_after(150).await.expect("it is sent");
        taken += 150;
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{}", world.source.durable);
        let asked = client.publish_with_reply(next, "gone", "{\"batch\":500}".into()).await;
        asked.expect("it is sent");
        while answers.next().await.is_some() {}
    }
}

/// A server that has no room for a message in a request would deliver it behind the others.
#[tokio::test]
async fn what_comes_again_keeps_its_order_however_little_of_it_fits() {
    for version in ["TRINE_NATS_SERVER", "TRINE_NATS_OLDEST"] {
        let Some(server) = Server::of(version, "").await else { return };
        let mut world = World::on(server, Config::default()).await;
        for number in 0..20 {
            world.publish("orders.a", &format!("{}{number}", "0".repeat(300_000))).await;
        }
        // The second one gives no more with a request.
        for (durable, max_bytes) in [("any", 0), ("tight", 700_000)] {
            world.make(pull::Config { max_bytes, ..named(durable) }).await;
            world.source.durable = durable.to_owned();
            let connector = world.connector(Start::TrimHorizon);
            let dead = Hand::open(&connector).await;
            assert_eq!(numbers(&dead.receive(15).await), (0..15).collect::<Vec<_>>());
            drop(dead);
            let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
            let mut came = Vec::new();
            until("all messages", async || {
                let want = Want { bytes_max: 1_500_000, ..WANT };
                let received = hand.opened.reader.receive(want).await.expect("the source works");
                came.extend(numbers(&received.records));
                hand.settle(&received.records, Verdict::Done).await;
                came.len() == 20
            })
            .await;
            assert_eq!(came, (0..20).collect::<Vec<_>>(), "{version} {durable}");
        }
    }
}

/// The server answers no request for new messages then, and this is not waited for.
#[tokio::test]
async fn a_consumer_that_has_out_what_it_may_is_taken_back_at_once() {
    let Some(mut world) = World::new().await else { return };
    world.make(pull::Config { max_ack_pending: 10, ..named("mine") }).await;
    world.source.durable = "mine".to_owned();
    world.publish_numbers(0..20).await;
    let dead = Hand::open(&world.connector(Start::TrimHorizon)).await;
    dead.receive(10).await;
    drop(dead);
    let opening = timeout(SOON, async { Hand::open(&world.connector(Start::TrimHorizon)).await });
    let hand = opening.await.expect("it opens at once");
    let records = hand.receive(10).await;
    assert_eq!(numbers(&records), (0..10).collect::<Vec<_>>());
    hand.settle(&records, Verdict::Done).await;
    assert_eq!(numbers(&hand.receive(10).await), (10..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_lost_on_the_way_comes_again_before_what_is_new() {
    let Some(mut world) = World::new().await else { return };
    let proxy = Proxy::to(world.server.address).await;
    world.source.urls = vec![format!("nats://{}", proxy.address)];
    let connector = world.connector(Start::TrimHorizon);
    world.publish_numbers(0..5).await;
    let hand = Hand::open(&connector).await;
    let in_hand = hand.receive(5).await;
    world.publish_numbers(5..15).await;
    proxy.set(Mode::LoseAnswers);
    let reader = Arc::clone(&hand.opened.reader);
    let receiving = tokio::spawn(async move { reader.receive(WANT).await });
    until("the server to have sent all", async || world.info().await.num_ack_pending == 15).await;
    world.publish_numbers(15..20).await;
    proxy.set(Mode::Cut);
    let error = receiving.await.expect("no panic").expect_err("it was cut");
    assert_eq!(error.problem, Problem::Unreachable);
    let changed = hand.source.next_change().await.expect_err("it was cut");
    assert_eq!(changed.problem, Problem::Unreachable);
    let unsettled = hand.try_settle(&in_hand, Verdict::Done).await;
    assert_eq!(unsettled.expect_err("it was cut").problem, Problem::Unreachable);
    drop(hand);
    proxy.set(Mode::Pass);
    let hand = Hand::open(&connector).await;
    // What is in hand does not come again, and is settled on the new connection.
    assert_eq!(numbers(&hand.receive(15).await), (5..20).collect::<Vec<_>>());
    hand.settle(&in_hand, Verdict::Done).await;
    assert_eq!(world.info().await.num_ack_pending, 15);
}

#[tokio::test]
async fn connection_after_connection_that_is_cut_keeps_the_order_of_each_subject() {
    let Some(mut world) = World::new().await else { return };
    let proxy = Proxy::to(world.server.address).await;
    world.source.urls = vec![format!("nats://{}", proxy.address)];
    let connector = world.connector(Start::TrimHorizon);
    let (mut came, mut unsettled) = (Vec::new(), 0);
    for round in 0..6 {
        for number in 0..50 {
            world.publish(&format!("orders.{}", number % 5), &format!("{round}/{number}")).await;
        }
        let hand = Hand::open(&connector).await;
        let records = hand.receive(20).await;
        hand.settle(&records[..12], Verdict::Done).await;
        came.extend(records);
        unsettled += 8;
        proxy.set(Mode::LoseAnswers);
        let reader = Arc::clone(&hand.opened.reader);
        let receiving = tokio::spawn(async move { reader.receive(WANT).await });
        until("the server to have sent some", async || {
            world.info().await.num_ack_pending > unsettled
        })
        .await;
        proxy.set(Mode::Cut);
        receiving.await.expect("no panic").expect_err("it was cut");
        proxy.set(Mode::Pass);
    }
    let hand = Hand::open(&connector).await;
    came.extend(hand.receive(300 - came.len()).await);
    let mut last = std::collections::BTreeMap::new();
    for record in &came {
        let sequence: u64 = record.identifier.parse().expect("a number");
        let before = last.insert(record.key.clone(), sequence);
        assert!(before.is_none_or(|before| before < sequence), "{before:?} before {sequence}");
    }
    hand.settle(&came, Verdict::Done).await;
    let info = world.info().await;
    assert_eq!((info.num_ack_pending, info.ack_floor.stream_sequence), (0, 300));
}

#[tokio::test]
async fn a_restarted_server_is_read_on_and_takes_what_is_in_hand() {
    let Some(mut world) = World::new().await else { return };
    let connector = world.connector(Start::TrimHorizon);
    world.publish_numbers(0..10).await;
    let hand = Hand::open(&connector).await;
    let in_hand = hand.receive(5).await;
    world.server.kill();
    let error = hand.opened.reader.receive(WANT).await.expect_err("it is gone");
    assert_eq!(error.problem, Problem::Unreachable);
    drop(hand);
    assert_eq!(refused(&connector).await.problem, Problem::Unreachable);
    world.server.restart().await;
    let hand = Hand::open(&connector).await;
    assert_eq!(numbers(&hand.receive(5).await), [5, 6, 7, 8, 9]);
    hand.settle(&in_hand, Verdict::Done).await;
    until("the client of the test to be back", async || {
        world.context.get_stream(STREAM).await.is_ok()
    })
    .await;
    let info = world.info().await;
    assert_eq!((info.ack_floor.stream_sequence, info.num_ack_pending), (5, 5));
}

#[tokio::test]
async fn a_lease_that_ran_out_while_cut_off_brings_nothing_twice() {
    let Some(mut world) = World::with_short_lease().await else { return };
    let proxy = Proxy::to(world.server.address).await;
    world.source.urls = vec![format!("nats://{}", proxy.address)];
    let connector = world.connector(Start::TrimHorizon);
    world.publish_numbers(0..3).await;
    let hand = Hand::open(&connector).await;
    assert_eq!(hand.opened.lease, Some(Duration::from_secs(2)));
    let records = hand.receive(3).await;
    proxy.set(Mode::Cut);
    drop(hand);
    // Somebody else's request, so that the server has a reason to look at what is due.
    let durable = world.context.get_consumer_from_stream("mine", STREAM).await;
    let durable: jetstream::consumer::PullConsumer = durable.expect("it is there");
    let mut due = durable.batch().max_messages(3).expires(PROMPT).messages().await.expect("asked");
    for _ in 0..3 {
        due.next().await.expect("it is due").expect("a message");
    }
    proxy.set(Mode::Pass);
    let hand = Hand::open(&connector).await;
    let again = hand.once().await.records;
    assert!(again.is_empty(), "the runner has them: {again:?}");
    hand.settle(&records, Verdict::Done).await;
    let info = world.info().await;
    assert_eq!((info.num_ack_pending, info.ack_floor.stream_sequence), (0, 3));
}

#[tokio::test]
async fn what_the_runner_lost_comes_again_and_what_it_extends_does_not() {
    let Some(world) = World::with_short_lease().await else { return };
    world.publish_numbers(0..3).await;
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let records = hand.receive(3).await;
    let mut again = Vec::new();
    while again.len() < 2 {
        hand.settle(&records[..1], Verdict::Held).await;
        again.extend(hand.once().await.records);
    }
    assert_eq!(numbers(&again), [1, 2]);
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_to_a_runner_that_reads_nothing() {
    let Some(mut world) = World::new().await else { return };
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    world.server.kill();
    let error = tokio::time::timeout(PROMPT, hand.source.next_change()).await.expect("it is told");
    assert_eq!(error.expect_err("it broke").problem, Problem::Unreachable);
}

#[tokio::test]
async fn what_is_given_back_comes_again_in_order_and_what_is_rejected_never() {
    let Some(world) = World::new().await else { return };
    world.publish_numbers(0..6).await;
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let mut records = hand.receive(4).await;
    hand.settle(&records[..1], Verdict::Rejected).await;
    records.reverse();
    hand.settle(&records[..3], Verdict::Released).await;
    let records = hand.receive(5).await;
    assert_eq!(numbers(&records), [1, 2, 3, 4, 5]);
    hand.settle(&records, Verdict::Done).await;
    assert_eq!(world.info().await.num_ack_pending, 0);
    assert!(hand.once().await.records.is_empty());
}

#[tokio::test]
async fn a_consumer_that_somebody_removed_goes_on_after_what_was_read() {
    let Some(world) = World::new().await else { return };
    let connector = world.connector(Start::TrimHorizon);
    world.publish_numbers(0..3).await;
    let hand = Hand::open(&connector).await;
    hand.receive(2).await;
    world.context.delete_consumer_from_stream("trine-m", STREAM).await.expect("removed");
    let error = hand.opened.reader.receive(WANT).await.expect_err("it is gone");
    assert_eq!(error.problem, Problem::Unreachable);
    let hand = Hand::open(&connector).await;
    assert!(hand.notices[0].gap && hand.notices[0].message.contains("goes on at sequence 3"));
    assert_eq!(numbers(&hand.receive(1).await), [2]);
    assert!(hand.once().await.records.is_empty());
}

#[tokio::test]
async fn a_consumer_that_is_gone_is_told_to_a_runner_that_reads_nothing() {
    let Some(world) = World::new().await else { return };
    world.publish_numbers(0..2).await;
    let connector = world.connector(Start::TrimHorizon);
    let hand = Hand::open(&connector).await;
    let records = hand.receive(2).await;
    world.context.delete_consumer_from_stream("trine-m", STREAM).await.expect("removed");
    let error = hand.try_settle(&records, Verdict::Done).await.expect_err("nobody takes it");
    assert!(error.to_string().contains("does not exist any more"), "{error}");
    let told = tokio::time::timeout(PROMPT, hand.source.next_change()).await.expect("it is told");
    assert_eq!(told.expect_err("it is of no use").problem, Problem::Unreachable);
    // The runner says it again on the next connection.
    let hand = Hand::open(&connector).await;
    hand.settle(&records, Verdict::Done).await;
    assert!(hand.once().await.records.is_empty());
}

#[tokio::test]
async fn a_message_larger_than_what_is_wanted_comes_alone() {
    let Some(world) = World::new().await else { return };
    for text in ["s", &"x".repeat(10_000), "t"] {
        world.publish("orders.a", text).await;
    }
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let mut lengths = Vec::new();
    while lengths.iter().sum::<usize>() < 3 {
        let want = Want { bytes_max: 4_000, ..WANT };
        let received = hand.opened.reader.receive(want).await.expect("it works");
        lengths.push(received.records.len());
        assert!(received.records.iter().map(|record| record.body.len()).max() < Some(10_001));
    }
    assert_eq!(lengths, [1, 1, 1]);
}

#[tokio::test]
async fn the_lag_is_what_the_consumer_was_not_given() {
    let Some(world) = World::new().await else { return };
    world.publish_numbers(0..10).await;
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let want = Want { records_max: 4, ..WANT };
    let received = hand.opened.reader.receive(want).await.expect("it works");
    assert_eq!((received.records.len(), received.lag_records), (4, Some(6)));
    assert_eq!(hand.once().await.lag_records, Some(0));
    assert_eq!(hand.once().await.lag_records, Some(0), "nothing came because nothing is there");
}

#[tokio::test]
async fn nothing_comes_while_too_much_is_out_and_the_lag_is_not_called_none() {
    let Some(mut world) = World::new().await else { return };
    world.make(pull::Config { max_ack_pending: 2, ..named("tight") }).await;
    world.source.durable = "tight".to_owned();
    world.publish_numbers(0..5).await;
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let records = hand.once().await.records;
    assert_eq!(numbers(&records), [0, 1]);
    let full = hand.once().await;
    assert_eq!((full.records.len(), full.lag_records), (0, None));
    hand.settle(&records, Verdict::Done).await;
    assert_eq!(numbers(&hand.receive(2).await), [2, 3]);
}

#[tokio::test]
async fn what_was_settled_together_is_settled_when_the_call_ends() {
    let Some(world) = World::new().await else { return };
    let numbers = 3_000;
    for number in 0..numbers {
        // That it is stored is seen below.
        let sent = world.context.publish("orders.a", number.to_string().into()).await;
        drop(sent.expect("sent"));
    }
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let records = hand.receive(numbers).await;
    hand.settle(&records, Verdict::Held).await;
    assert_eq!(world.info().await.num_ack_pending, numbers);
    hand.settle(&records, Verdict::Done).await;
    let info = world.info().await;
    assert_eq!((info.num_ack_pending, info.ack_floor.stream_sequence), (0, numbers as u64));
}

async fn seek(connector: &Arc<dyn Connect>, to: SeekTo, preview: bool) -> Sought {
    let target = Target { shard: None, to };
    let mut sought = connector.seek(Places::new(), target, preview).await.expect("a seek");
    assert_eq!(sought.len(), 1);
    sought.remove(0)
}

#[tokio::test]
async fn a_seek_says_what_it_would_do_and_does_it() {
    let Some(world) = World::new().await else { return };
    world.publish_numbers(0..10).await;
    let connector = world.connector(Start::TrimHorizon);
    let hand = Hand::open(&connector).await;
    let records = hand.receive(6).await;
    hand.settle(&records, Verdict::Done).await;
    drop(hand);
    let before = world.info().await;
    for (to, again, skipped, shown) in [
        (SeekTo::Start, 6, 0, "sequence 1,"),
        (SeekTo::End, 0, 4, "sequence 11,"),
        (SeekTo::Position("9".to_owned()), 0, 2, "sequence 9"),
        (SeekTo::Position(records[2].position.as_str().to_owned()), 4, 0, "sequence 3"),
        (SeekTo::Timestamp(0), 6, 0, "since 0 ms"),
    ] {
        let sought = seek(&connector, to, true).await;
        assert_eq!((sought.read_again, sought.skipped), (Some(again), Some(skipped)), "{sought:?}");
        assert_eq!((sought.from.as_str(), &sought.place), ("sequence 6", &None));
        assert!(sought.to.contains(shown), "{sought:?}");
    }
    assert_eq!(world.info().await.ack_floor, before.ack_floor, "a preview moves nothing");
    seek(&connector, SeekTo::Position("4".to_owned()), false).await;
    let info = world.info().await;
    assert_eq!(info.config.max_ack_pending, before.config.max_ack_pending);
    let hand = Hand::open(&connector).await;
    assert_eq!(hand.notices, [], "nobody else removed it");
    assert_eq!(numbers(&hand.receive(7).await), (3..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_seek_that_cannot_be_is_refused_by_name() {
    let Some(world) = World::new().await else { return };
    world.publish_numbers(0..2).await;
    let connector = world.connector(Start::TrimHorizon);
    let error = async |connector: &Arc<dyn Connect>, shard: Option<&str>, position: &str| {
        let to = SeekTo::Position(position.to_owned());
        let target = Target { shard: shard.map(ShardName::new), to };
        connector.seek(Places::new(), target, false).await.expect_err("it is refused").to_string()
    };
    for position in ["0", "4", "the end"] {
        let says = error(&connector, None, position).await;
        assert!(says.contains("expected a sequence of the stream, 1 to 3"), "{says}");
    }
    assert!(error(&connector, Some("other"), "1").await.contains("there is no shard other"));
    let interest = Config { retention: RetentionPolicy::Interest, ..Config::default() };
    let Some(world) = World::with(interest).await else { return };
    let says = error(&world.connector(Start::TrimHorizon), None, "1").await;
    assert!(says.contains("retention policy Interest"), "{says}");
}

#[tokio::test]
async fn what_was_given_up_is_named() {
    let Some(world) = World::new().await else { return };
    world.publish_numbers(0..3).await;
    let connector = world.connector(Start::TrimHorizon);
    let hand = Hand::open(&connector).await;
    let records = hand.receive(3).await;
    let given_up: Vec<_> = records.iter().collect();
    let (name, member) = connector.batch_member(&hand.opened.shard, &given_up);
    assert_eq!(name, "NatsBatchInfo");
    assert_eq!((&member["stream"], &member["consumer"]), (&json!(STREAM), &json!("trine-m")));
    assert_eq!(member["startSequenceNumber"], "1");
    assert_eq!(member["endSequenceNumber"], "3");
    assert!(member["approximateArrivalOfFirstRecord"].as_str().expect("a time").ends_with('Z'));
}

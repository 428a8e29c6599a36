//! RabbitMQ: the conformance suite on both kinds of queue, and what is special to it.

use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use trine_pollers::conformance::Subject;
use trine_pollers::{Content, SeekTo, Target, conformance_suite, rabbitmq};
use trine_proto::v1::RabbitMqSource;

use super::*;
use crate::mq::proxy::Proxy;
use crate::mq::raw_amqp;
use crate::skip::server;
use crate::tls::Certificate;

/// The kinds of queue that are read alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Classic,
    Quorum,
}

/// A queue of its own, deleted at the end.
struct Queue {
    server: String,
    name: String,
    channel: Channel,
}

impl Queue {
    async fn new(kind: Kind) -> Option<Self> {
        let kind = if kind == Kind::Quorum { "quorum" } else { "classic" };
        Self::with(&[("x-queue-type", kind)], false).await
    }

    async fn with(arguments: &[(&str, &str)], exclusive: bool) -> Option<Self> {
        let server = server("TRINE_RABBITMQ")?;
        let properties = ConnectionProperties::default();
        let uri = format!("amqp://guest:guest@{server}/%2f");
        let connection = Connection::connect(&uri, properties).await.expect("RabbitMQ is there");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let name = unique("rabbit");
        let queue = Self { server, name, channel };
        queue.declare(&queue.name, arguments, exclusive).await;
        Some(queue)
    }

    async fn declare(&self, name: &str, arguments: &[(&str, &str)], exclusive: bool) {
        let durable = !exclusive;
        let options = QueueDeclareOptions { durable, exclusive, ..QueueDeclareOptions::default() };
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), AMQPValue::LongString((*value).into()));
        }
        self.channel.queue_declare(name.into(), options, table).await.expect("a queue");
    }

    async fn publish(&self, body: &[u8], properties: BasicProperties) {
        let (to, options) = (self.name.as_str().into(), BasicPublishOptions::default());
        let sent = self.channel.basic_publish("".into(), to, options, body, properties).await;
        let confirmed = sent.expect("it is sent").await.expect("it is confirmed");
        assert!(!confirmed.is_nack(), "RabbitMQ refused it");
    }

    async fn publish_numbered(&self, numbers: std::ops::Range<usize>) {
        for body in numbered(numbers) {
            self.publish(body.as_bytes(), BasicProperties::default()).await;
        }
    }

    async fn delete(&self) {
        let options = QueueDeleteOptions::default();
        self.channel.queue_delete(self.name.as_str().into(), options).await.expect("it is deleted");
    }

    fn config(&self) -> RabbitMqSource {
        RabbitMqSource {
            url: format!("amqp://{}", self.server),
            queue: self.name.clone(),
            ..RabbitMqSource::default()
        }
    }

    fn connector(&self) -> Arc<dyn Connect> {
        connector(&self.config())
    }

    fn through(&self, proxy: &Proxy) -> Arc<dyn Connect> {
        connector(&RabbitMqSource { url: format!("amqp://{}", proxy.address), ..self.config() })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let (channel, name) = (self.channel.clone(), self.name.clone());
        tokio::spawn(async move {
            // It may be gone already.
            let _ = channel.queue_delete(name.into(), QueueDeleteOptions::default()).await;
        });
    }
}

fn connector(config: &RabbitMqSource) -> Arc<dyn Connect> {
    let binding = binding(&[("right", "guest"), ("wrong", "nonsense")]);
    rabbitmq::connector(config, &binding).expect("a good configuration")
}

impl Subject for Queue {
    fn connector(&mut self) -> Arc<dyn Connect> {
        Self::connector(self)
    }

    async fn produce(&mut self, _: &str, text: &str) {
        let properties = BasicProperties::default().with_delivery_mode(2);
        self.publish(text.as_bytes(), properties).await;
    }

    fn text(&self, event: &[u8]) -> String {
        let event = serde_json::from_slice(event).expect("an event is JSON");
        String::from_utf8(data(&event)).expect("it was text")
    }

    fn record_bytes_max(&self) -> usize {
        128 * 1024 * 1024
    }
}

mod classic {
    use super::*;
    conformance_suite!(
        #[tokio::test(flavor = "multi_thread")]
        Queue::new(Kind::Classic).await
    );
}

mod quorum {
    use super::*;
    conformance_suite!(
        #[tokio::test(flavor = "multi_thread")]
        Queue::new(Kind::Quorum).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asked_for_is_for_others() {
    for kind in [Kind::Classic, Kind::Quorum] {
        let Some(queue) = Queue::new(kind).await else { return };
        queue.publish_numbered(0..10).await;
        let first = Open::new(&queue.connector()).await;
        let one = first.receive(1).await;
        let second = Open::new(&queue.connector()).await;
        let others = second.receive(9).await;
        let mut all = bodies(&one);
        all.extend(bodies(&others));
        all.sort();
        assert_eq!(all, numbered(0..10), "{kind:?}");
        // Neither do acks fetch anything.
        first.settle(&one, Verdict::Done).await;
        second.settle(&others, Verdict::Done).await;
        queue.publish_numbered(10..14).await;
        assert_eq!(bodies(&second.receive(4).await), numbered(10..14), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_that_was_given_up_loses_nothing() {
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    let open = Open::new(&queue.connector()).await;
    let given_up = open.receive_once(2, PROMPT);
    assert!(timeout(Duration::from_millis(300), given_up).await.is_err(), "there is nothing");
    // Two of them come to nobody.
    queue.publish_numbered(0..5).await;
    assert_eq!(bodies(&open.receive_once(1, PROMPT).await.records), ["000"]);
    assert_eq!(bodies(&open.receive(4).await), numbered(1..5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_hand_when_the_connection_broke_comes_again() {
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    queue.publish_numbered(0..6).await;
    let proxy = Proxy::start(&queue.server).await;
    let connector = queue.through(&proxy);
    let first = Open::new(&connector).await;
    let held = first.receive(6).await;
    assert!(held.iter().all(|record| json(record)["redelivered"] == false));
    first.settle(&held[..2], Verdict::Done).await;
    let want = Want { records_max: 1, bytes_max: u64::MAX, wait: PROMPT };
    let receiving = async {
        let mut receiving = first.reader().receive(want);
        let early = timeout(Duration::from_millis(300), &mut receiving).await;
        assert!(early.is_err(), "there is nothing: {early:?}");
        proxy.cut();
        receiving.await
    };
    let ended =
        timeout(PROMPT, async { tokio::join!(receiving, first.source.next_change()) }).await;
    let (received, change) = ended.expect("both end");
    assert_told(&received.expect_err("it is cut"), Problem::Unreachable, &["RabbitMQ at"]);
    assert_told(&change.expect_err("it is cut"), Problem::Unreachable, &["RabbitMQ at"]);
    first.try_settle(&held[2..], Verdict::Done).await.expect_err("nobody can know");

    let second = Open::new(&connector).await;
    let again = second.receive(4).await;
    assert_eq!(bodies(&again), numbered(2..6));
    assert!(again.iter().all(|record| json(record)["redelivered"] == true));
    // Positions of the first connection mean nothing here.
    second.settle(&held, Verdict::Done).await;
    second.settle(&again[..1], Verdict::Done).await;
    drop(second);
    let third = Open::new(&connector).await;
    assert_eq!(third.receive(3).await.len(), 3);
    third.assert_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_froze_is_noticed_and_left() {
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    queue.publish_numbered(0..1).await;
    let proxy = Proxy::start(&queue.server).await;
    let connector = queue.through(&proxy);
    let open = Open::new(&connector).await;
    let held = open.receive(1).await;
    proxy.freeze();
    // An ack that only reached the socket is not taken for durable.
    let error = open.try_settle(&held, Verdict::Done).await.expect_err("nobody can know");
    assert_told(&error, Problem::Unreachable, &["silent for two heartbeats"]);
    drop(open);
    assert_told(&refusal(&connector).await, Problem::Unreachable, &["within 20 seconds"]);
    timeout(PROMPT, proxy.all_gone()).await.expect("no connection is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_under_the_reader_is_told() {
    for kind in [Kind::Classic, Kind::Quorum] {
        let Some(queue) = Queue::new(kind).await else { return };
        let open = Open::new(&queue.connector()).await;
        let want = Want { records_max: 1, bytes_max: u64::MAX, wait: PROMPT };
        let mut receiving = open.reader().receive(want);
        let early = timeout(Duration::from_millis(300), &mut receiving).await;
        assert!(early.is_err(), "there is nothing");
        queue.delete().await;
        let ended = timeout(PROMPT, receiving).await.expect("it ends");
        let error = ended.expect_err("it is gone");
        assert_told(&error, Problem::Configuration, &[&queue.name, "was deleted"]);
        let error = refusal(&queue.connector()).await;
        assert_told(&error, Problem::Configuration, &["has no queue", &queue.name, "404"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_server_or_the_mapping_is_named() {
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    let good = queue.config();
    let user = |name: &str, secret: &str| RabbitMqSource {
        username: name.to_owned(),
        password_secret: secret.to_owned(),
        ..good.clone()
    };
    drop(Open::new(&connector(&user("guest", "right"))).await);
    let told = async |config, problem, names: &[&str]| {
        assert_told(&refusal(&connector(&config)).await, problem, names);
    };
    told(user("guest", "wrong"), Problem::Authentication, &["password of user \"guest\""]).await;
    told(user("nobody", "right"), Problem::Authentication, &["user \"nobody\""]).await;
    let unknown = ["secret \"gone\" is not known"];
    told(user("guest", "gone"), Problem::Authentication, &unknown).await;
    let config = RabbitMqSource { virtual_host: "nowhere".to_owned(), ..good.clone() };
    told(config, Problem::Configuration, &["no virtual host \"nowhere\""]).await;
    let config = RabbitMqSource { queue: "nothing".to_owned(), ..good.clone() };
    told(config, Problem::Configuration, &["no queue \"nothing\" in virtual host \"/\""]).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = closed.local_addr().expect("it is bound");
    drop(closed);
    let config = RabbitMqSource { url: format!("amqp://{address}"), ..good.clone() };
    told(config, Problem::Unreachable, &["cannot be reached", &address.to_string()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_who_can_be_trusted() {
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    let certificate = Certificate::new();
    let front = certificate.in_front_of(&queue.server).await;
    let config = RabbitMqSource {
        url: format!("amqps://{front}"),
        ca_file: certificate.ca_file(),
        ..queue.config()
    };
    queue.publish_numbered(0..50).await;
    let open = Open::new(&connector(&config)).await;
    let records = open.receive(50).await;
    assert_eq!(bodies(&records), numbered(0..50));
    open.settle(&records, Verdict::Done).await;
    open.assert_empty().await;

    let unknown = RabbitMqSource { ca_file: String::new(), ..config.clone() };
    let error = refusal(&connector(&unknown)).await;
    assert_told(&error, Problem::Unreachable, &["RabbitMQ at", "name it in ca_file"]);
    let gone = RabbitMqSource { ca_file: "/nowhere".to_owned(), ..config };
    let error = refusal(&connector(&gone)).await;
    assert_told(&error, Problem::Configuration, &["ca_file /nowhere cannot be read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_belongs_to_somebody_else_is_told() {
    let Some(queue) = Queue::with(&[], true).await else { return };
    let error = refusal(&queue.connector()).await;
    assert_told(&error, Problem::Configuration, &["exclusive one of another connection", "405"]);

    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    let exclusive = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let name = queue.name.as_str();
    let held =
        queue.channel.basic_consume(name.into(), "me".into(), exclusive, FieldTable::default());
    let held = held.await.expect("it is free");
    let open = Open::new(&queue.connector()).await;
    let want = Want { records_max: 1, bytes_max: u64::MAX, wait: PROMPT };
    let error = open.reader().receive(want).await.expect_err("it is taken");
    assert_told(&error, Problem::Configuration, &["one exclusive consumer", name]);
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_refused() {
    let Some(queue) = Queue::with(&[("x-queue-type", "stream")], false).await else { return };
    let open = Open::new(&queue.connector()).await;
    let mut receiving =
        open.reader().receive(Want { records_max: 1, bytes_max: u64::MAX, wait: PROMPT });
    // A consumer of a stream begins with what comes next.
    let early = timeout(Duration::from_millis(500), &mut receiving).await;
    assert!(early.is_err(), "there is nothing: {early:?}");
    queue.publish(b"1", BasicProperties::default()).await;
    let ended = timeout(PROMPT, receiving).await.expect("it ends");
    assert_told(&ended.expect_err("it is a stream"), Problem::Configuration, &["is a stream"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_told() {
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    raw_amqp::publish(&queue.server, &queue.name, b"\xff\xfe").await;
    let open = Open::new(&queue.connector()).await;
    let want = Want { records_max: 1, bytes_max: u64::MAX, wait: PROMPT };
    let error = open.reader().receive(want).await.expect_err("it is not UTF-8");
    assert_told(&error, Problem::Configuration, &["cannot be read", &queue.name, "not UTF-8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_does_what_it_says() {
    let dead = unique("dead");
    let arguments = [("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", &dead)];
    let Some(queue) = Queue::with(&arguments, false).await else { return };
    queue.declare(&dead, &[], false).await;
    queue.publish_numbered(0..8).await;
    let open = Open::new(&queue.connector()).await;
    let records = open.receive(8).await;
    let of = |body: &str| {
        let of = |record: &&Record| &*record.body == body.as_bytes();
        records.iter().find(of).expect("it came").clone()
    };
    open.settle(&[of("000"), of("001"), of("004")], Verdict::Done).await;
    open.settle(&[of("002")], Verdict::Rejected).await;
    open.settle(&[of("003")], Verdict::Failed).await;
    open.settle(&[of("005")], Verdict::Released).await;
    open.settle(&[of("006"), of("007")], Verdict::Held).await;
    let again = open.receive(2).await;
    assert_eq!(bodies(&again), ["003", "005"]);
    open.settle(&again, Verdict::Done).await;
    open.assert_empty().await;
    drop(open);

    let second = Open::new(&queue.connector()).await;
    assert_eq!(bodies(&second.receive(2).await), ["006", "007"], "they were held to the end");
    let config = RabbitMqSource { queue: dead, ..queue.config() };
    let letters = Open::new(&connector(&config)).await;
    let letter = letters.receive(1).await;
    assert_eq!(bodies(&letter), ["002"]);
    let death = &json(&letter[0])["basicProperties"]["headers"]["x-death"][0];
    assert_eq!(death["count"], 1, "{death}");
    letters.settle(&letter, Verdict::Done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_the_official_event() {
    use aws_lambda_events::event::rabbitmq::RabbitMqEvent;
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    let mut headers = FieldTable::default();
    headers.insert("header1".into(), AMQPValue::LongString("value1".into()));
    headers.insert("numberInHeader".into(), AMQPValue::LongInt(10));
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(34)
        .with_correlation_id("correlation \"1\"".into())
        .with_reply_to("answers".into())
        .with_expiration("60000".into())
        .with_message_id("message-1".into())
        .with_timestamp(2021)
        .with_type("order".into())
        .with_user_id("guest".into())
        .with_app_id("shop".into());
    queue.publish(b"{\"timeout\":0,\"b\":\"\x00\xff\"}", properties).await;
    queue.publish(b"", BasicProperties::default()).await;
    let arn =
        "arn:aws:mq:us-west-2:112556298976:broker:test:b-9bcfa592-423a-4942-879d-eb284b418fc8";
    let config = RabbitMqSource { event_source_arn: arn.to_owned(), ..queue.config() };
    let open = Open::new(&connector(&config)).await;
    let records = open.receive(2).await;
    assert_eq!(&*records[0].identifier, "message-1");
    assert_eq!(records[0].arrived_at_ms, Some(2_021_000));

    let event: RabbitMqEvent =
        serde_json::from_slice(&open.payload(&records)).expect("the official type");
    assert_eq!(event.event_source.as_deref(), Some("aws:rmq"));
    assert_eq!(event.event_source_arn.as_deref(), Some(arn));
    let messages = &event.messages_by_queue[&format!("{}::/", queue.name)];
    let (message, bare) = (&messages[0], &messages[1]);
    let said = &message.basic_properties;
    assert_eq!(said.content_type.as_deref(), Some("text/plain"));
    assert_eq!(said.content_encoding.as_deref(), Some("utf-8"));
    assert_eq!(said.headers["header1"], serde_json::json!({"bytes": [118, 97, 108, 117, 101, 49]}));
    assert_eq!(said.headers["numberInHeader"], 10);
    assert_eq!((said.delivery_mode, said.priority), (2, 34));
    assert_eq!(said.correlation_id.as_deref(), Some("correlation \"1\""));
    assert_eq!(said.reply_to.as_deref(), Some("answers"));
    assert_eq!(said.expiration.as_deref(), Some("60000"));
    assert_eq!(said.message_id.as_deref(), Some("message-1"));
    assert_eq!(said.timestamp.as_deref(), Some("Jan 1, 1970, 12:33:41 AM"));
    assert_eq!(said.type_.as_deref(), Some("order"));
    assert_eq!(said.user_id.as_deref(), Some("guest"));
    assert_eq!(said.app_id.as_deref(), Some("shop"));
    assert_eq!((&said.cluster_id, said.body_size), (&None, 22));
    assert!(!message.redelivered);
    let body = STANDARD.decode(message.data.as_deref().expect("data")).expect("base64");
    assert_eq!(body, &*records[0].body);
    assert_eq!(
        (bare.data.as_deref(), bare.basic_properties.message_id.as_deref()),
        (Some(""), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_in_the_queue_is_told() {
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    queue.publish_numbered(0..10).await;
    let open = Open::new(&queue.connector()).await;
    let received = open.receive_once(4, PROMPT).await;
    assert_eq!((received.records.len(), received.lag_records), (4, Some(6)));
    open.settle(&received.records, Verdict::Done).await;
    let received = open.receive_once(5, PROMPT).await;
    assert_eq!((received.records.len(), received.lag_records), (5, Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_brings_no_more_bytes_than_asked_for() {
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    for _ in 0..10 {
        queue.publish(&[b'x'; 1000], BasicProperties::default()).await;
    }
    let open = Open::new(&queue.connector()).await;
    let mut came = 0;
    while came < 10 {
        let want = Want { records_max: 10, bytes_max: 2500, wait: PROMPT };
        let received = open.reader().receive(want).await.expect("the source works");
        assert!((1..=2).contains(&received.records.len()), "{}", received.records.len());
        came += received.records.len();
    }
    open.assert_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_cannot_be_sought() {
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    let target = Target { shard: None, to: SeekTo::Start };
    for preview in [true, false] {
        let sought = queue.connector().seek(Places::new(), target.clone(), preview).await;
        assert_told(&sought.expect_err("it has no positions"), Problem::Configuration, &["seek"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_named() {
    let Some(queue) = Queue::new(Kind::Classic).await else { return };
    for id in ["a", "b"] {
        let properties = BasicProperties::default().with_message_id(id.into()).with_timestamp(1);
        queue.publish(b"", properties).await;
    }
    let open = Open::new(&queue.connector()).await;
    let records = open.receive(2).await;
    let given_up: Vec<_> = records.iter().collect();
    let (name, member) = queue.connector().batch_member(&open.opened.shard, &given_up);
    let expected = serde_json::json!({
        "queue": queue.name, "virtualHost": "/", "startMessageId": "a", "endMessageId": "b",
        "approximateArrivalOfFirstRecord": "1970-01-01T00:00:01.000Z",
        "approximateArrivalOfLastRecord": "1970-01-01T00:00:01.000Z", "batchSize": 2,
        "eventSourceArn": format!("trine:rabbitmq:{}/{}", queue.server, queue.name)});
    assert_eq!((name, member), ("RabbitMqBatchInfo", expected));
    assert!(matches!(records[0].content, Content::Event(_)));
}

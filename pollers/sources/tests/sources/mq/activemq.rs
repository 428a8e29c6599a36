//! ActiveMQ: the conformance suite, and what is special to it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trine_pollers::conformance::Subject;
use trine_pollers::{SeekTo, Target, activemq, conformance_suite};
use trine_proto::v1::ActiveMqSource;

use super::*;
use crate::mq::proxy::Proxy;
use crate::skip::server;
use crate::tls::Certificate;

/// A queue of its own, which the server makes when it is first named.
struct Queue {
    server: String,
    name: String,
    producer: Producer,
}

/// As little STOMP as a producer needs, apart from the client under test.
struct Producer {
    socket: TcpStream,
    sent: u32,
}

impl Producer {
    async fn connect(server: &str) -> Self {
        let socket = TcpStream::connect(server).await.expect("ActiveMQ is there");
        let mut producer = Self { socket, sent: 0 };
        producer.write("CONNECT\naccept-version:1.2\nhost:test\n\n", b"").await;
        let heard = producer.hear().await;
        assert!(heard.starts_with("CONNECTED\n"), "{heard}");
        producer
    }

    /// Sends a message with header lines, and waits until the server has it.
    async fn send(&mut self, queue: &str, headers: &str, body: &[u8]) {
        self.sent += 1;
        let (sent, length) = (self.sent, body.len());
        let counted = format!("content-length:{length}\n");
        // What is not counted is a text message.
        let counted = if headers.contains("as:text") { "" } else { &counted };
        let head = format!(
            "SEND\ndestination:/queue/{queue}\npersistent:true\nreceipt:{sent}\n{counted}{headers}\n"
        );
        self.write(&head, body).await;
        let heard = self.hear().await;
        assert!(heard.contains(&format!("receipt-id:{sent}\n")), "{heard}");
    }

    async fn write(&mut self, head: &str, body: &[u8]) {
        let frame = [head.as_bytes(), body, b"\0"].concat();
        self.socket.write_all(&frame).await.expect("it is sent");
    }

    async fn hear(&mut self) -> String {
        let mut heard = Vec::new();
        loop {
            match self.socket.read_u8().await.expect("the server answers") {
                0 => break,
                b'\n' if heard.is_empty() => {}
                byte => heard.push(byte),
            }
        }
        String::from_utf8(heard).expect("headers are text")
    }
}

impl Queue {
    async fn new() -> Option<Self> {
        let server = server("TRINE_ACTIVEMQ")?;
        let producer = Producer::connect(&server).await;
        Some(Self { server, name: unique("active"), producer })
    }

    async fn publish_numbered(&mut self, numbers: std::ops::Range<usize>) {
        for body in numbered(numbers) {
            self.producer.send(&self.name, "", body.as_bytes()).await;
        }
    }

    fn config(&self) -> ActiveMqSource {
        ActiveMqSource {
            url: format!("stomp://{}", self.server),
            queue: self.name.clone(),
            ..ActiveMqSource::default()
        }
    }

    fn connector(&self) -> Arc<dyn Connect> {
        connector(&self.config())
    }

    fn through(&self, proxy: &Proxy) -> Arc<dyn Connect> {
        connector(&ActiveMqSource { url: format!("stomp://{}", proxy.address), ..self.config() })
    }
}

fn connector(config: &ActiveMqSource) -> Arc<dyn Connect> {
    let binding = binding(&[("right", "guest")]);
    activemq::connector(config, &binding).expect("a good configuration")
}

impl Subject for Queue {
    fn connector(&mut self) -> Arc<dyn Connect> {
        Self::connector(self)
    }

    async fn produce(&mut self, _: &str, text: &str) {
        self.producer.send(&self.name, "", text.as_bytes()).await;
    }

    fn text(&self, event: &[u8]) -> String {
        let event = serde_json::from_slice(event).expect("an event is JSON");
        String::from_utf8(data(&event)).expect("it was text")
    }

    fn record_bytes_max(&self) -> usize {
        100 * 1024 * 1024
    }
}

conformance_suite!(
    #[tokio::test(flavor = "multi_thread")]
    Queue::new().await
);

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asked_for_is_for_others() {
    let Some(mut queue) = Queue::new().await else { return };
    queue.publish_numbered(0..10).await;
    let first = Open::new(&queue.connector()).await;
    let one = first.receive(1).await;
    let second = Open::new(&queue.connector()).await;
    let others = second.receive(9).await;
    let mut all = bodies(&one);
    all.extend(bodies(&others));
    all.sort();
    assert_eq!(all, numbered(0..10));
    // An ack lets the server send another one; who does not ask for it gives it back.
    first.settle(&one, Verdict::Done).await;
    second.settle(&others, Verdict::Done).await;
    queue.publish_numbered(10..14).await;
    assert_eq!(bodies(&second.receive(4).await), numbered(10..14));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_that_was_given_up_loses_nothing() {
    let Some(mut queue) = Queue::new().await else { return };
    let open = Open::new(&queue.connector()).await;
    let given_up = open.receive_once(2, PROMPT);
    assert!(timeout(Duration::from_millis(300), given_up).await.is_err(), "there is nothing");
    queue.publish_numbered(0..5).await;
    assert_eq!(bodies(&open.receive(1).await), ["000"]);
    assert_eq!(bodies(&open.receive(4).await), numbered(1..5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_hand_when_the_connection_broke_comes_again() {
    let Some(mut queue) = Queue::new().await else { return };
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
    assert_told(&received.expect_err("it is cut"), Problem::Unreachable, &["ActiveMQ at"]);
    assert_told(&change.expect_err("it is cut"), Problem::Unreachable, &["ActiveMQ at"]);
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
    let Some(mut queue) = Queue::new().await else { return };
    queue.publish_numbered(0..1).await;
    let proxy = Proxy::start(&queue.server).await;
    let connector = queue.through(&proxy);
    let open = Open::new(&connector).await;
    let held = open.receive(1).await;
    proxy.freeze();
    let error = open.try_settle(&held, Verdict::Done).await.expect_err("nobody can know");
    assert_told(&error, Problem::Unreachable, &["silent for three heart-beats"]);
    drop(open);
    assert_told(&refusal(&connector).await, Problem::Unreachable, &["within 20 seconds"]);
    timeout(PROMPT, proxy.all_gone()).await.expect("no connection is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_at_rest_lives_on_heart_beats() {
    let Some(mut queue) = Queue::new().await else { return };
    let proxy = Proxy::start(&queue.server).await;
    let open = Open::new(&queue.through(&proxy)).await;
    // Longer than either side waits for the other.
    let change = timeout(Duration::from_secs(20), open.source.next_change()).await;
    assert!(change.is_err(), "{change:?}");
    queue.publish_numbered(0..1).await;
    let records = open.receive(1).await;
    open.settle(&records, Verdict::Done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_does_what_it_says() {
    let Some(mut queue) = Queue::new().await else { return };
    queue.publish_numbered(0..7).await;
    let open = Open::new(&queue.connector()).await;
    let records = open.receive(7).await;
    assert_eq!(bodies(&records), numbered(0..7));
    let rejected = records[2].identifier.clone();
    open.settle(&[records[0].clone(), records[1].clone(), records[4].clone()], Verdict::Done).await;
    open.settle(&records[2..3], Verdict::Rejected).await;
    open.settle(&records[3..4], Verdict::Failed).await;
    open.settle(&records[5..6], Verdict::Released).await;
    open.settle(&records[6..], Verdict::Held).await;
    let again = open.receive(2).await;
    assert_eq!(bodies(&again), ["003", "005"]);
    open.settle(&again, Verdict::Done).await;
    open.assert_empty().await;
    drop(open);

    let second = Open::new(&queue.connector()).await;
    assert_eq!(bodies(&second.receive(1).await), ["006"], "it was held to the end");
    second.assert_empty().await;
    assert_dead(&queue, &rejected).await;
}

/// The server's own dead-letter queue, which all tests of it share, has this message. The others in it are left to others.
async fn assert_dead(queue: &Queue, message_id: &str) {
    let config = ActiveMqSource { queue: "ActiveMQ.DLQ".to_owned(), ..queue.config() };
    let letters = Open::new(&connector(&config)).await;
    let until = Instant::now() + PROMPT;
    loop {
        let came = letters.receive_once(100, Duration::from_secs(1)).await.records;
        let ours: Vec<_> =
            came.into_iter().filter(|record| &*record.identifier == message_id).collect();
        if !ours.is_empty() {
            return letters.settle(&ours, Verdict::Done).await;
        }
        assert!(Instant::now() < until, "{message_id} is not dead");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_and_not_asked_for_goes_to_others() {
    let Some(mut queue) = Queue::new().await else { return };
    queue.publish_numbered(0..3).await;
    let first = Open::new(&queue.connector()).await;
    let records = first.receive(3).await;
    first.settle(&records, Verdict::Released).await;
    let second = Open::new(&queue.connector()).await;
    assert_eq!(bodies(&second.receive(3).await), numbered(0..3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_the_official_event() {
    use aws_lambda_events::event::activemq::ActiveMqEvent;
    let Some(mut queue) = Queue::new().await else { return };
    let name = queue.name.clone();
    let expires = 4_102_444_800_000_i64;
    let headers = format!(
        "as:text\npriority:7\ncorrelation-id:a\\cb\nreply-to:/queue/answers\ntype:order\nexpires:{expires}\n\
         my\\cproperty:\u{e9}\\n\\\\\n"
    );
    queue.producer.send(&name, &headers, "h\u{e9}llo".as_bytes()).await;
    queue.producer.send(&name, "", b"a\0\xff").await;
    let arn = "arn:aws:mq:us-west-2:533019413397:broker:shask-test:b-0f5b7522-2b41-4f85-a615-735a4e6d96b5";
    let config = ActiveMqSource { event_source_arn: arn.to_owned(), ..queue.config() };
    let open = Open::new(&connector(&config)).await;
    let records = open.receive(2).await;

    let payload = open.payload(&records);
    let event: ActiveMqEvent = serde_json::from_slice(&payload).expect("the official type");
    assert_eq!(event.event_source.as_deref(), Some("aws:mq"));
    assert_eq!(event.event_source_arn.as_deref(), Some(arn));
    // The most urgent one comes first.
    let (text, bytes) = (&event.messages[0], &event.messages[1]);
    assert_eq!(text.message_id.as_deref(), Some(&*records[0].identifier));
    assert!(text.message_id.as_deref().is_some_and(|id| id.starts_with("ID:")));
    assert_eq!(text.message_type.as_deref(), Some("jms/text-message"));
    assert_eq!(bytes.message_type.as_deref(), Some("jms/bytes-message"));
    assert_eq!((text.delivery_mode, text.priority, text.expiration), (2, 7, expires));
    assert_eq!((bytes.delivery_mode, bytes.priority, bytes.expiration), (2, 4, 0));
    assert_eq!(text.correlation_id.as_deref(), Some("a:b"));
    assert_eq!(text.reply_to.as_deref(), Some("/queue/answers"));
    assert_eq!(text.type_.as_deref(), Some("order"));
    assert!(!text.redelivered);
    assert_eq!(text.destination.physical_name.as_deref(), Some(name.as_str()));
    assert_eq!(Some(text.timestamp), records[0].arrived_at_ms);
    assert!(text.timestamp > 1_700_000_000_000 && text.broker_in_time == text.timestamp);
    assert!(text.broker_out_time >= text.broker_in_time);
    assert_eq!(text.properties.get("my:property").map(String::as_str), Some("\u{e9}\n\\"));
    assert_eq!(text.properties.get("as").map(String::as_str), Some("text"));
    assert_eq!(text.properties.len(), 2, "{:?}", text.properties);
    let bodies = [text, bytes]
        .map(|message| STANDARD.decode(message.data.as_deref().expect("data")).expect("base64"));
    assert_eq!(bodies, ["h\u{e9}llo".as_bytes(), b"a\0\xff"]);
    let value: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(value["messages"][0]["correlationId"], "a:b", "as the documents name it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named() {
    let Some(queue) = Queue::new().await else { return };
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = closed.local_addr().expect("it is bound");
    drop(closed);
    let at = |address: &str| ActiveMqSource { url: format!("stomp://{address}"), ..queue.config() };
    let error = refusal(&connector(&at(&address.to_string()))).await;
    assert_told(&error, Problem::Unreachable, &["cannot be reached", &address.to_string()]);
    let config = ActiveMqSource {
        username: "guest".to_owned(),
        password_secret: "gone".to_owned(),
        ..queue.config()
    };
    let error = refusal(&connector(&config)).await;
    assert_told(&error, Problem::Authentication, &["secret \"gone\" is not known"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_who_can_be_trusted() {
    let Some(mut queue) = Queue::new().await else { return };
    let certificate = Certificate::new();
    let front = certificate.in_front_of(&queue.server).await;
    let config = ActiveMqSource {
        url: format!("stomp+ssl://{front}"),
        ca_file: certificate.ca_file(),
        ..queue.config()
    };
    queue.publish_numbered(0..50).await;
    let open = Open::new(&connector(&config)).await;
    let records = open.receive(50).await;
    assert_eq!(bodies(&records), numbered(0..50));
    open.settle(&records, Verdict::Done).await;
    open.assert_empty().await;

    let unknown = ActiveMqSource { ca_file: String::new(), ..config.clone() };
    let error = refusal(&connector(&unknown)).await;
    assert_told(&error, Problem::Unreachable, &["makes no TLS connection", "name it in ca_file"]);
    let gone = ActiveMqSource { ca_file: "/nowhere".to_owned(), ..config.clone() };
    let error = refusal(&connector(&gone)).await;
    assert_told(&error, Problem::Configuration, &["ca_file /nowhere cannot be read"]);
    // TLS spoken to a server that has none.
    let plain = ActiveMqSource { url: format!("stomp+ssl://{}", queue.server), ..config };
    assert_told(&refusal(&connector(&plain)).await, Problem::Unreachable, &["ActiveMQ at"]);
}

/// A server that says one thing and nothing more.
async fn saying(bytes: &'static [u8]) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let saying = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("somebody comes");
        socket.write_all(bytes).await.expect("it is sent");
        // Until the other side goes.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    (address, saying)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_may_refuse_is_named() {
    for (says, problem, names) in [
        (
            &b"ERROR\nmessage:User name [joe] or password is invalid.\n\njava.lang.SecurityException\n\0"[..],
            Problem::Authentication,
            ["password of user \"joe\"", "[joe]"],
        ),
        (
            b"ERROR\nmessage:User joe is not authorized to read from\\c queue\\c//orders\n\n\0",
            Problem::Authorization,
            ["user \"joe\" read the queue \"orders\"", "queue://orders"],
        ),
        (
            b"CONNECTED\nversion:1.1\n\n\0",
            Problem::Configuration,
            ["answers with CONNECTED of version 1.1", "expected STOMP 1.2"],
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            Problem::Configuration,
            ["sends what is not STOMP", "expected STOMP 1.2"],
        ),
    ] {
        let (address, _saying) = saying(says).await;
        let config = ActiveMqSource {
            url: format!("stomp://{address}"),
            queue: "orders".to_owned(),
            username: "joe".to_owned(),
            password_secret: "right".to_owned(),
            ..ActiveMqSource::default()
        };
        assert_told(&refusal(&connector(&config)).await, problem, &names);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_cannot_be_sought() {
    let Some(queue) = Queue::new().await else { return };
    let target = Target { shard: None, to: SeekTo::Start };
    for preview in [true, false] {
        let sought = queue.connector().seek(Places::new(), target.clone(), preview).await;
        assert_told(&sought.expect_err("it has no positions"), Problem::Configuration, &["seek"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_batches_at_a_time_are_read_and_settled_once() {
    let Some(mut queue) = Queue::new().await else { return };
    queue.publish_numbered(0..300).await;
    let open = Arc::new(Open::new(&queue.connector()).await);
    let mut settling = tokio::task::JoinSet::new();
    let mut all = Vec::new();
    while all.len() < 300 {
        let records = open.receive_once(20, PROMPT).await.records;
        assert!((1..=20).contains(&records.len()), "{}", records.len());
        all.extend(bodies(&records));
        let open = Arc::clone(&open);
        settling.spawn(async move { open.settle(&records, Verdict::Done).await });
    }
    settling.join_all().await;
    all.sort();
    assert_eq!(all, numbered(0..300));
    drop(open);
    Open::new(&queue.connector()).await.assert_empty().await;
}

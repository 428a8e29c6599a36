//! RabbitMQ destinations against a real server: what arrives, and that nothing is called delivered that was not.

use std::collections::BTreeMap;

use lapin::message::Delivery;
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use trine_broker::destinations::{DeliveryOutcome, Destinations};
use trine_broker::{DestinationPolicy, RabbitMqCredential};
use trine_engine::Destination;

use crate::skip::server;
use crate::{ID, failed, failure, refused, success, unique};

/// Largest message that the server takes (xtask/src/servers/rabbitmq.rs).
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The test's own side of a server.
pub(crate) struct Rabbit {
    pub(crate) address: String,
    channel: Channel,
    _connection: Connection,
}

impl Rabbit {
    pub(crate) async fn new(address: String) -> Self {
        let url = format!("amqp://{address}/%2f");
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { address, channel, _connection: connection }
    }

    /// A queue that goes with this connection. All may publish to it.
    pub(crate) async fn queue(&self, name: &str, arguments: FieldTable) -> String {
        let name = unique(name);
        let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
        self.channel.queue_declare(name.as_str().into(), options, arguments).await.unwrap();
        name
    }

    /// The next message of a queue. One that was confirmed is there.
    pub(crate) async fn get(&self, queue: &str) -> Option<Delivery> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(queue.into(), options).await.unwrap();
        got.map(|message| message.delivery)
    }
}

async fn rabbit(test: &str) -> Option<Rabbit> {
    Some(Rabbit::new(server(test, "TRINE_RABBITMQ")?).await)
}

fn to_queue(address: &str, queue: &str) -> Destination {
    to(address, "", "", queue)
}

fn to(address: &str, virtual_host: &str, exchange: &str, routing_key: &str) -> Destination {
    Destination::RabbitMq {
        url: format!("amqp://{address}").into(),
        virtual_host: virtual_host.into(),
        exchange: exchange.into(),
        routing_key: routing_key.into(),
    }
}

fn guest() -> Destinations {
    Destinations::new(DestinationPolicy::default())
}

#[tokio::test]
async fn a_record_reaches_a_queue() {
    let Some(rabbit) = rabbit("a_record_reaches_a_queue").await else { return };
    let queue = rabbit.queue("records", FieldTable::default()).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let record = failure(r#"{"a": 1.0}"#).with_trace(trace.to_owned(), String::new());
    let destinations = guest();
    for _ in 0..3 {
        let outcome =
            destinations.deliver(&to_queue(&rabbit.address, &queue), record.clone()).await;
        assert_eq!(outcome, DeliveryOutcome::Taken);
        let message = rabbit.get(&queue).await.unwrap();
        assert_eq!(message.data, record.json);
        let properties = &message.properties;
        let text = |text: &Option<ShortString>| text.as_ref().unwrap().to_string();
        assert_eq!(text(properties.message_id()), ID);
        assert_eq!(text(properties.content_type()), "application/json");
        assert_eq!(*properties.delivery_mode(), Some(2), "it outlives the server");
        let headers: BTreeMap<String, String> = properties
            .headers()
            .as_ref()
            .unwrap()
            .into_iter()
            .map(|(name, value)| match value {
                AMQPValue::LongString(value) => (name.to_string(), value.to_string()),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            ("cloudEvents:specversion", "1.0"),
            ("cloudEvents:id", ID),
            ("cloudEvents:source", "trine:function:resize:$LATEST"),
            ("cloudEvents:type", "trine.invocation.failure"),
            ("cloudEvents:subject", "resize"),
            ("cloudEvents:time", "2019-11-14T18:16:05.568Z"),
            ("traceparent", trace),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers, BTreeMap::from(expected));
    }
}

#[tokio::test]
async fn an_exchange_routes_it_or_it_was_not_delivered() {
    let test = "an_exchange_routes_it_or_it_was_not_delivered";
    let Some(rabbit) = rabbit(test).await else { return };
    let (exchange, queue) =
        (unique("exchange"), rabbit.queue("bound", FieldTable::default()).await);
    let options = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
    let (kind, none) = (ExchangeKind::Topic, FieldTable::default());
    let channel = &rabbit.channel;
    let name = || ShortString::from(exchange.as_str());
    channel.exchange_declare(name(), kind, options, none.clone()).await.unwrap();
    let bind = QueueBindOptions::default();
    channel.queue_bind(queue.as_str().into(), name(), "*.failed".into(), bind, none).await.unwrap();

    let destinations = guest();
    let routed = to(&rabbit.address, "/", &exchange, "resize.failed");
    assert_eq!(destinations.deliver(&routed, success()).await, DeliveryOutcome::Taken);
    let message = rabbit.get(&queue).await.unwrap();
    assert_eq!(message.routing_key.as_str(), "resize.failed");
    assert_eq!(message.data, success().json);

    let nowhere = to(&rabbit.address, "/", &exchange, "resize.lost");
    let why = failed(destinations.deliver(&nowhere, success()).await);
    assert!(why.contains("no queue gets what the exchange") && why.contains("312"), "{why}");
    let why = failed(destinations.deliver(&to_queue(&rabbit.address, "no-such"), success()).await);
    assert!(why.contains("there is no queue \"no-such\""), "{why}");
    assert!(rabbit.get(&queue).await.is_none());
}

#[tokio::test]
async fn one_that_is_refused_does_no_harm_to_the_others() {
    let test = "one_that_is_refused_does_no_harm_to_the_others";
    let Some(rabbit) = rabbit(test).await else { return };
    let queue = rabbit.queue("others", FieldTable::default()).await;
    let destinations = guest();
    let mut deliveries = JoinSet::new();
    for n in 0..30 {
        let missing = n % 3 == 0;
        let target = match missing {
            true => to(&rabbit.address, "", "no-such-exchange", "key"),
            false => to_queue(&rabbit.address, &queue),
        };
        let destinations = destinations.clone();
        deliveries.spawn(async move { (missing, destinations.deliver(&target, success()).await) });
    }
    while let Some(ended) = deliveries.join_next().await {
        match ended.unwrap() {
            (true, outcome) => {
                let why = failed(outcome);
                assert!(why.contains("there is no exchange \"no-such-exchange\""), "{why}");
            }
            (false, outcome) => assert_eq!(outcome, DeliveryOutcome::Taken),
        }
    }
    for _ in 0..20 {
        assert!(rabbit.get(&queue).await.is_some());
    }
    assert!(rabbit.get(&queue).await.is_none());
}

#[tokio::test]
async fn a_full_queue_has_not_taken_it() {
    let Some(rabbit) = rabbit("a_full_queue_has_not_taken_it").await else { return };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let queue = rabbit.queue("full", arguments).await;
    let destinations = guest();
    let target = to_queue(&rabbit.address, &queue);
    assert_eq!(destinations.deliver(&target, success()).await, DeliveryOutcome::Taken);
    let why = failed(destinations.deliver(&target, success()).await);
    assert!(why.contains("it is full"), "{why}");
    assert!(rabbit.get(&queue).await.is_some());
    assert_eq!(destinations.deliver(&target, success()).await, DeliveryOutcome::Taken);
}

#[tokio::test]
async fn logins_and_virtual_hosts_are_the_servers_to_judge() {
    let test = "logins_and_virtual_hosts_are_the_servers_to_judge";
    let Some(rabbit) = rabbit(test).await else { return };
    let queue = rabbit.queue("login", FieldTable::default()).await;
    let login = |server: &str, secret: &str| RabbitMqCredential {
        server: server.to_owned(),
        user: "guest".to_owned(),
        secret: secret.to_owned(),
    };
    let with = |logins: Vec<RabbitMqCredential>| {
        let policy = DestinationPolicy { rabbitmq_credentials: logins, ..Default::default() };
        Destinations::new(policy)
    };
    let target = to_queue(&rabbit.address, &queue);
    let wrong = login("", "hush");
    let why = failed(with(vec![wrong.clone()]).deliver(&target, success()).await);
    assert!(why.contains("refused the login") && why.contains("destinations.rabbitmq"), "{why}");
    assert!(!why.contains("hush"), "{why}");
    let own = with(vec![wrong, login(&rabbit.address, "guest")]);
    assert_eq!(own.deliver(&target, success()).await, DeliveryOutcome::Taken);
    let elsewhere = to(&rabbit.address, "no-such", "", &queue);
    let why = failed(own.deliver(&elsewhere, success()).await);
    assert!(why.contains("there is no virtual host \"no-such\""), "{why}");
}

#[tokio::test]
async fn what_the_user_may_not_do_is_told() {
    let Some(rabbit) = rabbit("what_the_user_may_not_do_is_told").await else { return };
    let exchange = unique("internal");
    // Nobody may publish to one of these.
    let options =
        ExchangeDeclareOptions { internal: true, auto_delete: true, ..Default::default() };
    let (name, none) = (ShortString::from(exchange.as_str()), FieldTable::default());
    rabbit.channel.exchange_declare(name, ExchangeKind::Fanout, options, none).await.unwrap();
    let why = failed(guest().deliver(&to(&rabbit.address, "", &exchange, "key"), success()).await);
    assert!(why.contains("may not publish") && why.contains(&exchange), "{why}");
}

#[tokio::test]
async fn a_servers_limit_is_told() {
    let Some(rabbit) = rabbit("a_servers_limit_is_told").await else { return };
    let queue = rabbit.queue("large", FieldTable::default()).await;
    let (destinations, target) = (guest(), to_queue(&rabbit.address, &queue));
    let large = failure(&format!("\"{}\"", "x".repeat(MESSAGE_BYTES_MAX)));
    let why = refused(destinations.deliver(&target, large).await);
    assert!(why.contains("larger than RabbitMQ takes"), "{why}");
    // What is too large does no harm to the next one.
    assert_eq!(destinations.deliver(&target, success()).await, DeliveryOutcome::Taken);
    assert_eq!(rabbit.get(&queue).await.unwrap().data, success().json);
}

#[tokio::test]
async fn a_silent_server_does_not_take_the_room_of_others() {
    let test = "a_silent_server_does_not_take_the_room_of_others";
    let Some(rabbit) = rabbit(test).await else { return };
    let queue = rabbit.queue("room", FieldTable::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = to_queue(&listener.local_addr().unwrap().to_string(), "queue");
    let destinations = guest();
    let mut waiting = JoinSet::new();
    for _ in 0..50 {
        let (destinations, silent) = (destinations.clone(), silent.clone());
        waiting.spawn(async move { destinations.deliver(&silent, success()).await });
    }
    let _connection = listener.accept().await.unwrap();
    let outcome = destinations.deliver(&to_queue(&rabbit.address, &queue), success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
    waiting.abort_all();
}

/// Hands bytes on to `server`, one connection after the other, until it is told to end the one that there is.
async fn forward(server: String, cuts: tokio::sync::mpsc::UnboundedReceiver<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut cuts = cuts;
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&server).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                cut = cuts.recv() => if cut.is_none() { return },
            }
        }
    });
    address
}

#[tokio::test]
async fn a_lost_connection_is_opened_anew() {
    let Some(rabbit) = rabbit("a_lost_connection_is_opened_anew").await else { return };
    let queue = rabbit.queue("lost", FieldTable::default()).await;
    let (cut, cuts) = tokio::sync::mpsc::unbounded_channel();
    let address = forward(rabbit.address.clone(), cuts).await;
    let destinations = guest();
    let target = to_queue(&address, &queue);
    assert_eq!(destinations.deliver(&target, success()).await, DeliveryOutcome::Taken);
    cut.send(()).unwrap();
    let second = destinations.deliver(&target, success()).await;
    if second != DeliveryOutcome::Taken {
        // It was tried on the connection that was just being lost.
        failed(second);
        assert_eq!(destinations.deliver(&target, success()).await, DeliveryOutcome::Taken);
    }
    assert!(rabbit.get(&queue).await.is_some() && rabbit.get(&queue).await.is_some());
}

#[tokio::test]
async fn silence_is_a_failure_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let why = failed(guest().deliver(&to_queue(&silent, "queue"), success()).await);
    assert_eq!(why, format!("{silent}: it did not answer in time"));
    drop(listener);
    let why = failed(guest().deliver(&to_queue(&silent, "queue"), success()).await);
    assert_eq!(why, format!("{silent}: no RabbitMQ server answers there"));
}

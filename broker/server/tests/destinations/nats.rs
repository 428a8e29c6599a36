//! NATS destinations against a real server: what arrives, and that nothing is called delivered
//! that was not.

use async_nats::ConnectOptions;
use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use trine_broker::destinations::{DeliveryOutcome, Destinations};
use trine_broker::{DestinationPolicy, NatsCredential};
use trine_engine::Destination;

use crate::nats_server::NatsServer;
use crate::{ID, failed, failure, refused, success};

fn to(server: &NatsServer, subject: &str, jetstream: bool) -> Destination {
    Destination::Nats { url: server.url().into(), subject: subject.into(), jetstream }
}

fn anonymous() -> Destinations {
    Destinations::new(DestinationPolicy::default())
}

fn login(server: &str, user: &str, secret: &str) -> NatsCredential {
    NatsCredential { server: server.into(), user: user.into(), secret: secret.into() }
}

fn as_user(logins: &[NatsCredential]) -> Destinations {
    Destinations::new(DestinationPolicy {
        nats_credentials: logins.to_vec(),
        ..DestinationPolicy::default()
    })
}

#[tokio::test]
async fn a_record_reaches_those_who_listen() {
    let Some(server) = NatsServer::start("a_record_reaches_those_who_listen", "").await else {
        return;
    };
    let client = server.client().await;
    let mut subscriber = client.subscribe("orders.*").await.unwrap();
    client.flush().await.unwrap();
    let destinations = anonymous();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let record = failure("{}").with_trace(trace.to_owned(), String::new());
    // The first one proves the way, the others take it.
    for _ in 0..3 {
        let outcome =
            destinations.deliver(&to(&server, "orders.failed", false), record.clone()).await;
        assert_eq!(outcome, DeliveryOutcome::Taken);
        let message = subscriber.next().await.unwrap();
        assert_eq!(message.payload, record.json);
        let headers = message.headers.unwrap();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", ID),
            ("ce-source", "trine:function:resize:$LATEST"),
            ("ce-type", "trine.invocation.failure"),
            ("ce-subject", "resize"),
            ("ce-time", "2019-11-14T18:16:05.568Z"),
            ("ce-datacontenttype", "application/json"),
            ("traceparent", trace),
        ] {
            assert_eq!(headers.get(name).map(|value| value.as_str()), Some(value), "{name}");
        }
    }
}

#[tokio::test]
async fn a_stream_keeps_a_repeated_record_once() {
    let Some(server) = NatsServer::start("a_stream_keeps_a_repeated_record_once", "").await else {
        return;
    };
    let context = jetstream::new(server.client().await);
    let config = Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..Config::default()
    };
    let stream = context.create_stream(config).await.unwrap();
    let destinations = anonymous();
    for _ in 0..3 {
        let outcome =
            destinations.deliver(&to(&server, "orders.failed", true), failure("{}")).await;
        assert_eq!(outcome, DeliveryOutcome::Taken);
    }
    assert_eq!(stream.get_info().await.unwrap().state.messages, 1);
    let stored = stream.get_raw_message(1).await.unwrap();
    assert_eq!(stored.payload, failure("{}").json);
    assert_eq!(stored.headers.get("Nats-Msg-Id").map(|id| id.as_str()), Some(ID));
    assert_eq!(stored.headers.get("ce-id").map(|id| id.as_str()), Some(ID));
}

#[tokio::test]
async fn without_a_stream_the_subject_is_named() {
    let Some(server) = NatsServer::start("without_a_stream_the_subject_is_named", "").await else {
        return;
    };
    let why = failed(anonymous().deliver(&to(&server, "nobody.home", true), success()).await);
    assert!(why.contains("no stream listens to the subject \"nobody.home\""), "{why}");
    assert!(why.starts_with(&format!("127.0.0.1:{}: ", server.port)), "{why}");
}

#[tokio::test]
async fn limits_of_streams_and_servers_are_told() {
    let more = "max_payload: 4096";
    let Some(server) = NatsServer::start("limits_of_streams_and_servers_are_told", more).await
    else {
        return;
    };
    let context = jetstream::new(server.client().await);
    for (name, max_messages, max_message_size) in [("FULL", 1, -1), ("SMALL", -1, 400)] {
        let config = Config {
            name: name.to_owned(),
            subjects: vec![name.to_ascii_lowercase()],
            max_messages,
            max_message_size,
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        context.create_stream(config).await.unwrap();
    }
    context.publish("full", "first".into()).await.unwrap().await.unwrap();
    let destinations = anonymous();
    let why = failed(destinations.deliver(&to(&server, "full", true), success()).await);
    assert!(why.contains("maximum messages exceeded"), "{why}");
    let why = refused(destinations.deliver(&to(&server, "small", true), success()).await);
    assert!(why.contains("message size exceeds maximum allowed"), "{why}");

    // Headers count as well.
    let large = failure(&format!("\"{}\"", "x".repeat(3_600)));
    for jetstream in [false, true] {
        let outcome = destinations.deliver(&to(&server, "full", jetstream), large.clone()).await;
        let why = refused(outcome);
        assert!(why.contains("larger than the 4096 bytes that the server takes"), "{why}");
    }
}

const USERS: &str = r#"
authorization { users: [
    { user: admin, password: root }
    { user: broker, password: "canary-pw", permissions: {
        publish: { deny: ["secret.>"] } } }
    { user: narrow, password: "canary-pw", permissions: {
        publish: { allow: ["orders.>"] }, subscribe: { allow: ["_INBOX.>"] } } }
    { user: deaf, password: "canary-pw", permissions: { subscribe: { deny: [">"] } } }
] }
"#;

/// A publish without permission is lost, and the server says so only on the side.
#[tokio::test]
async fn what_the_server_forbids_is_never_called_delivered() {
    let name = "what_the_server_forbids_is_never_called_delivered";
    let Some(server) = NatsServer::start(name, USERS).await else { return };
    for (user, forbidden) in [("broker", "secret.x"), ("narrow", "elsewhere")] {
        let destinations = as_user(&[login("", user, "canary-pw")]);
        for jetstream in [false, true] {
            for _ in 0..2 {
                let target = to(&server, forbidden, jetstream);
                let why = failed(destinations.deliver(&target, success()).await);
                let said = format!("Permissions Violation for Publish to \"{forbidden}\"");
                assert!(why.contains(&said), "{why}");
            }
        }
        // More often than refusals are remembered: the narrow login may not even ask for an answer.
        let target = to(&server, "orders.failed", false);
        for _ in 0..100 {
            let outcome = destinations.deliver(&target, success()).await;
            assert_eq!(outcome, DeliveryOutcome::Taken, "{user}");
        }
    }
}

/// Without its answers there is no telling whether the server has a record: none is sent.
#[tokio::test]
async fn a_login_that_may_not_hear_answers_is_told_so() {
    let name = "a_login_that_may_not_hear_answers_is_told_so";
    let Some(server) = NatsServer::start(name, USERS).await else { return };
    let admin =
        server.client_of(ConnectOptions::with_user_and_password("admin".into(), "root".into()));
    let admin = admin.await;
    let mut subscriber = admin.subscribe("orders.>").await.unwrap();
    admin.flush().await.unwrap();
    let destinations = as_user(&[login("", "deaf", "canary-pw")]);
    for jetstream in [false, true] {
        let target = to(&server, "orders.failed", jetstream);
        let why = failed(destinations.deliver(&target, success()).await);
        assert!(why.contains("Permissions Violation for Subscription to \"_INBOX."), "{why}");
    }
    admin.publish("orders.last", "".into()).await.unwrap();
    assert_eq!(subscriber.next().await.unwrap().subject.as_str(), "orders.last");
}

#[tokio::test]
async fn a_login_is_for_its_server_and_is_never_told() {
    let name = "a_login_is_for_its_server_and_is_never_told";
    let Some(server) = NatsServer::start(name, USERS).await else { return };
    let target = to(&server, "orders.failed", false);
    let own = format!("127.0.0.1:{}", server.port);
    let good = login(&own, "broker", "canary-pw");
    let wrong = login("", "broker", "canary-wrong");
    let outcome = as_user(&[wrong.clone(), good]).deliver(&target, success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
    for logins in [vec![wrong], vec![login("", "", "canary-token")], vec![]] {
        let why = failed(as_user(&logins).deliver(&target, success()).await);
        assert!(why.contains("it refused the login"), "{why}");
        assert!(!why.contains("canary") && !format!("{logins:?}").contains("canary"), "{why}");
    }
}

#[tokio::test]
async fn a_token_is_a_login_without_a_user() {
    let more = "authorization { token: \"canary-token\" }";
    let Some(server) = NatsServer::start("a_token_is_a_login_without_a_user", more).await else {
        return;
    };
    let destinations = as_user(&[login("", "", "canary-token")]);
    let outcome = destinations.deliver(&to(&server, "orders.failed", false), success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let Some(mut server) = NatsServer::start("a_server_that_comes_back_is_found_again", "").await
    else {
        return;
    };
    let destinations = anonymous();
    let target = to(&server, "orders.failed", false);
    for _ in 0..2 {
        let outcome = destinations.deliver(&target, success()).await;
        assert_eq!(outcome, DeliveryOutcome::Taken);
    }
    server.stop().await;
    for _ in 0..2 {
        failed(destinations.deliver(&target, success()).await);
    }
    server.restart().await;
    assert_eq!(destinations.deliver(&target, success()).await, DeliveryOutcome::Taken);
}

#[tokio::test]
async fn what_is_no_nats_server_is_not_quoted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 canary\r\n\r\n").await;
        }
    });
    let url = format!("nats://{address}");
    let target = Destination::Nats { url: url.into(), subject: "a".into(), jetstream: false };
    let why = failed(anonymous().deliver(&target, success()).await);
    assert_eq!(why, format!("{address}: no NATS server answers there"));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("nats://{address}");
    let target = Destination::Nats { url: url.into(), subject: "a".into(), jetstream: true };
    let delivery = tokio::spawn(async move { anonymous().deliver(&target, success()).await });
    let _silent = listener.accept().await.unwrap();
    tokio::time::pause();
    tokio::time::advance(trine_broker::destinations::TRY_WAIT).await;
    let why = failed(delivery.await.unwrap());
    assert!(why.starts_with(&address.to_string()), "{why}");
}

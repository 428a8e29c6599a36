//! HTTP destinations: what is sent, what answers mean, and what is never connected to.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use trine_broker::DestinationPolicy;
use trine_broker::destinations::{DeliveryOutcome, Destinations, Resolver, TRY_WAIT};

use crate::receiver::{Answer, Receiver};
use crate::{ID, failed, failure, http, refused, success};

/// Loopback is where the tests' receivers are.
fn permissive() -> Destinations {
    Destinations::new(DestinationPolicy { allow_internal_addresses: true, ..Default::default() })
}

#[tokio::test]
async fn a_record_is_posted_as_a_cloud_event() {
    let mut receiver = Receiver::start(Answer::status(200)).await;
    let destinations = permissive();
    let target = http(receiver.url("/hook/a%20b?key=k&x"));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let record = failure(r#"{"a": 1.0}"#).with_trace(trace.to_owned(), "v=1".to_owned());
    assert_eq!(destinations.deliver(&target, record.clone()).await, DeliveryOutcome::Taken);

    let request = receiver.requests.recv().await.unwrap();
    assert_eq!(request.head[0], "POST /hook/a%20b?key=k&x HTTP/1.1");
    assert_eq!(request.body, record.json);
    for (name, value) in [
        ("host", receiver.address.to_string().as_str()),
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", ID),
        ("ce-source", "trine:function:resize:$LATEST"),
        ("ce-type", "trine.invocation.failure"),
        ("ce-subject", "resize"),
        ("ce-time", "2019-11-14T18:16:05.568Z"),
        ("traceparent", trace),
        ("tracestate", "v=1"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }

    let forged = success().with_trace("1\r\nx-evil: 1".to_owned(), String::new());
    assert_eq!(destinations.deliver(&target, forged).await, DeliveryOutcome::Taken);
    let request = receiver.requests.recv().await.unwrap();
    assert_eq!(request.header("ce-type"), Some("trine.invocation.success"));
    assert!(request.head.iter().all(|line| !line.contains("evil") && !line.contains("trace")));
    assert_eq!(receiver.connections(), 1, "the connection is used again");
}

#[tokio::test]
async fn answers_are_judged_by_their_status() {
    for status in [200, 201, 202, 204, 299] {
        let answer = Answer::Bytes(format!("HTTP/1.1 {status} Fine\r\ncontent-length: 0\r\n\r\n"));
        let receiver = Receiver::start(answer).await;
        let outcome = permissive().deliver(&http(receiver.url("/")), success()).await;
        assert_eq!(outcome, DeliveryOutcome::Taken, "{status}");
    }
    for status in [300, 304, 400, 401, 403, 404, 408, 415, 422, 425, 429, 500, 502, 503, 599] {
        let receiver = Receiver::start(Answer::status(status)).await;
        let outcome = permissive().deliver(&http(receiver.url("/secret")), success()).await;
        let why = failed(outcome);
        assert!(why.starts_with(&receiver.url(&format!(" answered {status}"))), "{why}");
        assert!(!why.contains("secret"), "{why}");
    }
    for status in [410, 413] {
        let receiver = Receiver::start(Answer::status(status)).await;
        let why = refused(permissive().deliver(&http(receiver.url("/")), success()).await);
        assert!(why.contains(&format!("answered {status}")), "{why}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Receiver::start(Answer::status(200)).await;
    for status in [301, 302, 303, 307, 308] {
        for location in [elsewhere.url("/"), "http://169.254.169.254/latest".to_owned()] {
            let answer = format!(
                "HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
            );
            let receiver = Receiver::start(Answer::Bytes(answer)).await;
            let why = failed(permissive().deliver(&http(receiver.url("/")), success()).await);
            assert!(why.contains("redirects are not followed"), "{why}");
            assert!(!why.contains("latest"), "{why}");
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn silence_ends_in_time() {
    let mut receiver = Receiver::start(Answer::Nothing).await;
    let target = http(receiver.url("/"));
    let delivery = tokio::spawn(async move { permissive().deliver(&target, success()).await });
    receiver.requests.recv().await.unwrap();
    // It has been sent and nothing will come: only the clock can end it.
    tokio::time::pause();
    tokio::time::advance(TRY_WAIT).await;
    let why = failed(delivery.await.unwrap());
    assert!(why.ends_with("no answer within 10 s"), "{why}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let mut receiver = Receiver::start(Answer::Endless).await;
    let outcome = permissive().deliver(&http(receiver.url("/")), success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
    let sent = receiver.endless.recv().await.unwrap();
    assert!(sent < 32 << 20, "{sent} bytes: more than the buffers of two sockets");
}

#[tokio::test]
async fn broken_connections_are_failures_that_tell_no_secrets() {
    let reset = Receiver::start(Answer::Reset).await;
    let garbage = Receiver::start(Answer::Bytes("220 mail.example ESMTP\r\n".to_owned())).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in [
        reset.url("/token?key=secret"),
        garbage.url("/token?key=secret"),
        format!("http://{closed}/token?key=secret"),
        // There is no TLS on that side.
        reset.url("/token?key=secret").replace("http:", "https:"),
    ] {
        let record = failure(r#""the payload""#);
        let why = failed(permissive().deliver(&http(url.clone()), record).await);
        let origin = url.split("/token").next().unwrap();
        assert!(why.starts_with(origin), "{why}");
        for secret in ["secret", "token", "the payload", "ESMTP"] {
            assert!(!why.contains(secret), "{why}");
        }
    }
}

#[tokio::test]
async fn internal_hosts_are_never_connected_to() {
    let receiver = Receiver::start(Answer::status(200)).await;
    let destinations = Destinations::new(DestinationPolicy::default());
    let port = receiver.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "017700000001",
        "0",
        "localhost",
        "localhost.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
    ] {
        let target = http(format!("http://{host}:{port}/"));
        let why = refused(destinations.deliver(&target, success()).await);
        assert!(why.contains("destinations.allow_internal_addresses"), "{host}: {why}");
    }
    assert_eq!(receiver.connections(), 0);
}

/// A resolver that knows every name as `address` and counts how often it was asked.
fn resolver(address: IpAddr) -> (Resolver, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let resolver = Resolver::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(vec![address])))
    });
    (resolver, asked)
}

#[tokio::test]
async fn a_name_is_judged_by_the_address_that_is_connected_to() {
    let mut receiver = Receiver::start(Answer::status(200)).await;
    let target = http(format!("http://hooks.example:{}/", receiver.address.port()));

    // The name was fine when the destination was set; now it leads inside.
    let policy = DestinationPolicy::default();
    assert_eq!(Destinations::check(&policy, &target), Ok(()));
    let (rebound, asked) = resolver(receiver.address.ip());
    let destinations = Destinations::with_resolver(policy, rebound);
    let why = refused(destinations.deliver(&target, success()).await);
    assert!(why.starts_with("hooks.example leads to a loopback address"), "{why}");
    assert!(!why.contains("127."), "{why}");
    assert_eq!((asked.load(Ordering::SeqCst), receiver.connections()), (1, 0));

    let policy = DestinationPolicy { allow_internal_addresses: true, ..Default::default() };
    let (inside, asked) = resolver(receiver.address.ip());
    let destinations = Destinations::with_resolver(policy, inside);
    assert_eq!(destinations.deliver(&target, success()).await, DeliveryOutcome::Taken);
    let host = format!("hooks.example:{}", receiver.address.port());
    assert_eq!(receiver.requests.recv().await.unwrap().header("host"), Some(host.as_str()));
    assert_eq!((asked.load(Ordering::SeqCst), receiver.connections()), (1, 1));
}

#[tokio::test]
async fn a_name_without_an_address_is_a_failure() {
    let unknown = Resolver::new(|_| {
        let error = std::io::Error::new(std::io::ErrorKind::NotFound, "no such host");
        Box::pin(std::future::ready(Err(error)))
    });
    let empty = Resolver::new(|_| Box::pin(std::future::ready(Ok(Vec::new()))));
    for (resolver, reason) in [(unknown, "no such host"), (empty, "the name has no address")] {
        let destinations = Destinations::with_resolver(DestinationPolicy::default(), resolver);
        let why = failed(destinations.deliver(&http("https://gone.example/"), success()).await);
        assert_eq!(why, format!("https://gone.example:443: {reason}"));
    }
}

#[tokio::test]
async fn a_silent_receiver_does_not_take_the_room_of_others() {
    let mut silent = Receiver::start(Answer::Nothing).await;
    let answers = Receiver::start(Answer::status(200)).await;
    let destinations = permissive();
    let try_it = |destinations: Destinations, url: String| {
        tokio::spawn(async move { destinations.deliver(&http(url), success()).await })
    };
    let first = try_it(destinations.clone(), silent.url("/"));
    silent.requests.recv().await.unwrap();
    tokio::time::pause();
    tokio::time::advance(TRY_WAIT).await;
    failed(first.await.unwrap());
    tokio::time::resume();

    let trying: Vec<_> = (0..2).map(|_| try_it(destinations.clone(), silent.url("/"))).collect();
    silent.requests.recv().await.unwrap();
    silent.requests.recv().await.unwrap();
    let why = failed(destinations.deliver(&http(silent.url("/")), success()).await);
    assert!(why.contains("did not answer the last time"), "{why}");
    let outcome = destinations.deliver(&http(answers.url("/")), success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
    trying.iter().for_each(tokio::task::JoinHandle::abort);
}

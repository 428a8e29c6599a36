//! SQS destinations: against servers that speak it, and against one that looks at the request.

use std::fmt::Write as _;

use ring::{digest, hmac};
use serde_json::json;
use tokio::net::TcpListener;
use trine_broker::destinations::{DeliveryOutcome, Destinations, TRY_WAIT};
use trine_broker::{AwsCredential, DestinationPolicy};
use trine_engine::Destination;

use crate::receiver::{Answer, Receiver, Request};
use crate::skip::server;
use crate::sqs_server::Queue;
use crate::{failed, failure, refused, success, unique};

const ARN: &str = "arn:aws:sqs:eu-west-1:123456789012:failures";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn keys(session_token: Option<&str>) -> AwsCredential {
    AwsCredential {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: SECRET.to_owned(),
        session_token: session_token.map(str::to_owned),
    }
}

fn with(aws_credential: Option<AwsCredential>) -> Destinations {
    Destinations::new(DestinationPolicy {
        allow_internal_addresses: true,
        aws_credential,
        ..DestinationPolicy::default()
    })
}

fn to(queue: &str, endpoint_url: &str) -> Destination {
    Destination::Sqs { queue: queue.into(), region: "".into(), endpoint_url: endpoint_url.into() }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_HEADER: &str =
    "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1";

async fn a_record_reaches(endpoint: &str) {
    let queue = Queue::create(endpoint, &unique("sqs")).await;
    let destinations = with(Some(keys(None)));
    let record = failure(r#"{"text": "ü 1.0"}"#).with_trace(TRACE.to_owned(), String::new());
    let by_url = Destination::Sqs {
        queue: queue.url.as_str().into(),
        region: "us-east-1".into(),
        endpoint_url: endpoint.into(),
    };
    for target in [to(&queue.arn, endpoint), by_url] {
        assert_eq!(destinations.deliver(&target, record.clone()).await, DeliveryOutcome::Taken);
        let (body, trace) = queue.receive().await;
        assert_eq!(body.as_bytes(), record.json);
        assert_eq!(trace.as_deref(), Some(TRACE_HEADER));
    }
    let untraced = success();
    let target = to(&queue.arn, endpoint);
    assert_eq!(destinations.deliver(&target, untraced.clone()).await, DeliveryOutcome::Taken);
    let (body, trace) = queue.receive().await;
    assert_eq!((body.as_bytes(), trace), (untraced.json.as_ref(), None));

    let missing = format!("{}-missing", queue.arn);
    let why = failed(destinations.deliver(&to(&missing, endpoint), success()).await);
    assert!(why.contains("there is no such queue"), "{why}");
}

#[tokio::test]
async fn a_record_reaches_a_queue_of_ministack() {
    let test = "a_record_reaches_a_queue_of_ministack";
    let Some(endpoint) = server(test, "TRINE_MINISTACK") else { return };
    a_record_reaches(&endpoint).await;
}

#[tokio::test]
async fn a_record_reaches_a_queue_of_elasticmq() {
    let test = "a_record_reaches_a_queue_of_elasticmq";
    let Some(endpoint) = server(test, "TRINE_ELASTICMQ") else { return };
    a_record_reaches(&endpoint).await;
}

#[tokio::test]
async fn a_queues_limit_is_told() {
    let Some(endpoint) = server("a_queues_limit_is_told", "TRINE_MINISTACK") else { return };
    let limit = json!({ "MaximumMessageSize": "1024" });
    let queue = Queue::with(&endpoint, &unique("small"), limit).await;
    let (destinations, target) = (with(Some(keys(None))), to(&queue.arn, &endpoint));
    let large = failure(&format!("\"{}\"", "x".repeat(1024)));
    let why = refused(destinations.deliver(&target, large).await);
    assert!(why.contains("larger than the queue takes"), "{why}");
    assert_eq!(destinations.deliver(&target, success()).await, DeliveryOutcome::Taken);
    assert_eq!(queue.receive().await.0.as_bytes(), success().json);
}

#[tokio::test]
async fn nobody_there_is_a_failure() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let target = to(ARN, &format!("http://{nobody}"));
    let why = failed(with(Some(keys(None))).deliver(&target, success()).await);
    assert!(why.starts_with(&format!("http://{nobody}: ")), "{why}");
}

#[tokio::test]
async fn silence_ends_in_time() {
    let mut receiver = Receiver::start(Answer::Nothing).await;
    let target = to(ARN, &receiver.url("/"));
    let delivery =
        tokio::spawn(async move { with(Some(keys(None))).deliver(&target, success()).await });
    receiver.requests.recv().await.unwrap();
    // It has been sent and nothing will come: only the clock can end it.
    tokio::time::pause();
    tokio::time::advance(TRY_WAIT).await;
    let why = failed(delivery.await.unwrap());
    assert!(why.ends_with("no answer within 10 s"), "{why}");
}

fn answer(status: u16, body: &str) -> Answer {
    let length = body.len();
    Answer::Bytes(format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {length}\r\n\r\n{body}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// Signature Version 4 as its receiver computes it (LS 9.3), out of what came over the wire.
fn signature(request: &Request, region: &str) -> String {
    let authorization = request.header("authorization").unwrap();
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap();
        rest.split(',').next().unwrap().to_owned()
    };
    let signed_headers = part("SignedHeaders");
    for needed in ["host", "x-amz-date", "x-amz-target"] {
        assert!(signed_headers.split(';').any(|name| name == needed), "{signed_headers}");
    }
    let canonical = signed_headers.split(';').fold(String::new(), |text, name| {
        format!("{text}{name}:{}\n", request.header(name).unwrap().trim())
    });
    let path = request.head[0].split(' ').nth(1).unwrap();
    let body = hex(digest::digest(&digest::SHA256, &request.body).as_ref());
    let canonical = format!("POST\n{path}\n\n{canonical}\n{signed_headers}\n{body}");
    let time = request.header("x-amz-date").unwrap();
    let day = &time[..8];
    let scope = format!("{day}/{region}/sqs/aws4_request");
    assert_eq!(part("Credential"), format!("AKIDEXAMPLE/{scope}"));
    let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{canonical}");
    let key = mac(format!("AWS4{SECRET}").as_bytes(), day);
    let key = [region, "sqs", "aws4_request"].into_iter().fold(key, |key, part| mac(&key, part));
    assert_eq!(part("Signature"), hex(&mac(&key, &text)));
    signed_headers
}

#[tokio::test]
async fn requests_are_signed_with_the_brokers_keys() {
    let mut receiver = Receiver::start(answer(200, r#"{"MessageId":"1"}"#)).await;
    for (endpoint, token) in [("/", None), ("/base/path", Some("session"))] {
        let target = to(ARN, &receiver.url(endpoint));
        let outcome = with(Some(keys(token))).deliver(&target, success()).await;
        assert_eq!(outcome, DeliveryOutcome::Taken);
        let request = receiver.requests.recv().await.unwrap();
        assert_eq!(request.header("x-amz-target"), Some("AmazonSQS.SendMessage"));
        assert_eq!(request.header("content-type"), Some("application/x-amz-json-1.0"));
        assert_eq!(request.header("x-amz-security-token"), token);
        let signed = signature(&request, "eu-west-1");
        assert_eq!(signed.contains("x-amz-security-token"), token.is_some());
    }
}

#[tokio::test]
async fn what_sqs_says_is_said_in_words_of_ours() {
    for (kind, part) in [
        ("com.amazonaws.sqs#QueueDoesNotExist", "there is no such queue"),
        ("com.amazonaws.sqs#RequestThrottled", "too much to do"),
        ("AccessDenied", "sqs:SendMessage"),
        ("InvalidClientTokenId", "does not accept the broker's keys"),
        ("ExpiredToken", "out of date"),
        ("KmsAccessDenied", "encryption key"),
        ("com.example#Unheard", "answered 400"),
    ] {
        let body = format!(r#"{{"__type":"{kind}","message":"secret"}}"#);
        let receiver = Receiver::start(answer(400, &body)).await;
        let target = to(ARN, &receiver.url("/"));
        let why = failed(with(Some(keys(None))).deliver(&target, success()).await);
        assert!(why.contains(part) && !why.contains("secret"), "{kind}: {why}");
    }
    // These will be no better the next time.
    for (kind, part) in [
        ("com.amazonaws.sqs#InvalidMessageContents", "characters"),
        ("com.amazonaws.sqs#InvalidParameterValue", "MaximumMessageSize"),
    ] {
        let receiver = Receiver::start(answer(400, &format!(r#"{{"__type":"{kind}"}}"#))).await;
        let target = to(ARN, &receiver.url("/"));
        let why = refused(with(Some(keys(None))).deliver(&target, success()).await);
        assert!(why.contains(part), "{kind}: {why}");
    }
}

#[tokio::test]
async fn what_is_not_sqs_has_no_record() {
    for answer in [Answer::status(200), answer(200, r#"{"MessageId":""}"#), answer(200, "{}")] {
        let receiver = Receiver::start(answer).await;
        let target = to(ARN, &receiver.url("/"));
        let why = failed(with(Some(keys(None))).deliver(&target, success()).await);
        assert!(why.contains("not as SQS does"), "{why}");
    }
}

#[tokio::test]
async fn without_keys_nothing_is_sent() {
    let receiver = Receiver::start(Answer::status(200)).await;
    let why = failed(with(None).deliver(&to(ARN, &receiver.url("/")), success()).await);
    assert!(why.contains("AWS_ACCESS_KEY_ID"), "{why}");
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_record_that_no_queue_takes_is_not_sent() {
    let receiver = Receiver::start(Answer::status(200)).await;
    let large = failure(&format!("\"{}\"", "x".repeat(1024 * 1024)));
    let why = refused(with(Some(keys(None))).deliver(&to(ARN, &receiver.url("/")), large).await);
    assert!(why.contains("no queue takes more than 1048576"), "{why}");
    assert_eq!(receiver.connections(), 0);
}

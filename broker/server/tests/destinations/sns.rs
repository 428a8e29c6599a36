//! SNS-shaped destinations: what a subscriber of SNS reads, and what its answers mean.

use serde_json::Value;
use trine_broker::DestinationPolicy;
use trine_broker::destinations::{DeliveryOutcome, Destinations};
use trine_engine::Destination;

use crate::receiver::{Answer, Receiver};
use crate::{ID, failed, failure, refused, success};

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:failures";

fn permissive() -> Destinations {
    Destinations::new(DestinationPolicy { allow_internal_addresses: true, ..Default::default() })
}

fn to(receiver: &Receiver, path: &str) -> Destination {
    Destination::Sns { url: receiver.url(path).into(), topic_arn: TOPIC.into() }
}

#[tokio::test]
async fn a_record_is_the_message_of_a_notification() {
    let mut receiver = Receiver::start(Answer::status(200)).await;
    let destinations = permissive();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let record = failure(r#"{"a": 1.0}"#).with_trace(trace.to_owned(), String::new());
    let target = to(&receiver, "/topic?key=k");
    let mut bodies = Vec::new();
    for _ in 0..2 {
        assert_eq!(destinations.deliver(&target, record.clone()).await, DeliveryOutcome::Taken);
        let request = receiver.requests.recv().await.unwrap();
        assert_eq!(request.head[0], "POST /topic?key=k HTTP/1.1");
        for (name, value) in [
            ("content-type", "text/plain; charset=UTF-8"),
            ("x-amz-sns-message-type", "Notification"),
            ("x-amz-sns-message-id", ID),
            ("x-amz-sns-topic-arn", TOPIC),
            ("traceparent", trace),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        bodies.push(request.body);
    }
    assert_eq!(bodies[0], bodies[1], "a repeated record is the same notification");
    let notification: Value = serde_json::from_slice(&bodies[0]).unwrap();
    let text = std::str::from_utf8(&record.json).unwrap();
    let expected = serde_json::json!({
        "Type": "Notification",
        "MessageId": ID,
        "TopicArn": TOPIC,
        "Message": text,
        "Timestamp": "2019-11-14T18:16:05.568Z",
    });
    // No field of a signature: nobody signed it.
    assert_eq!(notification, expected);
    assert_eq!(receiver.connections(), 1, "the connection is used again");
}

#[tokio::test]
async fn answers_mean_what_they_mean_for_http() {
    let receiver = Receiver::start(Answer::status(204)).await;
    let outcome = permissive().deliver(&to(&receiver, "/"), success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
    let receiver = Receiver::start(Answer::status(403)).await;
    let why = failed(permissive().deliver(&to(&receiver, "/secret"), success()).await);
    assert!(why.contains("answered 403") && !why.contains("secret"), "{why}");
    let receiver = Receiver::start(Answer::status(410)).await;
    let why = refused(permissive().deliver(&to(&receiver, "/"), success()).await);
    assert!(why.contains("answered 410"), "{why}");
}

#[tokio::test]
async fn internal_addresses_are_not_connected_to() {
    let receiver = Receiver::start(Answer::status(200)).await;
    let strict = Destinations::new(DestinationPolicy::default());
    let why = refused(strict.deliver(&to(&receiver, "/"), success()).await);
    assert!(why.contains("destinations.allow_internal_addresses"), "{why}");
    assert_eq!(receiver.connections(), 0);
}

//! What the function gets of a message.

use aws_lambda_events::event::sqs::SqsEvent;
use serde_json::{Value, json};
use trine_pollers::{Connect, Places};

use super::{ELASTICMQ, MINISTACK, Queue};
use crate::aws::{event_text, open, receive, whole_event};

async fn the_event_is_lambdas(queue: Option<Queue>) {
    let Some(mut queue) = queue else { return };
    let body = "line\n\"quoted\" \u{1} é 😀";
    let attributes = json!({
        "text": {"DataType": "String", "StringValue": "v\"v"},
        "number": {"DataType": "Number", "StringValue": "17"},
        "bytes": {"DataType": "Binary", "BinaryValue": "AAH/"},
    });
    let body = if body.contains('\u{1}') { body.replace('\u{1}', "\t") } else { body.to_owned() };
    let sent = json!({"QueueUrl": queue.url, "MessageBody": body, "MessageAttributes": attributes});
    let sent = queue.api.call("SendMessage", sent).await;
    let (_source, opened) = open(&connector(&mut queue), Places::new()).await.expect("a queue");
    let records = receive(&opened, 1).await;
    let event: SqsEvent = whole_event(&opened, &records);
    let [message] = &event.records[..] else { panic!("{event:?}") };
    assert_eq!(message.message_id.as_deref(), sent["MessageId"].as_str());
    assert_eq!(message.md5_of_body.as_deref(), sent["MD5OfMessageBody"].as_str());
    let md5 = sent["MD5OfMessageAttributes"].as_str();
    assert_eq!(message.md5_of_message_attributes.as_deref(), md5);
    assert_eq!(message.body.as_deref(), Some(&*body));
    assert_eq!(&*records[0].body, body.as_bytes());
    assert_eq!(message.event_source.as_deref(), Some("aws:sqs"));
    assert_eq!(message.event_source_arn.as_deref(), Some(&*queue.arn));
    assert_eq!(message.aws_region.as_deref(), queue.arn.split(':').nth(3));
    assert!(message.receipt_handle.as_deref().is_some_and(|handle| !handle.is_empty()));
    assert_eq!(message.attributes["ApproximateReceiveCount"], "1");
    let arrived: i64 = message.attributes["SentTimestamp"].parse().expect("milliseconds");
    assert_eq!(records[0].arrived_at_ms, Some(arrived));
    for name in ["SenderId", "ApproximateFirstReceiveTimestamp"] {
        assert!(message.attributes.contains_key(name), "{name}: {:?}", message.attributes);
    }
    let text = &message.message_attributes["text"];
    assert_eq!(
        (text.string_value.as_deref(), text.data_type.as_deref()),
        (Some("v\"v"), Some("String"))
    );
    assert_eq!(message.message_attributes["number"].string_value.as_deref(), Some("17"));
    let bytes = message.message_attributes["bytes"].binary_value.as_ref();
    assert_eq!(bytes.map(|bytes| bytes.0.as_slice()), Some(&b"\x00\x01\xff"[..]));
    // What the type does not say: which members there are.
    let event: Value = serde_json::from_str(event_text(&records[0])).expect("JSON");
    let members = |value: &Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let text = &event["messageAttributes"]["text"];
    assert_eq!(members(text), ["binaryListValues", "dataType", "stringListValues", "stringValue"]);
    assert_eq!(
        members(&event),
        [
            "attributes",
            "awsRegion",
            "body",
            "eventSource",
            "eventSourceARN",
            "md5OfBody",
            "md5OfMessageAttributes",
            "messageAttributes",
            "messageId",
            "receiptHandle"
        ]
    );
}

#[tokio::test]
async fn the_event_is_lambdas_ministack() {
    the_event_is_lambdas(Queue::standard(MINISTACK).await).await;
}

#[tokio::test]
async fn the_event_is_lambdas_elasticmq() {
    the_event_is_lambdas(Queue::standard(ELASTICMQ).await).await;
}

async fn a_fifo_message_names_its_group(queue: Option<Queue>) {
    let Some(mut queue) = queue else { return };
    queue.send("g1", "one").await;
    let (_source, opened) = open(&connector(&mut queue), Places::new()).await.expect("a queue");
    let records = receive(&opened, 1).await;
    assert_eq!(records[0].key.as_deref(), Some(&b"g1"[..]));
    let event: SqsEvent = whole_event(&opened, &records);
    let message = &event.records[0];
    assert_eq!(message.attributes["MessageGroupId"], "g1");
    for name in ["MessageDeduplicationId", "SequenceNumber"] {
        assert!(message.attributes.contains_key(name), "{name}: {:?}", message.attributes);
    }
    // A message without attributes has no digest of them.
    assert_eq!(message.md5_of_message_attributes, None);
    assert!(message.message_attributes.is_empty());
}

#[tokio::test]
async fn a_fifo_message_names_its_group_ministack() {
    a_fifo_message_names_its_group(Queue::fifo(MINISTACK).await).await;
}

#[tokio::test]
async fn a_fifo_message_names_its_group_elasticmq() {
    a_fifo_message_names_its_group(Queue::fifo(ELASTICMQ).await).await;
}

fn connector(queue: &mut Queue) -> std::sync::Arc<dyn Connect> {
    trine_pollers::conformance::Subject::connector(queue)
}

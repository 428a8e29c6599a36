//! The JSON of one message as the function gets it, and what surrounds it (LS 4.9): the only place that knows its shape.

use bytes::Bytes;
use trine_poll_engine::BATCH_BYTES_MAX;

use super::config::Config;
use super::stomp::{Body, Frame};
use crate::json_text::{base64, buffer, number, string};
use crate::{Content, Envelope, Position, Record};

/// The largest body that fits into a payload as base64.
pub(crate) const BODY_BYTES_MAX: u64 = BATCH_BYTES_MAX / 4 * 3;

/// JMS's priority of a message whose producer said nothing.
const PRIORITY_DEFAULT: i64 = 4;

/// Headers that are no properties of the message: what they say is elsewhere in the event, or is about its way here.
const NOT_PROPERTIES: [&str; 13] = [
    "ack",
    "content-length",
    "correlation-id",
    "destination",
    "expires",
    "message-id",
    "persistent",
    "priority",
    "redelivered",
    "reply-to",
    "subscription",
    "timestamp",
    "type",
];

/// Around the messages of one queue.
pub(crate) fn envelope(config: &Config) -> Envelope {
    let arn = serde_json::Value::from(config.event_source_arn.as_str()).to_string();
    let open = format!("{{\"eventSource\":\"aws:mq\",\"eventSourceArn\":{arn},\"messages\":[");
    Envelope { open: open.into(), close: "]}".into() }
}

/// The record of a message that came at `now_ms`. Its position is not known yet.
pub(crate) fn record(frame: &Frame, now_ms: u64) -> Record {
    let (content, body) = match &frame.body {
        Body::Skipped(bytes) => (Content::TooLarge(encoded(*bytes)), Bytes::new()),
        Body::Kept(body) => {
            let event = event(frame, body, now_ms);
            let bytes = event.len() as u64;
            if bytes > BATCH_BYTES_MAX {
                (Content::TooLarge(bytes), Bytes::new())
            } else {
                (Content::Event(event.into()), body.clone())
            }
        }
    };
    Record {
        position: Position::new(""),
        identifier: frame.header("message-id").unwrap_or_default().into(),
        arrived_at_ms: timestamp(frame),
        key: None,
        body,
        content,
    }
}

fn encoded(bytes: u64) -> u64 {
    bytes.div_ceil(3).saturating_mul(4)
}

fn timestamp(frame: &Frame) -> Option<i64> {
    frame.header("timestamp")?.parse().ok().filter(|at_ms| *at_ms > 0)
}

fn event(frame: &Frame, body: &[u8], now_ms: u64) -> Vec<u8> {
    let mut event = buffer(body.len());
    let into = &mut event;
    let whole = |name: &str| frame.header(name).and_then(|text| text.parse::<i64>().ok());
    let flag = |name: &str| frame.header(name) == Some("true");
    into.extend_from_slice(b"{\"messageID\":");
    string(frame.header("message-id").unwrap_or_default(), into);
    into.extend_from_slice(b",\"messageType\":\"");
    // ActiveMQ counts the bytes of a bytes message, and sends text without.
    let bytes = frame.header("content-length").is_some();
    into.extend_from_slice(if bytes { b"jms/bytes-message" } else { b"jms/text-message" });
    into.extend_from_slice(b"\",\"deliveryMode\":");
    number(if flag("persistent") { 2 } else { 1 }, into);
    text(b",\"replyTo\":", frame.header("reply-to"), into);
    text(b",\"type\":", frame.header("type"), into);
    into.extend_from_slice(b",\"expiration\":");
    number(whole("expires").unwrap_or(0), into);
    into.extend_from_slice(b",\"priority\":");
    number(whole("priority").unwrap_or(PRIORITY_DEFAULT), into);
    // Once as Lambda's documents have it and once as the official types do.
    text(b",\"correlationId\":", frame.header("correlation-id"), into);
    text(b",\"correlationID\":", frame.header("correlation-id"), into);
    into.extend_from_slice(b",\"redelivered\":");
    into.extend_from_slice(if flag("redelivered") { b"true" } else { b"false" });
    into.extend_from_slice(b",\"destination\":{\"physicalName\":");
    let destination = frame.header("destination").unwrap_or_default();
    string(destination.strip_prefix("/queue/").unwrap_or(destination), into);
    into.extend_from_slice(b"},\"data\":");
    base64(body, into);
    let at_ms = timestamp(frame).unwrap_or(0);
    into.extend_from_slice(b",\"timestamp\":");
    number(at_ms, into);
    into.extend_from_slice(b",\"brokerInTime\":");
    number(at_ms, into);
    into.extend_from_slice(b",\"brokerOutTime\":");
    number(now_ms, into);
    into.extend_from_slice(b",\"properties\":");
    properties(frame, into);
    into.push(b'}');
    event
}

/// A member that is text or null.
fn text(member: &[u8], value: Option<&str>, into: &mut Vec<u8>) {
    into.extend_from_slice(member);
    match value {
        Some(value) => string(value, into),
        None => into.extend_from_slice(b"null"),
    }
}

fn properties(frame: &Frame, into: &mut Vec<u8>) {
    into.push(b'{');
    let mut first = true;
    for (at, (name, value)) in frame.headers.iter().enumerate() {
        let repeated = frame.headers.iter().take(at).any(|(before, _)| before == name);
        if repeated || NOT_PROPERTIES.contains(&name.as_str()) {
            continue;
        }
        if !std::mem::take(&mut first) {
            into.push(b',');
        }
        string(name, into);
        into.push(b':');
        string(value, into);
    }
    into.push(b'}');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn frame(headers: &[(&str, &str)], body: Body) -> Frame {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let headers = headers.iter().map(owned).collect();
        Frame { command: "MESSAGE".to_owned(), headers, body }
    }

    fn read(headers: &[(&str, &str)], body: &'static [u8]) -> (Record, Value) {
        let record = record(&frame(headers, Body::Kept(body.into())), 1_598_827_811_959);
        let Content::Event(event) = &record.content else { panic!("{record:?}") };
        let event = serde_json::from_slice(event).unwrap();
        (record, event)
    }

    #[test]
    fn an_event_equals_the_sample() {
        let headers = [
            ("message-id", "ID:b-1:1"),
            ("destination", "/queue/testQueue"),
            ("subscription", "1"),
            ("ack", "ID:2"),
            ("expires", "60000"),
            ("priority", "1"),
            ("correlation-id", "x"),
            ("timestamp", "1598827811958"),
            ("index", "1"),
            ("index", "2"),
        ];
        let (record, event) = read(&headers, b"ABC:AAAA");
        let expected = json!({"messageID": "ID:b-1:1", "messageType": "jms/text-message",
            "deliveryMode": 1, "replyTo": null, "type": null, "expiration": 60000, "priority": 1,
            "correlationId": "x", "correlationID": "x", "redelivered": false,
            "destination": {"physicalName": "testQueue"}, "data": "QUJDOkFBQUE=",
            "timestamp": 1_598_827_811_958_i64, "brokerInTime": 1_598_827_811_958_i64,
            "brokerOutTime": 1_598_827_811_959_i64, "properties": {"index": "1"}});
        assert_eq!(event, expected);
        assert_eq!(record.arrived_at_ms, Some(1_598_827_811_958));
        assert_eq!((&*record.identifier, &*record.body), ("ID:b-1:1", &b"ABC:AAAA"[..]));
    }

    #[test]
    fn what_the_server_left_out_has_jmss_defaults() {
        let (record, event) = read(&[("content-length", "0"), ("persistent", "true")], b"");
        assert_eq!(event["messageType"], "jms/bytes-message");
        assert_eq!((&event["deliveryMode"], &event["priority"]), (&json!(2), &json!(4)));
        assert_eq!((&event["expiration"], &event["timestamp"]), (&json!(0), &json!(0)));
        assert_eq!((&event["properties"], record.arrived_at_ms), (&json!({}), None));
    }

    #[test]
    fn a_body_that_fits_into_no_payload_is_not_kept() {
        let largest = usize::try_from(BODY_BYTES_MAX).unwrap();
        for body in [Body::Kept(vec![0; largest].into()), Body::Skipped(BODY_BYTES_MAX + 1)] {
            let record = record(&frame(&[], body), 0);
            assert!(matches!(record.content, Content::TooLarge(bytes) if bytes > BATCH_BYTES_MAX));
            assert!(record.body.is_empty());
        }
    }
}

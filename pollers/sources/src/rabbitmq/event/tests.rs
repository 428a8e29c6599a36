//! The shape of an event, against LS 4.9 and with everything that AMQP can say.

use lapin::BasicProperties;
use lapin::types::{DecimalValue, FieldArray};
use serde_json::{Value, json};

use super::*;

fn delivery(properties: BasicProperties, data: &[u8]) -> Delivery {
    let mut delivery = Delivery::mock(7, "".into(), "orders".into(), false, data.to_vec());
    delivery.properties = properties;
    delivery
}

fn read(delivery: Delivery) -> (Record, Value) {
    let record = record(Position::new("1-7"), delivery);
    let Content::Event(event) = &record.content else { panic!("{record:?}") };
    let event = serde_json::from_slice(event).unwrap();
    (record, event)
}

#[test]
fn an_event_equals_the_sample() {
    let mut headers = FieldTable::default();
    headers.insert("h1".into(), AMQPValue::LongString("va".into()));
    headers.insert("n".into(), AMQPValue::LongInt(10));
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_headers(headers)
        .with_delivery_mode(1)
        .with_priority(34)
        .with_expiration("60000".into())
        .with_timestamp(2021)
        .with_user_id("AIDACKCEVSQ6C2EXAMPLE".into());
    let (record, event) = read(delivery(properties, b"{\"timeout\":0}"));
    let expected = json!({"basicProperties": {
        "contentType": "text/plain", "contentEncoding": null,
        "headers": {"h1": {"bytes": [118, 97]}, "n": 10}, "deliveryMode": 1, "priority": 34,
        "correlationId": null, "replyTo": null, "expiration": "60000", "messageId": null,
        "timestamp": "Jan 1, 1970, 12:33:41 AM", "type": null, "userId": "AIDACKCEVSQ6C2EXAMPLE",
        "appId": null, "clusterId": null, "bodySize": 13},
        "redelivered": false, "data": "eyJ0aW1lb3V0IjowfQ=="});
    assert_eq!(event, expected);
    assert_eq!(record.arrived_at_ms, Some(2_021_000));
    assert_eq!((&*record.identifier, &*record.body), ("1-7", &b"{\"timeout\":0}"[..]));
}

#[test]
fn what_a_producer_left_out_has_the_protocols_defaults() {
    let (record, event) = read(delivery(BasicProperties::default(), b""));
    let properties = &event["basicProperties"];
    assert_eq!(properties["headers"], json!({}));
    assert_eq!((&properties["deliveryMode"], &properties["priority"]), (&json!(1), &json!(0)));
    assert_eq!((&properties["timestamp"], &event["data"]), (&Value::Null, &json!("")));
    assert_eq!(record.arrived_at_ms, None);
}

#[test]
fn a_message_id_is_the_identifier() {
    let properties = BasicProperties::default().with_message_id("a \"b\"".into());
    let (record, event) = read(delivery(properties, b""));
    assert_eq!(&*record.identifier, "a \"b\"");
    assert_eq!(event["basicProperties"]["messageId"], "a \"b\"");
}

#[test]
fn headers_of_every_type_are_written() {
    let mut inner = FieldTable::default();
    inner.insert("\"".into(), AMQPValue::Void);
    let list = vec![AMQPValue::Boolean(true), AMQPValue::FieldTable(inner)];
    let mut headers = FieldTable::default();
    let decimal = DecimalValue { scale: 2, value: 125 };
    for (name, value) in [
        ("decimal", AMQPValue::DecimalValue(decimal)),
        ("double", AMQPValue::Double(0.5)),
        ("float", AMQPValue::Float(f32::NAN)),
        ("list", AMQPValue::FieldArray(FieldArray::from(list))),
        ("long", AMQPValue::LongLongInt(i64::MIN)),
        ("raw", AMQPValue::ByteArray(vec![0, 255].into())),
        ("text", AMQPValue::LongString(vec![127, 128, 255].into())),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
    ] {
        headers.insert(name.into(), value);
    }
    let (_, event) = read(delivery(BasicProperties::default().with_headers(headers), b""));
    let expected = json!({"decimal": 1.25, "double": 0.5, "float": null, "list": [true, {"\"": null}],
        "long": i64::MIN, "raw": [0, -1], "text": {"bytes": [127, -128, -1]},
        "time": "Nov 14, 2023, 10:13:20 PM"});
    assert_eq!(event["basicProperties"]["headers"], expected);
}

#[test]
fn tables_in_tables_have_an_end() {
    let mut value = AMQPValue::Void;
    for _ in 0..300 {
        value = AMQPValue::FieldArray(FieldArray::from(vec![value]));
    }
    let mut headers = FieldTable::default();
    headers.insert("deep".into(), value);
    read(delivery(BasicProperties::default().with_headers(headers), b""));
}

#[test]
fn moments_are_dates_where_they_can_be() {
    for (seconds, expected) in [
        (0, Some("Jan 1, 1970, 12:00:00 AM")),
        (43_200, Some("Jan 1, 1970, 12:00:00 PM")),
        (951_823_509, Some("Feb 29, 2000, 11:25:09 AM")),
        (253_402_300_800, Some("Jan 1, 10000, 12:00:00 AM")),
        (u64::MAX, None),
    ] {
        let date = millis(seconds).and_then(date);
        assert_eq!(date.as_deref(), expected, "{seconds}");
    }
}

#[test]
fn a_body_that_fits_into_no_payload_is_not_kept() {
    let largest = usize::try_from(BATCH_BYTES_MAX).unwrap() / 4 * 3;
    for length in [largest, largest + 1] {
        let record =
            record(Position::new("1-7"), delivery(BasicProperties::default(), &vec![0; length]));
        assert!(matches!(record.content, Content::TooLarge(bytes) if bytes > BATCH_BYTES_MAX));
        assert!(record.body.is_empty());
    }
}

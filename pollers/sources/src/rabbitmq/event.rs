//! The JSON of one delivery as the function gets it, and what surrounds it (LS 4.9): the only place that knows its shape.

use bytes::Bytes;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use trine_poll_engine::BATCH_BYTES_MAX;

use super::config::Config;
use crate::json_text::{base64, buffer, number, string};
use crate::timestamp::rfc3339;
use crate::{Content, Envelope, Position, Record};

/// Deepest nesting of header tables that is written out. Common parsers stop at 128, and the payload around them adds six; what is
/// deeper is null.
const DEPTH_MAX: usize = 64;

/// Months as a date's text has them.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Around the records of one queue.
pub(crate) fn envelope(config: &Config) -> Envelope {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let arn = text(&config.event_source_arn);
    let queue = text(&format!("{}::{}", config.queue, config.virtual_host));
    let open = format!(
        "{{\"eventSource\":\"aws:rmq\",\"eventSourceArn\":{arn},\"rmqMessagesByQueue\":{{{queue}:["
    );
    Envelope { open: open.into(), close: "]}}".into() }
}

/// The record of a delivery.
pub(crate) fn record(position: Position, delivery: Delivery) -> Record {
    let properties = &delivery.properties;
    let arrived_at_ms = properties.timestamp().and_then(millis);
    let identifier = match properties.message_id() {
        Some(id) if !id.as_str().is_empty() => id.as_str().into(),
        // Unique over connections too: a parked record is known by it.
        _ => position.as_str().into(),
    };
    let content = content(&delivery);
    let body = match content {
        Content::Event(_) => Bytes::from(delivery.data),
        Content::TooLarge(_) => Bytes::new(),
    };
    Record { position, identifier, arrived_at_ms, key: None, body, content }
}

/// The event, unless its body alone is too large for any.
fn content(delivery: &Delivery) -> Content {
    let encoded = delivery.data.len().div_ceil(3) as u64 * 4;
    if encoded > BATCH_BYTES_MAX {
        return Content::TooLarge(encoded);
    }
    let event = event(delivery);
    if event.len() as u64 > BATCH_BYTES_MAX {
        return Content::TooLarge(event.len() as u64);
    }
    Content::Event(event.into())
}

fn event(delivery: &Delivery) -> Vec<u8> {
    let properties = &delivery.properties;
    let mut event = buffer(delivery.data.len());
    let into = &mut event;
    text(b"{\"basicProperties\":{\"contentType\":", properties.content_type(), into);
    text(b",\"contentEncoding\":", properties.content_encoding(), into);
    into.extend_from_slice(b",\"headers\":");
    match properties.headers() {
        Some(headers) => table(headers, DEPTH_MAX, into),
        None => into.extend_from_slice(b"{}"),
    }
    // The protocol's own defaults where the producer said nothing: the official types want numbers.
    into.extend_from_slice(b",\"deliveryMode\":");
    number(properties.delivery_mode().unwrap_or(1), into);
    into.extend_from_slice(b",\"priority\":");
    number(properties.priority().unwrap_or(0), into);
    text(b",\"correlationId\":", properties.correlation_id(), into);
    text(b",\"replyTo\":", properties.reply_to(), into);
    text(b",\"expiration\":", properties.expiration(), into);
    text(b",\"messageId\":", properties.message_id(), into);
    into.extend_from_slice(b",\"timestamp\":");
    match *properties.timestamp() {
        Some(seconds) => moment(seconds, into),
        None => into.extend_from_slice(b"null"),
    }
    text(b",\"type\":", properties.kind(), into);
    text(b",\"userId\":", properties.user_id(), into);
    text(b",\"appId\":", properties.app_id(), into);
    text(b",\"clusterId\":", properties.cluster_id(), into);
    into.extend_from_slice(b",\"bodySize\":");
    number(delivery.data.len() as u64, into);
    into.extend_from_slice(b"},\"redelivered\":");
    boolean(delivery.redelivered, into);
    into.extend_from_slice(b",\"data\":");
    base64(&delivery.data, into);
    into.push(b'}');
    event
}

/// A member that is text or null.
fn text(member: &[u8], value: &Option<ShortString>, into: &mut Vec<u8>) {
    into.extend_from_slice(member);
    match value {
        Some(value) => string(value.as_str(), into),
        None => into.extend_from_slice(b"null"),
    }
}

fn boolean(value: bool, into: &mut Vec<u8>) {
    into.extend_from_slice(if value { b"true" } else { b"false" });
}

fn table(table: &FieldTable, depth: usize, into: &mut Vec<u8>) {
    into.push(b'{');
    for (at, (name, entry)) in table.into_iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        string(name.as_str(), into);
        into.push(b':');
        value(entry, depth, into);
    }
    into.push(b'}');
}

/// A header's value, as RabbitMQ's Java client and Lambda's serialiser make it.
fn value(header: &AMQPValue, depth: usize, into: &mut Vec<u8>) {
    match header {
        AMQPValue::Boolean(value) => boolean(*value, into),
        AMQPValue::ShortShortInt(value) => number(*value, into),
        AMQPValue::ShortShortUInt(value) => number(*value, into),
        AMQPValue::ShortInt(value) => number(*value, into),
        AMQPValue::ShortUInt(value) => number(*value, into),
        AMQPValue::LongInt(value) => number(*value, into),
        AMQPValue::LongUInt(value) => number(*value, into),
        AMQPValue::LongLongInt(value) => number(*value, into),
        AMQPValue::Float(value) => float(f64::from(*value), into),
        AMQPValue::Double(value) => float(*value, into),
        AMQPValue::DecimalValue(value) => {
            // A JSON number with an exponent is exact.
            number(value.value, into);
            into.extend_from_slice(format!("e-{}", value.scale).as_bytes());
        }
        AMQPValue::ShortString(value) => string(value.as_str(), into),
        AMQPValue::LongString(value) => {
            into.extend_from_slice(b"{\"bytes\":");
            signed(value.as_bytes(), into);
            into.push(b'}');
        }
        AMQPValue::ByteArray(value) => signed(value.as_slice(), into),
        AMQPValue::Timestamp(seconds) => moment(*seconds, into),
        AMQPValue::FieldArray(values) if depth > 0 => {
            into.push(b'[');
            for (at, entry) in values.as_slice().iter().enumerate() {
                if at > 0 {
                    into.push(b',');
                }
                value(entry, depth - 1, into);
            }
            into.push(b']');
        }
        AMQPValue::FieldTable(entries) if depth > 0 => table(entries, depth - 1, into),
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) | AMQPValue::Void => {
            into.extend_from_slice(b"null");
        }
    }
}

/// JSON has no infinities and no NaN.
fn float(value: f64, into: &mut Vec<u8>) {
    let value = serde_json::Value::from(value);
    into.extend_from_slice(value.to_string().as_bytes());
}

/// Bytes as Java has them: -128 to 127.
fn signed(bytes: &[u8], into: &mut Vec<u8>) {
    into.push(b'[');
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        number(byte.cast_signed(), into);
    }
    into.push(b']');
}

/// `Jan 1, 1970, 12:33:41 AM`, in UTC; null if it is too far away for a date.
fn moment(seconds: u64, into: &mut Vec<u8>) {
    match millis(seconds).and_then(date) {
        Some(date) => string(&date, into),
        None => into.extend_from_slice(b"null"),
    }
}

fn millis(seconds: u64) -> Option<i64> {
    i64::try_from(seconds).ok()?.checked_mul(1000)
}

fn date(at_ms: i64) -> Option<String> {
    let text = rfc3339(at_ms);
    // YEAR-MM-DDTHH:MM:SS.mmmZ, and years may have any length.
    let (year, rest) = text.split_at(text.len().checked_sub("-MM-DDTHH:MM:SS.mmmZ".len())?);
    let number = |at: std::ops::Range<usize>| rest.get(at)?.parse::<usize>().ok();
    let (month, day, hour) = (number(1..3)?, number(4..6)?, number(7..9)?);
    let month = MONTHS.get(month.checked_sub(1)?)?;
    let half = if hour < 12 { "AM" } else { "PM" };
    let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
    Some(format!("{month} {day}, {year}, {hour}:{} {half}", rest.get(10..15)?))
}

#[cfg(test)]
mod tests;

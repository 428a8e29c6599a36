//! Records as the function gets them (LS 4.8): the only place that knows their shape.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use trine_poll_engine::BATCH_BYTES_MAX;

use super::config::Config;
use crate::json_text::{base64, buffer, number, string};
use crate::{Content, Envelope, Position, Record};

/// What Kafka writes for a record without a time.
const NO_TIMESTAMP: i64 = -1;

/// Largest key that is kept of a record whose content is not, in bytes.
const LONE_KEY_BYTES_MAX: usize = 64 * 1024;

/// Writes the events of one partition.
#[derive(Debug)]
pub(super) struct EventWriter {
    /// Everything up to the offset: the same in all of them.
    opening: Vec<u8>,
    /// `topic-0:`.
    identifier: String,
}

impl EventWriter {
    pub(super) fn new(config: &Config, partition: i32) -> Self {
        let mut opening = b"{\"topic\":".to_vec();
        string(&config.topic, &mut opening);
        opening.extend_from_slice(b",\"partition\":");
        number(partition, &mut opening);
        opening.extend_from_slice(b",\"offset\":");
        Self { opening, identifier: format!("{}-{partition}:", config.topic) }
    }

    /// The record that `message` is.
    pub(super) fn record(&self, message: &BorrowedMessage<'_>) -> Record {
        let offset = message.offset().to_string();
        let (arrived_at_ms, kind) = match message.timestamp() {
            Timestamp::CreateTime(at) => (Some(at), "CREATE_TIME"),
            Timestamp::LogAppendTime(at) => (Some(at), "LOG_APPEND_TIME"),
            Timestamp::NotAvailable => (None, "NO_TIMESTAMP_TYPE"),
        };
        let (key, value) = (message.key(), message.payload());
        let carried = [key, value].into_iter().flatten().map(<[u8]>::len).sum::<usize>();
        let lone_key =
            || key.filter(|key| key.len() <= LONE_KEY_BYTES_MAX).map(Bytes::copy_from_slice);
        let record = |key, body, content| Record {
            identifier: format!("{}{offset}", self.identifier).into(),
            position: Position::new(&offset),
            arrived_at_ms,
            key,
            body,
            content,
        };
        if carried as u64 > BATCH_BYTES_MAX {
            let bytes = carried.div_ceil(3) * 4 + self.opening.len();
            return record(lone_key(), Bytes::new(), Content::TooLarge(bytes as u64));
        }
        // One allocation for the event, the body and the key: they live and die together.
        let mut text = buffer(carried * 2);
        text.extend_from_slice(&self.opening);
        text.extend_from_slice(offset.as_bytes());
        text.extend_from_slice(b",\"timestamp\":");
        number(arrived_at_ms.unwrap_or(NO_TIMESTAMP), &mut text);
        text.extend_from_slice(b",\"timestampType\":\"");
        text.extend_from_slice(kind.as_bytes());
        text.push(b'"');
        for (name, bytes) in [(&b",\"key\":"[..], key), (b",\"value\":", value)] {
            if let Some(bytes) = bytes {
                text.extend_from_slice(name);
                base64(bytes, &mut text);
            }
        }
        text.extend_from_slice(b",\"headers\":[");
        if let Some(headers) = message.headers() {
            write_headers(headers, &mut text);
        }
        text.extend_from_slice(b"]}");
        let event_bytes = text.len();
        if event_bytes as u64 > BATCH_BYTES_MAX {
            return record(lone_key(), Bytes::new(), Content::TooLarge(event_bytes as u64));
        }
        text.extend_from_slice(value.unwrap_or_default());
        let body_end = text.len();
        text.extend_from_slice(key.unwrap_or_default());
        let text = Bytes::from(text);
        let event = Content::Event(text.slice(..event_bytes));
        record(key.map(|_| text.slice(body_end..)), text.slice(event_bytes..body_end), event)
    }
}

/// Each header is an object of its own, because names may repeat; its value is an array of signed bytes.
fn write_headers(headers: &impl Headers, text: &mut Vec<u8>) {
    let mut first = true;
    for at in 0..headers.count() {
        // The client library panics at a name that is not UTF-8. Kafka's protocol forbids such a name, but no broker checks it, and
        // one record must not stop its partition: that header is left out.
        let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(at)));
        let Ok(Some(header)) = header else { continue };
        text.extend_from_slice(if first { b"{" } else { b",{" });
        first = false;
        string(header.key, text);
        text.extend_from_slice(b":[");
        for (at, &byte) in header.value.unwrap_or_default().iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            number(byte.cast_signed(), text);
        }
        text.extend_from_slice(b"]}");
    }
}

/// What surrounds the records of a partition in a payload.
pub(super) fn envelope(config: &Config, partition: i32) -> Envelope {
    let mut open = b"{\"eventSource\":".to_vec();
    if config.event_source_arn.is_empty() {
        string("SelfManagedKafka", &mut open);
    } else {
        string("aws:kafka", &mut open);
        open.extend_from_slice(b",\"eventSourceArn\":");
        string(&config.event_source_arn, &mut open);
    }
    open.extend_from_slice(b",\"bootstrapServers\":");
    string(&config.bootstrap, &mut open);
    open.extend_from_slice(b",\"records\":{");
    string(config.shard(partition).as_str(), &mut open);
    open.extend_from_slice(b":[");
    let open: Arc<str> = String::from_utf8_lossy(&open).into();
    Envelope { open, close: "]}}".into() }
}

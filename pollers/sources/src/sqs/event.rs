//! A message as the function gets it: the only place that knows its JSON (LS 4.5).

use std::sync::Arc;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use bytes::Bytes;

use super::config::SqsConfig;
use crate::aws::Json;
use crate::{Content, Position, Record};

/// About what a message has beside its body.
const METADATA_BYTES: usize = 1024;

/// Writes the events of one queue.
#[derive(Clone, Debug)]
pub(super) struct EventWriter {
    /// What ends every one of them.
    closing: String,
    /// Whether groups are keys: a standard queue takes them too, but keeps no order by them.
    grouped: bool,
}

impl EventWriter {
    pub(super) fn new(config: &SqsConfig) -> Self {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let closing = format!(
            ",\"eventSource\":\"aws:sqs\",\"eventSourceARN\":{},\"awsRegion\":{}}}",
            text(&config.arn.text),
            text(&config.arn.region)
        );
        Self { closing, grouped: config.is_fifo() }
    }

    /// The record of a message. `None` if it lacks what would settle it: then nobody can, and it comes again.
    pub(super) fn record(&self, message: Message) -> Option<Record> {
        let id = message.message_id.as_deref()?;
        let handle = message.receipt_handle.as_deref()?;
        let attributes = message.attributes.as_ref();
        let attribute = |name| attributes.and_then(|all| all.get(&name)).map(String::as_str);
        let sent = attribute(MessageSystemAttributeName::SentTimestamp);
        let group = attribute(MessageSystemAttributeName::MessageGroupId);
        let group = group.filter(|_| self.grouped);
        Some(Record {
            position: to_position(id, handle),
            identifier: Arc::from(id),
            arrived_at_ms: sent.and_then(|text| text.parse().ok()),
            key: group.map(|group| Bytes::copy_from_slice(group.as_bytes())),
            content: Content::Event(self.event(&message, id, handle)),
            body: message.body.unwrap_or_default().into(),
        })
    }

    fn event(&self, message: &Message, id: &str, handle: &str) -> Bytes {
        let body = message.body.as_deref().unwrap_or_default();
        let mut json = Json::with_capacity(body.len() + body.len() / 8 + METADATA_BYTES);
        json.raw("{");
        json.name("messageId");
        json.string(id);
        json.name("receiptHandle");
        json.string(handle);
        json.name("body");
        json.string(body);
        json.name("attributes");
        json.raw("{");
        let mut attributes: Vec<_> = message.attributes.iter().flatten().collect();
        attributes.sort_unstable_by_key(|(name, _)| name.as_str());
        for (name, value) in attributes {
            json.name(name.as_str());
            json.string(value);
        }
        json.raw("}");
        json.name("messageAttributes");
        json.raw("{");
        let mut attributes: Vec<_> = message.message_attributes.iter().flatten().collect();
        attributes.sort_unstable_by_key(|(name, _)| *name);
        for (name, value) in attributes {
            json.name(name);
            write_attribute(&mut json, value);
        }
        json.raw("}");
        if let Some(md5) = &message.md5_of_message_attributes {
            json.name("md5OfMessageAttributes");
            json.string(md5);
        }
        json.name("md5OfBody");
        json.string(message.md5_of_body.as_deref().unwrap_or_default());
        json.raw(&self.closing);
        json.into_bytes()
    }
}

fn write_attribute(json: &mut Json, attribute: &MessageAttributeValue) {
    json.raw("{");
    if let Some(text) = &attribute.string_value {
        json.name("stringValue");
        json.string(text);
    }
    if let Some(bytes) = &attribute.binary_value {
        json.name("binaryValue");
        json.base64(bytes.as_ref());
    }
    json.name("stringListValues");
    json.list(attribute.string_list_values(), |json, text| json.string(text));
    json.name("binaryListValues");
    json.list(attribute.binary_list_values(), |json, bytes| json.base64(bytes.as_ref()));
    json.name("dataType");
    json.string(&attribute.data_type);
    json.raw("}");
}

/// A message by its id, for people, and the receipt handle of this receive.
fn to_position(id: &str, handle: &str) -> Position {
    Position::new(&format!("{id} {handle}"))
}

/// The receipt handle in a position.
pub(super) fn handle(position: &Position) -> &str {
    position.as_str().split_once(' ').map_or(position.as_str(), |(_, handle)| handle)
}

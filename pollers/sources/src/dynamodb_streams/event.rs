//! A change as the function gets it and as an on-failure record counts it: the only place that knows their JSON (LS 4.7).

use std::sync::Arc;

use aws_sdk_dynamodbstreams::types::{Record as Raw, StreamRecord};
use bytes::Bytes;
use serde_json::{Value, json};

use super::attribute::{Item, write_item};
use super::config::StreamConfig;
use crate::aws::{Arrival, Json};
use crate::{Content, Position, Record, ShardName};

/// About what a change has beside its images.
const METADATA_BYTES: usize = 512;
/// How much longer the JSON of an item is than what DynamoDB counts of it, at first guess.
const JSON_FACTOR: usize = 2;

/// Writes the events of one stream.
#[derive(Clone, Debug)]
pub(super) struct EventWriter {
    region: String,
    arn: Arc<str>,
}

impl EventWriter {
    pub(super) fn new(config: &StreamConfig) -> Self {
        Self { region: config.arn.region.clone(), arn: Arc::clone(&config.arn.text) }
    }

    pub(super) fn record(&self, raw: &Raw) -> Record {
        let change = raw.dynamodb.as_ref();
        let number = change.and_then(|change| change.sequence_number.as_deref());
        let number = number.unwrap_or_default();
        let created = change.and_then(|change| change.approximate_creation_date_time.as_ref());
        let keys = change.and_then(|change| change.keys.as_ref());
        let (event, change) = self.event(raw);
        Record {
            position: Position::new(number),
            identifier: Arc::from(number),
            arrived_at_ms: created.and_then(Arrival::of).map(|arrival| arrival.0),
            key: keys.map(to_key),
            body: event.slice(change),
            content: Content::Event(event),
        }
    }

    /// The event, and where in it the member `dynamodb` stands.
    fn event(&self, raw: &Raw) -> (Bytes, std::ops::Range<usize>) {
        let size = raw.dynamodb.as_ref().and_then(|change| change.size_bytes).unwrap_or_default();
        let size = usize::try_from(size).unwrap_or_default();
        let mut json = Json::with_capacity(size * JSON_FACTOR + METADATA_BYTES);
        json.raw("{");
        if let Some(id) = &raw.event_id {
            json.name("eventID");
            json.string(id);
        }
        if let Some(name) = &raw.event_name {
            json.name("eventName");
            json.string(name.as_str());
        }
        json.name("eventVersion");
        json.string(raw.event_version.as_deref().unwrap_or("1.1"));
        json.name("eventSource");
        json.string("aws:dynamodb");
        json.name("awsRegion");
        json.string(raw.aws_region.as_deref().unwrap_or(&self.region));
        json.name("dynamodb");
        let start = json.len();
        match &raw.dynamodb {
            Some(change) => write_change(&mut json, change),
            None => json.raw("{}"),
        }
        let change = start..json.len();
        json.name("eventSourceARN");
        json.string(&self.arn);
        if let Some(identity) = &raw.user_identity {
            json.name("userIdentity");
            json.raw("{");
            json.name("type");
            json.string(identity.r#type.as_deref().unwrap_or_default());
            json.name("principalId");
            json.string(identity.principal_id.as_deref().unwrap_or_default());
            json.raw("}");
        }
        json.raw("}");
        (json.into_bytes(), change)
    }
}

fn write_change(json: &mut Json, change: &StreamRecord) {
    json.raw("{");
    if let Some(arrival) = change.approximate_creation_date_time.as_ref().and_then(Arrival::of) {
        json.name("ApproximateCreationDateTime");
        // Whole seconds, as DynamoDB tells them.
        let seconds = arrival.seconds();
        json.raw(seconds.strip_suffix(".0").unwrap_or(&seconds));
    }
    let items =
        [("Keys", &change.keys), ("NewImage", &change.new_image), ("OldImage", &change.old_image)];
    for (name, item) in items {
        if let Some(item) = item {
            json.name(name);
            write_item(json, item);
        }
    }
    if let Some(number) = &change.sequence_number {
        json.name("SequenceNumber");
        json.string(number);
    }
    if let Some(size) = change.size_bytes {
        json.name("SizeBytes");
        json.raw(&size.to_string());
    }
    if let Some(view) = &change.stream_view_type {
        json.name("StreamViewType");
        json.string(view.as_str());
    }
    json.raw("}");
}

/// Equal for the same item, whatever order its key attributes come in.
fn to_key(keys: &Item) -> Bytes {
    let mut json = Json::with_capacity(64);
    write_item(&mut json, keys);
    json.into_bytes()
}

/// Which records were given up (LS 4.7): times without milliseconds, which DynamoDB does not tell.
pub(super) fn batch_member(
    config: &StreamConfig,
    shard: &ShardName,
    given_up: &[&Record],
) -> (&'static str, Value) {
    let number = |record: Option<&&Record>| record.map(|record| record.identifier.to_string());
    let arrival = |record: Option<&&Record>| {
        let arrived = record.and_then(|record| record.arrived_at_ms);
        arrived.map(|millis| Arrival(millis).text())
    };
    let member = json!({
        "shardId": shard.as_str(),
        "startSequenceNumber": number(given_up.first()),
        "endSequenceNumber": number(given_up.last()),
        "approximateArrivalOfFirstRecord": arrival(given_up.first()),
        "approximateArrivalOfLastRecord": arrival(given_up.last()),
        "batchSize": given_up.len(),
        "streamArn": &*config.arn.text,
    });
    ("DDBStreamBatchInfo", member)
}

//! A record as the function gets it and as an on-failure record counts it: the only place that knows their JSON (LS 4.6).

use std::sync::Arc;

use aws_sdk_kinesis::types::Record as Raw;
use bytes::Bytes;
use serde_json::{Value, json};

use super::config::KinesisConfig;
use crate::aws::{Arrival, Json, base64_len};
use crate::{Content, Position, Record, ShardName};

/// About what a record has beside its data, its key and what all records of the stream have.
const METADATA_BYTES: usize = 320;

/// Writes the events of one stream.
#[derive(Clone, Debug)]
pub(super) struct EventWriter {
    /// What ends every one of them.
    closing: String,
}

impl EventWriter {
    pub(super) fn new(config: &KinesisConfig) -> Self {
        let arn = &config.arn;
        let text = |text: &str| Value::from(text).to_string();
        // Lambda names the role of the function. There is none; a name of the same form keeps functions whole that parse it.
        let role = format!("arn:{}:iam::{}:role/trine", arn.partition, arn.account);
        let closing = format!(
            ",\"eventName\":\"aws:kinesis:record\",\"invokeIdentityArn\":{},\"awsRegion\":{},\"eventSourceARN\":{}}}",
            text(&role),
            text(&arn.region),
            text(&arn.text)
        );
        Self { closing }
    }

    pub(super) fn record(&self, shard: &ShardName, raw: Raw) -> Record {
        let event = self.event(shard, &raw);
        let arrival = raw.approximate_arrival_timestamp.as_ref().and_then(Arrival::of);
        Record {
            position: Position::new(&raw.sequence_number),
            identifier: Arc::from(raw.sequence_number),
            arrived_at_ms: arrival.map(|arrival| arrival.0),
            key: raw.partition_key.map(Bytes::from),
            body: raw.data.into_inner().into(),
            content: Content::Event(event),
        }
    }

    fn event(&self, shard: &ShardName, raw: &Raw) -> Bytes {
        let data = raw.data.as_ref();
        let key = raw.partition_key.as_deref().unwrap_or_default();
        let fixed = METADATA_BYTES + self.closing.len() + key.len();
        let mut json = Json::with_capacity(base64_len(data.len()) + fixed);
        json.raw("{\"kinesis\":{\"kinesisSchemaVersion\":\"1.0\"");
        json.name("partitionKey");
        json.string(key);
        json.name("sequenceNumber");
        json.string(&raw.sequence_number);
        json.name("data");
        json.base64(data);
        if let Some(arrival) = raw.approximate_arrival_timestamp.as_ref().and_then(Arrival::of) {
            json.name("approximateArrivalTimestamp");
            json.raw(&arrival.seconds());
        }
        json.raw("},\"eventSource\":\"aws:kinesis\",\"eventVersion\":\"1.0\"");
        json.name("eventID");
        json.string(&format!("{shard}:{}", raw.sequence_number));
        json.raw(&self.closing);
        json.into_bytes()
    }
}

/// Which records were given up (LS 4.6).
pub(super) fn batch_member(
    config: &KinesisConfig,
    shard: &ShardName,
    given_up: &[&Record],
) -> (&'static str, Value) {
    let number = |record: Option<&&Record>| record.map(|record| record.identifier.to_string());
    let arrival = |record: Option<&&Record>| {
        let arrived = record.and_then(|record| record.arrived_at_ms);
        arrived.map(|millis| Arrival(millis).text_with_millis())
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
    ("KinesisBatchInfo", member)
}

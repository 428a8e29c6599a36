//! `KafkaBatchInfo`, the member of an on-failure record that names the records given up (LS 4.8).

use serde_json::{Value, json};

use super::config::Config;
use crate::timestamp::rfc3339;
use crate::{Envelope, Record, ShardName};

/// Of at least one record, all of `shard`, with `envelope` around them.
pub(super) fn batch_info(
    config: &Config,
    shard: &ShardName,
    envelope: &Envelope,
    given_up: &[&Record],
) -> Value {
    let mut info = about(config, envelope, given_up);
    if let (Some(first), Some(last)) = (given_up.first(), given_up.last()) {
        let mut of = json!({
            "firstRecordOffset": first.position.as_str(),
            "lastRecordOffset": last.position.as_str(),
        });
        for (name, record) in [("firstRecordTimestamp", first), ("lastRecordTimestamp", last)] {
            if let Some(at_ms) = record.arrived_at_ms {
                of[name] = json!(rfc3339(at_ms));
            }
        }
        info["recordsInfo"] = json!({ (shard.as_str()): of });
    }
    info
}

/// Of a single one, as a topic gets it.
pub(super) fn record_info(config: &Config, envelope: &Envelope, given_up: &Record) -> Value {
    let mut info = about(config, envelope, &[given_up]);
    let mut of = json!({ "offset": given_up.position.as_str() });
    if let Some(at_ms) = given_up.arrived_at_ms {
        of["timestamp"] = json!(rfc3339(at_ms));
    }
    info["recordInfo"] = of;
    info
}

/// What both say.
fn about(config: &Config, envelope: &Envelope, given_up: &[&Record]) -> Value {
    let commas = given_up.len().saturating_sub(1) as u64;
    let records: u64 = given_up.iter().map(|record| record.content.bytes()).sum();
    let mut info = json!({
        "batchSize": given_up.len(),
        "bootstrapServers": &*config.bootstrap,
        "payloadSize": envelope.bytes() + commas + records,
    });
    if !config.event_source_arn.is_empty() {
        info["eventSourceArn"] = json!(&*config.event_source_arn);
    }
    info
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use trine_proto::v1::KafkaSource;

    use super::super::event::envelope;
    use super::*;
    use crate::{Binding, Content, Position, Secrets, Start};

    fn record(offset: &str, at_ms: Option<i64>) -> Record {
        Record {
            position: Position::new(offset),
            identifier: format!("t-0:{offset}").into(),
            arrived_at_ms: at_ms,
            key: None,
            body: Bytes::new(),
            content: Content::Event("{}".into()),
        }
    }

    #[test]
    fn the_first_and_the_last_record_are_named() {
        let set = KafkaSource {
            bootstrap_servers: vec!["a:1".to_owned(), "b:2".to_owned()],
            topic: "t".to_owned(),
            event_source_arn: "arn:aws:kafka:x".to_owned(),
            ..KafkaSource::default()
        };
        let binding =
            Binding { mapping_id: "m".into(), start: Start::Latest, secrets: Secrets::default() };
        let config = Config::new(&set, &binding).unwrap();
        let envelope = envelope(&config, 0);
        assert_eq!(
            &*envelope.open,
            "{\"eventSource\":\"aws:kafka\",\"eventSourceArn\":\"arn:aws:kafka:x\",\"bootstrapServers\":\"a:1,b:2\",\
             \"records\":{\"t-0\":["
        );
        let (first, last) = (record("7", Some(1_573_691_884_835)), record("9", None));
        let info = batch_info(&config, &config.shard(0), &envelope, &[&first, &last]);
        assert_eq!(
            info,
            json!({
                "batchSize": 2, "eventSourceArn": "arn:aws:kafka:x", "bootstrapServers": "a:1,b:2",
                "payloadSize": envelope.bytes() + 5,
                "recordsInfo": {"t-0": {
                    "firstRecordOffset": "7", "lastRecordOffset": "9",
                    "firstRecordTimestamp": "2019-11-14T00:38:04.835Z",
                }},
            })
        );
    }

    #[test]
    fn a_single_record_is_named_by_its_place_and_time() {
        let set = KafkaSource {
            bootstrap_servers: vec!["a:1".to_owned()],
            topic: "t".to_owned(),
            ..KafkaSource::default()
        };
        let binding =
            Binding { mapping_id: "m".into(), start: Start::Latest, secrets: Secrets::default() };
        let config = Config::new(&set, &binding).unwrap();
        let envelope = envelope(&config, 0);
        assert_eq!(
            record_info(&config, &envelope, &record("7", Some(1_573_691_884_835))),
            json!({
                "batchSize": 1, "bootstrapServers": "a:1", "payloadSize": envelope.bytes() + 2,
                "recordInfo": {"offset": "7", "timestamp": "2019-11-14T00:38:04.835Z"},
            })
        );
        let timeless = record_info(&config, &envelope, &record("7", None));
        assert_eq!(timeless["recordInfo"], json!({"offset": "7"}));
    }
}

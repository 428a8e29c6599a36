//! What the function gets, read from the real broker: field for field as LS 4.8 has it, and as the official types read it.

use aws_lambda_events::event::kafka::KafkaEvent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use serde_json::{Value, json};
use trine_pollers::{Content, Opened, Places, Record, Start};
use trine_proto::v1::KafkaSource;

use super::poller::Poller;
use super::topic::{PATIENCE, Topic, client};

const AT_MS: i64 = 1_545_084_650_987;

async fn three_records(topic: &Topic) {
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some(&[104, 101, 220][..]) })
        .insert(Header { key: "trace", value: Some(&b""[..]) })
        .insert(Header { key: "a \"b\"", value: None::<&[u8]> });
    let full = FutureRecord::to(&topic.name)
        .key("k\u{e9}y")
        .payload("{\"a\":1}")
        .timestamp(AT_MS)
        .headers(headers);
    topic.producer.send(full, PATIENCE).await.expect("it is produced");
    let keyless =
        FutureRecord::<(), _>::to(&topic.name).payload(&[255_u8, 0][..]).timestamp(AT_MS + 1);
    topic.producer.send(keyless, PATIENCE).await.expect("it is produced");
    let tombstone = FutureRecord::<_, ()>::to(&topic.name).key("gone").timestamp(AT_MS + 2);
    topic.producer.send(tombstone, PATIENCE).await.expect("it is produced");
}

/// The payload that the runner makes of them.
fn payload(opened: &Opened, records: &[Record]) -> String {
    let event = |record: &Record| match &record.content {
        Content::Event(event) => String::from_utf8(event.to_vec()).expect("UTF-8"),
        Content::TooLarge(_) => panic!("{record:?}"),
    };
    let events: Vec<_> = records.iter().map(event).collect();
    format!("{}{}{}", opened.envelope.open, events.join(","), opened.envelope.close)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_what_lambda_sends() {
    let Some(topic) = Topic::create(1).await else { return };
    three_records(&topic).await;
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    let shard = poller.only().shard.clone();
    let records = poller.read(&shard, 3).await;
    let text = payload(poller.only(), &records);
    let event: Value = serde_json::from_str(&text).expect("JSON");
    let base = |offset: i64| {
        json!({ "topic": topic.name, "partition": 0, "offset": offset, "timestamp": AT_MS + offset,
                "timestampType": "CREATE_TIME" })
    };
    let with = |offset: i64, members: Value| {
        let mut record = base(offset);
        record
            .as_object_mut()
            .expect("an object")
            .extend(members.as_object().expect("an object").clone());
        record
    };
    let b64 = |bytes: &[u8]| STANDARD.encode(bytes);
    let headers = json!([{"trace": [104, 101, -36]}, {"trace": []}, {"a \"b\"": []}]);
    let expected = json!({
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": topic.bootstrap,
        "records": { (format!("{}-0", topic.name)): [
            with(0, json!({"key": b64("k\u{e9}y".as_bytes()), "value": b64(b"{\"a\":1}"), "headers": headers})),
            with(1, json!({"value": b64(&[255, 0]), "headers": []})),
            with(2, json!({"key": b64(b"gone"), "headers": []})),
        ]},
    });
    assert_eq!(event, expected);
    let official: KafkaEvent = serde_json::from_str(&text).expect("the official type reads it");
    let of_shard = &official.records[shard.as_str()];
    assert_eq!((of_shard.len(), of_shard[0].offset, of_shard[2].offset), (3, 0, 2));
    assert_eq!(of_shard[0].headers[0]["trace"], [104, 101, -36]);
    // The official type goes by way of a float.
    let off_by = of_shard[0].timestamp.0.timestamp_millis() - AT_MS;
    assert!((-1..=1).contains(&off_by), "{off_by} ms");
    assert_eq!(
        (of_shard[0].value.clone(), of_shard[2].value.clone()),
        (Some(b64(b"{\"a\":1}")), None)
    );
    assert_eq!(official.event_source.as_deref(), Some("SelfManagedKafka"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_what_batches_go_by() {
    let Some(topic) = Topic::create(1).await else { return };
    three_records(&topic).await;
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    let shard = poller.only().shard.clone();
    let records = poller.read(&shard, 3).await;
    let first = &records[0];
    assert_eq!(&*first.identifier, format!("{}-0:0", topic.name));
    assert_eq!((first.position.as_str(), first.arrived_at_ms), ("0", Some(AT_MS)));
    assert_eq!(first.key.as_deref(), Some("k\u{e9}y".as_bytes()));
    assert_eq!(&*first.body, b"{\"a\":1}");
    assert_eq!((records[1].key.as_deref(), &*records[1].body), (None, &[255_u8, 0][..]));
    assert_eq!((records[2].key.as_deref(), &*records[2].body), (Some(&b"gone"[..]), &b""[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_msk_has_its_arn() {
    let Some(topic) = Topic::create(1).await else { return };
    topic.fill(0, 0..1).await;
    let arn = "arn:aws:kafka:eu-west-1:123456789012:cluster/orders/1-2";
    let source = KafkaSource { event_source_arn: arn.to_owned(), ..topic.source() };
    let connector = trine_pollers::kafka::connector(&source, &topic.binding(Start::TrimHorizon));
    let mut poller = Poller::start(&connector.expect("it is right"), Places::new(), 1).await;
    let shard = poller.only().shard.clone();
    let records = poller.read(&shard, 1).await;
    let text = payload(poller.only(), &records);
    let official: KafkaEvent = serde_json::from_str(&text).expect("the official type reads it");
    assert_eq!(official.event_source.as_deref(), Some("aws:kafka"));
    assert_eq!(official.event_source_arn.as_deref(), Some(arn));
    assert_eq!(official.bootstrap_servers.as_deref(), Some(topic.bootstrap.as_str()));
}

/// A codec that the library lacks would block its partition for ever.
#[tokio::test(flavor = "multi_thread")]
async fn every_compression_can_be_read() {
    let Some(topic) = Topic::create(1).await else { return };
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        let mut config = client(&topic.bootstrap);
        config.set("compression.type", codec);
        let producer: rdkafka::producer::FutureProducer = config.create().expect("a producer");
        let value = codec.repeat(1000);
        let record = FutureRecord::<(), _>::to(&topic.name).payload(&value);
        producer.send(record, PATIENCE).await.expect("it is produced");
    }
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    let shard = poller.only().shard.clone();
    let records = poller.read(&shard, codecs.len()).await;
    let came: Vec<_> = records.iter().map(|record| record.body.clone()).collect();
    assert_eq!(came, codecs.map(|codec| codec.repeat(1000)));
}

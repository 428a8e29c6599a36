//! What the function gets of a record, and what an on-failure record says of records.

use aws_lambda_events::event::kinesis::KinesisEvent;
use serde_json::{Value, json};
use trine_pollers::{Places, Start};

use super::Stream;
use crate::aws::{event_text, open, receive, whole_event};

#[tokio::test(flavor = "multi_thread")]
async fn the_event_is_lambdas() {
    let Some(stream) = Stream::new(1).await else { return };
    let numbers = [stream.put("key \"1\"", b"\x00\xfftext").await, stream.put("2", b"").await];
    let connector = stream.connector_from(Start::TrimHorizon);
    let (_source, opened) = open(&connector, Places::new()).await.expect("a stream");
    let records = receive(&opened, 2).await;
    let event: KinesisEvent = whole_event(&opened, &records);
    let [first, second] = &event.records[..] else { panic!("{event:?}") };
    assert_eq!(first.kinesis.data.0, b"\x00\xfftext");
    assert_eq!(second.kinesis.data.0, b"");
    assert_eq!(&*records[0].body, b"\x00\xfftext");
    assert_eq!(first.kinesis.partition_key, "key \"1\"");
    assert_eq!(records[0].key.as_deref(), Some(&b"key \"1\""[..]));
    assert_eq!(first.kinesis.sequence_number, numbers[0]);
    assert_eq!(&*records[1].identifier, &*numbers[1]);
    assert_eq!(records[1].position.as_str(), &*numbers[1]);
    assert_eq!(first.kinesis.kinesis_schema_version.as_deref(), Some("1.0"));
    // Seconds only: the type takes .49 for 49 ms, however it is written.
    let arrived = first.kinesis.approximate_arrival_timestamp.0.timestamp();
    assert_eq!(records[0].arrived_at_ms.map(|millis| millis / 1000), Some(arrived));
    assert_eq!(first.event_source.as_deref(), Some("aws:kinesis"));
    assert_eq!(first.event_name.as_deref(), Some("aws:kinesis:record"));
    assert_eq!(first.event_version.as_deref(), Some("1.0"));
    assert_eq!(first.event_id, Some(format!("shardId-000000000000:{}", numbers[0])));
    assert_eq!(first.event_source_arn.as_deref(), Some(&*stream.arn));
    assert_eq!(first.aws_region.as_deref(), Some("us-east-1"));
    assert_eq!(first.invoke_identity_arn.as_deref(), Some("arn:aws:iam::000000000000:role/trine"));
    // What the type does not say: which members there are, and that the time is a number.
    let event: Value = serde_json::from_str(event_text(&records[0])).expect("JSON");
    let members = |value: &Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!(
        members(&event),
        [
            "awsRegion",
            "eventID",
            "eventName",
            "eventSource",
            "eventSourceARN",
            "eventVersion",
            "invokeIdentityArn",
            "kinesis"
        ]
    );
    assert_eq!(
        members(&event["kinesis"]),
        [
            "approximateArrivalTimestamp",
            "data",
            "kinesisSchemaVersion",
            "partitionKey",
            "sequenceNumber"
        ]
    );
    let arrived = event["kinesis"]["approximateArrivalTimestamp"].as_f64().expect("a number");
    let millis = records[0].arrived_at_ms.expect("a time");
    assert!((arrived * 1000.0 - millis as f64).abs() < 0.5, "{arrived} is not {millis} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_on_failure_record_says_what_was_given_up() {
    let Some(stream) = Stream::new(1).await else { return };
    let numbers = [stream.put("k", b"1").await, stream.put("k", b"2").await];
    let connector = stream.connector_from(Start::TrimHorizon);
    let (_source, opened) = open(&connector, Places::new()).await.expect("a stream");
    let mut records = receive(&opened, 2).await;
    records[0].arrived_at_ms = Some(1_573_691_884_835);
    records[1].arrived_at_ms = Some(1_573_691_885_000);
    let given_up: Vec<_> = records.iter().collect();
    let (name, member) = connector.batch_member(&opened.shard, &given_up);
    assert_eq!(name, "KinesisBatchInfo");
    assert_eq!(
        member,
        json!({
            "shardId": "shardId-000000000000",
            "startSequenceNumber": numbers[0],
            "endSequenceNumber": numbers[1],
            "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
            "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.000Z",
            "batchSize": 2,
            "streamArn": stream.arn,
        })
    );
}

//! What the function gets of a change, and what an on-failure record says of changes.

use aws_lambda_events::event::dynamodb::Event as DynamoDbEvent;
use serde_json::{Value, json};
use trine_pollers::{Connect, Places, Start};
use trine_proto::v1::DynamoDbStreamsSource;

use super::{LOCAL, MINISTACK, Table};
use crate::aws::{Stub, access, binding, event_text, open, receive, whole_event};

async fn the_event_is_lambdas(table: Option<Table>) {
    let Some(table) = table else { return };
    let old = json!({
        "Id": {"S": "key \"1\""},
        "b": {"B": "AAH/"},
        "bool": {"BOOL": true},
        "bs": {"BS": ["AAE="]},
        "l": {"L": [{"S": "x"}, {"N": "1"}, {"L": []}]},
        "m": {"M": {"inner": {"M": {"s": {"S": ""}}}, "n": {"N": "-1.5"}}},
        "n": {"N": "12345678901234567890"},
        "ns": {"NS": ["1"]},
        "null": {"NULL": true},
        "ss": {"SS": ["a"]},
    });
    let new = json!({"Id": {"S": "key \"1\""}, "text": {"S": "line\n\"quoted\" é 😀"}});
    table.put(old.clone()).await;
    table.put(new.clone()).await;
    table.delete("key \"1\"").await;
    let connector = table.connector_from(Start::TrimHorizon);
    let (_source, opened) = open(&connector, Places::new()).await.expect("a stream");
    let records = receive(&opened, 3).await;
    let event: DynamoDbEvent = whole_event(&opened, &records);
    let names: Vec<_> = event.records.iter().map(|record| &*record.event_name).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"]);
    for (record, raw) in event.records.iter().zip(&records) {
        assert_eq!(record.event_source.as_deref(), Some("aws:dynamodb"));
        assert_eq!(record.event_source_arn.as_deref(), Some(&*table.arn));
        assert_eq!(record.event_version.as_deref(), Some("1.1"));
        assert_eq!(record.aws_region, table.arn.split(':').nth(3).expect("a region"));
        assert_eq!(record.change.sequence_number.as_deref(), Some(&*raw.identifier));
        assert_eq!(raw.position.as_str(), &*raw.identifier);
        let created = record.change.approximate_creation_date_time.timestamp_millis();
        assert_eq!(raw.arrived_at_ms, Some(created));
        assert!(record.user_identity.is_none());
        assert_eq!(raw.key.as_deref(), Some(&br#"{"Id":{"S":"key \"1\""}}"#[..]));
    }
    let key = json!({"Id": {"S": "key \"1\""}});
    let images = [(None, Some(&old)), (Some(&old), Some(&new)), (Some(&new), None)];
    for (record, (old, new)) in records.iter().zip(images) {
        let event: Value = serde_json::from_str(event_text(record)).expect("JSON");
        let change = &event["dynamodb"];
        assert_eq!(change["Keys"], key);
        assert_eq!(change.get("OldImage"), old);
        assert_eq!(change.get("NewImage"), new);
        assert_eq!(change["StreamViewType"], "NEW_AND_OLD_IMAGES");
        assert!(change["SizeBytes"].is_u64() && change["ApproximateCreationDateTime"].is_u64());
        // What filters look at is the change itself (LS 4.4).
        let body: Value = serde_json::from_slice(&record.body).expect("JSON");
        assert_eq!(&body, change);
    }
}

#[tokio::test]
async fn the_event_is_lambdas_local() {
    the_event_is_lambdas(Table::new(LOCAL).await).await;
}

#[tokio::test]
async fn the_event_is_lambdas_ministack() {
    the_event_is_lambdas(Table::new(MINISTACK).await).await;
}

/// No stand-in removes items by their time to live within a test.
#[tokio::test]
async fn a_removal_by_time_to_live_names_who_did_it() {
    let stub = Stub::start(|action, _| {
        Ok(match action {
            "DescribeStream" => json!({"StreamDescription": {"Shards": [{"ShardId": "s"}]}}),
            "GetShardIterator" => json!({"ShardIterator": "i"}),
            _ => json!({"Records": [{
                "eventID": "1",
                "eventName": "REMOVE",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-west-2",
                "userIdentity": {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"},
                "dynamodb": {"Keys": {"Id": {"N": "101"}}, "SequenceNumber": "111", "SizeBytes": 26,
                    "ApproximateCreationDateTime": 1_479_499_740, "StreamViewType": "KEYS_ONLY"}
            }]}),
        })
    })
    .await;
    let connector = connector(&stub.endpoint);
    let (_source, opened) = open(&connector, Places::new()).await.expect("a stream");
    let records = receive(&opened, 1).await;
    let event: Value = serde_json::from_str(event_text(&records[0])).expect("JSON");
    assert_eq!(
        event,
        json!({
            "eventID": "1",
            "eventName": "REMOVE",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-west-2",
            "dynamodb": {"ApproximateCreationDateTime": 1_479_499_740, "Keys": {"Id": {"N": "101"}},
                "SequenceNumber": "111", "SizeBytes": 26, "StreamViewType": "KEYS_ONLY"},
            "eventSourceARN": ARN,
            "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
        })
    );
    let event: DynamoDbEvent = whole_event(&opened, &records);
    let identity = event.records[0].user_identity.as_ref().expect("it names somebody");
    assert_eq!(identity.principal_id, "dynamodb.amazonaws.com");
    let given_up: Vec<_> = records.iter().collect();
    let (name, member) = connector.batch_member(&opened.shard, &given_up);
    assert_eq!(name, "DDBStreamBatchInfo");
    assert_eq!(
        member,
        json!({
            "shardId": "s",
            "startSequenceNumber": "111",
            "endSequenceNumber": "111",
            "approximateArrivalOfFirstRecord": "2016-11-18T20:09:00Z",
            "approximateArrivalOfLastRecord": "2016-11-18T20:09:00Z",
            "batchSize": 1,
            "streamArn": ARN,
        })
    );
}

pub(super) const ARN: &str =
    "arn:aws:dynamodb:us-west-2:123456789012:table/T/stream/2015-05-11T21:21:33.291";

/// Of a stream that a stub has.
pub(super) fn connector(endpoint: &str) -> std::sync::Arc<dyn Connect> {
    let config = DynamoDbStreamsSource { stream_arn: ARN.into(), access: Some(access(endpoint)) };
    trine_pollers::dynamodb_streams::connector(&config, &binding(Start::TrimHorizon))
        .expect("a connector")
}

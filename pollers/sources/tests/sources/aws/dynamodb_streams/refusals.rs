//! What goes wrong, and what no stand-in does, from a stub.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use trine_pollers::{Places, Problem, Secrets, Start};
use trine_proto::v1::DynamoDbStreamsSource;

use super::events::{ARN, connector};
use super::{LOCAL, MINISTACK, Table};
use crate::aws::{Reading, Stub, access, binding, open, want};
use crate::skip::server;

async fn a_missing_stream_is_told_in_lambdas_words(variable: &str) {
    let Some(endpoint) = server(variable) else { return };
    let refused = connector(&endpoint).connect(Places::new()).await.err();
    let refused = refused.expect("there is no stream");
    assert_eq!(refused.problem, Problem::Configuration, "{refused}");
    assert!(refused.to_string().starts_with(&format!("Stream not found: {ARN}")), "{refused}");
}

#[tokio::test]
async fn a_missing_stream_is_told_in_lambdas_words_local() {
    a_missing_stream_is_told_in_lambdas_words(LOCAL).await;
}

#[tokio::test]
async fn a_missing_stream_is_told_in_lambdas_words_ministack() {
    a_missing_stream_is_told_in_lambdas_words(MINISTACK).await;
}

/// The one thing about credentials that DynamoDB Local looks at.
#[tokio::test]
async fn wrong_credentials_are_told() {
    let Some(table) = Table::new(LOCAL).await else { return };
    let mut wrong = binding(Start::TrimHorizon);
    let secrets = [("aws-access-key-id", "not-a-key!"), ("aws-secret-access-key", "x")];
    let secrets = secrets.map(|(name, secret)| (name.to_owned(), secret.to_owned()));
    wrong.secrets = Secrets::new(BTreeMap::from(secrets));
    let connector = trine_pollers::dynamodb_streams::connector(&table.config(), &wrong);
    let refused = connector.expect("a connector").connect(Places::new()).await.err();
    let refused = refused.expect("the key is refused");
    assert_eq!(refused.problem, Problem::Authentication, "{refused}");
}

fn record(number: u64) -> Value {
    json!({"eventName": "INSERT", "dynamodb": {"Keys": {"Id": {"N": "1"}}, "SequenceNumber": number.to_string()}})
}

fn shard(name: &str, parent: Option<&str>) -> Value {
    let mut shard =
        json!({"ShardId": name, "SequenceNumberRange": {"StartingSequenceNumber": "1"}});
    if let Some(parent) = parent {
        shard["ParentShardId"] = parent.into();
    }
    shard
}

/// Shards come in pages; children after their parents, whatever page they are on; one whose parent was trimmed at once.
#[tokio::test]
async fn shards_are_read_over_pages_in_the_order_of_their_lineage() {
    let stub = Stub::start(|action, body| {
        Ok(match action {
            "DescribeStream" => match body["ExclusiveStartShardId"].as_str() {
                None => json!({"StreamDescription": {
                    "Shards": [shard("a-child", Some("b-parent")), shard("c-orphan", Some("trimmed"))],
                    "LastEvaluatedShardId": "c-orphan"}}),
                Some("c-orphan") => json!({"StreamDescription": {
                    "Shards": [shard("b-parent", None)], "LastEvaluatedShardId": "b-parent"}}),
                _ => json!({"StreamDescription": {"Shards": [shard("grandchild", Some("a-child"))]}}),
            },
            "GetShardIterator" => json!({"ShardIterator": body["ShardId"]}),
            _ => {
                let shard = body["ShardIterator"].as_str().expect("text");
                let number = shard.len() as u64;
                let open = shard == "grandchild";
                json!({"Records": if shard == "on" { vec![] } else { vec![record(number)] },
                    "NextShardIterator": if open || shard == "on" { json!("on") } else { Value::Null }})
            }
        })
    })
    .await;
    let mut reading =
        Reading::start(&connector(&stub.endpoint), Places::new()).await.expect("a stream");
    reading.until(|reading| reading.records.len() == 4).await;
    let at = |change: &str| {
        let found = reading.changes.iter().position(|said| said == change);
        found.unwrap_or_else(|| panic!("{change}: {:?}", reading.changes))
    };
    assert!(at("b-parent ended") < at("a-child opened"));
    assert!(at("a-child ended") < at("grandchild opened"));
    assert!(at("c-orphan opened") < at("a-child opened"));
}

#[tokio::test]
async fn throttles_expired_iterators_and_trimmed_records_are_overcome() {
    let mut reads = 0;
    let stub = Stub::start(move |action, body| match action {
        "DescribeStream" => Ok(json!({"StreamDescription": {"Shards": [shard("s", None)]}})),
        "GetShardIterator" => Ok(json!({"ShardIterator": format!(
            "{}:{}",
            body["ShardIteratorType"].as_str().expect("text"),
            body["SequenceNumber"].as_str().unwrap_or_default()
        )})),
        _ => {
            reads += 1;
            let at = body["ShardIterator"].as_str().expect("text");
            match (reads, at) {
                // The client itself asks three times.
                (1..=3, "TRIM_HORIZON:") => Err((400, "LimitExceededException")),
                (4, "TRIM_HORIZON:") => {
                    Ok(json!({"Records": [record(1)], "NextShardIterator": "n"}))
                }
                (5, "n") => Err((400, "ExpiredIteratorException")),
                (6, "AFTER_SEQUENCE_NUMBER:1") => Err((400, "TrimmedDataAccessException")),
                (7, "TRIM_HORIZON:") => Ok(json!({"Records": [record(9)]})),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    let (_source, opened) =
        open(&connector(&stub.endpoint), Places::new()).await.expect("a stream");
    let asked = Instant::now();
    let mut gaps = 0;
    let mut positions = Vec::new();
    let mut ended = false;
    while !ended {
        let received = opened.reader.receive(want(10, Duration::from_secs(1))).await;
        let received = received.expect("it is no error");
        gaps += received.notices.iter().filter(|notice| notice.gap).count();
        positions.extend(received.records.iter().map(|record| record.position.to_string()));
        ended = received.ended;
    }
    assert_eq!(positions, ["1", "9"]);
    assert_eq!(gaps, 1);
    assert!(asked.elapsed() >= Duration::from_millis(490), "it waited when it was throttled");
}

/// What a mapping may not say.
#[test]
fn a_configuration_that_cannot_be_right_is_refused() {
    let cases = [
        ("arn:aws:dynamodb:us-west-2:1:table/T", Start::Latest, "LatestStreamArn"),
        ("arn:aws:kinesis:us-west-2:1:stream/s", Start::Latest, "service"),
        (ARN, Start::AtTimestamp(1), "TRIM_HORIZON or LATEST"),
    ];
    for (arn, start, says) in cases {
        let config =
            DynamoDbStreamsSource { stream_arn: arn.into(), access: Some(access("http://x")) };
        let refused = trine_pollers::dynamodb_streams::connector(&config, &binding(start));
        let refused = refused.expect_err("refused");
        assert_eq!(refused.problem, Problem::Configuration);
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

//! What no stand-in does, from a stub: throttles, expired iterators, trimmed records, failing servers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use trine_pollers::{Connect, Place, Places, Position, Problem, ShardName, Start};
use trine_proto::v1::KinesisSource;

use super::{KINESIS, Stream};
use crate::aws::{Stub, access, binding, open, receive, unique, want};
use crate::skip::server;

const SHARD: &str = "shardId-000000000000";
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/stub";

fn connector(endpoint: &str) -> std::sync::Arc<dyn Connect> {
    let config = KinesisSource { stream_arn: ARN.into(), access: Some(access(endpoint)) };
    trine_pollers::kinesis::connector(&config, &binding(Start::TrimHorizon)).expect("a connector")
}

fn one_shard() -> Value {
    let range = json!({"StartingSequenceNumber": "1"});
    let hash = json!({"StartingHashKey": "0", "EndingHashKey": "1"});
    json!({"Shards": [{"ShardId": SHARD, "HashKeyRange": hash, "SequenceNumberRange": range}]})
}

/// Records by their sequence numbers, and the iterator behind them.
fn portion(numbers: &[u64], next: Option<&str>) -> Value {
    let record = |number: &u64| {
        json!({
            "SequenceNumber": number.to_string(),
            "PartitionKey": "k",
            "Data": "",
            "ApproximateArrivalTimestamp": 1_545_084_650.987
        })
    };
    let records: Vec<_> = numbers.iter().map(record).collect();
    json!({"Records": records, "NextShardIterator": next, "MillisBehindLatest": 0})
}

#[tokio::test]
async fn a_throttled_read_waits_and_is_no_error() {
    let mut reads = 0;
    let stub = Stub::start(move |action, _| match action {
        "ListShards" => Ok(one_shard()),
        "GetShardIterator" => Ok(json!({"ShardIterator": "i"})),
        _ => {
            reads += 1;
            // The client itself asks three times.
            let throttled = reads <= 6;
            let code = "ProvisionedThroughputExceededException";
            if throttled { Err((400, code)) } else { Ok(portion(&[7], Some("j"))) }
        }
    })
    .await;
    let (_source, opened) =
        open(&connector(&stub.endpoint), Places::new()).await.expect("a stream");
    let wait = Duration::from_millis(100);
    let asked = Instant::now();
    let received = opened.reader.receive(want(10, wait)).await.expect("it is no error");
    assert!(received.records.is_empty());
    // Waits are in whole milliseconds.
    assert!(asked.elapsed() >= wait - Duration::from_millis(2));
    let records = receive(&opened, 1).await;
    assert_eq!(records[0].position.as_str(), "7");
    assert_eq!(stub.calls("GetShardIterator").len(), 1, "the iterator is kept");
}

#[tokio::test]
async fn an_expired_iterator_is_made_anew_after_the_last_record() {
    let mut expired = false;
    let stub = Stub::start(move |action, body| match action {
        "ListShards" => Ok(one_shard()),
        "GetShardIterator" => {
            let after = body["StartingSequenceNumber"].as_str().unwrap_or("start");
            Ok(json!({"ShardIterator": format!("{}:{after}", body["ShardIteratorType"])}))
        }
        _ => match body["ShardIterator"].as_str().expect("text") {
            "\"TRIM_HORIZON\":start" => Ok(portion(&[1, 2], Some("stale"))),
            "stale" if !expired => {
                expired = true;
                Err((400, "ExpiredIteratorException"))
            }
            "\"AFTER_SEQUENCE_NUMBER\":2" => Ok(portion(&[3], None)),
            other => panic!("{other}"),
        },
    })
    .await;
    let (_source, opened) =
        open(&connector(&stub.endpoint), Places::new()).await.expect("a stream");
    let records = receive(&opened, 3).await;
    let positions: Vec<_> = records.iter().map(|record| record.position.as_str()).collect();
    assert_eq!(positions, ["1", "2", "3"]);
    let last = opened.reader.receive(want(1, Duration::from_secs(1))).await.expect("it works");
    assert!(last.ended && last.notices.is_empty(), "{last:?}");
}

#[tokio::test]
async fn trimmed_records_are_told_once_and_reading_goes_on() {
    let stub = Stub::start(move |action, body| match action {
        "ListShards" => Ok(one_shard()),
        "GetShardIterator" => Ok(json!({"ShardIterator": body["ShardIteratorType"]})),
        _ => match body["ShardIterator"].as_str().expect("text") {
            "TRIM_HORIZON" => Ok(portion(&[500, 501], Some("on"))),
            "AFTER_SEQUENCE_NUMBER" => Ok(portion(&[500], Some("on"))),
            _ => Ok(portion(&[], Some("on"))),
        },
    })
    .await;
    let connector = connector(&stub.endpoint);
    let after =
        |number: &str| Places::from([(ShardName::new(SHARD), Place::After(Position::new(number)))]);
    for (number, gaps) in [("99", 1), ("99", 0), ("500", 0), ("500", 0)] {
        let (_source, opened) = open(&connector, after(number)).await.expect("a stream");
        let received = opened.reader.receive(want(10, Duration::from_secs(1))).await;
        let mut received = received.expect("it works");
        assert_eq!(received.notices.len(), gaps, "{:?}", received.notices);
        assert!(received.notices.iter().all(|notice| notice.gap));
        if received.records.is_empty() {
            let more = opened.reader.receive(want(10, Duration::from_secs(1))).await;
            received = more.expect("it works");
        }
        assert_eq!(received.records[0].position.as_str(), "500");
        assert_eq!(received.lag_records, Some(0));
    }
}

#[tokio::test]
async fn one_failure_of_the_server_is_nothing_and_many_break_the_connection() {
    for (failures, broken) in [(1, false), (50, true)] {
        let mut left = failures;
        let stub = Stub::start(move |action, _| match action {
            "ListShards" => Ok(one_shard()),
            "GetShardIterator" => Ok(json!({"ShardIterator": "i"})),
            _ if left > 0 => {
                left -= 1;
                Err((500, "InternalFailure"))
            }
            _ => Ok(portion(&[1], None)),
        })
        .await;
        let (_source, opened) =
            open(&connector(&stub.endpoint), Places::new()).await.expect("a stream");
        let received = opened.reader.receive(want(1, Duration::from_secs(10))).await;
        match received {
            Ok(received) => assert!(!broken && received.records.len() == 1, "{received:?}"),
            Err(error) => {
                assert!(broken, "{error}");
                assert_eq!(error.problem, Problem::Unreachable);
                assert!(error.to_string().contains("GetRecords"), "{error}");
            }
        }
    }
}

/// Idle shards are read once a second, and one with more to read at once.
#[tokio::test]
async fn an_idle_shard_is_left_alone_and_a_full_one_is_not() {
    let stub = Stub::start(move |action, body| match action {
        "ListShards" => Ok(one_shard()),
        "GetShardIterator" => Ok(json!({"ShardIterator": "0"})),
        _ => {
            let at: u64 = body["ShardIterator"].as_str().expect("text").parse().expect("a number");
            let next = (at + 1).to_string();
            let mut answer = portion(if at < 5 { &[1] } else { &[] }, Some(&next));
            answer["MillisBehindLatest"] = json!(if at < 5 { 1000 } else { 0 });
            Ok(answer)
        }
    })
    .await;
    let (_source, opened) =
        open(&connector(&stub.endpoint), Places::new()).await.expect("a stream");
    let asked = Instant::now();
    assert_eq!(receive(&opened, 5).await.len(), 5);
    assert!(asked.elapsed() < Duration::from_millis(900), "{:?}: it waited", asked.elapsed());
    let before = stub.calls("GetRecords").len();
    let nothing = opened.reader.receive(want(1, Duration::from_millis(2500))).await;
    assert!(nothing.expect("it works").records.is_empty());
    let reads = stub.calls("GetRecords").len() - before;
    assert!((1..=4).contains(&reads), "{reads} reads in two and a half seconds");
}

#[tokio::test]
async fn refusals_are_told_by_name() {
    let refusals = [
        ("UnrecognizedClientException", 400, Problem::Authentication),
        ("InvalidSignatureException", 400, Problem::Authentication),
        ("AccessDeniedException", 400, Problem::Authorization),
        ("ResourceNotFoundException", 400, Problem::Configuration),
        ("InternalFailure", 500, Problem::Unreachable),
    ];
    for (code, status, problem) in refusals {
        let stub = Stub::start(move |_, _| Err((status, code))).await;
        let refused = connector(&stub.endpoint).connect(Places::new()).await.err();
        let refused = refused.expect("the stub refuses");
        assert_eq!(refused.problem, problem, "{refused}");
        assert!(refused.to_string().contains("ListShards"), "{refused}");
    }
}

#[tokio::test]
async fn a_missing_stream_is_told_in_lambdas_words() {
    let Some(endpoint) = server(KINESIS) else { return };
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{}", unique("none"));
    let config = KinesisSource { stream_arn: arn.clone(), access: Some(access(&endpoint)) };
    let connector = trine_pollers::kinesis::connector(&config, &binding(Start::Latest));
    let refused = connector.expect("a connector").connect(Places::new()).await.err();
    let refused = refused.expect("there is no stream");
    assert_eq!(refused.problem, Problem::Configuration);
    assert!(refused.to_string().starts_with(&format!("Stream not found: {arn}")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_goes_away_is_told() {
    let Some(stream) = Stream::new(1).await else { return };
    let connector = stream.connector_from(Start::TrimHorizon);
    let (_source, opened) = open(&connector, Places::new()).await.expect("a stream");
    stream.put("k", b"1").await;
    receive(&opened, 1).await;
    stream.api.call("DeleteStream", json!({"StreamARN": stream.arn})).await;
    let refused = super::every_moment(async || connector.connect(Places::new()).await.err()).await;
    assert_eq!(refused.problem, Problem::Configuration, "{refused}");
}

/// What a mapping may not say.
#[test]
fn a_configuration_that_cannot_be_right_is_refused() {
    let fan_out = format!("{ARN}/consumer/app:1545084650");
    let cases = [
        (&*fan_out, "enhanced fan-out"),
        ("arn:aws:kinesis:us-east-1:1:stream/", "stream/NAME"),
        ("arn:aws:sqs:us-east-1:1:q", "service"),
        ("stream", "six parts"),
    ];
    for (arn, says) in cases {
        let config = KinesisSource { stream_arn: arn.into(), access: None };
        let refused = trine_pollers::kinesis::connector(&config, &binding(Start::Latest));
        let refused = refused.expect_err("refused");
        assert_eq!(refused.problem, Problem::Configuration);
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

//! Where reading begins and ends, and seeks.

use std::time::Duration;

use serde_json::json;
use trine_pollers::{Place, Places, Position, SeekTo, Start, Target};

use super::{LOCAL, MINISTACK, Table};
use crate::aws::{Proxy, Reading, access, binding, open, receive, want};

async fn put(table: &Table, number: u32) {
    table.put(json!({"Id": {"S": "k"}, "n": {"N": number.to_string()}})).await;
}

fn numbers(reading: &Reading) -> Vec<u32> {
    let number = |body: String| {
        let change: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        change["NewImage"]["n"]["N"].as_str().expect("a number").parse().expect("a number")
    };
    reading.bodies().into_iter().map(number).collect()
}

async fn reading_starts_at_the_end(table: Option<Table>) {
    let Some(table) = table else { return };
    put(&table, 1).await;
    let connector = table.connector_from(Start::Latest);
    let mut first = Reading::start(&connector, Places::new()).await.expect("a stream");
    put(&table, 2).await;
    first.until(|reading| !reading.records.is_empty()).await;
    assert_eq!(numbers(&first), [2]);
    drop(first);
    put(&table, 3).await;
    // Nothing was settled: what came since the first connection comes again, and nothing is left out.
    let mut second = Reading::start(&connector, Places::new()).await.expect("a stream");
    second.until(|reading| numbers(reading).ends_with(&[2, 3])).await;
}

#[tokio::test]
async fn reading_starts_at_the_end_local() {
    reading_starts_at_the_end(Table::new(LOCAL).await).await;
}

#[tokio::test]
async fn reading_starts_at_the_end_ministack() {
    reading_starts_at_the_end(Table::new(MINISTACK).await).await;
}

/// A stream that was switched off is read to its end.
async fn a_stream_ends(table: Option<Table>) {
    let Some(table) = table else { return };
    put(&table, 1).await;
    put(&table, 2).await;
    let connector = table.connector_from(Start::TrimHorizon);
    let mut reading = Reading::start(&connector, Places::new()).await.expect("a stream");
    reading.until(|reading| reading.records.len() == 2).await;
    table.end_stream().await;
    reading.until(|reading| reading.changes.len() == 2).await;
    let (_, place) = reading.places.first_key_value().expect("a shard");
    assert_eq!(*place, Place::Ended);
    let mut again = Reading::start(&connector, reading.places.clone()).await.expect("a stream");
    again.for_a_moment(Duration::from_millis(600)).await;
    assert_eq!(again.changes, Vec::<String>::new());
}

#[tokio::test]
async fn a_stream_ends_local() {
    a_stream_ends(Table::new(LOCAL).await).await;
}

#[tokio::test]
async fn a_stream_ends_ministack() {
    a_stream_ends(Table::new(MINISTACK).await).await;
}

/// MiniStack knows which sequence numbers it has, as DynamoDB does.
#[tokio::test]
async fn a_trimmed_place_is_a_gap_and_reading_goes_on() {
    let Some(table) = Table::new(MINISTACK).await else { return };
    put(&table, 1).await;
    let connector = table.connector_from(Start::TrimHorizon);
    let (_source, opened) = open(&connector, Places::new()).await.expect("a stream");
    let places =
        Places::from([(opened.shard.clone(), Place::After(Position::new("0000000000000000001")))]);
    let mut reading = Reading::start(&connector, places.clone()).await.expect("a stream");
    reading.until(|reading| reading.records.len() == 1 && !reading.notices.is_empty()).await;
    assert!(reading.notices[0].gap);
    assert!(reading.notices[0].message.contains("Trimmed"), "{:?}", reading.notices);
    let mut again = Reading::start(&connector, places).await.expect("a stream");
    again.until(|reading| reading.records.len() == 1).await;
    assert!(again.notices.is_empty(), "the same loss is told once: {:?}", again.notices);
}

async fn seeks_say_what_they_repeat_and_skip(table: Option<Table>) {
    let Some(table) = table else { return };
    for number in 0..6 {
        put(&table, number).await;
    }
    let connector = table.connector_from(Start::TrimHorizon);
    let (_source, opened) = open(&connector, Places::new()).await.expect("a stream");
    let records = receive(&opened, 6).await;
    let places = Places::from([(opened.shard.clone(), Place::After(records[2].position.clone()))]);
    let cases = [
        (SeekTo::Position(records[1].position.to_string()), (Some(2), Some(0)), vec![1, 2]),
        (SeekTo::Position(records[4].position.to_string()), (Some(0), Some(1)), vec![4, 5]),
        (SeekTo::Start, (Some(3), Some(0)), vec![0, 1]),
        (SeekTo::Timestamp(0), (Some(3), Some(0)), vec![0, 1]),
    ];
    for (to, counts, next) in cases {
        let target = Target { shard: Some(opened.shard.clone()), to: to.clone() };
        let sought = connector.seek(places.clone(), target, false).await.expect("a seek");
        assert_eq!((sought[0].read_again, sought[0].skipped), counts, "{to:?}");
        let place = sought[0].place.clone().expect("the broker keeps it");
        let places = Places::from([(opened.shard.clone(), place)]);
        let mut reading = Reading::start(&connector, places).await.expect("a stream");
        reading.until(|reading| reading.records.len() >= 2).await;
        assert_eq!(numbers(&reading)[..2], next, "{to:?}");
    }
    // Times are told in seconds, by DynamoDB Local in minutes: the end is not before that.
    let target = Target { shard: None, to: SeekTo::End };
    let sought = connector.seek(places, target, false).await.expect("a seek");
    let place = sought[0].place.clone().expect("the broker keeps it");
    put(&table, 6).await;
    let places = Places::from([(opened.shard.clone(), place)]);
    let mut reading = Reading::start(&connector, places).await.expect("a stream");
    reading.until(|reading| numbers(reading).ends_with(&[6])).await;
}

#[tokio::test]
async fn seeks_say_what_they_repeat_and_skip_local() {
    seeks_say_what_they_repeat_and_skip(Table::new(LOCAL).await).await;
}

#[tokio::test]
async fn seeks_say_what_they_repeat_and_skip_ministack() {
    seeks_say_what_they_repeat_and_skip(Table::new(MINISTACK).await).await;
}

#[tokio::test]
async fn reading_goes_on_after_a_cut() {
    let Some(table) = Table::new(LOCAL).await else { return };
    let proxy = Proxy::to(&table.endpoint).await;
    let mut config = table.config();
    config.access = Some(access(&proxy.endpoint()));
    let binding = binding(Start::TrimHorizon);
    let connector = trine_pollers::dynamodb_streams::connector(&config, &binding);
    let connector = connector.expect("a connector");
    for number in 0..4 {
        put(&table, number).await;
    }
    let (_source, opened) = open(&connector, Places::new()).await.expect("a stream");
    let records = receive(&opened, 4).await;
    proxy.cut();
    let broken = opened.reader.receive(want(1, Duration::from_secs(60))).await;
    assert_eq!(
        broken.expect_err("the network is gone").problem,
        trine_pollers::Problem::Unreachable
    );
    proxy.mend();
    let places = Places::from([(opened.shard.clone(), Place::After(records[1].position.clone()))]);
    let (_source, opened) = open(&connector, places).await.expect("it is back");
    let again = receive(&opened, 2).await;
    assert_eq!(again[0].identifier, records[2].identifier);
    assert_eq!(again[1].identifier, records[3].identifier);
}

//! Splits and merges: nothing lost, nothing twice, every key in order, children after their parents.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use trine_pollers::{Place, Places, Position, ShardName, Start};

use super::Stream;
use crate::aws::Reading;

/// The middles of the hash keys, and of the lower half of them.
const HALF: &str = "170141183460469231731687303715884105728";
const QUARTER: &str = "85070591730234615865843651857942052864";
const SHARD: [&str; 6] = [
    "shardId-000000000000",
    "shardId-000000000001",
    "shardId-000000000002",
    "shardId-000000000003",
    "shardId-000000000004",
    "shardId-000000000005",
];

/// The shards are split, split again and merged while twelve keys are written, read and given to a new connection in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn keys_stay_in_order_over_splits_and_merges() {
    let Some(stream) = Stream::new(1).await else { return };
    let stream = Arc::new(stream);
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for key in 0..12 {
        let (stream, done) = (Arc::clone(&stream), Arc::clone(&done));
        writers.spawn(async move {
            let mut number = 0_u32;
            while !done.load(Ordering::Relaxed) {
                stream.put(&format!("key {key}"), format!("{key} {number}").as_bytes()).await;
                number += 1;
            }
            (key, number)
        });
    }
    let resharding = async {
        stream.split(SHARD[0], HALF).await;
        stream.split(SHARD[1], QUARTER).await;
        stream.merge(SHARD[3], SHARD[4]).await;
        stream.merge(SHARD[5], SHARD[2]).await;
        // So that the last shard has something of everybody.
        for key in 0..12 {
            stream.put(&format!("key {key}"), b"last").await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let connector = stream.connector_from(Start::TrimHorizon);
    let reading = async {
        let mut first = Reading::start(&connector, Places::new()).await.expect("a stream");
        first.until(|reading| reading.changes.iter().any(|change| change.contains("003"))).await;
        let mut second = Reading::start(&connector, first.places.clone()).await.expect("a stream");
        let mut bodies = first.bodies();
        drop(first);
        let lasts = |reading: &Reading| {
            reading.bodies().iter().filter(|body| *body == "last").count() == 12
        };
        second.until(lasts).await;
        (std::mem::take(&mut bodies), second)
    };
    let ((), (mut bodies, mut second)) = tokio::join!(resharding, reading);
    let written: BTreeMap<u32, u32> = writers.join_all().await.into_iter().collect();
    let total = written.values().sum::<u32>() as usize + 12;
    let before = bodies.len();
    second.until(|reading| before + reading.records.len() >= total).await;
    bodies.extend(second.bodies());
    bodies.retain(|body| body != "last");
    let mut by_key: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for body in &bodies {
        let (key, number) = body.split_once(' ').expect("two numbers");
        let number = number.parse().expect("a number");
        by_key.entry(key.parse().expect("a number")).or_default().push(number);
    }
    assert_eq!(by_key.len(), 12);
    for (key, numbers) in by_key {
        let expected: Vec<_> = (0..written[&key]).collect();
        assert_eq!(numbers, expected, "key {key}");
        assert!(numbers.len() > 10, "key {key} was written under the resharding");
    }
    assert!(second.notices.is_empty(), "{:?}", second.notices);
    let last = second.changes.last().map(String::as_str);
    assert_eq!(last, Some("shardId-000000000006 opened"), "{:?}", second.changes);
}

/// A child opens when its parent is finished, which is later than read; a merged shard needs both.
#[tokio::test(flavor = "multi_thread")]
async fn children_wait_for_their_parents() {
    let Some(stream) = Stream::new(1).await else { return };
    stream.put("k", b"before").await;
    stream.split(SHARD[0], HALF).await;
    stream.put("k", b"between").await;
    stream.merge(SHARD[1], SHARD[2]).await;
    stream.put("k", b"after").await;
    let connector = stream.connector_from(Start::TrimHorizon);
    let opened_with = |places: &[(&str, Place)]| {
        let places = places.iter().map(|(shard, place)| (ShardName::new(shard), place.clone()));
        let (places, connector): (Places, _) = (places.collect(), Arc::clone(&connector));
        async move {
            let source = connector.connect(places).await.expect("a stream");
            let mut opened = Vec::new();
            let more = Duration::from_millis(200);
            while let Ok(change) = tokio::time::timeout(more, source.next_change()).await {
                let trine_pollers::Change::Opened(shard) = change.expect("the source works") else {
                    panic!("only shards")
                };
                opened.push(shard.shard.to_string());
            }
            opened
        }
    };
    assert_eq!(opened_with(&[]).await, [SHARD[0]], "nothing is finished");
    let ended = |shard| (shard, Place::Ended);
    assert_eq!(opened_with(&[ended(SHARD[0])]).await, [SHARD[1], SHARD[2]]);
    assert_eq!(opened_with(&[ended(SHARD[0]), ended(SHARD[2])]).await, [SHARD[1]]);
    let all = [ended(SHARD[0]), ended(SHARD[1]), ended(SHARD[2])];
    assert_eq!(opened_with(&all).await, [SHARD[3]]);
    let mut reading = Reading::start(&connector, Places::new()).await.expect("a stream");
    reading.until(|reading| reading.records.len() == 3).await;
    assert_eq!(reading.bodies(), ["before", "between", "after"]);
    let at = |change: &str| {
        let found = reading.changes.iter().position(|said| said == change);
        found.unwrap_or_else(|| panic!("{change}: {:?}", reading.changes))
    };
    assert!(at("shardId-000000000000 ended") < at("shardId-000000000001 opened"));
    assert!(at("shardId-000000000001 ended") < at("shardId-000000000003 opened"));
    assert!(at("shardId-000000000002 ended") < at("shardId-000000000003 opened"));
}

/// A mapping that starts at the end does not read shards that were closed before, and all of the children of those it reads.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_resharded_stream_is_that_of_its_open_shards() {
    let Some(stream) = Stream::new(1).await else { return };
    stream.put("k", b"old").await;
    stream.split(SHARD[0], HALF).await;
    stream.put("k", b"old too").await;
    let connector = stream.connector_from(Start::Latest);
    let mut reading = Reading::start(&connector, Places::new()).await.expect("a stream");
    stream.put("k", b"new").await;
    stream.merge(SHARD[1], SHARD[2]).await;
    stream.put("k", b"newer").await;
    reading.until(|reading| reading.records.len() == 2).await;
    assert_eq!(reading.bodies(), ["new", "newer"]);
    assert!(
        !reading.changes.iter().any(|change| change.contains(SHARD[0])),
        "{:?}",
        reading.changes
    );
}

/// A place that is not of this stream any more, because somebody made it anew under the same name.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_of_another_stream_is_a_gap_and_reading_goes_on() {
    let Some(stream) = Stream::new(1).await else { return };
    stream.put("k", b"one").await;
    let connector = stream.connector_from(Start::Latest);
    let foreign =
        Place::After(Position::new("49500000000000000000000000000000000000000000000000000001"));
    let places = Places::from([
        (ShardName::new(SHARD[0]), foreign.clone()),
        (ShardName::new("shardId-000000000099"), foreign),
    ]);
    let mut reading = Reading::start(&connector, places.clone()).await.expect("a stream");
    reading.until(|reading| reading.records.len() == 1 && reading.notices.len() == 2).await;
    assert!(reading.notices.iter().all(|notice| notice.gap), "{:?}", reading.notices);
    let gone = &reading.notices[0].message;
    assert!(gone.contains("shardId-000000000099 is not in the stream any more"), "{gone}");
    // The same loss is told once.
    let mut again = Reading::start(&connector, places).await.expect("a stream");
    again.until(|reading| reading.records.len() == 1).await;
    assert!(again.notices.is_empty(), "{:?}", again.notices);
}

//! Where reading begins, and seeks.

use std::time::Duration;

use trine_pollers::{Place, Places, SeekTo, ShardName, Sought, Start, Target};

use super::Stream;
use crate::aws::{Proxy, Reading, access, binding, open, receive, want};

const SHARD: &str = "shardId-000000000000";

/// The first connection starts at the end; a second one must not start at the end as it is then: what came in between was never
/// settled.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_where_it_was_at_the_first_connection() {
    let Some(stream) = Stream::new(1).await else { return };
    stream.put("k", b"before").await;
    let connector = stream.connector_from(Start::Latest);
    let first = connector.connect(Places::new()).await.expect("a stream");
    stream.put("k", b"while connected").await;
    drop(first);
    stream.put("k", b"while away").await;
    let mut second = Reading::start(&connector, Places::new()).await.expect("a stream");
    second.until(|reading| reading.bodies().ends_with(&["while away".to_owned()])).await;
    assert!(second.bodies().contains(&"while connected".to_owned()), "{:?}", second.bodies());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_fixed_when_the_connection_is_there() {
    let Some(stream) = Stream::new(1).await else { return };
    stream.put("k", b"before").await;
    let connector = stream.connector_from(Start::Latest);
    // Nothing was received yet, and not even opened.
    let source = connector.connect(Places::new()).await.expect("a stream");
    stream.put("k", b"after").await;
    let opened = crate::aws::next_opened(&*source).await;
    let records = receive(&opened, 1).await;
    assert_eq!(&*records[0].body, b"after");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_starts_at_a_time() {
    let Some(stream) = Stream::new(1).await else { return };
    for text in ["1", "2", "3"] {
        stream.put("k", text.as_bytes()).await;
        let next = std::time::Instant::now() + Duration::from_millis(2);
        super::every_moment(async || (std::time::Instant::now() > next).then_some(())).await;
    }
    let all = stream.connector_from(Start::TrimHorizon);
    let (_source, opened) = open(&all, Places::new()).await.expect("a stream");
    let arrived = receive(&opened, 3).await[1].arrived_at_ms.expect("a time");
    let connector = stream.connector_from(Start::AtTimestamp(arrived));
    let mut reading = Reading::start(&connector, Places::new()).await.expect("a stream");
    reading.until(|reading| reading.records.len() == 2).await;
    assert_eq!(reading.bodies(), ["2", "3"]);
}

/// Each target with its preview, and what is read then.
#[tokio::test(flavor = "multi_thread")]
async fn seeks_say_what_they_repeat_and_skip() {
    let Some(stream) = Stream::new(1).await else { return };
    let mut numbers = Vec::new();
    for number in 0..10 {
        numbers.push(stream.put("k", number.to_string().as_bytes()).await);
    }
    let connector = stream.connector_from(Start::TrimHorizon);
    let (_source, opened) = open(&connector, Places::new()).await.expect("a stream");
    let records = receive(&opened, 10).await;
    // Settled up to the fifth: 0 to 4 are done.
    let places = Places::from([(ShardName::new(SHARD), Place::After(records[4].position.clone()))]);
    let seek = async |to: SeekTo| -> Sought {
        let target = Target { shard: None, to };
        let sought = connector.seek(places.clone(), target, true).await.expect("a preview");
        let [sought] = &sought[..] else { panic!("{sought:?}") };
        assert_eq!(sought.from, numbers[4]);
        sought.clone()
    };
    let cases = [
        (SeekTo::Position(numbers[2].clone()), 3, 0, vec!["2", "3"]),
        (SeekTo::Position(numbers[7].clone()), 0, 2, vec!["7", "8"]),
        (SeekTo::Start, 5, 0, vec!["0", "1"]),
        (SeekTo::Timestamp(0), 5, 0, vec!["0", "1"]),
        (SeekTo::End, 0, 5, vec!["10"]),
    ];
    let mut ends = Vec::new();
    for (to, read_again, skipped, next) in cases {
        let sought = seek(to.clone()).await;
        assert_eq!(
            (sought.read_again, sought.skipped),
            (Some(read_again), Some(skipped)),
            "{to:?}"
        );
        ends.push((to, sought.place.expect("the broker keeps it"), next));
    }
    stream.put("k", b"10").await;
    for (to, place, next) in ends {
        let places = Places::from([(ShardName::new(SHARD), place)]);
        let (_source, opened) = open(&connector, places).await.expect("a stream");
        let records = receive(&opened, next.len()).await;
        let bodies: Vec<_> = records
            .iter()
            .map(|record| std::str::from_utf8(&record.body).expect("UTF-8"))
            .collect();
        assert_eq!(bodies, next, "{to:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seeks_that_cannot_be_are_refused() {
    let Some(stream) = Stream::new(2).await else { return };
    stream.put("k", b"1").await;
    let connector = stream.connector_from(Start::TrimHorizon);
    let cases = [
        (None, "123", "say which"),
        (Some(SHARD), "abc", "digits"),
        (Some(SHARD), "123", "sequence number"),
        (Some("shardId-000000000009"), "123", "shardId-000000000001"),
    ];
    for (shard, number, says) in cases {
        let to = SeekTo::Position(number.to_owned());
        let target = Target { shard: shard.map(ShardName::new), to };
        let refused = connector.seek(Places::new(), target, true).await.expect_err("refused");
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

/// The network goes away under a receive; what was read and not settled comes again, from the place that is told.
#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_after_a_cut() {
    let Some(stream) = Stream::new(1).await else { return };
    let proxy = Proxy::to(&stream.endpoint).await;
    let mut config = stream.config();
    config.access = Some(access(&proxy.endpoint()));
    let connector = trine_pollers::kinesis::connector(&config, &binding(Start::TrimHorizon));
    let connector = connector.expect("a connector");
    for number in 0..4 {
        stream.put("k", number.to_string().as_bytes()).await;
    }
    let (_source, opened) = open(&connector, Places::new()).await.expect("a stream");
    let records = receive(&opened, 3).await;
    // The fourth is there already, read ahead: it needs no network.
    receive(&opened, 1).await;
    proxy.cut();
    let broken = opened.reader.receive(want(1, Duration::from_secs(60))).await;
    let broken = broken.expect_err("the network is gone");
    assert_eq!(broken.problem, trine_pollers::Problem::Unreachable, "{broken}");
    connector.connect(Places::new()).await.err().expect("the network is gone");
    proxy.mend();
    let places = Places::from([(opened.shard.clone(), Place::After(records[1].position.clone()))]);
    let (_source, opened) = open(&connector, places).await.expect("it is back");
    let again = receive(&opened, 2).await;
    assert_eq!([&*again[0].body, &*again[1].body], [b"2", b"3"]);
}

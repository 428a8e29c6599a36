//! Where a mapping begins and goes on: starting positions, committed offsets, seeks, lag, and positions that are gone.

use std::collections::BTreeMap;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::FutureRecord;
use trine_pollers::{Places, Problem, SeekTo, ShardName, Sought, Start, Target, Want};

use super::poller::{Poller, SOON, numbers, places};
use super::topic::{PATIENCE, Topic, client, now_ms, unique};

async fn poller(topic: &Topic, start: Start, shards: usize) -> Poller {
    Poller::start(&topic.connector(start), Places::new(), shards).await
}

fn shard(topic: &Topic, partition: i32) -> ShardName {
    ShardName::new(&format!("{}-{partition}", topic.name))
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_is_decided_once_and_survives_a_connection_that_read_nothing() {
    let Some(topic) = Topic::create(1).await else { return };
    topic.fill(0, 0..5).await;
    drop(poller(&topic, Start::Latest, 1).await);
    // These came while nobody was connected, and after the mapping's start.
    topic.fill(0, 5..8).await;
    let mut poller = poller(&topic, Start::Latest, 1).await;
    let came = poller.read(&shard(&topic, 0), 3).await;
    assert_eq!(numbers(&came), [5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_added_is_read_from_its_first_record_even_with_latest() {
    let Some(topic) = Topic::create(1).await else { return };
    topic.fill(0, 0..2).await;
    // The second one takes the place of the first in the group, and with it the duty to look after new partitions.
    drop(poller(&topic, Start::Latest, 1).await);
    let mut poller = poller(&topic, Start::Latest, 1).await;
    topic.add_partitions(2).await;
    // A producer that knows it.
    topic.again().fill(1, 0..3).await;
    // The group is rebalanced for it: what was assigned goes back first.
    poller.until(|poller| !poller.revoked.is_empty()).await;
    poller.revoked.clear();
    poller.until(|poller| poller.open.len() == 2).await;
    let came = poller.read(&shard(&topic, 1), 3).await;
    assert_eq!(numbers(&came), [0, 1, 2]);
    topic.fill(0, 2..3).await;
    let came = poller.read(&shard(&topic, 0), 1).await;
    assert_eq!(numbers(&came), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timestamp_begins_with_the_first_record_at_or_after_it() {
    let Some(topic) = Topic::create(2).await else { return };
    // Older ones would fall to retention.
    let base_ms = now_ms() - 60_000;
    for (partition, after) in [(0, 1_000), (0, 2_000), (0, 3_000), (1, 1_000)] {
        let (at_ms, value) = (base_ms + after, format!("\"{after}\""));
        let record = FutureRecord::<(), _>::to(&topic.name)
            .partition(partition)
            .payload(&value)
            .timestamp(at_ms);
        topic.producer.send(record, PATIENCE).await.expect("it is produced");
    }
    let mut poller = poller(&topic, Start::AtTimestamp(base_ms + 1_500), 2).await;
    let came = poller.read(&shard(&topic, 0), 2).await;
    assert_eq!(numbers(&came), [2_000, 3_000]);
    let nothing = poller.receive(&shard(&topic, 1), SOON).await;
    assert!(nothing.records.is_empty(), "partition 1 has nothing as young as that");
}

/// LS 4.8: committed offsets of a group that the user named override the starting position.
#[tokio::test(flavor = "multi_thread")]
async fn a_groups_committed_offsets_override_the_starting_position() {
    let Some(topic) = Topic::create(1).await else { return };
    topic.fill(0, 0..5).await;
    let group = unique("billing");
    let mut config = client(&topic.bootstrap);
    config.set("group.id", &group).set("enable.auto.commit", "false");
    let before: BaseConsumer = config.create().expect("a consumer");
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&topic.name, 0, rdkafka::Offset::Offset(3)).expect("it fits");
    before.commit(&list, rdkafka::consumer::CommitMode::Sync).expect("it is committed");
    drop(before);
    let source = trine_proto::v1::KafkaSource { consumer_group_id: group, ..topic.source() };
    let connector = trine_pollers::kafka::connector(&source, &topic.binding(Start::Latest));
    let mut poller = Poller::start(&connector.expect("it is right"), Places::new(), 1).await;
    let came = poller.read(&shard(&topic, 0), 2).await;
    assert_eq!(numbers(&came), [3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_what_is_left_in_the_partition() {
    let Some(topic) = Topic::create(1).await else { return };
    topic.fill(0, 0..10).await;
    let mut poller = poller(&topic, Start::TrimHorizon, 1).await;
    let shard = shard(&topic, 0);
    drop(poller.read(&shard, 4).await);
    // The library tells its watermarks once a second.
    let mut lag = None;
    for _ in 0..100 {
        let want = Want { records_max: 1, wait: std::time::Duration::from_millis(100), ..SOON };
        let received = poller.receive(&shard, want).await;
        lag = received.lag_records;
        if received.records.is_empty() && lag.is_some() {
            break;
        }
    }
    assert_eq!(lag, Some(0));
    topic.fill(0, 10..13).await;
    let received = poller.read(&shard, 1).await;
    assert_eq!(numbers(&received), [10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_retention_took_are_told_and_the_rest_is_read() {
    let Some(topic) = Topic::create(2).await else { return };
    topic.fill(0, 0..20).await;
    topic.fill(1, 0..20).await;
    let mut first = poller(&topic, Start::TrimHorizon, 2).await;
    let (hit, other) = (shard(&topic, 0), shard(&topic, 1));
    let came = first.read(&hit, 5).await;
    first.commit(&hit, &came[4]).await;
    let read = first.read(&other, 3).await;
    assert_eq!(numbers(&read), [0, 1, 2]);
    drop(first);
    topic.delete_before(0, 12).await;
    let mut second =
        Poller::start(&topic.connector(Start::TrimHorizon), places(&other, &read), 2).await;
    let came = second.read(&hit, 8).await;
    assert_eq!(numbers(&came), (12..20).collect::<Vec<_>>());
    let gap = &second.notices[0];
    assert!(gap.gap && gap.message.contains("7 offsets of"), "{gap:?}");
    assert!(gap.message.contains("5 to 11"), "{gap:?}");
    // The other partition neither lost nor repeated anything by that.
    let came = second.read(&other, 17).await;
    assert_eq!(numbers(&came), (3..20).collect::<Vec<_>>());
    assert_eq!(second.notices.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_read_from_its_first_record_and_that_is_told() {
    let Some(topic) = Topic::create(1).await else { return };
    topic.fill(0, 0..10).await;
    let mut first = poller(&topic, Start::TrimHorizon, 1).await;
    let shard = shard(&topic, 0);
    let came = first.read(&shard, 10).await;
    first.commit(&shard, &came[9]).await;
    drop(first);
    topic.delete().await;
    while topic.connector(Start::TrimHorizon).connect(Places::new()).await.is_ok() {}
    topic.make(1).await;
    topic.fill(0, 50..53).await;
    // Kafka forgets the offsets of a deleted topic; a poller that was running does not.
    let mut second =
        Poller::start(&topic.connector(Start::TrimHorizon), places(&shard, &came), 1).await;
    let again = second.read(&shard, 3).await;
    assert_eq!(numbers(&again), [50, 51, 52]);
    assert!(second.notices[0].gap && second.notices[0].message.contains("made anew"));
}

fn counts(sought: &[Sought]) -> BTreeMap<String, (String, String, Option<u64>, Option<u64>)> {
    sought
        .iter()
        .map(|one| {
            let said = (one.from.clone(), one.to.clone(), one.read_again, one.skipped);
            assert_eq!(one.place, None, "the source keeps it");
            let number = one.shard.as_str().rsplit('-').next().expect("a number").to_owned();
            (number, said)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_moves_to_an_offset_a_time_and_both_ends() {
    let Some(topic) = Topic::create(2).await else { return };
    let base_ms = now_ms() - 60_000;
    for number in 0..10 {
        let value = format!("\"{number}\"");
        let record = FutureRecord::<(), _>::to(&topic.name)
            .partition(0)
            .payload(&value)
            .timestamp(base_ms + i64::from(number));
        topic.producer.send(record, PATIENCE).await.expect("it is produced");
    }
    let connector = topic.connector(Start::TrimHorizon);
    let mut first = Poller::start(&connector, Places::new(), 2).await;
    let shard = shard(&topic, 0);
    let came = first.read(&shard, 10).await;
    first.commit(&shard, &came[5]).await;
    drop(first);
    let target = |to, shard: Option<&ShardName>| Target { shard: shard.cloned(), to };
    let text = |text: &str| text.to_owned();
    for (to, of, expected) in [
        (SeekTo::Position(text("2")), Some(&shard), (text("5"), text("2"), Some(4), Some(0))),
        (SeekTo::Timestamp(base_ms + 8), None, (text("1"), text("8"), Some(0), Some(6))),
        (SeekTo::End, None, (text("7"), text("10"), Some(0), Some(2))),
        (SeekTo::Start, None, (text("9"), text("0"), Some(10), Some(0))),
    ] {
        let before = topic.committed(0);
        let preview = connector.seek(Places::new(), target(to.clone(), of), true).await;
        assert_eq!(counts(&preview.expect("a preview"))["0"], expected, "{to:?}");
        assert_eq!(topic.committed(0), before, "a preview moves nothing");
        let sought = connector.seek(Places::new(), target(to.clone(), of), false).await;
        assert_eq!(counts(&sought.expect("a seek"))["0"], expected, "{to:?}");
        assert_eq!(topic.committed(0).map(|offset| offset.to_string()), Some(expected.1));
    }
    let mut again = Poller::start(&connector, Places::new(), 2).await;
    assert_eq!(numbers(&again.read(&shard, 10).await), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_to_what_is_not_there_is_refused_with_what_is() {
    let Some(topic) = Topic::create(2).await else { return };
    topic.fill(0, 0..3).await;
    let connector = topic.connector(Start::TrimHorizon);
    let shard = shard(&topic, 0);
    let unknown = ShardName::new("other-0");
    for (shard, to, says) in [
        (Some(&shard), SeekTo::Position("4".to_owned()), "expected 0..=3"),
        (None, SeekTo::Position("1".to_owned()), "an offset needs a partition"),
        (Some(&unknown), SeekTo::Start, "\"other-0\" is no partition"),
    ] {
        let target = Target { shard: shard.cloned(), to };
        let error = connector.seek(Places::new(), target, true).await.expect_err("it is refused");
        assert_eq!(error.problem, Problem::Configuration);
        assert!(error.to_string().contains(says), "{error}");
    }
}

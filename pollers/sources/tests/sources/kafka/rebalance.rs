//! Other members of the group: they join and leave, and one poller takes the place of another.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;
use trine_pollers::{Places, Problem, SeekTo, ShardName, Start, Target};

use super::poller::{Poller, SOON, numbers};
use super::topic::{PATIENCE, Topic, client};

/// Tells a process of this test binary that it is the child.
const CHILD: &str = "TRINE_TEST_KAFKA_CHILD";

fn shard(topic: &Topic, partition: i32) -> ShardName {
    ShardName::new(&format!("{}-{partition}", topic.name))
}

/// Some other program in the same group.
fn stranger(topic: &Topic) -> Arc<BaseConsumer> {
    stranger_with(topic, "range,roundrobin")
}

fn stranger_with(topic: &Topic, strategy: &str) -> Arc<BaseConsumer> {
    let mut config = client(&topic.bootstrap);
    config
        .set("group.id", &topic.mapping)
        .set("enable.auto.commit", "false")
        .set("partition.assignment.strategy", strategy)
        .set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&[&topic.name]).expect("it subscribes");
    Arc::new(consumer)
}

/// Reads `count` records as the stranger, and commits each.
fn read_on(stranger: &Arc<BaseConsumer>, count: usize) -> tokio::task::JoinHandle<Vec<(i32, i64)>> {
    let stranger = Arc::clone(stranger);
    tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let mut came = Vec::new();
        while came.len() < count || count == 0 && stranger.assignment().expect("known").count() == 0
        {
            assert!(began.elapsed() < PATIENCE, "{} records came", came.len());
            let Some(message) = stranger.poll(Duration::from_millis(100)) else { continue };
            let message = message.expect("the stranger reads");
            came.push((message.partition(), message.offset()));
            stranger.commit_message(&message, CommitMode::Sync).expect("the stranger commits");
        }
        came
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_member_gets_partitions_and_gives_them_back_and_no_record_is_lost() {
    let Some(topic) = Topic::create(2).await else { return };
    topic.fill(0, 0..10).await;
    topic.fill(1, 0..10).await;
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 2).await;
    let mut seen: [Vec<i32>; 2] = [Vec::new(), Vec::new()];
    for partition in 0..2 {
        let of = shard(&topic, partition);
        let came = poller.read(&of, 4).await;
        poller.commit(&of, &came[3]).await;
        seen[usize::try_from(partition).expect("small")].extend(numbers(&came));
    }
    // A batch of partition 0 is in flight while the other one joins.
    let in_flight = poller.read(&shard(&topic, 0), 2).await;
    let reader = Arc::clone(&poller.open[&shard(&topic, 0)].reader);
    let other = stranger(&topic);
    let joined = read_on(&other, 4);
    poller.until(|poller| poller.revoked.len() == 2).await;
    let nothing = reader.receive(SOON).await.expect("it is no error");
    assert!(nothing.records.is_empty(), "nothing is read after the revocation");
    assert!(!joined.is_finished(), "the group waits for what is in flight");
    reader.commit(in_flight[1].position.clone()).await.expect("what is in flight can be committed");
    seen[0].extend(numbers(&in_flight));
    poller.revoked.clear();
    poller.until(|poller| poller.open.len() == 1).await;
    let ours = poller.only().shard.clone();
    let theirs = joined.await.expect("it reads");
    let late = reader.commit(in_flight[0].position.clone()).await.expect_err("a reader of old");
    assert!(late.to_string().contains("another member"), "{late}");

    let number = |name: &ShardName| usize::from(*name == shard(&topic, 1));
    for (partition, offset) in theirs {
        let partition = usize::try_from(partition).expect("small");
        assert_ne!(partition, number(&ours), "one partition has one reader");
        seen[partition].push(i32::try_from(offset).expect("small"));
    }
    let left = 10 - seen[number(&ours)].len();
    let came = poller.read(&ours, left).await;
    poller.commit(&ours, &came[left - 1]).await;
    seen[number(&ours)].extend(numbers(&came));

    // It leaves, and everything is ours again.
    drop(tokio::task::spawn_blocking(move || drop(other)));
    poller.until(|poller| !poller.revoked.is_empty()).await;
    poller.revoked.clear();
    poller.until(|poller| poller.open.len() == 2).await;
    topic.fill(0, 10..12).await;
    topic.fill(1, 10..12).await;
    for (partition, mut seen) in (0..).zip(seen) {
        let of = shard(&topic, partition);
        let came = poller.read(&of, 12 - seen.len()).await;
        seen.extend(numbers(&came));
        assert_eq!(seen, (0..12).collect::<Vec<_>>(), "{of}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_is_refused_while_somebody_else_reads_the_group() {
    let Some(topic) = Topic::create(2).await else { return };
    let other = stranger(&topic);
    read_on(&other, 0).await.expect("it joins");
    let keeps_reading = Arc::clone(&other);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let reads = tokio::task::spawn_blocking(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            drop(keeps_reading.poll(Duration::from_millis(50)));
        }
    });
    let target = Target { shard: None, to: SeekTo::Start };
    let sought = topic.connector(Start::TrimHorizon).seek(Places::new(), target, false).await;
    drop(stop);
    reads.await.expect("it ends");
    let error = sought.expect_err("it would be followed by half");
    assert_eq!(error.problem, Problem::Configuration);
    assert!(error.to_string().contains("is read by another member"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_assigns_otherwise_is_named() {
    let Some(topic) = Topic::create(1).await else { return };
    let other = stranger_with(&topic, "cooperative-sticky");
    read_on(&other, 0).await.expect("it joins");
    let connection = topic.connector(Start::TrimHorizon).connect(Places::new()).await;
    let change = timeout(PATIENCE, connection.expect("the topic is there").next_change()).await;
    let error = change.expect("it is told").expect_err("they cannot be in one group");
    assert_eq!(error.problem, Problem::Configuration, "{error}");
    assert!(error.to_string().contains("another member of the consumer group"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_holder_of_a_mapping_takes_the_place_and_the_last_one_is_told() {
    let Some(topic) = Topic::create(1).await else { return };
    topic.fill(0, 0..4).await;
    let connector = topic.connector(Start::TrimHorizon);
    let mut old = Poller::start(&connector, Places::new(), 1).await;
    let shard = shard(&topic, 0);
    let came = old.read(&shard, 2).await;
    old.commit(&shard, &came[0]).await;
    let began = Instant::now();
    let mut new = Poller::start(&connector, Places::new(), 1).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(numbers(&new.read(&shard, 3).await), [1, 2, 3]);
    let late = old.open[&shard].reader.commit(came[1].position.clone()).await;
    late.expect_err("it is fenced");
    let error = old.breaks().await;
    assert_eq!(error.problem, Problem::Unreachable);
    assert!(error.to_string().contains("another poller"), "{error}");
    assert_eq!(topic.committed(0), Some(1), "what came late did not count");
}

/// The other process of the test below, which starts and kills it: reads two records, settles one and goes on living.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(spec) = std::env::var(CHILD) else { return };
    let [bootstrap, name, mapping] = *spec.split(' ').collect::<Vec<_>>() else { panic!("{spec}") };
    let mut topic = Topic::named(bootstrap, name);
    mapping.clone_into(&mut topic.mapping);
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    let shard = shard(&topic, 0);
    let came = poller.read(&shard, 2).await;
    poller.commit(&shard, &came[0]).await;
    println!("\nin flight: {}", numbers(&came)[1]);
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_that_was_killed_is_replaced_at_once() {
    let Some(topic) = Topic::create(1).await else { return };
    topic.fill(0, 0..4).await;
    let mut other = tokio::process::Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "kafka::rebalance::child", "--nocapture"])
        .env(CHILD, format!("{} {} {}", topic.bootstrap, topic.name, topic.mapping))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(other.stdout.take().expect("it is piped")).lines();
    let in_flight = async {
        while let Some(line) = lines.next_line().await.expect("it speaks") {
            if line == "in flight: 1" {
                return;
            }
        }
        panic!("it ended");
    };
    timeout(PATIENCE, in_flight).await.expect("it reads");
    other.kill().await.expect("SIGKILL");
    let killed = Instant::now();
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 1).await;
    let came = poller.read(&shard(&topic, 0), 3).await;
    let took = killed.elapsed();
    assert_eq!(
        numbers(&came),
        [1, 2, 3],
        "what was in flight comes again, and nothing that was settled"
    );
    assert!(took < Duration::from_secs(2), "{took:?}: a session's timeout would be 45 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_nobody_asks_for_holds_up_no_other() {
    let Some(topic) = Topic::create(2).await else { return };
    let large = vec![b'x'; 512 * 1024];
    for partition in [0, 1] {
        for _ in 0..40 {
            let record = rdkafka::producer::FutureRecord::<(), _>::to(&topic.name)
                .partition(partition)
                .payload(&large);
            topic.producer.send(record, PATIENCE).await.expect("it is produced");
        }
    }
    let mut poller = Poller::start(&topic.connector(Start::TrimHorizon), Places::new(), 2).await;
    let records = poller.read(&shard(&topic, 1), 40).await;
    assert_eq!(records.len(), 40);
    let records = poller.read(&shard(&topic, 0), 40).await;
    let offsets: BTreeSet<_> =
        records.iter().map(|record| record.position.as_str().to_owned()).collect();
    assert_eq!(offsets.len(), 40);
}

//! The `redis` source on a real server.

mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, FromRedisValue, Value as Answer};
use serde_json::{Value, json};
use trine_pollers::conformance::Subject;
use trine_pollers::{
    Connect, Content, Places, Problem, Record, SeekTo, ShardName, Sought, SourceError, Start,
    Target, Verdict, Want, conformance_suite,
};
use trine_proto::v1::RedisSource;

use self::server::Server;
use crate::by_hand::{Hand, PROMPT, WANT, binding, event, until};
use crate::proxy::{Mode, Proxy};
use crate::skip;
use crate::tls::Certificate;

const SHORT: Duration = Duration::from_secs(2);

/// A stream of its own on the shared server, or on one of its own.
struct World {
    connection: MultiplexedConnection,
    address: SocketAddr,
    source: RedisSource,
    lease: Duration,
}

impl World {
    /// With an empty stream.
    async fn new() -> Option<Self> {
        let world = Self::without_stream().await?;
        world.make_stream().await;
        Some(world)
    }

    async fn without_stream() -> Option<Self> {
        Some(Self::at(&skip::server("TRINE_REDIS")?).await)
    }

    async fn at(address: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let url = format!("redis://{address}");
        let client = Client::open(url.as_str()).expect("a URL");
        let connection = client.get_multiplexed_async_connection().await.expect("a server");
        let stream = format!("trine-test-{}-{number}", std::process::id());
        let source = RedisSource { url, stream, ..RedisSource::default() };
        let address = address.parse().expect("an address");
        let world = Self { connection, address, source, lease: SHORT };
        // An earlier process may have had our number.
        let _: Answer = world.ask(&["DEL", &world.source.stream]).await;
        world
    }

    async fn make_stream(&self) {
        let id: String = self.ask(&["XADD", &self.source.stream, "*", "a", "b"]).await;
        let _: u64 = self.ask(&["XDEL", &self.source.stream, &id]).await;
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        let mut connection = self.connection.clone();
        command.arg(&words[1..]).query_async(&mut connection).await.expect("it answers")
    }

    /// Adds an entry; its id.
    async fn add(&self, text: &str) -> String {
        self.ask(&["XADD", &self.source.stream, "*", "text", text]).await
    }

    async fn add_numbers(&self, numbers: std::ops::Range<usize>) -> Vec<String> {
        let mut ids = Vec::new();
        for number in numbers {
            ids.push(self.add(&number.to_string()).await);
        }
        ids
    }

    fn connector(&self, start: Start) -> Arc<dyn Connect> {
        self.connector_of("m", start)
    }

    fn connector_of(&self, mapping_id: &str, start: Start) -> Arc<dyn Connect> {
        let binding = binding(mapping_id, start);
        trine_pollers::redis::connector_with_lease(&self.source, &binding, self.lease)
            .expect("a good configuration")
    }

    async fn pending(&self, group: &str) -> u64 {
        let answer: (u64, Answer, Answer, Answer) =
            self.ask(&["XPENDING", &self.source.stream, group]).await;
        answer.0
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The server is shared. If it is our own one, it may be gone.
        let (mut connection, stream) = (self.connection.clone(), self.source.stream.clone());
        tokio::spawn(async move {
            let removed: Result<Answer, _> =
                redis::cmd("DEL").arg(stream).query_async(&mut connection).await;
            drop(removed);
        });
    }
}

fn text(record: &Record) -> String {
    event(record)["fields"]["text"].as_str().expect("a text").to_owned()
}

fn numbers(records: &[Record]) -> Vec<usize> {
    records.iter().map(|record| text(record).parse().expect("a number")).collect()
}

async fn refused(connector: &Arc<dyn Connect>) -> SourceError {
    Hand::try_open(connector).await.err().expect("it is refused")
}

impl Subject for World {
    fn connector(&mut self) -> Arc<dyn Connect> {
        Self::connector(self, Start::TrimHorizon)
    }

    async fn produce(&mut self, _key: &str, text: &str) {
        self.add(text).await;
    }

    fn text(&self, event: &[u8]) -> String {
        let event: Value = serde_json::from_slice(event).expect("JSON");
        event["fields"]["text"].as_str().expect("a text").to_owned()
    }

    fn record_bytes_max(&self) -> usize {
        usize::MAX
    }
}

conformance_suite!(
    #[tokio::test(flavor = "multi_thread")]
    World::new().await
);

#[tokio::test]
async fn an_event_is_documented() {
    let Some(world) = World::new().await else { return };
    let mut add = redis::cmd("XADD");
    add.arg(&world.source.stream).arg("1700000000123-4").arg("a").arg("1");
    let add = add.arg("image").arg(&b"\xff\x00a"[..]).arg("a").arg("2");
    // The id is smaller than that of the entry that made the stream.
    let _: Answer = world.ask(&["DEL", &world.source.stream]).await;
    let _: String = add.query_async(&mut world.connection.clone()).await.expect("added");
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let records = hand.receive(1).await;
    assert_eq!(
        event(&records[0]),
        json!({"eventSource": "trine:redis", "stream": world.source.stream, "id": "1700000000123-4",
               "timestamp": 1_700_000_000_123_i64, "fields": {"a": "2"}, "binaryFields": {"image": "/wBh"}})
    );
    let record = &records[0];
    assert_eq!(
        (record.position.as_str(), &*record.identifier),
        ("1700000000123-4", "1700000000123-4")
    );
    assert_eq!((record.arrived_at_ms, record.key.as_ref()), (Some(1_700_000_000_123), None));
    assert_eq!(record.body, "{\"a\":\"2\"}");
    assert_eq!(hand.opened.shard, ShardName::new(&world.source.stream));
}

#[tokio::test]
async fn a_missing_stream_is_named_and_read_whole_once_it_is_there() {
    for start in [Start::TrimHorizon, Start::Latest] {
        let Some(world) = World::without_stream().await else { return };
        let connector = world.connector(start);
        let error = refused(&connector).await;
        assert_eq!(error.problem, Problem::Configuration);
        assert!(error.to_string().contains("does not exist yet"), "{error}");
        world.add("1").await;
        assert_eq!(numbers(&Hand::open(&connector).await.receive(1).await), [1], "{start:?}");
    }
}

#[tokio::test]
async fn a_group_that_is_made_begins_where_the_mapping_says() {
    let Some(mut world) = World::new().await else { return };
    world.add_numbers(0..2).await;
    let last = world.add("2").await;
    let at_ms = last.split_once('-').expect("an id").0.parse::<i64>().expect("a number");
    for (start, left) in [
        (Start::TrimHorizon, vec![0, 1, 2, 3]),
        (Start::Latest, vec![3]),
        (Start::AtTimestamp(at_ms + 1), vec![3]),
        (Start::AtTimestamp(0), vec![0, 1, 2, 3]),
    ] {
        world.source.group = format!("{start:?}");
        let hand = Hand::open(&world.connector(start)).await;
        if start == Start::TrimHorizon {
            // In a later millisecond than the others.
            let id = format!("{}-0", at_ms + 1_000);
            let _: String = world.ask(&["XADD", &world.source.stream, &id, "text", "3"]).await;
        }
        if start == Start::Latest {
            assert!(hand.once().await.records.is_empty(), "it was there");
            continue;
        }
        assert_eq!(numbers(&hand.receive(left.len()).await), left, "{start:?}");
    }
}

#[tokio::test]
async fn credentials_and_rights_are_told_apart_and_other_keys_named() {
    let Some(server) = Server::start(&["--requirepass", "right"]).await else { return };
    let client = Client::open(format!("redis://:right@{}", server.address)).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a server");
    let mut ask = async |words: &[&str]| {
        let command = redis::cmd(words[0]).arg(&words[1..]).to_owned();
        let _: Answer = command.query_async(&mut connection).await.expect("it answers");
    };
    ask(&["ACL", "SETUSER", "few", "on", ">right", "~other*", "+@all"]).await;
    ask(&["SET", "text", "x"]).await;
    let error = async |user: &str, secret: &str, stream: &str| {
        let source = RedisSource {
            url: server.url(),
            stream: stream.to_owned(),
            username: user.to_owned(),
            password_secret: secret.to_owned(),
            ..RedisSource::default()
        };
        let made = trine_pollers::redis::connector(&source, &binding("m", Start::Latest));
        refused(&made.expect("a good configuration")).await
    };
    for (user, secret) in [("", "wrong"), ("few", "wrong"), ("nobody", "right"), ("", "")] {
        let error = error(user, secret, "s").await;
        assert_eq!(error.problem, Problem::Authentication, "{user} {secret}: {error}");
    }
    let few = error("few", "right", "s").await;
    assert_eq!(few.problem, Problem::Authorization, "{few}");
    assert_eq!(error("few", "right", "others").await.problem, Problem::Configuration);
    let text = error("", "right", "text").await;
    assert_eq!(text.problem, Problem::Configuration);
    assert!(text.to_string().contains("name the key of a stream"), "{text}");
}

#[tokio::test]
async fn nobody_at_the_address_and_no_tls_there_are_told() {
    let Some(world) = World::new().await else { return };
    let absent = "redis://127.0.0.1:1".to_owned();
    let plain = format!("rediss://{}", world.address);
    for url in [absent, plain] {
        let source = RedisSource { url, ..world.source.clone() };
        let made = trine_pollers::redis::connector(&source, &binding("m", Start::Latest));
        let error = refused(&made.expect("a good configuration")).await;
        assert_eq!(error.problem, Problem::Unreachable, "{error}");
        assert!(error.to_string().contains("Redis at 127.0.0.1:"), "{error}");
    }
}

#[tokio::test]
async fn tls_is_spoken_with_who_can_be_trusted() {
    let Some(world) = World::new().await else { return };
    let certificate = Certificate::new();
    let front = certificate.in_front_of(&world.address.to_string()).await;
    let source = RedisSource {
        url: format!("rediss://{front}"),
        ca_file: certificate.ca_file(),
        ..world.source.clone()
    };
    let of = |source: &RedisSource| {
        let made = trine_pollers::redis::connector(source, &binding("m", Start::TrimHorizon));
        made.expect("a good configuration")
    };
    world.add_numbers(0..3).await;
    let hand = Hand::open(&of(&source)).await;
    let records = hand.receive(3).await;
    assert_eq!(numbers(&records), [0, 1, 2]);
    hand.settle(&records, Verdict::Done).await;
    assert_eq!(world.pending("trine-m").await, 0);

    let unknown = refused(&of(&RedisSource { ca_file: String::new(), ..source.clone() })).await;
    assert_eq!(unknown.problem, Problem::Unreachable, "{unknown}");
    assert!(unknown.to_string().contains("name it in ca_file"), "{unknown}");
    let gone = refused(&of(&RedisSource { ca_file: "/nowhere".to_owned(), ..source })).await;
    assert_eq!(gone.problem, Problem::Configuration, "{gone}");
    assert!(gone.to_string().contains("ca_file /nowhere cannot be read"), "{gone}");
}

#[tokio::test]
async fn what_a_dead_process_held_comes_first_in_order_and_at_once() {
    let Some(mut world) = World::new().await else { return };
    world.lease = Duration::from_secs(60);
    world.add_numbers(0..20).await;
    let dead = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let records = dead.receive(10).await;
    dead.settle(&[records[3].clone(), records[7].clone()], Verdict::Done).await;
    drop(dead);
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let expected: Vec<_> = (0..20).filter(|number| ![3, 7].contains(number)).collect();
    assert_eq!(numbers(&hand.receive(18).await), expected);
    assert!(hand.once().await.records.is_empty());
}

#[tokio::test]
async fn connections_that_the_server_kills_lose_and_repeat_nothing() {
    let Some(mut world) = World::new().await else { return };
    // Connections are named like the group: so ours can be told from others of the shared server.
    world.source.group = world.source.stream.clone();
    world.add_numbers(0..10).await;
    let connector = world.connector(Start::TrimHorizon);
    let hand = Hand::open(&connector).await;
    let in_hand = hand.receive(5).await;
    let reader = Arc::clone(&hand.opened.reader);
    hand.receive(5).await;
    let waiting = tokio::spawn(async move {
        reader.receive(Want { wait: Duration::from_secs(30), ..WANT }).await
    });
    let mut killed = 0;
    until("the blocked reader to be killed", async || {
        let clients: String = world.ask(&["CLIENT", "LIST"]).await;
        let named = format!(" name={} ", world.source.group);
        for client in clients.lines().filter(|client| client.contains(&named)) {
            let id = client.split(' ').find_map(|part| part.strip_prefix("id=")).expect("an id");
            killed += world.ask::<u64>(&["CLIENT", "KILL", "ID", id]).await;
        }
        waiting.is_finished()
    })
    .await;
    assert!(killed >= 2, "one that reads and one that settles");
    let error = waiting.await.expect("no panic").expect_err("it was killed");
    assert_eq!(error.problem, Problem::Unreachable);
    drop(hand);
    world.add_numbers(10..12).await;
    let hand = Hand::open(&connector).await;
    assert_eq!(numbers(&hand.receive(2).await), [10, 11]);
    hand.settle(&in_hand, Verdict::Done).await;
    assert_eq!(world.pending(&world.source.group).await, 7);
}

#[tokio::test]
async fn what_was_lost_on_the_way_comes_again_before_what_is_new() {
    let Some(mut world) = World::new().await else { return };
    let proxy = Proxy::to(world.address).await;
    world.source.url = format!("redis://{}", proxy.address);
    let connector = world.connector(Start::TrimHorizon);
    world.add_numbers(0..5).await;
    let hand = Hand::open(&connector).await;
    let in_hand = hand.receive(5).await;
    proxy.set(Mode::LoseAnswers);
    let reader = Arc::clone(&hand.opened.reader);
    let receiving = tokio::spawn(async move { reader.receive(WANT).await });
    world.add_numbers(5..15).await;
    until("the server to have sent some", async || world.pending("trine-m").await > 5).await;
    world.add_numbers(15..20).await;
    proxy.set(Mode::Cut);
    let error = receiving.await.expect("no panic").expect_err("it was cut");
    assert_eq!(error.problem, Problem::Unreachable);
    let unsettled = hand.try_settle(&in_hand, Verdict::Done).await;
    assert_eq!(unsettled.expect_err("it was cut").problem, Problem::Unreachable);
    drop(hand);
    proxy.set(Mode::Pass);
    let hand = Hand::open(&connector).await;
    assert_eq!(numbers(&hand.receive(15).await), (5..20).collect::<Vec<_>>());
    hand.settle(&in_hand, Verdict::Done).await;
    assert_eq!(world.pending("trine-m").await, 15);
}

#[tokio::test]
async fn connection_after_connection_that_is_cut_keeps_the_order_of_the_stream() {
    let Some(mut world) = World::new().await else { return };
    let proxy = Proxy::to(world.address).await;
    world.source.url = format!("redis://{}", proxy.address);
    let connector = world.connector(Start::TrimHorizon);
    let (mut came, mut unsettled) = (Vec::new(), 0);
    for round in 0..6 {
        world.add_numbers(round * 50..round * 50 + 50).await;
        let hand = Hand::open(&connector).await;
        let records = hand.receive(20).await;
        hand.settle(&records[..12], Verdict::Done).await;
        came.extend(records);
        unsettled += 8;
        let reader = Arc::clone(&hand.opened.reader);
        proxy.set(Mode::LoseAnswers);
        let receiving = tokio::spawn(async move { reader.receive(WANT).await });
        until("the server to have sent some", async || {
            receiving.is_finished() || world.pending("trine-m").await > unsettled
        })
        .await;
        proxy.set(Mode::Cut);
        receiving.await.expect("no panic").expect_err("it was cut");
        proxy.set(Mode::Pass);
    }
    let hand = Hand::open(&connector).await;
    came.extend(hand.receive(300 - came.len()).await);
    assert_eq!(numbers(&came), (0..300).collect::<Vec<_>>());
    hand.settle(&came, Verdict::Done).await;
    assert_eq!(world.pending("trine-m").await, 0);
}

#[tokio::test]
async fn a_server_restarted_with_its_data_is_read_on() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await
    else {
        return;
    };
    let mut world = World::at(&server.address.to_string()).await;
    world.add_numbers(0..10).await;
    let connector = world.connector(Start::TrimHorizon);
    let hand = Hand::open(&connector).await;
    let in_hand = hand.receive(5).await;
    server.kill();
    let error = hand.opened.reader.receive(WANT).await.expect_err("it is gone");
    assert_eq!(error.problem, Problem::Unreachable);
    drop(hand);
    assert_eq!(refused(&connector).await.problem, Problem::Unreachable);
    server.restart().await;
    let hand = Hand::open(&connector).await;
    assert_eq!(hand.notices, [], "nothing was lost");
    assert_eq!(numbers(&hand.receive(5).await), [5, 6, 7, 8, 9]);
    hand.settle(&in_hand, Verdict::Done).await;
    let client = Client::open(server.url()).expect("a URL");
    world.connection = client.get_multiplexed_async_connection().await.expect("a server");
    assert_eq!(world.pending("trine-m").await, 5);
}

#[tokio::test]
async fn a_server_restarted_without_its_data_is_a_gap_and_no_silence() {
    let Some(mut server) = Server::start(&["--appendonly", "no"]).await else { return };
    let mut world = World::at(&server.address.to_string()).await;
    world.add_numbers(0..3).await;
    let connector = world.connector(Start::Latest);
    let hand = Hand::open(&world.connector_of("other", Start::TrimHorizon)).await;
    drop(hand.receive(3).await);
    let reading = Hand::open(&connector).await;
    world.add_numbers(3..5).await;
    reading.receive(2).await;
    server.kill();
    server.restart().await;
    let error = refused(&connector).await;
    assert_eq!(error.problem, Problem::Configuration);
    assert!(error.to_string().contains("restarted without its data"), "{error}");
    let client = Client::open(server.url()).expect("a URL");
    world.connection = client.get_multiplexed_async_connection().await.expect("a server");
    // Ids that are smaller than what was read show that it is another stream.
    let _: String = world.ask(&["XADD", &world.source.stream, "5-0", "text", "7"]).await;
    let hand = Hand::open(&connector).await;
    assert!(hand.notices[0].gap && hand.notices[0].message.contains("removed with the stream"));
    assert_eq!(numbers(&hand.receive(1).await), [7], "although it begins with the latest");
}

#[tokio::test]
async fn a_group_that_went_back_or_was_removed_is_told() {
    let Some(world) = World::new().await else { return };
    let ids = world.add_numbers(0..4).await;
    let connector = world.connector(Start::TrimHorizon);
    let hand = Hand::open(&connector).await;
    hand.receive(3).await;
    let stream = world.source.stream.as_str();
    let _: Answer = world.ask(&["XGROUP", "SETID", stream, "trine-m", &ids[0]]).await;
    let hand = Hand::open(&connector).await;
    assert!(hand.notices[0].gap && hand.notices[0].message.contains("went back"));
    let _: Answer = world.ask(&["XGROUP", "DESTROY", stream, "trine-m"]).await;
    let error = hand.opened.reader.receive(WANT).await.expect_err("it is gone");
    assert_eq!(error.problem, Problem::Unreachable);
    let hand = Hand::open(&connector).await;
    assert!(hand.notices[0].gap && hand.notices[0].message.contains("removed by somebody"));
    assert_eq!(numbers(&hand.receive(1).await), [3], "it goes on after what was read");
}

#[tokio::test]
async fn entries_that_were_trimmed_while_they_were_pending_are_told_and_let_go() {
    let Some(world) = World::new().await else { return };
    world.add_numbers(0..4).await;
    let dead = Hand::open(&world.connector(Start::TrimHorizon)).await;
    dead.receive(4).await;
    drop(dead);
    let _: u64 = world.ask(&["XTRIM", &world.source.stream, "MAXLEN", "1"]).await;
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let received = hand.once().await;
    assert_eq!(numbers(&received.records), [3]);
    assert!(received.notices[0].gap, "{:?}", received.notices);
    assert!(received.notices[0].message.starts_with("3 entries"), "{:?}", received.notices);
    assert_eq!(world.pending("trine-m").await, 1);
}

#[tokio::test]
async fn what_a_dead_consumer_has_is_taken_over_and_what_a_living_one_holds_is_not() {
    let Some(mut world) = World::new().await else { return };
    world.source.group = "shared".to_owned();
    world.add_numbers(0..2).await;
    let other = Hand::open(&world.connector_of("other", Start::TrimHorizon)).await;
    let records = other.receive(2).await;
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let (held, mut came) = (&records[..1], Vec::new());
    let mut looks = 0;
    while came.is_empty() {
        other.settle(held, Verdict::Held).await;
        let received = hand.once().await;
        assert_eq!(received.notices, []);
        came.extend(received.records);
        looks += 1;
    }
    assert!(looks > 2, "its lease was not over yet");
    assert_eq!(numbers(&came), [1]);
    hand.settle(&came, Verdict::Done).await;
    other.settle(held, Verdict::Done).await;
    assert_eq!(world.pending("shared").await, 0);
}

#[tokio::test]
async fn what_the_runner_lost_comes_again_and_what_it_extends_does_not() {
    let Some(world) = World::new().await else { return };
    world.add_numbers(0..3).await;
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let records = hand.receive(3).await;
    let mut again = Vec::new();
    while again.len() < 2 {
        hand.settle(&records[..1], Verdict::Held).await;
        again.extend(hand.once().await.records);
    }
    assert_eq!(numbers(&again), [1, 2]);
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_to_a_runner_that_reads_nothing() {
    let Some(mut world) = World::new().await else { return };
    let proxy = Proxy::to(world.address).await;
    world.source.url = format!("redis://{}", proxy.address);
    world.add("1").await;
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let records = hand.receive(1).await;
    proxy.set(Mode::Cut);
    hand.try_settle(&records, Verdict::Done).await.expect_err("it is cut");
    let error = tokio::time::timeout(PROMPT, hand.source.next_change()).await.expect("it is told");
    assert_eq!(error.expect_err("it broke").problem, Problem::Unreachable);
}

#[tokio::test]
async fn what_is_given_back_comes_again_in_order_and_what_is_rejected_never() {
    let Some(world) = World::new().await else { return };
    world.add_numbers(0..6).await;
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let mut records = hand.receive(4).await;
    hand.settle(&records[..1], Verdict::Rejected).await;
    hand.settle(&records[2..3], Verdict::Held).await;
    records.reverse();
    // 3 and 1; 2 stays in hand.
    let back = [records[0].clone(), records[2].clone()];
    hand.settle(&back, Verdict::Released).await;
    let again = hand.receive(4).await;
    assert_eq!(numbers(&again), [1, 3, 4, 5]);
    hand.settle(&again, Verdict::Done).await;
    assert_eq!(world.pending("trine-m").await, 1);
    assert!(hand.once().await.records.is_empty());
}

#[tokio::test]
async fn the_lag_is_what_the_group_was_not_given() {
    let Some(world) = World::without_stream().await else { return };
    world.add_numbers(0..10).await;
    let hand = Hand::open(&world.connector(Start::TrimHorizon)).await;
    let want = Want { records_max: 4, ..WANT };
    for left in [6, 2] {
        let received = hand.opened.reader.receive(want).await.expect("it works");
        assert_eq!((received.records.len(), received.lag_records), (4, Some(left)));
    }
}

async fn seek(connector: &Arc<dyn Connect>, to: SeekTo, preview: bool) -> Sought {
    let target = Target { shard: None, to };
    let mut sought = connector.seek(Places::new(), target, preview).await.expect("a seek");
    assert_eq!(sought.len(), 1);
    sought.remove(0)
}

#[tokio::test]
async fn a_seek_says_what_it_would_do_and_does_it() {
    let Some(world) = World::without_stream().await else { return };
    let ids = world.add_numbers(0..10).await;
    let connector = world.connector(Start::TrimHorizon);
    let hand = Hand::open(&connector).await;
    let records = hand.receive(6).await;
    hand.settle(&records[..5], Verdict::Done).await;
    drop(hand);
    let position = |at: usize| SeekTo::Position(ids[at].clone());
    // 5 is pending: it comes again anyway, or is skipped with the rest.
    for (to, again, skipped) in [
        (SeekTo::Start, 5, 0),
        (SeekTo::End, 0, 5),
        (position(8), 0, 3),
        (position(2), 3, 0),
        (SeekTo::Timestamp(0), 5, 0),
    ] {
        let sought = seek(&connector, to, true).await;
        assert_eq!((sought.read_again, sought.skipped), (Some(again), Some(skipped)), "{sought:?}");
        assert_eq!((sought.from.as_str(), &sought.place), (ids[5].as_str(), &None));
    }
    assert_eq!(world.pending("trine-m").await, 1, "a preview moves nothing");
    seek(&connector, position(3), false).await;
    let hand = Hand::open(&connector).await;
    assert_eq!(hand.notices, [], "nobody else moved it");
    assert_eq!(numbers(&hand.receive(7).await), (3..10).collect::<Vec<_>>());
    drop(hand);
    seek(&connector, SeekTo::End, false).await;
    world.add_numbers(10..11).await;
    assert_eq!(numbers(&Hand::open(&connector).await.receive(1).await), [10]);
}

#[tokio::test]
async fn a_seek_that_cannot_be_is_refused_by_name() {
    let Some(world) = World::without_stream().await else { return };
    let connector = world.connector(Start::TrimHorizon);
    let error = async |shard: Option<&str>, to: SeekTo| {
        let target = Target { shard: shard.map(ShardName::new), to };
        connector.seek(Places::new(), target, false).await.expect_err("it is refused").to_string()
    };
    assert!(error(None, SeekTo::End).await.contains("does not exist"));
    world.add("1").await;
    let position = |text: &str| SeekTo::Position(text.to_owned());
    assert!(error(None, position("what")).await.contains("expected the id of an entry"));
    assert!(error(None, position("9999999999999-0")).await.contains("expected one up to"));
    assert!(error(Some("other"), SeekTo::End).await.contains("there is no shard other"));
}

#[tokio::test]
async fn what_was_given_up_is_named_and_what_is_too_large_has_no_content() {
    let Some(world) = World::new().await else { return };
    let first = world.add("0").await;
    let last = world.add(&"x".repeat(7 * 1024 * 1024)).await;
    let connector = world.connector(Start::TrimHorizon);
    let hand = Hand::open(&connector).await;
    let records = hand.receive(2).await;
    assert!(matches!(records[1].content, Content::TooLarge(bytes) if bytes > 7 * 1024 * 1024));
    assert!(records[1].body.is_empty());
    let given_up: Vec<_> = records.iter().collect();
    let (name, member) = connector.batch_member(&hand.opened.shard, &given_up);
    assert_eq!(name, "RedisBatchInfo");
    assert_eq!((&member["startId"], &member["endId"]), (&json!(first), &json!(last)));
    assert_eq!(member["group"], "trine-m");
    assert!(member["approximateArrivalOfLastRecord"].as_str().expect("a time").ends_with('Z'));
}

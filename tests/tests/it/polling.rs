//! Mappings as their users see them, with the broker's own poller and real sources: what the settings make of records that fail, do not
//! fit, wait or are read again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{
    AwsAccess, DeleteFunctionRequest, DeleteMappingRequest, ExhaustedPolicy, FileSource,
    FunctionSettings, GetMappingRequest, KeyOrder, KinesisSource, ListParkedKeysRequest,
    MappingCounts, MappingMode, MappingSettings, MappingState, NatsSource, ParkedKey,
    SeekMappingRequest, SeekMappingResponse, SeekTarget, SetMappingModeRequest, StartingPosition,
    UnparkKeyRequest, seek_target,
};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{Client, file};
use trine_tests::fixture::nats::Nats;
use trine_tests::fixture::puppet::Puppet;
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::tools::address;
use trine_tests::fixture::wait::{soon, until};
use trine_tests::fixture::{LIMIT, run};
use trine_tests::sources::{Field as _, KinesisField, Record, records_of};
use trine_worker::{Error, Worker};

const FUNCTION: &str = "f";

/// Records of a key that are written at a time.
const WAVE: u64 = 2;

/// What the function has been given, by the `order` of its records, and which of them it fails.
#[derive(Clone, Default)]
struct Orders(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// In the order of their coming, each time again.
    all: Vec<u64>,
    failing: BTreeSet<u64>,
}

impl Orders {
    fn fail(&self, orders: &[u64]) {
        self.0.lock().unwrap().failing = orders.iter().copied().collect();
    }

    fn all(&self) -> Vec<u64> {
        self.0.lock().unwrap().all.clone()
    }

    async fn until(&self, what: &str, seen: impl Fn(&[u64]) -> bool) {
        until(what, LIMIT, async || seen(&self.0.lock().unwrap().all)).await;
    }

    /// Takes an event as a file or JetStream makes it, and answers with the ids of what failed (LS 4.6).
    fn handle(&self, event: &[u8]) -> Result<Bytes, Error> {
        let event: Value = serde_json::from_slice(event)?;
        let mut seen = self.0.lock().unwrap();
        let mut failures = Vec::new();
        for record in event["Records"].as_array().into_iter().flatten() {
            let (id, order) = match record["line"]["order"].as_u64() {
                Some(order) => (record["id"].clone(), order),
                None => (json!(record["streamSequence"].to_string()), order_of(record)),
            };
            seen.all.push(order);
            if seen.failing.contains(&order) {
                failures.push(json!({"itemIdentifier": id}));
            }
        }
        Ok(json!({"batchItemFailures": failures}).to_string().into())
    }

    async fn serve(&self, broker: &Broker) -> Serving {
        let orders = self.clone();
        let handler = move |event: Bytes, _| {
            let answer = orders.handle(&event);
            async move { answer }
        };
        Serving::start(Worker::connect(broker.url()).function_raw(FUNCTION, handler)).await
    }
}

fn order_of(message: &Value) -> u64 {
    use base64::Engine as _;
    let data = message["data"].as_str().unwrap();
    let data = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    std::str::from_utf8(&data).unwrap().parse().unwrap()
}

/// A file that a mapping follows.
struct Lines(PathBuf);

impl Lines {
    fn of(broker: &Broker) -> Self {
        Self(broker.folder().join("orders.jsonl"))
    }

    fn append(&self, lines: impl IntoIterator<Item = Value>) {
        let mut file = File::options().create(true).append(true).open(&self.0).unwrap();
        lines.into_iter().for_each(|line| writeln!(file, "{line}").unwrap());
    }

    fn append_orders(&self, orders: std::ops::Range<u64>) {
        self.append(orders.map(|order| json!({"order": order})));
    }

    fn source(&self) -> Source {
        Source::File(FileSource { path: self.0.display().to_string() })
    }
}

async fn counts(client: &Client, id: &str) -> MappingCounts {
    let activity = client.mapping(id).await.activity;
    activity.and_then(|activity| activity.counts).unwrap_or_default()
}

async fn until_state(client: &Client, id: &str, state: MappingState) {
    until("the state", LIMIT, async || client.mapping(id).await.state() == state).await;
}

async fn set_mode(client: &Client, id: &str, mode: MappingMode, state: MappingState) {
    let request = SetMappingModeRequest { id: id.to_owned(), mode: mode.into() };
    client.mappings().set_mapping_mode(request).await.unwrap();
    until_state(client, id, state).await;
}

async fn seek(
    client: &Client,
    id: &str,
    to: seek_target::Target,
    preview: bool,
) -> SeekMappingResponse {
    let target = Some(SeekTarget { target: Some(to), ..SeekTarget::default() });
    let request = SeekMappingRequest { id: id.to_owned(), target, preview };
    client.mappings().seek_mapping(request).await.unwrap().into_inner()
}

async fn parked(client: &Client, id: &str) -> Vec<ParkedKey> {
    let request = ListParkedKeysRequest { id: id.to_owned(), ..ListParkedKeysRequest::default() };
    client.mappings().list_parked_keys(request).await.unwrap().into_inner().keys
}

/// LS 4.4 and 4.6: what a filter drops is over, what a function names comes again, and what has failed often enough is told to the
/// destination while the rest goes on.
#[test]
fn one_bad_record_costs_nobody_else_anything() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create(FUNCTION, FunctionSettings::default()).await;
        let (orders, lines) = (Orders::default(), Lines::of(&broker));
        orders.fail(&[6]);
        let _worker = orders.serve(&broker).await;
        let line = |order: u64| json!({"order": order, "noise": order % 2 == 1});
        lines.append((0..40).map(line));
        let settings = MappingSettings {
            batch_size: Some(10),
            starting_position: Some(StartingPosition::TrimHorizon.into()),
            filters: vec![json!({"line": {"noise": [false]}}).to_string()],
            report_batch_item_failures: Some(true),
            bisect_batch_on_function_error: Some(true),
            maximum_retry_attempts: Some(2),
            on_failure: file("failed.jsonl"),
            ..MappingSettings::default()
        };
        let id = client.create_mapping(FUNCTION, lines.source(), settings).await.id;
        orders.until("the last line", |seen| seen.contains(&38)).await;
        until("the record of the failure", LIMIT, async || {
            counts(&client, &id).await.on_failure_delivered_events == 1
        })
        .await;
        let seen = orders.all();
        assert!(seen.iter().all(|order| order % 2 == 0), "filtered: {seen:?}");
        let mut times = BTreeMap::new();
        seen.iter().for_each(|order| *times.entry(*order).or_insert(0) += 1);
        assert_eq!(times.len(), 20, "{seen:?}");
        // With the batch, at the head of what was left of it, and then alone: once and two retries.
        assert_eq!(times[&6], 5, "{seen:?}");
        assert!([0, 2, 4].iter().all(|before| times[before] == 1), "{seen:?}");
        let told = broker.records("failed.jsonl");
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["requestContext"]["condition"], "RetryAttemptsExhausted");
        let batch =
            told[0].as_object().unwrap().iter().find(|(name, _)| name.ends_with("BatchInfo"));
        assert_eq!(batch.unwrap().1["batchSize"], 1, "{told:?}");
        let counts = counts(&client, &id).await;
        assert_eq!((counts.polled_events, counts.filtered_out_events), (40, 20));
    });
}

/// A function that is deleted while it works on a batch spends no attempt, and takes none of what comes after.
#[test]
fn a_deleted_function_costs_no_record() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create(FUNCTION, FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let hanging = Worker::connect(broker.url()).function_raw(FUNCTION, strings.handler());
        let hanging = Serving::start(hanging).await;
        let lines = Lines::of(&broker);
        lines.append_orders(0..100);
        let settings = MappingSettings {
            batch_size: Some(1),
            starting_position: Some(StartingPosition::TrimHorizon.into()),
            maximum_retry_attempts: Some(0),
            ..MappingSettings::default()
        };
        let id = client.create_mapping(FUNCTION, lines.source(), settings).await.id;
        let _held = puppet.next().await;
        let request = DeleteFunctionRequest { name: FUNCTION.to_owned(), force: true };
        client.functions().delete_function(request).await.unwrap();
        drop(hanging);
        client.create(FUNCTION, FunctionSettings::default()).await;
        let orders = Orders::default();
        let _worker = orders.serve(&broker).await;
        orders.until("all lines", |seen| seen.contains(&99)).await;
        assert_eq!(orders.all(), (0..100).collect::<Vec<_>>());
        assert_eq!(counts(&client, &id).await.dropped_events, 0);
    });
}

/// A pause keeps the place; a seek moves it, and says beforehand what that means.
#[test]
fn a_pause_keeps_the_place_and_a_seek_moves_it() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create(FUNCTION, FunctionSettings::default()).await;
        let (orders, lines) = (Orders::default(), Lines::of(&broker));
        let _worker = orders.serve(&broker).await;
        lines.append_orders(0..10);
        let settings = MappingSettings {
            starting_position: Some(StartingPosition::TrimHorizon.into()),
            ..MappingSettings::default()
        };
        let id = client.create_mapping(FUNCTION, lines.source(), settings).await.id;
        orders.until("ten lines", |seen| seen.len() == 10).await;
        set_mode(&client, &id, MappingMode::Paused, MappingState::Paused).await;
        lines.append_orders(10..20);
        let start = || seek_target::Target::Edge(StartingPosition::TrimHorizon.into());
        let preview = seek(&client, &id, start(), true).await;
        assert_eq!(preview.shards[0].read_again, Some(10), "{preview:?}");
        set_mode(&client, &id, MappingMode::Enabled, MappingState::Enabled).await;
        orders.until("what came meanwhile", |seen| seen.len() == 20).await;
        assert_eq!(orders.all(), (0..20).collect::<Vec<_>>(), "a preview moves nothing");

        set_mode(&client, &id, MappingMode::Paused, MappingState::Paused).await;
        assert!(seek(&client, &id, start(), false).await.done);
        set_mode(&client, &id, MappingMode::Enabled, MappingState::Enabled).await;
        orders.until("all again", |seen| seen.len() == 40).await;
        assert_eq!(orders.all(), (0..20).chain(0..20).collect::<Vec<_>>());
    });
}

/// LS 4.2: LATEST is the end of the source when the mapping began, also for who reads it first after a crash.
#[test]
fn latest_is_where_the_source_ended_when_the_mapping_began() {
    run(async {
        let mut broker = Broker::start().await;
        let client = broker.client();
        client.create(FUNCTION, FunctionSettings::default()).await;
        let lines = Lines::of(&broker);
        lines.append_orders(0..5);
        let settings = MappingSettings {
            starting_position: Some(StartingPosition::Latest.into()),
            ..MappingSettings::default()
        };
        let id = client.create_mapping(FUNCTION, lines.source(), settings).await.id;
        until("its beginning", LIMIT, async || {
            let activity = client.mapping(&id).await.activity.unwrap_or_default();
            activity.shards.first().is_some_and(|shard| !shard.phase.is_empty())
        })
        .await;
        broker.crash().await;
        lines.append_orders(5..9);
        let orders = Orders::default();
        let _worker = orders.serve(&broker).await;
        orders.until("what was written meanwhile", |seen| seen.len() == 4).await;
        assert_eq!(orders.all(), [5, 6, 7, 8]);
    });
}

/// A mapping that looks for the end of a source which takes connections and says nothing lets go of it when it is deleted, long before
/// the source's client (40 s) and the poller (60 s) give up.
#[test]
fn a_silent_source_holds_up_no_end() {
    const GONE_WITHIN: Duration = Duration::from_secs(20);
    run(async {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let setup = Setup::new().environment("AWS_ACCESS_KEY_ID", "test");
        let broker = setup.environment("AWS_SECRET_ACCESS_KEY", "test").start().await;
        let client = broker.client();
        client.create(FUNCTION, FunctionSettings::default()).await;
        let access = AwsAccess {
            endpoint_url: format!("http://{}", silent.local_addr().unwrap()),
            ..AwsAccess::default()
        };
        let stream_arn = "arn:aws:kinesis:us-east-1:000000000000:stream/silent".to_owned();
        let source = Source::Kinesis(KinesisSource { stream_arn, access: Some(access) });
        let settings = MappingSettings {
            starting_position: Some(StartingPosition::Latest.into()),
            ..MappingSettings::default()
        };
        let id = client.create_mapping(FUNCTION, source, settings).await.id;
        let _asked = soon("the poller's question", silent.accept()).await.unwrap();
        let request = DeleteMappingRequest { id: id.clone() };
        client.mappings().delete_mapping(request).await.unwrap();
        let gone = until("its end", LIMIT, async || {
            let request = GetMappingRequest { id: id.clone() };
            client.mappings().get_mapping(request).await.is_err()
        });
        tokio::time::timeout(GONE_WITHIN, gone).await.expect("the mapping is gone");
    });
}

/// A key that fails is set aside with what follows it; the others go on. Unparked, it comes back in its order, without the record that
/// nobody could process.
#[test]
fn a_parked_key_comes_back_in_its_order() {
    let test = "a_parked_key_comes_back_in_its_order";
    run(async {
        let Some(nats) = Nats::start(test).await else { return };
        let context = async_nats::jetstream::new(nats.client().await);
        let config = async_nats::jetstream::stream::Config {
            name: "ORDERS".to_owned(),
            subjects: vec!["orders.*".to_owned()],
            ..Default::default()
        };
        context.create_stream(config).await.unwrap();
        let publish = async |subject: &str, order: u64| {
            let sent = context.publish(format!("orders.{subject}"), order.to_string().into()).await;
            sent.unwrap().await.unwrap();
        };
        let broker = Broker::start().await;
        let client = broker.client();
        client.create(FUNCTION, FunctionSettings::default()).await;
        let orders = Orders::default();
        orders.fail(&[2]);
        let _worker = orders.serve(&broker).await;
        // Even ones are a's, odd ones b's.
        for order in 0..10 {
            publish(if order % 2 == 0 { "a" } else { "b" }, order).await;
        }
        let source = NatsSource {
            urls: vec![nats.url()],
            stream: "ORDERS".to_owned(),
            ..NatsSource::default()
        };
        let settings = MappingSettings {
            batch_size: Some(1),
            starting_position: Some(StartingPosition::TrimHorizon.into()),
            report_batch_item_failures: Some(true),
            maximum_retry_attempts: Some(0),
            key_order: Some(KeyOrder::Key.into()),
            exhausted_policy: Some(ExhaustedPolicy::ParkKey.into()),
            ..MappingSettings::default()
        };
        let id = client.create_mapping(FUNCTION, Source::Nats(source), settings).await.id;
        orders.until("b's last", |seen| seen.contains(&9)).await;
        until("all of a in the park", LIMIT, async || {
            parked(&client, &id).await.first().is_some_and(|key| key.records == 4)
        })
        .await;
        let key = parked(&client, &id).await.remove(0);
        assert_eq!(&*key.key, b"orders.a");
        let of_a = |seen: &[u64]| seen.iter().copied().filter(|n| n % 2 == 0).collect::<Vec<_>>();
        assert_eq!(of_a(&orders.all()), [0, 2]);

        let request =
            UnparkKeyRequest { id: id.clone(), shard: key.shard, key: key.key, skip_first: true };
        let unparked = client.mappings().unpark_key(request).await.unwrap().into_inner();
        assert_eq!(unparked.records, 3);
        until("an empty park", LIMIT, async || parked(&client, &id).await.is_empty()).await;
        assert_eq!(of_a(&orders.all()), [0, 2, 4, 6, 8]);
        publish("a", 10).await;
        orders.until("a again", |seen| seen.contains(&10)).await;
        assert_eq!(of_a(&orders.all()), [0, 2, 4, 6, 8, 10]);
    });
}

/// LS 4.7: the state of a window goes from batch to batch and ends with the window.
#[test]
fn windows_of_kinesis_count_every_record_once() {
    let test = "windows_of_kinesis_count_every_record_once";
    run(async {
        let Some(address) = address(test, "TRINE_KINESIS") else { return };
        let stream = format!("windows-{}", std::process::id());
        let field = KinesisField::open(&address, &stream).await.unwrap();
        let environment = field.environment().iter();
        let setup = Setup::new();
        let setup = environment.fold(setup, |setup, (name, value)| setup.environment(name, value));
        let broker = setup.start().await;
        let client = broker.client();
        client.create(FUNCTION, FunctionSettings::default()).await;
        let ended = Arc::new(Mutex::new(Vec::<u64>::new()));
        let finals = Arc::clone(&ended);
        let handler = move |event: Bytes, _| {
            let finals = Arc::clone(&finals);
            async move {
                let first_wave = |record: &Record| record.sequence < WAVE;
                let new = records_of(&event)?.into_iter().filter(first_wave).count() as u64;
                let event: Value = serde_json::from_slice(&event)?;
                let count = event["state"]["count"].as_u64().unwrap_or_default() + new;
                if event["isFinalInvokeForWindow"] == true {
                    finals.lock().unwrap().push(count);
                }
                Ok::<_, Error>(Bytes::from(json!({"state": {"count": count}}).to_string()))
            }
        };
        let worker = Worker::connect(broker.url()).function_raw(FUNCTION, handler);
        let _worker = Serving::start(worker).await;
        let keys = field.order().keys();
        let mut producer = field.producer().await.unwrap();
        let wave = |from: u64| {
            let of_key = |key| (from..from + WAVE).map(move |sequence| Record { key, sequence });
            (0..keys).flat_map(of_key).collect::<Vec<_>>()
        };
        producer.send(&wave(0)).await.unwrap();
        let settings = MappingSettings {
            tumbling_window_seconds: Some(1),
            batch_size: Some(10),
            ..field.settings()
        };
        client.create_mapping(FUNCTION, field.source(), settings).await;
        let counted = || ended.lock().unwrap().iter().sum::<u64>();
        let all = WAVE * u64::from(keys);
        let mut waves = 1..;
        // A window ends when a record of a later one has come.
        until("all records in windows that have ended", LIMIT, async || {
            producer.send(&wave(waves.next().unwrap() * WAVE)).await.unwrap();
            counted() >= all
        })
        .await;
        assert_eq!(counted(), all);
    });
}

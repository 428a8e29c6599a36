//! Event source mappings as their users and their pollers see them. The poller is the test's: it reads no source, and
//! says what no honest one would where a rule is to be broken.

use trine_proto::v1::source_config::Source;
use trine_proto::v1::{
    CreateMappingRequest, DeleteMappingRequest, ExplainMappingRequest, GetMappingRequest,
    KafkaSource, ListMappingsRequest, ListParkedKeysRequest, Mapping, MappingCounts, MappingMode,
    MappingSettings, MappingState, ParkReport, ParkedRecord, PollerServiceSessionRequest, Reason,
    Refusal, ReportOutcome, SeekMappingRequest, SeekMappingResponse, SeekReport, SeekTarget,
    SetMappingModeRequest, ShardActivity, ShardCheckpoint, ShardSeek, SourceConfig, SqsSource,
    StartingPosition, StatusReport, UnparkKeyRequest, UpdateMappingRequest, seek_target,
};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{Client, file, reason, refusal};
use trine_tests::fixture::raw_poller::{RawPoller, at, hello};
use trine_tests::fixture::wait::until;
use trine_tests::fixture::{LIMIT, run};

use crate::scene::patient;

fn sqs(name: &str) -> SourceConfig {
    let queue_arn = format!("arn:aws:sqs:eu-central-1:123456789012:{name}");
    SourceConfig { source: Some(Source::Sqs(SqsSource { queue_arn, ..SqsSource::default() })) }
}

fn custom(number: usize) -> SourceConfig {
    let custom = trine_proto::v1::CustomSource {
        kind: "puppet".to_owned(),
        configuration: format!("{{\"number\": {number}}}"),
    };
    SourceConfig { source: Some(Source::Custom(custom)) }
}

/// A broker that reads nothing itself: the only poller is the test's.
async fn broker() -> Broker {
    Setup::new().set("poller.enabled", false).start().await
}

async fn try_create(
    client: &Client,
    function: &str,
    source: SourceConfig,
    settings: MappingSettings,
) -> Result<Mapping, Refusal> {
    let request = CreateMappingRequest {
        function: function.to_owned(),
        source: Some(source),
        settings: Some(settings),
        ..CreateMappingRequest::default()
    };
    let created = client.mappings().create_mapping(request).await.map_err(refusal)?;
    Ok(created.into_inner().mapping.unwrap())
}

async fn create(client: &Client, source: SourceConfig) -> Mapping {
    try_create(client, "f", source, MappingSettings::default()).await.unwrap()
}

async fn try_get(client: &Client, id: &str) -> Result<Mapping, Refusal> {
    let request = GetMappingRequest { id: id.to_owned() };
    let got = client.mappings().get_mapping(request).await.map_err(refusal)?;
    Ok(got.into_inner().mapping.unwrap())
}

async fn get(client: &Client, id: &str) -> Mapping {
    try_get(client, id).await.unwrap()
}

async fn set_mode(client: &Client, id: &str, mode: MappingMode) -> Result<Mapping, Refusal> {
    let request = SetMappingModeRequest { id: id.to_owned(), mode: mode.into() };
    let set = client.mappings().set_mapping_mode(request).await.map_err(refusal)?;
    Ok(set.into_inner().mapping.unwrap())
}

async fn delete(client: &Client, id: &str) -> Result<Mapping, Refusal> {
    let request = DeleteMappingRequest { id: id.to_owned() };
    let deleted = client.mappings().delete_mapping(request).await.map_err(refusal)?;
    Ok(deleted.into_inner().mapping.unwrap())
}

async fn why(client: &Client, id: &str) -> String {
    let request = ExplainMappingRequest { id: id.to_owned() };
    client.mappings().explain_mapping(request).await.unwrap().into_inner().message
}

#[test]
fn a_mapping_has_the_states_of_lambda() {
    run(async {
        let broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let made = create(&client, custom(1)).await;
        let id = made.id.as_str();
        assert_eq!(made.state(), MappingState::Creating, "LS 4.1");
        assert_eq!(made.arn, format!("trine:event-source-mapping:{id}"));
        assert_eq!(made.state_transition_reason, "User action");
        assert_eq!(made.last_processing_result, "No records processed");
        assert_eq!(get(&client, id).await.state(), MappingState::Enabled);
        assert_eq!(create(&client, sqs("q")).await.state_transition_reason, "USER_INITIATED");

        let mut poller = RawPoller::join(&client, "p", &["puppet"], 10).await;
        let given = poller.assignment().await;
        let disabling = set_mode(&client, id, MappingMode::Disabled).await.unwrap();
        assert_eq!(disabling.state(), MappingState::Disabling);
        let asked = poller.revocation().await;
        assert_eq!((asked.mapping_id.as_str(), asked.fence), (id, given.fence));
        let busy = set_mode(&client, id, MappingMode::Enabled).await;
        assert_eq!(reason(&busy), Some(Reason::MappingBusy));
        poller.release(id, given.fence).await;
        until("the mapping is disabled", LIMIT, async || {
            get(&client, id).await.state() == MappingState::Disabled
        })
        .await;
        let enabling = set_mode(&client, id, MappingMode::Enabled).await.unwrap();
        assert_eq!(enabling.state(), MappingState::Enabling);
        let given = poller.assignment().await;

        set_mode(&client, id, MappingMode::Paused).await.unwrap();
        assert_eq!(get(&client, id).await.state(), MappingState::Paused);
        let paused = poller.assignment().await;
        assert!(paused.paused && paused.fence == given.fence, "{paused:?}");

        let deleting = delete(&client, id).await.unwrap();
        assert_eq!(deleting.state(), MappingState::Deleting);
        poller.revocation().await;
        poller.release(id, given.fence).await;
        until("the mapping is gone", LIMIT, async || {
            reason(&try_get(&client, id).await) == Some(Reason::UnknownMapping)
        })
        .await;
    });
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    run(async {
        let broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mapping = create(&client, sqs("orders")).await;
        let settings = MappingSettings::default;
        let refused = async |source: SourceConfig, settings: MappingSettings| {
            try_create(&client, "f", source, settings).await.unwrap_err()
        };
        let exists = refused(sqs("orders"), settings()).await;
        assert_eq!(exists.reason(), Reason::MappingExists);
        let arn = "arn:aws:sqs:eu-central-1:123456789012:orders";
        assert_eq!(
            exists.message,
            format!(
                "An event source mapping with SQS arn (\" {arn} \") and function (\" f \") already \
                 exists. Please update or delete the existing mapping with UUID {}",
                mapping.id
            ),
            "LS 4.1"
        );
        for (settings, words) in [
            (MappingSettings { batch_size: Some(0), ..settings() }, "batch_size"),
            (MappingSettings { batch_size: Some(10_001), ..settings() }, "1..=10000"),
            (
                MappingSettings { batch_size: Some(11), ..settings() },
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
            ),
            (MappingSettings { parallelization_factor: Some(2), ..settings() }, "does not apply"),
            (
                MappingSettings { filters: vec!["{".to_owned()], ..settings() },
                "Invalid filter pattern definition.",
            ),
            (MappingSettings { starting_position: Some(77), ..settings() }, "starting_position"),
            (MappingSettings { on_failure: file("../x"), ..settings() }, "file"),
        ] {
            let refused = refused(sqs("other"), settings).await;
            assert_eq!(refused.reason(), Reason::InvalidArgument, "{refused:?}");
            assert!(refused.message.contains(words), "{}", refused.message);
        }
        for (source, words) in [
            (SourceConfig::default(), "source"),
            (SourceConfig { source: Some(Source::Sqs(SqsSource::default())) }, "sqs.queue_arn"),
        ] {
            let refused = refused(source, settings()).await;
            assert!(refused.message.contains(words), "{}", refused.message);
        }
        let unknown = try_create(&client, "nobody", sqs("other"), settings()).await;
        assert_eq!(reason(&unknown), Some(Reason::UnknownFunction));
    });
}

/// LS 4.8: a consumer group is one mapping's.
#[test]
fn a_chosen_name_of_a_reader_is_one_mappings() {
    run(async {
        let mut broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        client.create("g", patient()).await;
        let kafka = |topic: &str, consumer_group_id: &str| SourceConfig {
            source: Some(Source::Kafka(KafkaSource {
                bootstrap_servers: vec!["127.0.0.1:9092".to_owned()],
                topic: topic.to_owned(),
                consumer_group_id: consumer_group_id.to_owned(),
                ..KafkaSource::default()
            })),
        };
        let settings = || MappingSettings {
            starting_position: Some(StartingPosition::TrimHorizon.into()),
            ..MappingSettings::default()
        };
        let made = try_create(&client, "f", kafka("orders", "billing"), settings()).await.unwrap();
        let taken = async |client: &Client, topic: &str| {
            let source = kafka(topic, "billing");
            let refused = try_create(client, "g", source, settings()).await;
            let refused = refused.unwrap_err();
            assert_eq!(refused.reason(), Reason::MappingExists);
            assert!(refused.message.contains(&made.id), "{}", refused.message);
        };
        taken(&client, "orders").await;
        taken(&client, "other").await;
        try_create(&client, "g", kafka("orders", ""), settings()).await.unwrap();
        broker.crash().await;
        let client = broker.client();
        taken(&client, "orders").await;
        let request = DeleteMappingRequest { id: made.id.clone() };
        client.mappings().delete_mapping(request).await.unwrap();
        until("the name is free", LIMIT, async || {
            let source = kafka("orders", "billing");
            try_create(&client, "g", source, settings()).await.is_ok()
        })
        .await;
    });
}

#[test]
fn an_update_changes_what_is_given_and_shows_what_is_in_force() {
    run(async {
        let broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mapping = create(&client, sqs("orders")).await;
        let settings = MappingSettings::default;
        let update = |settings: MappingSettings, clear: &[&str]| UpdateMappingRequest {
            id: mapping.id.clone(),
            settings: Some(settings),
            clear: clear.iter().map(|name| (*name).to_owned()).collect(),
            ..UpdateMappingRequest::default()
        };
        for (request, words) in [
            (update(MappingSettings { starting_position: Some(1), ..settings() }, &[]), "made"),
            (update(settings(), &["nonsense"]), "nonsense"),
            (
                update(MappingSettings { batch_size: Some(3), ..settings() }, &["batch_size"]),
                "batch_size",
            ),
        ] {
            let refused = client.mappings().update_mapping(request).await.map_err(refusal);
            let refused = refused.unwrap_err();
            assert!(refused.message.contains(words), "{}", refused.message);
        }
        let request = update(MappingSettings { batch_size: Some(3), ..settings() }, &[]);
        let updated = client.mappings().update_mapping(request).await.unwrap().into_inner();
        let updated = updated.mapping.unwrap();
        assert_eq!(updated.state(), MappingState::Updating);
        let row = updated.effective.iter().find(|row| row.name == "batch_size").unwrap();
        assert_eq!((row.value.as_str(), row.origin), ("3", 3), "set by the mapping");
        let row = updated.effective.iter().find(|row| row.name == "maximum_concurrency").unwrap();
        assert_eq!(row.origin, 1, "a default is shown as one");
    });
}

#[test]
fn checkpoints_are_kept_under_the_newest_fence_only() {
    run(async {
        let mut broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mapping = create(&client, custom(1)).await;
        let id = mapping.id.as_str();
        let mut first = RawPoller::join(&client, "first", &["puppet"], 10).await;
        let old = first.assignment().await.fence;
        let ended = ShardCheckpoint { ended: true, ..at("closed", "9") };
        let windowed = ShardCheckpoint {
            window_state: b"{\"sum\":3}".to_vec().into(),
            window_start_ms: 60_000,
            ..at("open", "7")
        };
        for kept in [&ended, &windowed] {
            assert_eq!(first.checkpoint((id, old), kept.clone()).await, ReportOutcome::Done);
        }
        drop(first);
        let mut second = RawPoller::join(&client, "second", &["puppet"], 10).await;
        let given = second.assignment().await;
        assert!(given.fence > old);
        assert_eq!(given.checkpoints, [ended.clone(), windowed.clone()]);
        let mut liar = RawPoller::join(&client, "liar", &["other"], 10).await;
        for fence in [old, given.fence, given.fence + 1] {
            let outcome = liar.checkpoint((id, fence), at("open", "1")).await;
            assert_eq!(outcome, ReportOutcome::StaleFence);
        }
        let metrics = broker.metrics().await;
        assert_eq!(metrics.value("trine_mapping_fence_refusals_total"), 3.0);
        let gone = ShardCheckpoint { forgotten: true, ..at("closed", "") };
        for _ in 0..2 {
            let outcome = second.checkpoint((id, given.fence), gone.clone()).await;
            assert_eq!(outcome, ReportOutcome::Done);
        }

        broker.crash().await;
        let mut third = RawPoller::join(&client, "third", &["puppet"], 10).await;
        let again = third.assignment().await;
        assert!(again.fence > given.fence, "{} after {}", again.fence, given.fence);
        assert_eq!(again.checkpoints, [windowed]);
    });
}

#[test]
fn a_poller_that_dies_or_falls_silent_gives_its_mappings_away() {
    run(async {
        let broker = Setup::new().set("timing.heartbeat", "\"200ms\"").start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        for number in 0..4 {
            create(&client, custom(number)).await;
        }
        let mut one = RawPoller::join(&client, "one", &["puppet"], 10).await;
        assert_eq!((one.welcome.heartbeat_interval_ms, one.welcome.lease_ms), (200, 400));
        one.assigned(4).await;
        let mut two = RawPoller::join(&client, "two", &["puppet"], 10).await;
        for _ in 0..2 {
            let asked = one.revocation().await;
            one.release(&asked.mapping_id, asked.fence).await;
        }
        two.assigned(2).await;
        assert_eq!(two.waiting(), 0, "two each");
        one.fall_silent();
        two.assigned(2).await;
        one.ended().await;
        drop(two);
        let mut three = RawPoller::join(&client, "three", &["puppet"], 10).await;
        three.assigned(4).await;
        until("two sessions are lost", LIMIT, async || {
            broker.metrics().await.value("trine_poller_sessions_lost_total") == 2.0
        })
        .await;
    });
}

fn parked(id: &str, fence: u64, key: &str, events: &[&str], error: &str) -> ParkReport {
    let record = |event: &&str| ParkedRecord {
        identifier: format!("id-{event}"),
        position: (*event).to_owned(),
        arrived_at_ms: 5,
        event: (*event).to_owned().into(),
    };
    ParkReport {
        mapping_id: id.to_owned(),
        fence,
        shard: "s".to_owned(),
        key: key.to_owned().into(),
        records: events.iter().map(record).collect(),
        error: error.to_owned(),
        ..ParkReport::default()
    }
}

fn settled(id: &str, fence: u64, key: &str, count: u32) -> ParkReport {
    ParkReport { settled: count, ..parked(id, fence, key, &[], "") }
}

#[test]
fn parked_records_come_back_in_order_also_after_a_crash() {
    run(async {
        let mut broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mapping = create(&client, custom(1)).await;
        let id = mapping.id.as_str();
        let mut poller = RawPoller::join(&client, "p", &["puppet"], 10).await;
        let fence = poller.assignment().await.fence;
        let done = poller.park(parked(id, fence, "a", &["1"], "it broke")).await;
        assert_eq!(done.outcome(), ReportOutcome::Done);
        poller.park(parked(id, fence, "a", &["2", "3"], "")).await;
        poller.park(parked(id, fence, "b", &["9"], "too")).await;
        broker.crash().await;

        let request = ListParkedKeysRequest { id: id.to_owned(), ..Default::default() };
        let keys = client.mappings().list_parked_keys(request).await.unwrap().into_inner().keys;
        let shown: Vec<_> =
            keys.iter().map(|key| (&key.key[..], key.records, key.error.as_str())).collect();
        assert_eq!(shown, [(&b"a"[..], 3, "it broke"), (b"b", 1, "too")]);
        assert!(why(&client, id).await.contains("No connected poller reads"));

        let mut poller = RawPoller::join(&client, "p", &["puppet"], 10).await;
        let given = poller.assignment().await;
        let told: Vec<_> = given.parked.iter().map(|key| (&key.key[..], key.records)).collect();
        assert_eq!(told, [(&b"a"[..], 3), (b"b", 1)]);
        let unpark = |skip_first| UnparkKeyRequest {
            id: id.to_owned(),
            shard: "s".to_owned(),
            key: "a".into(),
            skip_first,
        };
        let unparked = client.mappings().unpark_key(unpark(true)).await.unwrap().into_inner();
        assert_eq!(unparked.records, 2);
        let order = poller.unpark().await;
        let events: Vec<_> = order.records.iter().map(|record| &record.event[..]).collect();
        assert_eq!((events, order.left), (vec![&b"2"[..], b"3"], 0));
        assert_eq!(order.records[0].identifier, "id-2");
        assert_eq!(order.records[0].arrived_at_ms, 5);
        poller.park(settled(id, given.fence, "a", 2)).await;
        assert_eq!(get(&client, id).await.activity.unwrap().parked_records, 1);
        let gone = client.mappings().unpark_key(unpark(false)).await.map_err(refusal);
        assert!(gone.unwrap_err().message.contains("No such key"));
    });
}

#[test]
fn a_failure_record_goes_to_the_mappings_destination_once_a_try() {
    run(async {
        let broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        client.create("g", patient()).await;
        let to = |on_failure| MappingSettings { on_failure, ..MappingSettings::default() };
        let path = |name: &str| {
            let file = trine_proto::v1::FileSource { path: format!("/tmp/{name}") };
            SourceConfig { source: Some(Source::File(file)) }
        };
        let filed = try_create(&client, "f", path("a"), to(file("batches.jsonl"))).await.unwrap();
        let function = trine_proto::v1::destination::Target::Function("g".to_owned());
        let function = Some(trine_proto::v1::Destination { target: Some(function) });
        let invoked = try_create(&client, "f", path("b"), to(function)).await.unwrap();
        let none = try_create(&client, "f", path("c"), to(None)).await.unwrap();
        let mut poller = RawPoller::join(&client, "p", &["file"], 10).await;
        let given = poller.assigned(3).await;
        let fence = |mapping: &Mapping| {
            let is_it = |given: &&trine_proto::v1::Assignment| {
                given.mapping.as_ref().is_some_and(|given| given.id == mapping.id)
            };
            given.iter().find(is_it).unwrap().fence
        };
        let record = r#"{"version":"1.0","batch":1}"#;
        let done = poller.failure((&filed.id, fence(&filed)), record).await;
        assert_eq!(done.outcome(), ReportOutcome::Done, "{done:?}");
        let expected: serde_json::Value = serde_json::from_str(record).unwrap();
        assert_eq!(broker.records("batches.jsonl"), [expected]);
        for _ in 0..2 {
            let done = poller.failure((&invoked.id, fence(&invoked)), record).await;
            assert_eq!(done.outcome(), ReportOutcome::Done, "{done:?}");
        }
        assert_eq!(client.account().await.queued, 1, "the same record twice is one event");
        let failed = poller.failure((&none.id, fence(&none)), record).await;
        assert_eq!(failed.outcome(), ReportOutcome::Failed);
        assert!(failed.error.contains("no on-failure destination"), "{failed:?}");
    });
}

#[test]
fn a_seek_is_asked_of_the_holder() {
    run(async {
        let broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mapping = create(&client, custom(1)).await;
        let id = mapping.id.as_str();
        let seek = |preview| {
            let target = Some(seek_target::Target::Position("3".to_owned()));
            let target = Some(SeekTarget { target, shard: "s".to_owned() });
            let request = SeekMappingRequest { id: id.to_owned(), target, preview };
            let client = client.clone();
            tokio::spawn(async move {
                let sought = client.mappings().seek_mapping(request).await.map_err(refusal);
                sought.map(tonic::Response::into_inner)
            })
        };
        let nobody = seek(true).await.unwrap();
        assert_eq!(reason(&nobody), Some(Reason::NoPoller));
        let mut poller = RawPoller::join(&client, "p", &["puppet"], 10).await;
        let fence = poller.assignment().await.fence;
        poller.checkpoint((id, fence), at("s", "9")).await;
        let moved = ShardSeek {
            shard: "s".to_owned(),
            from: "9".to_owned(),
            to: "3".to_owned(),
            read_again: Some(6),
            skipped: None,
        };
        for preview in [true, false] {
            let seeking = seek(preview);
            let order = poller.seek().await;
            assert_eq!((order.preview, order.fence), (preview, fence));
            assert_eq!(order.target.as_ref().unwrap().shard, "s");
            let report = SeekReport {
                ticket: order.ticket,
                shards: vec![moved.clone()],
                checkpoints: vec![at("s", "2")],
                error: String::new(),
            };
            poller.sought(report).await;
            let sought = seeking.await.unwrap().unwrap();
            assert_eq!(sought, SeekMappingResponse { shards: vec![moved.clone()], done: !preview });
            let mut other = RawPoller::join(&client, "other", &["other"], 10).await;
            assert_eq!(
                other.checkpoint((id, fence), at("s", "1")).await,
                ReportOutcome::StaleFence
            );
        }
        let seeking = seek(false);
        let ticket = poller.seek().await.ticket;
        let error = "no such offset".to_owned();
        poller.sought(SeekReport { ticket, error, ..SeekReport::default() }).await;
        assert_eq!(seeking.await.unwrap().unwrap_err().message, "no such offset");
        let seeking = seek(false);
        poller.seek().await;
        drop(poller);
        assert_eq!(reason(&seeking.await.unwrap()), Some(Reason::NoPoller), "its holder went away");
        let mut next = RawPoller::join(&client, "next", &["puppet"], 10).await;
        assert_eq!(next.assignment().await.checkpoints, [at("s", "2")]);
    });
}

#[test]
fn what_pollers_tell_is_shown_and_counted() {
    run(async {
        let mut broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mapping = create(&client, custom(1)).await;
        let id = mapping.id.as_str();
        let mut poller = RawPoller::join(&client, "p", &["puppet"], 10).await;
        let fence = poller.assignment().await.fence;
        let shard = |name: &str, lag| ShardActivity {
            shard: name.to_owned(),
            checkpoint: "7".to_owned(),
            lag_records: Some(lag),
            iterator_age_ms: Some(1_500),
            phase: "polling".to_owned(),
        };
        let report = StatusReport {
            mapping_id: id.to_owned(),
            fence,
            waiting_for: "a batch gathers until its window ends".to_owned(),
            last_processing_result: "OK".to_owned(),
            shards: vec![shard("a", 5), shard("b", 2)],
            added: Some(MappingCounts { polled_events: 4, throttles: 1, ..Default::default() }),
            live: true,
            ..StatusReport::default()
        };
        poller.status(report.clone()).await;
        poller.status(report.clone()).await;
        poller.checkpoint((id, fence), at("a", "7")).await;
        let shown = get(&client, id).await;
        assert_eq!(shown.last_processing_result, "OK");
        let activity = shown.activity.unwrap();
        assert_eq!((activity.poller.as_str(), activity.fence), ("p", fence));
        assert_eq!(activity.shards.len(), 2);
        assert_eq!(activity.counts.unwrap().polled_events, 8);
        let metrics = broker.metrics().await;
        let labels = format!("{{mapping=\"{id}\",source=\"custom\",function=\"f\"}}");
        for (name, value) in [
            ("trine_mapping_polled_events_total", 8.0),
            ("trine_mapping_throttles_total", 2.0),
            ("trine_mapping_offset_lag", 7.0),
            ("trine_mapping_offset_lag_max", 5.0),
            ("trine_mapping_iterator_age_seconds", 1.5),
            ("trine_mapping_live", 1.0),
        ] {
            assert_eq!(metrics.value(&format!("{name}{labels}")), value, "{name}");
        }
        assert_eq!(metrics.value("trine_mappings{state=\"enabled\"}"), 1.0);
        assert_eq!(metrics.value("trine_poller_sessions"), 1.0);

        assert!(why(&client, id).await.contains("No connected worker serves f"));
        let problem = StatusReport {
            problem: "EVENT_SOURCE_AUTHN_ERROR".to_owned(),
            error: "the server refused the password".to_owned(),
            live: false,
            ..report
        };
        poller.status(problem).await;
        poller.checkpoint((id, fence), at("a", "8")).await;
        let shown = get(&client, id).await;
        assert_eq!(shown.state_transition_reason, "EVENT_SOURCE_AUTHN_ERROR");
        assert!(why(&client, id).await.contains("refused the password"));
        set_mode(&client, id, MappingMode::Paused).await.unwrap();
        assert!(why(&client, id).await.contains("paused"));

        // An orderly end writes what was counted.
        broker.terminate();
        poller.drained().await;
        drop(poller);
        broker.ended(LIMIT).await;
        broker.restart().await;
        let counts = get(&client, id).await.activity.unwrap().counts.unwrap();
        assert_eq!(counts.polled_events, 12);
    });
}

#[test]
fn a_hello_that_breaks_a_rule_is_refused() {
    run(async {
        let broker = broker().await;
        let client = broker.client();
        for (hello, words) in [
            (hello("", &["puppet"], 1), "hello.poller"),
            (hello("p", &[], 1), "hello.kinds"),
            (hello("p", &["puppet", "puppet"], 1), "hello.kinds"),
            (hello("p", &["puppet"], 0), "hello.mappings_max"),
            (hello("p", &["puppet"], 10_001), "hello.mappings_max"),
        ] {
            let refused = RawPoller::with_hello(&client, hello).await.map_err(refusal);
            let refused = refused.unwrap_err();
            assert_eq!(refused.reason(), Reason::InvalidArgument);
            assert!(refused.message.contains(words), "{}", refused.message);
        }
        let mut later = hello("p", &["puppet"], 1);
        later.protocol_version = 2;
        let refused = RawPoller::with_hello(&client, later).await.map_err(refusal);
        assert_eq!(reason(&refused), Some(Reason::UnsupportedProtocol));
        let nothing = PollerServiceSessionRequest::default();
        assert!(RawPoller::open(&client, nothing).await.is_err(), "a session without hello");
    });
}

#[test]
fn frames_that_break_a_rule_end_the_session_and_nothing_else() {
    run(async {
        let broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mapping = create(&client, custom(1)).await;
        let id = mapping.id.as_str();
        let report = |kept: ShardCheckpoint, mapping: &str| PollerServiceSessionRequest {
            checkpoints: vec![trine_proto::v1::CheckpointReport {
                ticket: 1,
                mapping_id: mapping.to_owned(),
                fence: 1,
                checkpoint: Some(kept),
            }],
            ..PollerServiceSessionRequest::default()
        };
        let many = trine_proto::v1::LeaseRelease::default();
        let too_large = vec![b' '; (1 << 20) + 1].into();
        let frames = [
            (report(at("s", &"9".repeat(4_097)), id), "position"),
            (report(at(&"s".repeat(1_025), "9"), id), "shard"),
            (report(at("s", "9"), "no id"), "mapping_id"),
            (report(ShardCheckpoint { window_state: too_large, ..at("s", "9") }, id), "window"),
            (
                PollerServiceSessionRequest {
                    releases: vec![many; 5_000],
                    ..PollerServiceSessionRequest::default()
                },
                "reports",
            ),
            (
                PollerServiceSessionRequest {
                    parks: vec![parked(id, 1, "a", &["{"], "bad")],
                    ..PollerServiceSessionRequest::default()
                },
                "JSON",
            ),
            (
                PollerServiceSessionRequest {
                    parks: vec![ParkReport { settled: 1, ..parked(id, 1, "a", &["1"], "") }],
                    ..PollerServiceSessionRequest::default()
                },
                "not both",
            ),
            (
                PollerServiceSessionRequest {
                    hello: Some(hello("again", &["puppet"], 1)),
                    ..PollerServiceSessionRequest::default()
                },
                "hello",
            ),
        ];
        for (frame, words) in frames {
            let mut poller = RawPoller::join(&client, "rude", &["puppet"], 10).await;
            poller.send(frame).await;
            poller.ended().await;
            let refused = refusal(poller.ended_with.take().expect("it is told why"));
            assert!(refused.message.contains(words), "{}", refused.message);
        }
        let mut poller = RawPoller::join(&client, "polite", &["puppet"], 10).await;
        let fence = poller.assignment().await.fence;
        assert_eq!(poller.checkpoint((id, fence), at("s", "1")).await, ReportOutcome::Done);
    });
}

/// Answers that nobody reads are not gathered without end, and nobody else waits for them.
#[test]
fn a_poller_that_reads_no_answers_holds_up_nobody() {
    run(async {
        let broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mapping = create(&client, custom(1)).await;
        let id = mapping.id.clone();
        let deaf = Client::new(broker.address());
        let poller = RawPoller::with_hello(&deaf, hello("deaf", &["other"], 1)).await.unwrap();
        let report = trine_proto::v1::CheckpointReport {
            ticket: 1,
            mapping_id: id.clone(),
            fence: 1,
            checkpoint: Some(at("s", "1")),
        };
        let frame = PollerServiceSessionRequest {
            checkpoints: vec![report; 4_000],
            ..PollerServiceSessionRequest::default()
        };
        let mut sent = 0;
        let talk = async {
            while poller.try_send(frame.clone()).await.is_ok() {
                sent += 1;
            }
        };
        // Two heartbeats and some more: what was sent is what the bounds let in.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(3), talk).await;
        assert!(sent < 2_000, "{sent} frames of 4000 reports went in");
        let mut polite = RawPoller::join(&client, "polite", &["puppet"], 10).await;
        let fence = polite.assignment().await.fence;
        assert_eq!(polite.checkpoint((&id, fence), at("s", "1")).await, ReportOutcome::Done);
    });
}

#[test]
fn mappings_are_listed_in_pages_and_by_function() {
    run(async {
        let broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        client.create("g", patient()).await;
        let mut ids = Vec::new();
        for number in 0..5 {
            ids.push(create(&client, custom(number)).await.id);
        }
        let settings = MappingSettings::default();
        try_create(&client, "g", custom(0), settings).await.unwrap();
        ids.sort();
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let function = "f".to_owned();
            let request = ListMappingsRequest { function, page_size: 2, page_token };
            let page = client.mappings().list_mappings(request).await.unwrap().into_inner();
            found.extend(page.mappings.into_iter().map(|mapping| mapping.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found, ids);
    });
}

#[test]
fn a_restart_with_ten_thousand_checkpoints_is_quick() {
    run(async {
        let mut broker = broker().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mapping = create(&client, custom(1)).await;
        let id = mapping.id.as_str();
        let mut poller = RawPoller::join(&client, "p", &["puppet"], 10).await;
        let fence = poller.assignment().await.fence;
        for hundred in 0..100_u64 {
            let reports = (0..100).map(|number| trine_proto::v1::CheckpointReport {
                ticket: hundred,
                mapping_id: id.to_owned(),
                fence,
                checkpoint: Some(at(&format!("shard-{hundred}-{number}"), "4711")),
            });
            let checkpoints = reports.collect();
            poller.send(PollerServiceSessionRequest { checkpoints, ..Default::default() }).await;
            for _ in 0..100 {
                assert_eq!(poller.answer().await.outcome(), ReportOutcome::Done);
            }
        }
        let took = broker.crash().await;
        assert!(took < LIMIT / 10, "{took:?}");
        let mut poller = RawPoller::join(&client, "p", &["puppet"], 10).await;
        let mut kept = 0;
        loop {
            let piece = poller.assignment().await;
            kept += piece.checkpoints.len();
            if !piece.more {
                break;
            }
        }
        assert_eq!(kept, 10_000);
    });
}

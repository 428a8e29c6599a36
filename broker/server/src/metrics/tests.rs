//! What a scrape shows after what happened.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, Stdio};

use trine_engine::mapping::{
    Count, Counts, Definition, MappingId, MappingMode, MappingState, MappingView, ShardStatus,
    Status,
};
use trine_engine::{
    AccountView, Death, Fact, FunctionId, FunctionName, FunctionSettings, FunctionUsage,
    FunctionView, RequestId, Throttle,
};

use super::*;

const START: Start = Start { version: "0.1.0", at: 1_700_000_000_500, virtual_time: false };
const RESIZE: FunctionId = FunctionId { index: 0, generation: 0 };
const MAIL: FunctionId = FunctionId { index: 3, generation: 7 };

/// A broker with two functions.
fn broker() -> (Metrics, FactSink) {
    let (metrics, mut sink) = Metrics::new(START);
    sink.function_registered(RESIZE, "resize");
    sink.function_registered(MAIL, "send_mail");
    (metrics, sink)
}

/// The value of a series, written as in the text format; `None` if there is no such series.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// The text without help and types: a line is a series.
fn series_count(metrics: &Metrics) -> usize {
    metrics.render().lines().filter(|line| !line.starts_with('#')).count()
}

fn every_fact(function: FunctionId) -> Vec<Fact> {
    let request_id = RequestId(7);
    let throttles =
        [Throttle::Reserved, Throttle::Account, Throttle::NoWorker, Throttle::NoCapacity];
    let deaths = [
        Death::RetriesExhausted,
        Death::EventAgeExceeded,
        Death::ZeroReservedConcurrency,
        Death::RecursiveInvocation,
    ];
    let mut facts = vec![
        Fact::Started { function, event_age_ms: None },
        Fact::Started { function, event_age_ms: Some(61_000) },
        Fact::Ended { function, ok: true, duration_ms: 3 },
        Fact::Ended { function, ok: false, duration_ms: 900_001 },
        Fact::EventReceived { function },
        Fact::LeaseExpired { function },
        Fact::SlotAbandoned { function },
        Fact::LateOutcome,
        Fact::Unspent { function },
        Fact::WorkerLost { function, request_id },
        Fact::RecordDelivered { function },
        Fact::DeliveryFailed { function },
        Fact::Undelivered { function, request_id },
        Fact::DeadForgotten { function, request_id },
        Fact::FunctionsChanged,
    ];
    facts.extend(throttles.map(|reason| Fact::Throttled { function, reason }));
    facts.extend(deaths.map(|death| Fact::EventDropped { function, death, request_id }));
    facts
}

fn view(id: FunctionId, name: &str) -> FunctionView {
    FunctionView {
        id,
        name: FunctionName::new(name).unwrap(),
        settings: FunctionSettings { reserved_concurrency: Some(5), ..FunctionSettings::default() },
        created_at: 0,
        modified_at: 0,
        usage: FunctionUsage {
            running: 2,
            queued: 40,
            queued_bytes: 4096,
            ready: 30,
            oldest_ready_age_ms: Some(1_500),
            workers: 3,
            free_slots: 9,
        },
    }
}

/// A broker in which everything happened.
fn busy_broker() -> (Metrics, FactSink) {
    let (metrics, mut sink) = broker();
    for fact in every_fact(RESIZE) {
        sink.fact(&fact);
    }
    let account = AccountView {
        concurrency: 1000,
        unreserved: 995,
        running: 3,
        unreserved_running: 1,
        functions: 2,
        queued: 41,
        queued_bytes: 5000,
        records_pending: 9,
        sync_waiting: 6,
        workers: 4,
        slots: 16,
        slots_taken: 7,
        leases: 5,
        remembered: 8,
    };
    sink.gauges(&account, [view(RESIZE, "resize")].into_iter());
    metrics.mappings().publish(&[mapping(7)]);
    metrics.commit(Duration::from_micros(1_200), 20, 40, 9000);
    metrics.store_rejected();
    metrics.refused(Reason::QueueFull);
    metrics.connection_opened();
    metrics.connection_opened();
    metrics.connection_closed();
    metrics.connection_refused();
    metrics.session_opened();
    metrics.session_lost();
    metrics.payload_cache_bytes(77);
    metrics.uptime(Duration::from_millis(2_500));
    (metrics, sink)
}

#[test]
fn every_fact_is_counted_for_its_function_and_for_the_account() {
    let (metrics, _sink) = busy_broker();
    let counted = [
        ("invocations_total", "", 2.0),
        ("function_errors_total", "", 1.0),
        ("throttles_total", "reason=\"reserved_concurrency\"", 1.0),
        ("throttles_total", "reason=\"account_concurrency\"", 1.0),
        ("throttles_total", "reason=\"no_worker\"", 1.0),
        ("throttles_total", "reason=\"no_capacity\"", 1.0),
        ("async_events_received_total", "", 1.0),
        ("async_events_dropped_total", "condition=\"RetriesExhausted\"", 1.0),
        ("async_events_dropped_total", "condition=\"EventAgeExceeded\"", 1.0),
        ("async_events_dropped_total", "condition=\"ZeroReservedConcurrency\"", 1.0),
        ("async_events_dropped_total", "condition=\"RecursiveInvocation\"", 1.0),
        ("dead_letters_forgotten_total", "", 1.0),
        ("destination_deliveries_total", "", 1.0),
        ("destination_delivery_failures_total", "", 1.0),
        ("destination_undelivered_total", "", 1.0),
        ("leases_expired_total", "", 1.0),
        ("attempts_unspent_total", "", 1.0),
        ("attempts_lost_total", "", 1.0),
        ("slots_abandoned_total", "", 1.0),
    ];
    for (name, by, expected) in counted {
        let (account, function) = if by.is_empty() {
            (format!("trine_account_{name}"), format!("trine_{name}{{function=\"resize\"}}"))
        } else {
            let account = format!("trine_account_{name}{{{by}}}");
            (account, format!("trine_{name}{{function=\"resize\",{by}}}"))
        };
        assert_eq!(value(&metrics, &account), Some(expected), "{account}");
        assert_eq!(value(&metrics, &function), Some(expected), "{function}");
    }
    assert_eq!(value(&metrics, "trine_late_outcomes_total"), Some(1.0));
}

#[test]
fn histograms_are_cumulative_and_in_seconds() {
    let (metrics, _sink) = busy_broker();
    let buckets = [
        ("trine_invocation_duration_seconds_bucket{function=\"resize\",le=\"0.002\"}", 0.0),
        ("trine_invocation_duration_seconds_bucket{function=\"resize\",le=\"0.005\"}", 1.0),
        ("trine_invocation_duration_seconds_bucket{function=\"resize\",le=\"900\"}", 1.0),
        ("trine_invocation_duration_seconds_bucket{function=\"resize\",le=\"+Inf\"}", 2.0),
        ("trine_invocation_duration_seconds_count{function=\"resize\"}", 2.0),
        ("trine_invocation_duration_seconds_sum{function=\"resize\"}", 900.004),
        ("trine_async_event_age_seconds_bucket{function=\"resize\",le=\"60\"}", 0.0),
        ("trine_async_event_age_seconds_bucket{function=\"resize\",le=\"120\"}", 1.0),
        ("trine_store_commit_duration_seconds_bucket{le=\"0.001\"}", 0.0),
        ("trine_store_commit_duration_seconds_bucket{le=\"0.0025\"}", 1.0),
        ("trine_store_commit_operations_sum", 40.0),
        ("trine_store_commit_bytes_sum", 9000.0),
    ];
    for (series, expected) in buckets {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
}

#[test]
fn gauges_are_those_of_the_views() {
    let (metrics, _sink) = busy_broker();
    let gauges = [
        ("trine_concurrent_executions{function=\"resize\"}", 2.0),
        ("trine_reserved_concurrent_executions{function=\"resize\"}", 5.0),
        ("trine_queue_events{function=\"resize\"}", 40.0),
        ("trine_queue_ready_events{function=\"resize\"}", 30.0),
        ("trine_queue_bytes{function=\"resize\"}", 4096.0),
        ("trine_queue_oldest_ready_age_seconds{function=\"resize\"}", 1.5),
        ("trine_function_workers{function=\"resize\"}", 3.0),
        ("trine_function_free_slots{function=\"resize\"}", 9.0),
        ("trine_account_concurrent_executions_limit", 1000.0),
        ("trine_account_concurrent_executions", 3.0),
        ("trine_unreserved_concurrent_executions_limit", 995.0),
        ("trine_unreserved_concurrent_executions", 1.0),
        ("trine_functions", 2.0),
        ("trine_account_queue_events", 41.0),
        ("trine_account_queue_bytes", 5000.0),
        ("trine_destination_pending_records", 9.0),
        ("trine_sync_waiting", 6.0),
        ("trine_invocations_remembered", 8.0),
        ("trine_worker_sessions", 4.0),
        ("trine_slots", 16.0),
        ("trine_slots_taken", 7.0),
        ("trine_leases_held", 5.0),
        ("trine_slot_drift", 2.0),
    ];
    for (series, expected) in gauges {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
    // No reservation was ever looked up for the other one.
    let unset = "trine_reserved_concurrent_executions{function=\"send_mail\"}";
    assert_eq!(value(&metrics, unset), None);
}

#[test]
fn what_the_edges_and_the_store_tell_is_shown() {
    let (metrics, _sink) = busy_broker();
    let told = [
        ("trine_store_batches_total", 20.0),
        ("trine_store_rejections_total", 1.0),
        ("trine_requests_refused_total{reason=\"QUEUE_FULL\"}", 1.0),
        ("trine_requests_refused_total{reason=\"INTERNAL\"}", 0.0),
        ("trine_connections", 1.0),
        ("trine_connections_opened_total", 2.0),
        ("trine_connections_refused_total", 1.0),
        ("trine_worker_sessions_opened_total", 1.0),
        ("trine_worker_sessions_lost_total", 1.0),
        ("trine_payload_cache_bytes", 77.0),
        ("trine_uptime_seconds", 2.5),
        ("trine_start_time_seconds", 1_700_000_000.5),
        ("trine_virtual_time", 0.0),
        ("trine_build_info{version=\"0.1.0\"}", 1.0),
    ];
    for (series, expected) in told {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
}

#[test]
fn every_reason_has_a_counter_of_its_own() {
    let (metrics, _sink) = broker();
    let reasons: Vec<_> = (1..).map_while(|number| Reason::try_from(number).ok()).collect();
    for reason in &reasons {
        metrics.refused(*reason);
    }
    for reason in reasons {
        let series = format!("trine_requests_refused_total{{reason=\"{}\"}}", reason::name(reason));
        assert_eq!(value(&metrics, &series), Some(1.0), "{series}");
    }
}

#[test]
fn the_series_of_a_function_go_with_it_and_the_accounts_stay() {
    let (metrics, mut sink) = busy_broker();
    sink.function_removed(RESIZE);
    assert!(!metrics.render().contains("\"resize\""));
    assert_eq!(value(&metrics, "trine_account_invocations_total"), Some(2.0));
    assert_eq!(value(&metrics, "trine_invocations_total{function=\"send_mail\"}"), Some(0.0));
    sink.fact(&Fact::DeadForgotten { function: RESIZE, request_id: RequestId(1) });
    assert_eq!(value(&metrics, "trine_account_dead_letters_forgotten_total"), Some(2.0));
}

#[test]
fn the_next_tenant_of_a_place_starts_from_zero() {
    let (metrics, mut sink) = broker();
    sink.fact(&Fact::Started { function: RESIZE, event_age_ms: None });
    let next = FunctionId { index: RESIZE.index, generation: RESIZE.generation + 1 };
    sink.function_registered(next, "crop");
    sink.fact(&Fact::Started { function: RESIZE, event_age_ms: None });
    sink.function_removed(RESIZE);
    assert!(!metrics.render().contains("\"resize\""));
    assert_eq!(value(&metrics, "trine_invocations_total{function=\"crop\"}"), Some(0.0));
    sink.fact(&Fact::Started { function: next, event_age_ms: None });
    assert_eq!(value(&metrics, "trine_invocations_total{function=\"crop\"}"), Some(1.0));
}

#[test]
fn a_name_that_is_used_again_is_not_removed_with_its_first_function() {
    let (metrics, mut sink) = broker();
    // Deleted, but its place is still held by invocations that are remembered.
    let again = FunctionId { index: 9, generation: 0 };
    sink.function_registered(again, "resize");
    sink.function_removed(RESIZE);
    sink.fact(&Fact::Started { function: again, event_age_ms: None });
    assert_eq!(value(&metrics, "trine_invocations_total{function=\"resize\"}"), Some(1.0));
}

#[test]
fn registering_twice_keeps_what_was_counted() {
    let (metrics, mut sink) = broker();
    sink.fact(&Fact::Started { function: MAIL, event_age_ms: None });
    sink.function_registered(MAIL, "send_mail");
    assert_eq!(value(&metrics, "trine_invocations_total{function=\"send_mail\"}"), Some(1.0));
}

#[test]
fn functions_that_do_not_exist_add_no_series() {
    let (metrics, mut sink) = broker();
    sink.fact(&Fact::Started { function: RESIZE, event_age_ms: None });
    let before = series_count(&metrics);
    for index in 0..10_000 {
        // Never registered, or a later generation of one that is.
        for function in [
            FunctionId { index: 4 + index, generation: 0 },
            FunctionId { index: 3, generation: 8 + index },
        ] {
            every_fact(function).iter().for_each(|fact| sink.fact(fact));
        }
        let stray = view(FunctionId { index: 4 + index, generation: 0 }, &format!("stray{index}"));
        sink.gauges(&AccountView::default(), [stray].into_iter());
        metrics.refused(Reason::UnknownFunction);
    }
    assert_eq!(series_count(&metrics), before);
    assert_eq!(value(&metrics, "trine_account_invocations_total"), Some(40_001.0));
}

#[test]
fn a_group_appears_whole_with_its_first_count() {
    let (metrics, mut sink) = broker();
    let dropped =
        "trine_async_events_dropped_total{function=\"resize\",condition=\"RetriesExhausted\"}";
    assert_eq!(value(&metrics, "trine_function_errors_total{function=\"resize\"}"), Some(0.0));
    assert_eq!(value(&metrics, dropped), None);
    sink.fact(&Fact::EventReceived { function: RESIZE });
    assert_eq!(value(&metrics, dropped), Some(0.0));
    let total = "trine_account_throttles_total{reason=\"no_worker\"}";
    assert_eq!(value(&metrics, total), Some(0.0), "totals are there from the start");
}

#[test]
fn everything_that_is_declared_is_shown() {
    let (metrics, _sink) = busy_broker();
    let text = metrics.render();
    let declared = include_str!("names.rs").split('"').filter(|part| part.starts_with("trine_"));
    let mut count = 0;
    for name in declared {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is declared and never shown");
        count += 1;
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE ")).count(), count);
}

/// A mapping of a kind that is a user's own word.
fn mapping(number: u128) -> MappingView {
    let mut counts = Counts::default();
    counts.set(Count::PolledEvents, 2);
    let shard = |lag| ShardStatus {
        lag_records: Some(lag),
        iterator_age_ms: Some(lag * 1_000),
        ..ShardStatus::default()
    };
    let status = Status { live: true, shards: vec![shard(3), shard(4)], ..Status::default() };
    MappingView {
        id: MappingId(number),
        revision: 0,
        definition: Definition {
            function: FunctionName::new("reader").unwrap(),
            qualifier: "".into(),
            kind: "a-word-of-a-user".into(),
            source: "".into(),
            reader: None,
            document: [].into(),
        },
        mode: MappingMode::Enabled,
        state: MappingState::Enabled,
        created_at: 0,
        modified_at: 0,
        holder: None,
        status: Some(status),
        told_at: None,
        counts,
        parked_keys: 1,
        unparking_keys: 0,
        parked_records: 5,
        checkpoints: 0,
        able_pollers: 0,
    }
}

#[test]
fn mappings_beyond_the_bound_share_a_row() {
    let (metrics, _sink) = broker();
    let count = mapping::LABELLED_MAPPINGS_MAX as u128 + 3;
    let views: Vec<MappingView> = (0..count).map(mapping).collect();
    metrics.mappings().publish(&views);
    let labels = r#"{mapping="other",source="other",function="other"}"#;
    for (name, expected) in [
        ("trine_mapping_polled_events_total", 6.0),
        ("trine_mapping_offset_lag", 21.0),
        ("trine_mapping_offset_lag_max", 4.0),
        ("trine_mapping_iterator_age_seconds", 4.0),
        ("trine_mapping_parked_records", 15.0),
    ] {
        assert_eq!(value(&metrics, &format!("{name}{labels}")), Some(expected), "{name}");
    }
    let text = metrics.render();
    let series = text.lines().filter(|line| line.starts_with("trine_mapping_live{")).count();
    assert_eq!(series, mapping::LABELLED_MAPPINGS_MAX + 1);
    assert!(!text.contains("a-word-of-a-user"), "a user's word is no label");
}

/// Prometheus' own linter. Its path comes from `$TRINE_PROMTOOL`, which `cargo xtask test` sets.
#[test]
fn promtool_finds_nothing() {
    let Some(promtool) = std::env::var_os("TRINE_PROMTOOL") else {
        skip("promtool_finds_nothing: TRINE_PROMTOOL is not set");
        return;
    };
    let (metrics, _sink) = busy_broker();
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(metrics.render().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    assert_eq!(String::from_utf8_lossy(&said), "");
}

/// Says that a test did not run, where `cargo xtask test` collects it.
fn skip(why: &str) {
    println!("skipped: {why}");
    if let Some(list) = std::env::var_os("TRINE_SKIPS") {
        let mut list = OpenOptions::new().create(true).append(true).open(list).unwrap();
        writeln!(list, "{why}").unwrap();
    }
}

//! `/metrics`: well-formed, bounded, and true.

use std::io::Write;
use std::process::{Command, Stdio};

use bytes::Bytes;
use trine_proto::v1::{DeleteFunctionRequest, FunctionSettings, Reason};
use trine_tests::fixture::LIMIT;
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{call, event, file, reason};
use trine_tests::fixture::run;
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::stream::Stream;
use trine_tests::fixture::tools::tool;
use trine_tests::fixture::wait::until;
use trine_worker::{Context, Error, Worker};

async fn busy(broker: &Broker) -> Serving {
    let client = broker.client();
    let settings = FunctionSettings {
        on_success: file("success.jsonl"),
        on_failure: file("failure.jsonl"),
        max_retries: Some(0),
        ..Default::default()
    };
    client.create("good", settings.clone()).await;
    client.create("bad", settings).await;
    let good = |payload: Bytes, _: Context| async move { Ok::<_, Error>(payload) };
    let bad = |_: Bytes, _: Context| async move { Err::<Bytes, _>(Error::new("No", "no")) };
    let worker = Worker::connect(broker.url()).function_raw("good", good).function_raw("bad", bad);
    let serving = Serving::start(worker).await;
    for function in ["good", "bad"] {
        client.call(function, "1").await;
        client.event(function, "2").await;
    }
    until("an empty queue", LIMIT, async || client.account().await.queued == 0).await;
    // What has ended still has its record to deliver, which is counted too.
    let pending = async || broker.metrics().await.value("trine_destination_pending_records");
    until("delivered records", LIMIT, async || pending().await == 0.0).await;
    serving
}

#[test]
fn promtool_finds_nothing_to_say() {
    run(async {
        let name = "promtool_finds_nothing_to_say";
        let Some(promtool) = tool(name, "TRINE_PROMTOOL", "promtool") else { return };
        let broker = Broker::start().await;
        let _worker = busy(&broker).await;
        let metrics = broker.metrics().await;
        let mut checking = Command::new(promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        checking.stdin.take().unwrap().write_all(metrics.text().as_bytes()).unwrap();
        let checked = checking.wait_with_output().unwrap();
        let said = [checked.stdout, checked.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(checked.status.success() && said.is_empty(), "{said}");
    });
}

#[test]
fn what_happened_is_what_is_counted() {
    run(async {
        let broker = Broker::start().await;
        let worker = busy(&broker).await;
        let metrics = broker.metrics().await;
        for function in ["good", "bad"] {
            assert_eq!(metrics.of("trine_invocations_total", function), 2.0);
            assert_eq!(metrics.of("trine_async_events_received_total", function), 1.0);
            assert_eq!(metrics.of("trine_destination_deliveries_total", function), 1.0);
            assert_eq!(metrics.of("trine_queue_events", function), 0.0);
            assert_eq!(metrics.of("trine_concurrent_executions", function), 0.0);
            assert_eq!(metrics.of("trine_function_workers", function), 1.0);
        }
        assert_eq!(metrics.of("trine_function_errors_total", "good"), 0.0);
        assert_eq!(metrics.of("trine_function_errors_total", "bad"), 2.0);
        assert_eq!(metrics.value("trine_account_invocations_total"), 4.0);
        assert_eq!(metrics.value("trine_account_async_events_received_total"), 2.0);
        let ended = "trine_account_async_events_dropped_total{condition=\"RetriesExhausted\"}";
        assert_eq!(metrics.value(ended), 1.0);
        assert_eq!(metrics.of("trine_invocation_duration_seconds_count", "good"), 2.0);
        assert_eq!(metrics.of("trine_async_event_age_seconds_count", "bad"), 1.0);
        assert_eq!(metrics.value("trine_functions"), 2.0);
        assert_eq!(metrics.value("trine_worker_sessions"), 1.0);
        assert_eq!(metrics.value("trine_slots"), 64.0);
        assert_eq!(metrics.value("trine_slots_taken"), 0.0);
        assert_eq!(metrics.value("trine_account_queue_events"), 0.0);
        assert!(metrics.value("trine_store_commit_duration_seconds_count") >= 4.0);
        assert_eq!(metrics.value("trine_virtual_time"), 0.0);
        drop(worker);
        until("the worker's end", LIMIT, async || {
            broker.metrics().await.value("trine_worker_sessions") == 0.0
        })
        .await;
    });
}

/// S10: what clients write is no label.
#[test]
fn names_that_clients_invent_are_no_series() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let _worker = busy(&broker).await;
        let client = broker.client();
        assert_eq!(
            reason(&client.invoke(call("nobody", "1")).await),
            Some(Reason::UnknownFunction)
        );
        let mut stream = Stream::open(&client).await;
        stream.send([(0, call("nobody", "1"))]).await;
        stream.answers(1).await;
        let before = broker.metrics().await;
        for frame in 0..10 {
            let calls = (0..1_000).map(|n| {
                let name = format!("f-{frame}-{n}");
                let request = if n % 2 == 0 { call(&name, "1") } else { event(&name, "1") };
                (n, request)
            });
            stream.send(calls).await;
            assert!(stream.answers(1_000).await.values().all(Result::is_err));
        }
        let odd = "no-name\"}\n# HELP x";
        assert!(client.invoke(call(odd, "1")).await.is_err());
        let after = broker.metrics().await;
        let new: Vec<_> = after
            .text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| !before.has(series))
            .collect();
        // The first refusal for a bad name may bring its reason, from a closed list.
        assert!(new.len() <= 1, "{new:?}");
        let refused = "trine_requests_refused_total{reason=\"UNKNOWN_FUNCTION\"}";
        assert!(after.value(refused) >= 10_000.0, "{}", after.value(refused));
    });
}

#[test]
fn the_series_of_a_function_go_with_it() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        let _worker = busy(&broker).await;
        let before = broker.metrics().await.count();
        for n in 0..20 {
            let name = format!("short-lived-{n}");
            client.create(&name, FunctionSettings::default()).await;
            assert_eq!(reason(&client.invoke(call(&name, "1")).await), Some(Reason::NoWorker));
            assert!(broker.metrics().await.text().contains(&name));
            let request = DeleteFunctionRequest { name, force: false };
            client.functions().delete_function(request).await.unwrap();
        }
        let after = broker.metrics().await;
        assert!(!after.text().contains("short-lived"), "{}", after.text());
        // The refusals brought their reason.
        assert!(after.count() <= before + 1, "{before} series before, {} after", after.count());
    });
}

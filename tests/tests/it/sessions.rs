//! The rules of a worker's session: hello, slots, leases, returns; and workers that break them.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use trine_proto::v1::outcome::Result as Given;
use trine_proto::v1::{
    Condition, FunctionSettings, InvocationState, Outcome, Reason, WorkerHello,
    WorkerServiceSessionRequest,
};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{call, file, reason, refusal};
use trine_tests::fixture::raw_worker::{RawWorker, hello, outcome};
use trine_tests::fixture::wait::until;
use trine_tests::fixture::{LIMIT, run};

use crate::scene::{patient, sessions};

#[test]
fn what_a_worker_returns_unstarted_is_not_spent() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mut worker = RawWorker::join(&client, &["f"], 1).await;
        let event = client.event("f", "1").await;
        let attempt = worker.attempt().await;
        worker.give_back(&attempt).await;
        // Not at once: a worker that returns everything must not spin the broker.
        client.state(&event, InvocationState::Scheduled).await;
        client.advance(Duration::from_secs(1)).await;
        let again = worker.attempt().await;
        assert_eq!((again.attempt, &again.request_id), (1, &attempt.request_id));
        assert_ne!(again.fence, attempt.fence);
        worker.respond(&again, "1").await;
        let done = client.state(&event, InvocationState::Succeeded).await;
        assert_eq!(done.attempts, 1);

        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.invoke(call("f", "2")).await })
        };
        for _ in 0..4 {
            let attempt = worker.attempt().await;
            worker.give_back(&attempt).await;
        }
        assert_eq!(reason(&calling.await.unwrap()), Some(Reason::NoCapacity), "not for ever");
        assert_eq!(broker.metrics().await.value("trine_slot_drift"), 0.0);
    });
}

#[test]
fn an_answer_counts_once_and_only_from_whoever_has_the_lease() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mut honest = RawWorker::join(&client, &["f"], 1).await;
        let calling = |payload: &'static str| {
            let client = client.clone();
            tokio::spawn(async move { client.call("f", payload).await })
        };
        let first = calling("1");
        let attempt = honest.attempt().await;
        let liar = RawWorker::join(&client, &["f"], 1).await;
        let lie = |entry: u32, fence: u64| Outcome {
            entry,
            fence,
            result: Some(Given::Response(Bytes::from_static(b"\"a lie\""))),
            log_tail: Bytes::new(),
        };
        liar.outcomes(vec![
            lie(attempt.entry, attempt.fence),
            lie(attempt.entry, attempt.fence + 1),
            lie(attempt.entry, 0),
            lie(u32::MAX, u64::MAX),
        ])
        .await;
        let late = async || broker.metrics().await.value("trine_late_outcomes_total");
        until("four refused outcomes", LIMIT, async || late().await == 4.0).await;
        assert!(!first.is_finished(), "nobody believed it");
        honest.respond(&attempt, "\"the truth\"").await;
        assert_eq!(first.await.unwrap().payload, "\"the truth\"");
        // The same answer once more, and the next attempt under way: it must not end that one.
        drop(liar);
        sessions(&broker, 1.0).await;
        let second = calling("2");
        let next = honest.attempt().await;
        honest.respond(&attempt, "\"once more\"").await;
        until("the fifth", LIMIT, async || late().await == 5.0).await;
        honest
            .outcomes(vec![
                outcome(&next, Given::Response(Bytes::from_static(b"2"))),
                outcome(&next, Given::Response(Bytes::from_static(b"3"))),
            ])
            .await;
        assert_eq!(second.await.unwrap().payload, "2");
        until("the sixth", LIMIT, async || late().await == 6.0).await;
        let metrics = broker.metrics().await;
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
        assert_eq!(metrics.value("trine_slots_taken"), 0.0);
    });
}

#[test]
fn an_answer_after_the_timeout_is_refused_and_frees_the_slot() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings {
            timeout_seconds: Some(1),
            max_retries: Some(0),
            reserved_concurrency: Some(1),
            ..patient()
        };
        client.create("f", settings).await;
        let mut worker = RawWorker::join(&client, &["f"], 1).await;
        let event = client.event("f", "1").await;
        let attempt = worker.attempt().await;
        worker.started(1).await;
        client.advance(Duration::from_secs(1)).await;
        let dead = client.state(&event, InvocationState::Dead).await;
        assert_eq!(dead.condition(), Condition::RetriesExhausted);
        let stop = worker.stop().await;
        assert_eq!((stop.entry, stop.fence), (attempt.entry, attempt.fence));
        // Until it speaks the slot is not used, nor the concurrency: it may still be running.
        let next = client.event("f", "2").await;
        assert_eq!(client.get(&next).await.state(), InvocationState::Ready);
        worker.respond(&attempt, "\"too late\"").await;
        let after = worker.attempt().await;
        assert_eq!(after.payload, "2");
        worker.respond(&after, "2").await;
        client.state(&next, InvocationState::Succeeded).await;
        assert_eq!(client.get(&event).await.state(), InvocationState::Dead);
        let metrics = broker.metrics().await;
        assert_eq!(metrics.value("trine_late_outcomes_total"), 1.0);
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
    });
}

#[test]
fn a_handler_that_does_not_stop_keeps_its_slot_and_not_the_limit() {
    run(async {
        let broker = Setup::new().virtual_time().set("timing.stop_grace", "\"5s\"").start().await;
        let client = broker.client();
        let settings = FunctionSettings {
            timeout_seconds: Some(1),
            max_retries: Some(0),
            reserved_concurrency: Some(1),
            ..patient()
        };
        client.create("f", settings).await;
        let mut worker = RawWorker::join(&client, &["f"], 2).await;
        client.event("f", "1").await;
        let stuck = worker.attempt().await;
        worker.started(1).await;
        client.advance(Duration::from_secs(1)).await;
        worker.stop().await;
        let next = client.event("f", "2").await;
        assert_eq!(worker.waiting(), 0);
        client.advance(Duration::from_secs(5)).await;
        let second = worker.attempt().await;
        assert_eq!(second.payload, "2", "the grace is over: the other slot may be used");
        worker.respond(&second, "2").await;
        client.state(&next, InvocationState::Succeeded).await;
        let metrics = broker.metrics().await;
        assert_eq!(metrics.of("trine_slots_abandoned_total", "f"), 1.0);
        assert_eq!(metrics.value("trine_slots_taken"), 1.0);
        worker.stopped(&stuck, true).await;
        until("the slot", LIMIT, async || broker.metrics().await.value("trine_slots_taken") == 0.0)
            .await;
        assert_eq!(broker.metrics().await.value("trine_slot_drift"), 0.0);
    });
}

#[test]
fn slots_can_be_changed_while_a_session_lasts() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mut worker = RawWorker::join(&client, &["f"], 1).await;
        for n in 0..4 {
            client.event("f", n.to_string()).await;
        }
        let first = worker.attempt().await;
        let slots =
            |slots| WorkerServiceSessionRequest { slots: Some(slots), ..Default::default() };
        worker.send(slots(3)).await;
        let [second, third] = [worker.attempt().await, worker.attempt().await];
        worker.send(slots(0)).await;
        for attempt in [&first, &second, &third] {
            worker.respond(attempt, "1").await;
        }
        until("three ends", LIMIT, async || client.account().await.queued == 1).await;
        assert_eq!(worker.waiting(), 0, "it is paused");
        worker.send(slots(1)).await;
        let last = worker.attempt().await;
        worker.respond(&last, "1").await;
        until("the last end", LIMIT, async || client.account().await.queued == 0).await;
        assert_eq!(broker.metrics().await.value("trine_slot_drift"), 0.0);
    });
}

#[test]
fn a_function_that_is_created_later_is_served_from_then_on() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("old", patient()).await;
        let mut worker = RawWorker::join(&client, &["old", "new"], 4).await;
        assert_eq!(worker.welcome.unknown_functions, ["new"]);
        assert_eq!(worker.welcome.protocol_version, 1);
        client.create("new", patient()).await;
        let calling = tokio::spawn(async move { client.call("new", "1").await });
        let attempt = worker.attempt().await;
        assert_eq!(attempt.function_index, 1, "its place in the hello");
        worker.respond(&attempt, "1").await;
        calling.await.unwrap();
    });
}

#[test]
fn a_hello_that_makes_no_sense_is_refused_with_a_reason() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        let good = || hello(&["f"], 1);
        let many: Vec<String> = (0..1_025).map(|n| format!("f{n}")).collect();
        let named = |functions: &[&str]| hello(functions, 1);
        for (bad, expected) in [
            (WorkerHello { protocol_version: 2, ..good() }, Reason::UnsupportedProtocol),
            (WorkerHello { protocol_version: 0, ..good() }, Reason::UnsupportedProtocol),
            (WorkerHello { worker: String::new(), ..good() }, Reason::InvalidArgument),
            (WorkerHello { worker: "x".repeat(129), ..good() }, Reason::InvalidArgument),
            (WorkerHello { slots: 0, ..good() }, Reason::InvalidArgument),
            (WorkerHello { slots: 65_536, ..good() }, Reason::InvalidArgument),
            (named(&[]), Reason::InvalidArgument),
            (named(&["f", "f"]), Reason::InvalidArgument),
            (named(&["a b"]), Reason::InvalidArgument),
            (WorkerHello { functions: many, ..good() }, Reason::InvalidArgument),
        ] {
            let refused = RawWorker::with_hello(&client, bad.clone()).await.unwrap_err();
            assert_eq!(refusal(refused).reason(), expected, "{bad:?}");
        }
        let no_hello = WorkerServiceSessionRequest { slots: Some(1), ..Default::default() };
        let refused = RawWorker::open(&client, no_hello).await.unwrap_err();
        assert_eq!(refusal(refused).reason(), Reason::InvalidArgument);
        assert_eq!(broker.metrics().await.value("trine_worker_sessions"), 0.0);
    });
}

/// A worker that breaks the rules of a session loses it; what it held goes on elsewhere.
#[test]
fn a_second_hello_changes_nothing_and_harms_nobody() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let worker = RawWorker::join(&client, &["f"], 1).await;
        let again = WorkerServiceSessionRequest {
            hello: Some(hello(&["f", "g"], 60_000)),
            ..Default::default()
        };
        // The broker may end the session for it.
        let _ = worker.try_send(again).await;
        let mut honest = RawWorker::join(&client, &["f"], 1).await;
        drop(worker);
        sessions(&broker, 1.0).await;
        let metrics = broker.metrics().await;
        assert_eq!((metrics.value("trine_slots"), metrics.value("trine_slot_drift")), (1.0, 0.0));
        let calling = tokio::spawn(async move { client.call("f", "1").await });
        let attempt = honest.attempt().await;
        honest.respond(&attempt, "1").await;
        assert_eq!(calling.await.unwrap().payload, "1");
    });
}

/// R15: the worker answers with what is no JSON; its record must be JSON all the same.
#[test]
fn an_answer_that_is_no_json_does_not_break_its_record() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings { on_success: file("success.jsonl"), ..patient() };
        client.create("f", settings).await;
        let mut worker = RawWorker::join(&client, &["f"], 1).await;
        let event = client.event("f", "1").await;
        let attempt = worker.attempt().await;
        worker.respond(&attempt, &b"not \xff json\n"[..]).await;
        client
            .until(&event, |one| one.delivery() == trine_proto::v1::DeliveryState::Delivered)
            .await;
        let record = &broker.records("success.jsonl")[0];
        assert_eq!(record["requestPayload"], json!(1));
        assert_eq!(record["responsePayload"], json!("not \u{fffd} json\n"));
    });
}

//! Workers that come, go, freeze and drain; and what becomes of their attempts.

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::Signal;
use serde_json::Value;
use trine_proto::v1::outcome::Result as Given;
use trine_proto::v1::{InvocationState, Reason, WorkerServiceSessionRequest};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{call, reason};
use trine_tests::fixture::process::Process;
use trine_tests::fixture::puppet::Puppet;
use trine_tests::fixture::raw_worker::{RawWorker, outcome};
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::wait::{soon, until};
use trine_tests::fixture::{LIMIT, run};
use trine_worker::Worker;

use crate::scene::{MINUTE, patient, sessions};

#[test]
fn a_call_whose_worker_is_lost_fails_with_lambdas_words() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mut lost = RawWorker::join(&client, &["f"], 2).await;
        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.call("f", "1").await })
        };
        lost.attempt().await;
        lost.started(1).await;
        lost.is_heard(&client, "f").await;
        drop(lost);
        let answer = calling.await.unwrap();
        assert_eq!(answer.function_error, "Unhandled");
        let id = &answer.request_id;
        let expected = format!(
            r#"{{"errorType":"Runtime.ExitError","errorMessage":"RequestId: {id} Error: Runtime exited without providing a reason"}}"#
        );
        assert_eq!(answer.payload, expected);
        let metrics = broker.metrics().await;
        assert_eq!(metrics.of("trine_attempts_lost_total", "f"), 1.0);
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
    });
}

#[test]
fn an_attempt_that_was_lost_before_it_started_goes_elsewhere_unspent() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mut lost = RawWorker::join(&client, &["f"], 3).await;
        let started = client.event("f", "\"started\"").await;
        lost.attempt().await;
        lost.started(1).await;
        lost.is_heard(&client, "f").await;
        let waiting = client.event("f", "\"waiting\"").await;
        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.call("f", "\"call\"").await })
        };
        lost.some(2).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler()).slots(8);
        let _worker = Serving::start(worker).await;
        drop(lost);
        let mut held = [puppet.next().await, puppet.next().await];
        held.sort_by_key(|held| held.payload.clone());
        let payloads: Vec<_> = held.iter().map(|held| held.payload.clone()).collect();
        assert_eq!(payloads, ["\"call\"", "\"waiting\""]);
        for held in held {
            assert_eq!(held.context.attempt(), 1, "nothing was spent");
            held.answer("1");
        }
        assert_eq!(calling.await.unwrap().payload, "1");
        let done = client.state(&waiting, InvocationState::Succeeded).await;
        assert_eq!(done.attempts, 1);
        // The one that had started counts, and comes again in a minute.
        let scheduled = client.state(&started, InvocationState::Scheduled).await;
        assert_eq!(scheduled.attempts, 1);
        let object: Value = serde_json::from_slice(&scheduled.response).unwrap();
        assert_eq!(object["errorType"], "Runtime.ExitError");
        client.advance(MINUTE).await;
        let held = puppet.next().await;
        assert_eq!(held.context.attempt(), 2);
        held.answer("1");
        client.state(&started, InvocationState::Succeeded).await;
        let metrics = broker.metrics().await;
        assert_eq!(metrics.of("trine_attempts_unspent_total", "f"), 2.0);
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
    });
}

/// R9: a frozen process keeps its connection and says nothing.
#[test]
fn a_frozen_worker_is_found_out_within_two_heartbeats_and_its_work_goes_on() {
    run(async {
        let broker = Setup::new().virtual_time().set("timing.heartbeat", "\"200ms\"").start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.arg(broker.url()).args(["f", "3"]);
        let mut frozen = Process::spawn(&mut command, "worker", broker.folder());
        assert_eq!(frozen.line().await.as_deref(), Some("connected"));
        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.call("f", "\"hang\"").await })
        };
        assert_eq!(frozen.line().await.as_deref(), Some("started \"hang\""));
        let event = client.event("f", "\"hang too\"").await;
        assert_eq!(frozen.line().await.as_deref(), Some("started \"hang too\""));
        // A session's frames are in order: with this answer the broker knows that the two before it have started.
        client.call("f", "1").await;

        frozen.signal(Signal::STOP);
        let begun = Instant::now();
        let answer = calling.await.unwrap();
        let found_after = begun.elapsed();
        let object: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(object["errorType"], "Runtime.ExitError");
        // Two heartbeats are 400 ms; the rest is what a busy machine may take to notice.
        assert!(found_after < Duration::from_millis(1_400), "found after {found_after:?}");

        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler()).slots(8);
        let _worker = Serving::start(worker).await;
        let scheduled = client.state(&event, InvocationState::Scheduled).await;
        assert_eq!(scheduled.attempts, 1, "a running attempt that is lost is a failed one");
        client.advance(MINUTE).await;
        let held = puppet.next().await;
        assert_eq!((held.context.attempt(), held.payload.as_ref()), (2, &b"\"hang too\""[..]));
        held.answer("1");
        client.state(&event, InvocationState::Succeeded).await;

        // It wakes up, finds its session gone, and comes back by itself.
        frozen.signal(Signal::CONT);
        loop {
            let line = frozen.line().await.expect("the worker lives");
            if line == "connected" {
                break;
            }
        }
        sessions(&broker, 2.0).await;
        let metrics = broker.metrics().await;
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
        assert_eq!(metrics.of("trine_attempts_lost_total", "f"), 2.0);
    });
}

#[test]
fn a_worker_that_gives_no_sign_of_life_is_given_up() {
    run(async {
        let broker = Setup::new().set("timing.heartbeat", "\"200ms\"").start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mut worker = RawWorker::join(&client, &["f"], 1).await;
        assert_eq!(worker.welcome.heartbeat_interval_ms, 200);
        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.call("f", "1").await })
        };
        let attempt = worker.attempt().await;
        worker.started(1).await;
        worker.fall_silent();
        let answer = calling.await.unwrap();
        assert_eq!(answer.function_error, "Unhandled");
        soon("the end of the session", worker.ended()).await;
        sessions(&broker, 0.0).await;
        // It had the answer all the time; nobody wants it any more.
        let _ = worker
            .try_send(WorkerServiceSessionRequest {
                outcomes: vec![outcome(&attempt, Given::Response(Bytes::from_static(b"1")))],
                ..Default::default()
            })
            .await;
        let metrics = broker.metrics().await;
        assert_eq!(metrics.value("trine_worker_sessions_lost_total"), 1.0);
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
    });
}

#[test]
fn a_worker_that_drains_finishes_what_it_has_and_gets_no_more() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let (mut leaving, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler()).slots(8);
        let mut serving = Serving::start(worker).await;
        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.call("f", "1").await })
        };
        let held = leaving.next().await;
        serving.ask_to_drain();
        until("the drain to be known", LIMIT, async || {
            client.function("f").await.usage.is_some_and(|usage| usage.workers == 0)
        })
        .await;
        let refused = client.invoke(call("f", "2")).await;
        assert_eq!(reason(&refused), Some(Reason::NoWorker));
        let event = client.event("f", "3").await;
        held.answer("1");
        assert_eq!(calling.await.unwrap().payload, "1");
        serving.drain().await.unwrap();
        assert!(leaving.is_quiet());
        let (mut next, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler());
        let _worker = Serving::start(worker).await;
        let held = next.next().await;
        assert_eq!(held.context.attempt(), 1);
        held.answer("3");
        client.state(&event, InvocationState::Succeeded).await;
        let metrics = broker.metrics().await;
        assert_eq!(metrics.value("trine_worker_sessions_lost_total"), 0.0, "it said goodbye");
    });
}

/// R17: a fleet that flaps.
#[test]
fn a_fleet_that_comes_and_goes_leaves_nothing_behind() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let ids = {
            let mut ids = Vec::new();
            for n in 0..20 {
                ids.push(client.event("f", n.to_string()).await);
            }
            ids
        };
        for _ in 0..40 {
            // It takes what there is, starts nothing, and is gone.
            let mut worker = RawWorker::join(&client, &["f"], 8).await;
            worker.some(8).await;
        }
        sessions(&broker, 0.0).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler()).slots(4);
        let _worker = Serving::start(worker).await;
        for n in 0..20 {
            let held = puppet.next().await;
            assert_eq!(held.context.attempt(), 1, "event {n}");
            held.answer("1");
        }
        for id in &ids {
            assert_eq!(client.state(id, InvocationState::Succeeded).await.attempts, 1);
        }
        let metrics = broker.metrics().await;
        assert_eq!(metrics.of("trine_attempts_unspent_total", "f"), 320.0);
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
        assert_eq!(metrics.value("trine_slots"), 4.0);
    });
}

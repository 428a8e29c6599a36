//! A broker that is killed, frozen or asked to end, with work in it: nothing that was acknowledged is lost,
//! and workers come back by themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use trine_proto::v1::{
    Condition, DeliveryState, FunctionSettings, InvocationState, InvokeRequest, Reason,
};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{call, event, file, is_broken, reason};
use trine_tests::fixture::puppet::Puppet;
use trine_tests::fixture::raw_worker::RawWorker;
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::stream::Stream;
use trine_tests::fixture::wait::{soon, until};
use trine_tests::fixture::{LIMIT, http, run};
use trine_worker::{Context, Error, Worker};

const MINUTE: Duration = Duration::from_secs(60);

fn to_file() -> FunctionSettings {
    FunctionSettings {
        on_success: file("success.jsonl"),
        on_failure: file("failure.jsonl"),
        timeout_seconds: Some(900),
        ..Default::default()
    }
}

#[test]
fn everything_acknowledged_is_there_after_a_kill() {
    run(async {
        let mut broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", to_file()).await;
        client.create("g", FunctionSettings { reserved_concurrency: Some(7), ..to_file() }).await;
        let now = client.broker().await.now_ms;
        let ready = client.event("f", r#"{"n": 1.50}"#).await;
        let later = InvokeRequest { not_before_ms: Some(now + 600_000), ..event("f", "2") };
        let later = client.invoke(later).await.unwrap().request_id;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("g", strings.handler()).slots(1);
        let mut serving = Serving::start(worker).await;
        let failed = client.event("g", "3").await;
        puppet.next().await.fail("No", "no");
        let waiting = client.state(&failed, InvocationState::Scheduled).await;
        let running = client.event("g", "4").await;
        let mut held = puppet.next().await;

        broker.crash().await;
        let client = broker.client();
        held.dropped().await;
        serving.connected(1).await;
        let after = client.get(&failed).await;
        assert_eq!(after.next_attempt_at_ms, waiting.next_attempt_at_ms, "the time stands");
        assert_eq!((after.attempts, after.function_error.as_str()), (1, "Unhandled"));
        assert_eq!(client.get(&ready).await.state(), InvocationState::Ready);
        assert_eq!(client.get(&later).await.next_attempt_at_ms, Some(now + 600_000));
        let again = puppet.next().await;
        assert_eq!(again.context.request_id(), running);
        assert_eq!(again.context.attempt(), 1, "a restart spends no attempt");
        again.answer("4");
        let done = client.state(&running, InvocationState::Succeeded).await;
        assert_eq!(done.attempts, 1);
        let usage = client.function("g").await;
        assert_eq!(usage.settings.unwrap().reserved_concurrency, Some(7));

        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler()).slots(8);
        let _other = Serving::start(worker).await;
        let held = puppet.next().await;
        assert_eq!(held.payload, r#"{"n": 1.50}"#);
        held.answer("1");
        client.state(&ready, InvocationState::Succeeded).await;
        client.advance(10 * MINUTE).await;
        let mut rest = [puppet.next().await, puppet.next().await];
        rest.sort_by_key(|held| held.payload.clone());
        let seen: Vec<_> =
            rest.iter().map(|held| (held.payload.clone(), held.context.attempt())).collect();
        assert_eq!(seen, [(Bytes::from("2"), 1), (Bytes::from("3"), 2)]);
        rest.into_iter().for_each(|held| held.answer("1"));
        client.state(&later, InvocationState::Succeeded).await;
        client.state(&failed, InvocationState::Succeeded).await;
        until("four records", LIMIT, async || broker.records("success.jsonl").len() == 4).await;
        assert_eq!(client.account().await.queued, 0);
    });
}

#[test]
fn kills_under_load_lose_nothing_and_workers_come_back() {
    run(async {
        let mut broker = Broker::start().await;
        broker.client().create("f", to_file()).await;
        let runs = Arc::new(AtomicU64::new(0));
        let count = {
            let runs = Arc::clone(&runs);
            move |payload: Bytes, _: Context| {
                runs.fetch_add(1, Ordering::Relaxed);
                async move { Ok::<_, Error>(payload) }
            }
        };
        let mut workers = Vec::new();
        for _ in 0..2 {
            let worker = Worker::connect(broker.url()).function_raw("f", count.clone()).slots(8);
            workers.push(Serving::start(worker).await);
        }
        let mut acked = Vec::new();
        for round in 0..3_u64 {
            let client = broker.client();
            let mut stream = Stream::open(&client).await;
            stream.send((0..2_000).map(|n| (n, event("f", (round * 2_000 + n).to_string())))).await;
            // Half of the answers, and then the end of the world.
            while acked.len() < usize::try_from(round * 2_000 + 1_000).unwrap() {
                let answers = stream.frame().await.unwrap().unwrap();
                acked.extend(answers.into_iter().map(|(_, answer)| answer.unwrap().request_id));
            }
            broker.crash().await;
        }
        for worker in &mut workers {
            worker.connected(1).await;
        }
        let client = broker.client();
        until("an empty queue", LIMIT, async || client.account().await.queued == 0).await;
        let pending = "trine_destination_pending_records";
        until("every record", LIMIT, async || broker.metrics().await.value(pending) == 0.0).await;
        let records = broker.records("success.jsonl");
        let mut times: BTreeMap<&str, u32> = BTreeMap::new();
        for record in &records {
            let id = record["requestContext"]["requestId"].as_str().unwrap();
            *times.entry(id).or_default() += 1;
            assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
        }
        let lost: Vec<_> = acked.iter().filter(|id| !times.contains_key(id.as_str())).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert!(broker.records("failure.jsonl").is_empty());
        for id in acked.iter().step_by(97) {
            let known = client.get(id).await;
            assert_eq!(known.delivery(), DeliveryState::Delivered);
            assert_eq!(known.condition(), Condition::Success);
        }
        assert!(runs.load(Ordering::Relaxed) >= acked.len() as u64);
        assert_eq!(broker.metrics().await.value("trine_slot_drift"), 0.0);
    });
}

#[test]
fn a_broker_that_is_asked_to_end_finishes_what_runs() {
    run(async {
        let mut broker = Broker::start().await;
        let client = broker.client();
        client.create("f", to_file()).await;
        let mut worker = RawWorker::join(&client, &["f"], 1).await;
        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.call("f", "1").await })
        };
        let running = worker.attempt().await;
        let queued = client.event("f", "2").await;
        broker.terminate();
        soon("the word to the worker", worker.drained()).await;
        let refused = client.invoke(call("f", "3")).await;
        assert_eq!(reason(&refused), Some(Reason::ShuttingDown));
        let refused = client.invoke(event("f", "3")).await;
        assert_eq!(reason(&refused), Some(Reason::ShuttingDown));
        assert_eq!(worker.waiting(), 0, "nothing new is started");
        worker.respond(&running, "1").await;
        assert_eq!(calling.await.unwrap().payload, "1");
        let status = broker.ended(LIMIT).await;
        assert_eq!(status.code(), Some(0), "{status:?}");

        broker.restart().await;
        let client = broker.client();
        assert_eq!(client.get(&queued).await.state(), InvocationState::Ready);
        let mut worker = RawWorker::join(&client, &["f"], 1).await;
        let attempt = worker.attempt().await;
        assert_eq!((attempt.payload.as_ref(), attempt.attempt), (&b"2"[..], 1));
        worker.respond(&attempt, "2").await;
        client.state(&queued, InvocationState::Succeeded).await;
    });
}

#[test]
fn a_broker_that_is_asked_to_end_does_not_wait_for_ever() {
    run(async {
        let mut broker = Setup::new().set("timing.drain", "\"300ms\"").start().await;
        let client = broker.client();
        client.create("f", to_file()).await;
        let mut worker = RawWorker::join(&client, &["f"], 2).await;
        let calling = {
            let client = client.clone();
            let request = call("f", "1");
            tokio::spawn(async move { client.invocations().invoke(request).await })
        };
        worker.attempt().await;
        let event = client.event("f", "2").await;
        worker.attempt().await;
        worker.started(2).await;
        broker.terminate();
        let status = broker.ended(LIMIT).await;
        assert!(status.code().is_some(), "it ended by itself: {status:?}");
        let status = calling.await.unwrap().unwrap_err();
        let told = trine_proto::reason::refusal(&status).map(|refusal| refusal.reason());
        assert!(told == Some(Reason::ShuttingDown) || is_broken(&status), "{status:?}");
        broker.restart().await;
        let client = broker.client();
        let known = client.get(&event).await;
        assert_eq!((known.state(), known.attempts), (InvocationState::Ready, 0), "not spent");
    });
}

#[test]
fn workers_and_callers_are_not_ready_before_the_broker_is() {
    run(async {
        let mut broker = Broker::start().await;
        assert!(broker.is_ready().await);
        assert_eq!(http::get(broker.address(), "/healthz").await.status, 200);
        let client = broker.client();
        client.create("f", to_file()).await;
        let mut worker = RawWorker::join(&client, &["f"], 1).await;
        let calling = tokio::spawn(async move { client.call("f", "1").await });
        let running = worker.attempt().await;
        // Its own connection before the drain: a draining broker takes no new ones.
        broker.terminate();
        soon("the word to the worker", worker.drained()).await;
        assert!(!broker.is_ready().await);
        worker.respond(&running, "1").await;
        calling.await.unwrap();
        assert_eq!(broker.ended(LIMIT).await.code(), Some(0));
    });
}

/// R10: the whole broker stands still for longer than its heartbeats, and goes on.
#[test]
fn a_broker_that_was_frozen_goes_on_as_one() {
    run(async {
        let broker = Setup::new().set("timing.heartbeat", "\"200ms\"").start().await;
        let client = broker.client();
        client.create("f", to_file()).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler()).slots(1);
        let mut serving = Serving::start(worker).await;
        let first = client.event("f", "1").await;
        let mut held = puppet.next().await;
        let second = client.event("f", "2").await;
        broker.freeze();
        // The worker takes its broker for dead and drops what it ran.
        held.dropped().await;
        serving.connected(0).await;
        broker.thaw();
        serving.connected(1).await;
        // The broker has seen the attempt start, so it counts as failed and comes back in a minute; the other
        // one goes on at once.
        let next = puppet.next().await;
        assert_eq!(next.context.request_id(), second);
        next.answer("2");
        client.state(&second, InvocationState::Succeeded).await;
        let known = client.get(&first).await;
        assert_eq!((known.state(), known.attempts), (InvocationState::Scheduled, 1));
        let metrics = broker.metrics().await;
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
        assert_eq!(metrics.value("trine_slots"), 1.0, "one session, not two");
    });
}

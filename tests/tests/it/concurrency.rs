//! Limits as workers see them: never more than allowed at once, under ten times what is allowed, and not a
//! slot less afterwards (I4).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use trine_proto::v1::{FunctionSettings, Reason};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{Client, call};
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::stream::Stream;
use trine_tests::fixture::wait::{soon, until};
use trine_tests::fixture::{LIMIT, run};
use trine_worker::{Context, Error, Worker};

const LIMITS: [u32; 3] = [1, 2, 100];

/// Load over what is allowed.
const OVERLOAD: u32 = 10;

/// What handlers see of each other.
#[derive(Debug, Clone, Default)]
struct Watched {
    running: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
    done: Arc<AtomicU64>,
}

impl Watched {
    /// A handler that is long enough for others to overlap it, if they may.
    async fn work(self, payload: Bytes) -> Result<Bytes, Error> {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        // Before the answer leaves: whoever starts after it must find room.
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
        Ok(payload)
    }
}

fn reserved(limit: u32) -> FunctionSettings {
    FunctionSettings {
        reserved_concurrency: Some(limit),
        timeout_seconds: Some(900),
        ..Default::default()
    }
}

/// Four workers with `slots` each that serve `watched` and, for the end, `meet`.
async fn fleet(broker: &Broker, slots: u32, watched: &Watched, together: u32) -> Vec<Serving> {
    let barrier = Arc::new(Barrier::new(together as usize));
    let mut fleet = Vec::new();
    for _ in 0..4 {
        let (watched, barrier) = (watched.clone(), Arc::clone(&barrier));
        let handler = move |payload: Bytes, _: Context| {
            let (watched, barrier) = (watched.clone(), Arc::clone(&barrier));
            async move {
                if payload == "\"meet\"" {
                    barrier.wait().await;
                    return Ok(payload);
                }
                watched.work(payload).await
            }
        };
        let worker = Worker::connect(broker.url()).function_raw("f", handler).slots(slots);
        fleet.push(Serving::start(worker).await);
    }
    fleet
}

/// `limit` calls that end only once all of them run: none is missing, and none is left taken.
async fn all_slots_are_there(broker: &Broker, limit: u32) {
    let mut calls = JoinSet::new();
    for _ in 0..limit {
        let client = broker.client();
        calls.spawn(async move { client.call("f", "\"meet\"").await });
    }
    let met = soon("as many runs as there are slots", calls.join_all()).await;
    assert!(met.iter().all(|answer| answer.function_error.is_empty()));
    let metrics = broker.metrics().await;
    assert_eq!(metrics.value("trine_slot_drift"), 0.0);
    assert_eq!(metrics.value("trine_slots_taken"), 0.0);
    assert_eq!(metrics.value("trine_leases_held"), 0.0);
    assert_eq!(metrics.of("trine_concurrent_executions", "f"), 0.0);
    assert_eq!(metrics.value("trine_account_concurrent_executions"), 0.0);
}

/// One caller of `OVERLOAD * limit`: calls until it was answered `answers` times.
async fn insist(client: Client, answers: u32) -> u32 {
    let mut throttled = 0;
    let mut answered = 0;
    while answered < answers {
        match client.invoke(call("f", "1")).await {
            Ok(answer) => {
                assert_eq!(answer.function_error, "");
                answered += 1;
            }
            Err(refused) => {
                assert_eq!(refused.reason(), Reason::ReservedConcurrencyExceeded, "{refused:?}");
                throttled += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    throttled
}

#[test]
fn calls_never_exceed_a_reservation() {
    for limit in LIMITS {
        run(async move {
            let broker = Broker::start().await;
            let client = broker.client();
            client.create("f", reserved(limit)).await;
            let watched = Watched::default();
            // More slots than the limit: it is the limit that holds.
            let _fleet = fleet(&broker, limit, &watched, limit).await;
            let callers = OVERLOAD * limit;
            let answers = (200 / callers).max(2);
            let mut calls = JoinSet::new();
            for _ in 0..callers {
                calls.spawn(insist(client.clone(), answers));
            }
            let throttled: u32 = calls.join_all().await.into_iter().sum();
            let most = watched.most.load(Ordering::SeqCst);
            assert!(most <= limit, "{most} ran at once, {limit} may");
            assert!(throttled > 0, "an overload of {OVERLOAD} is refused in part");
            assert_eq!(watched.done.load(Ordering::SeqCst), u64::from(callers * answers));
            all_slots_are_there(&broker, limit).await;
        });
    }
}

#[test]
fn calls_in_frames_never_exceed_a_reservation() {
    run(async {
        let limit = 2;
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", reserved(limit)).await;
        let watched = Watched::default();
        let _fleet = fleet(&broker, 8, &watched, limit).await;
        let mut stream = Stream::open(&client).await;
        let mut answered = 0;
        for round in 0..50 {
            let calls = (0..20).map(|n| (round * 20 + n, call("f", "1")));
            stream.send(calls).await;
            let answers = stream.answers(20).await;
            answered += answers.values().filter(|answer| answer.is_ok()).count() as u64;
        }
        let most = watched.most.load(Ordering::SeqCst);
        assert!((1..=limit).contains(&most), "{most} ran at once, {limit} may");
        assert_eq!(watched.done.load(Ordering::SeqCst), answered);
        all_slots_are_there(&broker, limit).await;
    });
}

#[test]
fn events_never_exceed_a_reservation_and_all_of_them_run() {
    for limit in LIMITS {
        run(async move {
            let broker = Broker::start().await;
            let client = broker.client();
            client.create("f", reserved(limit)).await;
            let watched = Watched::default();
            let _fleet = fleet(&broker, limit, &watched, limit).await;
            let events = u64::from(OVERLOAD * limit).max(200);
            offer(&client, events).await;
            drained(&client).await;
            let most = watched.most.load(Ordering::SeqCst);
            assert!((1..=limit).contains(&most), "{most} ran at once, {limit} may");
            assert_eq!(watched.done.load(Ordering::SeqCst), events, "each once");
            all_slots_are_there(&broker, limit).await;
        });
    }
}

#[test]
fn a_worker_never_gets_more_than_its_slots() {
    for slots in LIMITS {
        run(async move {
            let broker = Broker::start().await;
            let client = broker.client();
            let plain = FunctionSettings { timeout_seconds: Some(900), ..Default::default() };
            client.create("f", plain).await;
            let barrier = Arc::new(Barrier::new(slots as usize));
            let watched = Watched::default();
            let handler = {
                let (watched, barrier) = (watched.clone(), Arc::clone(&barrier));
                move |payload: Bytes, _: Context| {
                    let (watched, barrier) = (watched.clone(), Arc::clone(&barrier));
                    async move {
                        if payload == "\"meet\"" {
                            barrier.wait().await;
                            return Ok(payload);
                        }
                        watched.work(payload).await
                    }
                }
            };
            let worker = Worker::connect(broker.url()).function_raw("f", handler).slots(slots);
            let _worker = Serving::start(worker).await;
            // Both kinds at once: they share the slots.
            let events = u64::from(OVERLOAD * slots);
            offer(&client, events).await;
            let mut calls = JoinSet::new();
            for _ in 0..slots {
                let client = client.clone();
                calls.spawn(async move { client.call("f", "1").await });
            }
            calls.join_all().await;
            drained(&client).await;
            let most = watched.most.load(Ordering::SeqCst);
            assert!((1..=slots).contains(&most), "{most} ran at once on {slots} slots");
            assert_eq!(watched.done.load(Ordering::SeqCst), events + u64::from(slots));
            all_slots_are_there(&broker, slots).await;
        });
    }
}

#[test]
fn the_account_s_limit_holds_over_all_functions() {
    run(async {
        let broker = Setup::new()
            .set("limits.account_concurrency", 8)
            .set("limits.unreserved_concurrency_min", 3)
            .start()
            .await;
        let client = broker.client();
        client.create("kept", reserved(5)).await;
        let watched = Watched::default();
        let mut worker = Worker::connect(broker.url()).slots(100);
        for name in ["kept", "a", "b"] {
            if name != "kept" {
                client.create(name, FunctionSettings::default()).await;
            }
            // The reserved one is not in the pool: it is not watched with it.
            let watched = if name == "kept" { Watched::default() } else { watched.clone() };
            let handler = move |payload: Bytes, _: Context| watched.clone().work(payload);
            worker = worker.function_raw(name, handler);
        }
        let _worker = Serving::start(worker).await;
        let mut stream = Stream::open(&client).await;
        let names = ["kept", "a", "b"];
        let events = (0..600)
            .map(|n| (n, trine_tests::fixture::client::event(names[(n % 3) as usize], "1")));
        stream.send(events).await;
        assert!(stream.answers(600).await.values().all(Result::is_ok));
        drained(&client).await;
        let most = watched.most.load(Ordering::SeqCst);
        assert!((1..=3).contains(&most), "{most} of the pool's 3 ran at once");
        assert_eq!(watched.done.load(Ordering::SeqCst), 400);
        assert_eq!(broker.metrics().await.value("trine_slot_drift"), 0.0);
    });
}

async fn offer(client: &Client, events: u64) {
    let mut stream = Stream::open(client).await;
    let calls = (0..events).map(|n| (n, trine_tests::fixture::client::event("f", "1")));
    stream.send(calls).await;
    let answers = stream.answers(usize::try_from(events).unwrap()).await;
    assert!(answers.values().all(Result::is_ok));
}

async fn drained(client: &Client) {
    until("an empty queue", 2 * LIMIT, async || client.account().await.queued == 0).await;
}

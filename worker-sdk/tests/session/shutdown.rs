//! The end of a worker: drained, cut off, dropped.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;
use trine_proto::v1::outcome::Result as Answer;
use trine_proto::v1::{OutcomeReturned, OutcomeStopped, Reason};
use trine_worker::{CancellationToken, Channel, Context, Error, RunError, Worker};

use crate::peer::{NEVER, Peer, Running, attempt, response, welcome};

/// A worker whose function takes `seconds` and tells of the tokens of its attempts.
fn slow(channel: Channel) -> (Worker, mpsc::UnboundedReceiver<CancellationToken>) {
    let (tokens, seen) = mpsc::unbounded_channel();
    let worker =
        Worker::with_channel(channel).function("slow", move |seconds: u64, context: Context| {
            let _ = tokens.send(context.cancellation());
            async move {
                // tidy: allow sleeps: the handler under test takes its time, on a paused clock
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ok::<_, Error>(seconds)
            }
        });
    (worker, seen)
}

fn long(entry: u32, seconds: &'static str) -> trine_proto::v1::Attempt {
    trine_proto::v1::Attempt { timeout_ms: 900_000, ..attempt(entry, seconds) }
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_says_goodbye_and_goes() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, _seen) = slow(channel);
    let mut connected = worker.connected();
    let mut running = Running::start(worker);
    let mut session = peer.welcome().await;
    connected.wait_for(|sessions| *sessions == 1).await.unwrap();
    running.shut_down();
    assert!(session.frame().await.unwrap().draining);
    assert_eq!(session.frame().await, None);
    drop(session);
    running.result().await.unwrap();
    assert_eq!(*connected.borrow(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_runs_finishes_within_the_grace_and_nothing_new_is_taken() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, mut seen) = slow(channel);
    let mut running = Running::start(worker);
    let mut session = peer.welcome().await;
    session.attempts([long(1, "29")]).await;
    seen.recv().await.unwrap();
    running.shut_down();
    while !session.frame().await.unwrap().draining {}
    session.attempts([long(2, "1")]).await;
    let late = session.outcomes(1).await.remove(0);
    assert_eq!((late.entry, late.result), (2, Some(Answer::Returned(OutcomeReturned {}))));
    assert_eq!(session.answer().await, response("29"));
    assert_eq!(session.frame().await, None);
    drop(session);
    running.result().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_outlives_the_grace_is_stopped_and_counted() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, mut seen) = slow(channel);
    let mut running = Running::start(worker.grace(Duration::from_secs(5)));
    let mut session = peer.welcome().await;
    session.attempts([long(1, "4"), long(2, "6"), long(3, "600")]).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(seen.recv().await.unwrap());
    }
    running.shut_down();
    let asked = Instant::now();
    assert_eq!(session.answer().await, response("4"));
    let stopped = Some(Answer::Stopped(OutcomeStopped { timed_out: false }));
    for outcome in session.outcomes(2).await {
        assert_eq!(outcome.result, stopped);
    }
    assert_eq!(session.frame().await, None);
    drop(session);
    let error = running.result().await.unwrap_err();
    assert!(matches!(error, RunError::CutOff { attempts: 2, .. }), "{error}");
    assert!(asked.elapsed() < Duration::from_millis(5100), "{:?}", asked.elapsed());
    let cancelled: Vec<bool> = tokens.iter().map(CancellationToken::is_cancelled).collect();
    assert_eq!(cancelled, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_session_lost_while_draining_is_not_opened_again() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, mut seen) = slow(channel);
    let mut running = Running::start(worker);
    let session = peer.welcome().await;
    session.attempts([long(1, "20")]).await;
    seen.recv().await.unwrap();
    running.shut_down();
    session.fail(Status::unavailable("gone")).await;
    let error = running.result().await.unwrap_err();
    assert!(matches!(error, RunError::CutOff { attempts: 1, .. }), "{error}");
    assert!(peer.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_end_its_side_is_not_waited_for_long() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, _seen) = slow(channel);
    let mut connected = worker.connected();
    let mut running = Running::start(worker);
    let session = peer.welcome().await;
    connected.wait_for(|sessions| *sessions == 1).await.unwrap();
    running.shut_down();
    let asked = Instant::now();
    running.result().await.unwrap();
    let took = asked.elapsed().as_millis();
    assert!((5000..5100).contains(&took), "{took} ms");
    drop(session);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_never_connected_ends_at_once() {
    let worker = Worker::connect("http://127.0.0.1:9")
        .function_raw("f", |bytes: Bytes, _| async { Ok::<_, Error>(bytes) });
    worker.run_until(std::future::ready(())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_dropped_stops_its_handlers() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, mut seen) = slow(channel);
    let running = Running::start(worker);
    let session = peer.welcome().await;
    session.attempts([long(1, "600")]).await;
    let token = seen.recv().await.unwrap();
    running.abort();
    token.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_beside_the_program_has_started_when_it_is_welcomed_and_drains_when_told() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, mut seen) = slow(channel);
    let mut starting = tokio::spawn(worker.start());
    let mut session = peer.accept().await;
    session.hello().await;
    let early = tokio::time::timeout(Duration::from_secs(1), &mut starting).await;
    assert!(early.is_err(), "it is not welcomed yet");
    session.send(welcome(NEVER)).await;
    let worker = starting.await.unwrap().unwrap();
    session.attempts([long(1, "29")]).await;
    seen.recv().await.unwrap();
    let ending = tokio::spawn(worker.shutdown());
    while !session.frame().await.unwrap().draining {}
    assert_eq!(session.answer().await, response("29"));
    drop(session);
    ending.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_handle_is_dropped_drains() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, mut seen) = slow(channel);
    let (worker, mut session) = tokio::join!(worker.start(), peer.welcome());
    session.attempts([long(1, "20")]).await;
    seen.recv().await.unwrap();
    drop(worker.unwrap());
    while !session.frame().await.unwrap().draining {}
    assert_eq!(session.answer().await, response("20"));
}

#[tokio::test]
async fn a_worker_that_is_refused_does_not_start() {
    let (peer, channel) = Peer::in_memory();
    peer.refuse(Reason::UnsupportedProtocol, 1);
    let (worker, _seen) = slow(channel);
    let error = worker.start().await.unwrap_err();
    assert!(matches!(error, RunError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_setup_that_cannot_work_is_told_before_anything_is_connected() {
    let worker = Worker::connect("broker:7400").slots(0);
    let error = worker.start().await.unwrap_err();
    assert!(matches!(error, RunError::Setup(_)), "{error}");
    let worker = Worker::connect("broker:7400").slots(0);
    let error = worker.run_until(std::future::pending()).await.unwrap_err();
    let RunError::Setup(setup) = &error else { panic!("expected a setup error, got {error}") };
    assert_eq!(setup.problems().len(), 3, "{error}");
}

//! Signs of life, lost sessions, and the way back.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;
use trine_proto::v1::{Attempt, Reason, WorkerServiceSessionRequest, WorkerServiceSessionResponse};
use trine_worker::{CancellationToken, Channel, Context, Error, RunError, Worker};

use crate::peer::{Peer, Running, attempt, response, welcome};

const INTERVAL: Duration = Duration::from_secs(10);

/// A worker whose function never answers and tells of the tokens of its attempts.
fn waiting(channel: Channel) -> (Worker, mpsc::UnboundedReceiver<CancellationToken>) {
    let (tokens, seen) = mpsc::unbounded_channel();
    let worker = Worker::with_channel(channel)
        .function_raw("wait", move |_, context: Context| {
            let _ = tokens.send(context.cancellation());
            std::future::pending::<Result<Bytes, Error>>()
        })
        .function_raw("echo", |payload, _| async move { Ok::<_, Error>(payload) });
    (worker, seen)
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_sends_an_empty_frame_every_interval() {
    let (mut peer, channel) = Peer::in_memory();
    let _running = Running::start(waiting(channel).0);
    let mut session = peer.accept().await;
    session.hello().await;
    session.send(welcome(INTERVAL)).await;
    let mut last = Instant::now();
    for _ in 0..10 {
        assert_eq!(session.frame().await, Some(WorkerServiceSessionRequest::default()));
        assert!(last.elapsed() <= INTERVAL + Duration::from_millis(10), "{:?}", last.elapsed());
        last = Instant::now();
        session.beat().await;
    }
    assert!(peer.is_quiet(), "the broker's beats keep the session");
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_is_left_after_two_intervals() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, mut seen) = waiting(channel);
    let _running = Running::start(worker);
    let mut session = peer.accept().await;
    session.hello().await;
    session.send(welcome(INTERVAL)).await;
    session.attempts([Attempt { timeout_ms: 900_000, ..attempt(1, "{}") }]).await;
    let token = seen.recv().await.unwrap();
    let silent = Instant::now();

    let mut next = peer.welcome().await;
    let took = silent.elapsed();
    assert!(took >= 2 * INTERVAL && took < 2 * INTERVAL + Duration::from_secs(1), "{took:?}");
    assert!(token.is_cancelled(), "the lost session's handler is stopped");
    let broken = loop {
        match session.frame_or_break().await {
            Ok(Some(frame)) => assert!(frame.outcomes.is_empty(), "{frame:?}"),
            ended => break ended,
        }
    };
    assert!(broken.is_err() || broken.is_ok_and(|end| end.is_none()));
    // The new session counts from its own first attempt and holds nothing of the old one.
    let echo = Attempt { function_index: 1, ..attempt(2, "2") };
    next.attempts([echo]).await;
    let frame = next.frame().await.unwrap();
    assert_eq!((frame.started_through, frame.outcomes.len()), (Some(1), 1));
    assert_eq!(frame.outcomes[0].result, Some(response("2")));
}

#[tokio::test(start_paused = true)]
async fn a_broken_session_is_replaced_at_once() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, mut seen) = waiting(channel);
    let connected = worker.connected();
    let _running = Running::start(worker);
    for _ in 0..3 {
        let session = peer.welcome().await;
        session.attempts([attempt(1, "{}")]).await;
        let token = seen.recv().await.unwrap();
        assert_eq!(*connected.borrow(), 1);
        tokio::time::advance(Duration::from_secs(60)).await;
        session.fail(Status::unavailable("gone")).await;
        let broken = Instant::now();
        token.cancelled().await;
        let next = peer.accept().await;
        assert!(broken.elapsed() <= Duration::from_millis(60), "{:?}", broken.elapsed());
        drop(next);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_welcomes_and_breaks_is_tried_ever_more_slowly() {
    let (mut peer, channel) = Peer::in_memory();
    let _running = Running::start(waiting(channel).0);
    let begun = Instant::now();
    for _ in 0..200 {
        peer.welcome().await.fail(Status::unavailable("gone")).await;
    }
    // 200 waits, uniform up to 5 s after the first few: 500 s on average.
    let took = begun.elapsed().as_secs();
    assert!((350..650).contains(&took), "{took} s for 200 tries");
}

#[tokio::test(start_paused = true)]
async fn refusals_that_may_pass_are_tried_again() {
    let (mut peer, channel) = Peer::in_memory();
    for reason in [Reason::Overloaded, Reason::ShuttingDown, Reason::Internal] {
        peer.refuse(reason, 3);
    }
    let _running = Running::start(waiting(channel).0);
    peer.welcome().await;
}

#[tokio::test(start_paused = true)]
async fn refusals_that_will_not_pass_end_the_worker() {
    for (reason, advice) in [
        (Reason::UnsupportedProtocol, "upgrade the older side"),
        (Reason::InvalidArgument, "correct the worker's name, functions or slots"),
    ] {
        let (peer, channel) = Peer::in_memory();
        peer.refuse(reason, 1);
        let error = Running::start(waiting(channel).0.channels(2)).result().await.unwrap_err();
        assert!(matches!(error, RunError::Refused { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("the peer's sentence") && text.ends_with(advice), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_stream_counts_as_well() {
    let (mut peer, channel) = Peer::in_memory();
    let running = Running::start(waiting(channel).0);
    let mut session = peer.accept().await;
    session.hello().await;
    let refusal = trine_proto::v1::Refusal {
        reason: Reason::InvalidArgument.into(),
        message: "no such thing".to_owned(),
        retry_after_ms: None,
    };
    session.fail(trine_proto::reason::status(&refusal)).await;
    assert!(running.result().await.unwrap_err().to_string().contains("no such thing"));
}

#[tokio::test(start_paused = true)]
async fn a_welcome_that_does_not_come_is_not_waited_for() {
    let (mut peer, channel) = Peer::in_memory();
    let _running = Running::start(waiting(channel).0);
    let begun = Instant::now();
    let mute = peer.accept().await;
    peer.welcome().await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(11), "{took:?}");
    drop(mute);
}

#[tokio::test(start_paused = true)]
async fn a_session_given_up_before_its_welcome_is_closed() {
    let (mut peer, channel) = Peer::in_memory();
    let mut running = Running::start(waiting(channel).0);
    let mut mute = peer.accept().await;
    mute.hello().await;
    running.shut_down();
    assert!(!matches!(mute.frame_or_break().await, Ok(Some(_))));
    running.result().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_first_frame_that_is_no_welcome_is_not_believed() {
    let (mut peer, channel) = Peer::in_memory();
    let _running = Running::start(waiting(channel).0);
    let mut odd = peer.accept().await;
    odd.hello().await;
    odd.attempts([attempt(1, "{}")]).await;
    peer.welcome().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_drains_gets_its_outcomes_and_a_new_session() {
    let (mut peer, channel) = Peer::in_memory();
    let (go, going) = mpsc::channel::<()>(1);
    let going = std::sync::Arc::new(tokio::sync::Mutex::new(going));
    let worker = Worker::with_channel(channel).function_raw("wait", move |payload, _| {
        let going = going.clone();
        async move {
            going.lock().await.recv().await;
            Ok::<_, Error>(payload)
        }
    });
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;
    session.attempts([attempt(1, "1")]).await;
    session.drain().await;
    assert_eq!(session.frame().await.unwrap().started_through, Some(1));
    assert!(peer.is_quiet(), "it finishes first");
    go.send(()).await.unwrap();
    assert_eq!(session.answer().await, response("1"));
    assert_eq!(session.frame().await, None, "it closes after its last outcome");
    drop(session);
    peer.welcome().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_beyond_its_credit_is_left() {
    let (mut peer, channel) = Peer::in_memory();
    let (worker, _seen) = waiting(channel);
    let _running = Running::start(worker.slots(1));
    let session = peer.welcome().await;
    // More than the window takes while nobody reads the outcomes that come back.
    let flood = WorkerServiceSessionResponse {
        attempts: (0..1000).map(|entry| attempt(entry, "{}")).collect(),
        ..Default::default()
    };
    session.send(flood).await;
    peer.welcome().await;
}

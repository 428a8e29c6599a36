//! Attempts in, outcomes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Barrier, mpsc};
use tokio::time::Instant;
use tower::timeout::TimeoutLayer;
use trine_proto::v1::outcome::Result as Answer;
use trine_proto::v1::{Attempt, OutcomeReturned, OutcomeStopped, WorkerHello};
use trine_proto::{FRAME_BYTES_MAX, FRAME_BYTES_TARGET};
use trine_worker::{CancellationToken, Context, Error, Worker};

use crate::peer::{Peer, Running, attempt, fence, response};

fn double(channel: trine_worker::Channel) -> Worker {
    Worker::with_channel(channel)
        .function("double", |number: u64, _| async move { Ok::<_, Error>(number * 2) })
}

/// Answers with as many bytes as the payload says.
fn fill(channel: trine_worker::Channel) -> Worker {
    Worker::with_channel(channel).function_raw("fill", |payload: Bytes, _| async move {
        let bytes: usize = serde_json::from_slice(&payload)?;
        Ok::<_, Error>(Bytes::from(vec![b'1'; bytes]))
    })
}

async fn for_ever(_: Bytes, _: Context) -> Result<Bytes, Error> {
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn the_hello_says_who_the_worker_is() {
    let (mut peer, channel) = Peer::in_memory();
    let worker = double(channel).function_raw("wait", for_ever).slots(5).name("w-1");
    let _running = Running::start(worker);
    let hello = peer.accept().await.hello().await;
    assert_eq!(
        hello,
        WorkerHello {
            protocol_version: 1,
            worker: "w-1".to_owned(),
            functions: vec!["double".to_owned(), "wait".to_owned()],
            slots: 5,
            sdk: concat!("rust/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_are_answered_under_their_leases() {
    let (mut peer, channel) = Peer::in_memory();
    let _running = Running::start(double(channel));
    let mut session = peer.welcome().await;
    session.attempts([attempt(1, "1"), attempt(2, "2"), attempt(3, "3")]).await;
    let frame = session.frame().await.unwrap();
    assert_eq!(frame.started_through, Some(3));
    // Usually they are all in this frame; one that was slow at first may follow.
    let mut outcomes = frame.outcomes;
    let missing = 3 - outcomes.len();
    outcomes.extend(session.outcomes(missing).await);
    outcomes.sort_by_key(|outcome| outcome.entry);
    let answers: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| (outcome.entry, outcome.fence, outcome.result.unwrap()))
        .collect();
    let expected = [(1, response("2")), (2, response("4")), (3, response("6"))];
    assert_eq!(answers, expected.map(|(entry, answer)| (entry, fence(entry), answer)));
}

#[tokio::test(start_paused = true)]
async fn the_broker_learns_of_a_start_while_the_handler_runs() {
    let (mut peer, channel) = Peer::in_memory();
    let (go, going) = mpsc::channel::<()>(1);
    let going = Arc::new(tokio::sync::Mutex::new(going));
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
    let frame = session.frame().await.unwrap();
    assert_eq!((frame.started_through, frame.outcomes.len()), (Some(1), 0));
    go.send(()).await.unwrap();
    let frame = session.frame().await.unwrap();
    assert_eq!((frame.started_through, frame.outcomes.len()), (None, 1), "counted once");
    session.attempts([attempt(2, "2"), attempt(3, "3")]).await;
    assert_eq!(session.frame().await.unwrap().started_through, Some(3), "counted from the first");
}

#[tokio::test(start_paused = true)]
async fn handlers_that_wait_run_beside_each_other() {
    let (mut peer, channel) = Peer::in_memory();
    let barrier = Arc::new(Barrier::new(3));
    let worker = Worker::with_channel(channel).slots(3).function_raw("meet", move |payload, _| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            Ok::<_, Error>(payload)
        }
    });
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;
    session.attempts([attempt(1, "1"), attempt(2, "2"), attempt(3, "3")]).await;
    session.outcomes(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handlers_that_compute_run_beside_each_other() {
    let (mut peer, channel) = Peer::in_memory();
    let met = Arc::new(AtomicU32::new(0));
    // Never awaits: computes until two of it compute, or gives up.
    let worker = Worker::with_channel(channel).function("meet", move |count: bool, _| {
        let met = met.clone();
        async move {
            let begun = std::time::Instant::now();
            met.fetch_add(u32::from(count), Ordering::SeqCst);
            while count && met.load(Ordering::SeqCst) < 2 && begun.elapsed().as_secs() < 20 {}
            while !count && begun.elapsed().as_millis() < 2 {}
            Ok::<_, Error>(met.load(Ordering::SeqCst))
        }
    });
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;
    session.attempts([attempt(1, "false")]).await;
    session.outcomes(1).await;
    session.attempts([attempt(2, "true"), attempt(3, "true")]).await;
    for outcome in session.outcomes(2).await {
        assert_eq!(outcome.result, Some(response("2")));
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_lambdas_objects() {
    let (mut peer, channel) = Peer::in_memory();
    let worker = double(channel).function("fail", |kind: String, _| async move {
        match kind.as_str() {
            "chosen" => Err(Error::new("Shop.Closed", "come back at nine")),
            other => Ok(other.parse::<u32>()?),
        }
    });
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;

    session.attempts([Attempt { function_index: 1, ..attempt(1, "\"chosen\"") }]).await;
    let chosen = serde_json::json!({
        "errorType": "Shop.Closed", "errorMessage": "come back at nine", "stackTrace": []
    });
    assert_eq!(session.function_error().await, chosen);

    session.attempts([Attempt { function_index: 1, ..attempt(2, "\"x\"") }]).await;
    assert_eq!(session.function_error().await["errorType"], "core::num::error::ParseIntError");

    session.attempts([attempt(3, "\"no number\"")]).await;
    assert_eq!(session.function_error().await["errorType"], "Runtime.UnmarshalError");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_function_error_and_the_worker_lives_on() {
    let (mut peer, channel) = Peer::in_memory();
    let worker = double(channel).function("panic", |late: bool, _| async move {
        if late {
            tokio::task::yield_now().await;
        }
        assert!(late, "too early");
        assert!(!late, "too late");
        Ok::<_, Error>(())
    });
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;
    for (payload, message) in [("false", "too early"), ("true", "too late")] {
        session.attempts([Attempt { function_index: 1, ..attempt(1, payload) }]).await;
        let error = session.function_error().await;
        assert_eq!(
            (&error["errorType"], &error["errorMessage"]),
            (&"Runtime.Panic".into(), &message.into())
        );
        assert!(error["stackTrace"][0].as_str().unwrap().contains(file!()), "{error}");
    }
    session.attempts([attempt(2, "4")]).await;
    assert_eq!(session.answer().await, response("8"));
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_stopped_at_its_timeout_and_not_before() {
    let (mut peer, channel) = Peer::in_memory();
    let (tokens, mut seen) = mpsc::unbounded_channel::<CancellationToken>();
    let worker = Worker::with_channel(channel).function_raw("wait", move |_, context: Context| {
        let _ = tokens.send(context.cancellation());
        std::future::pending::<Result<Bytes, Error>>()
    });
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;
    let begun = Instant::now();
    session.attempts([Attempt { timeout_ms: 2500, ..attempt(1, "{}") }]).await;
    assert_eq!(session.answer().await, Answer::Stopped(OutcomeStopped { timed_out: true }));
    let took = begun.elapsed();
    assert!((2500..2510).contains(&took.as_millis()), "{took:?}");
    assert!(seen.recv().await.unwrap().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_stopped_when_the_broker_asks_and_no_other() {
    let (mut peer, channel) = Peer::in_memory();
    let (tokens, mut seen) = mpsc::unbounded_channel::<CancellationToken>();
    let worker = Worker::with_channel(channel).function_raw("wait", move |_, context: Context| {
        let _ = tokens.send(context.cancellation());
        std::future::pending::<Result<Bytes, Error>>()
    });
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;
    session.attempts([attempt(1, "{}"), attempt(2, "{}")]).await;
    let (first, second) = (seen.recv().await.unwrap(), seen.recv().await.unwrap());
    session.stop(9).await;
    session.stop(2).await;
    let outcome = session.outcomes(1).await.remove(0);
    assert_eq!((outcome.entry, outcome.fence), (2, fence(2)));
    assert_eq!(outcome.result, Some(Answer::Stopped(OutcomeStopped { timed_out: false })));
    assert!(second.is_cancelled() && !first.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_response_above_the_limit_is_lambdas_error() {
    let (mut peer, channel) = Peer::in_memory();
    let _running = Running::start(fill(channel));
    let mut session = peer.welcome().await;
    session.attempts([attempt(1, "6291556"), attempt(2, "6291557")]).await;
    let outcomes = session.outcomes(2).await;
    assert!(matches!(&outcomes[0].result, Some(Answer::Response(text)) if text.len() == 6_291_556));
    let object = Bytes::from_static(
        concat!(
            r#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"#,
            r#""Response payload size exceeded maximum allowed payload size (6291556 bytes)."}"#
        )
        .as_bytes(),
    );
    assert_eq!(outcomes[1].result, Some(Answer::FunctionError(object)));
}

#[tokio::test(start_paused = true)]
async fn many_large_outcomes_are_cut_into_frames() {
    let (mut peer, channel) = Peer::in_memory();
    let _running = Running::start(fill(channel));
    let mut session = peer.welcome().await;
    session.attempts((0..40).map(|entry| attempt(entry, "100000"))).await;
    let mut entries = Vec::new();
    while entries.len() < 40 {
        let frame = session.frame().await.unwrap();
        let bytes = prost::Message::encoded_len(&frame);
        assert!(bytes < FRAME_BYTES_TARGET + 101_000, "a frame of {bytes} bytes");
        assert!(bytes < FRAME_BYTES_MAX);
        entries.extend(frame.outcomes.iter().map(|outcome| outcome.entry));
    }
    entries.sort_unstable();
    assert_eq!(entries, (0..40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_start_goes_back_unstarted() {
    let (mut peer, channel) = Peer::in_memory();
    let worker = Worker::with_channel(channel).function_raw("wait", for_ever).slots(2);
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;
    let unknown = Attempt { function_index: 1, ..attempt(1, "{}") };
    session.attempts([unknown, attempt(2, "{}"), attempt(3, "{}"), attempt(4, "{}")]).await;
    let returned = Some(Answer::Returned(OutcomeReturned {}));
    let outcomes = session.outcomes(2).await;
    assert_eq!((outcomes[0].entry, &outcomes[0].result), (1, &returned));
    assert_eq!((outcomes[1].entry, &outcomes[1].result), (4, &returned));
    session.stop(2).await;
    session.outcomes(1).await;
    session.attempts([attempt(5, "{}"), attempt(6, "{}")]).await;
    assert_eq!(session.outcomes(1).await[0].entry, 6, "one slot was free again, not two");
}

#[tokio::test(start_paused = true)]
async fn the_context_holds_what_the_attempt_says() {
    let (mut peer, channel) = Peer::in_memory();
    let (contexts, mut seen) = mpsc::unbounded_channel();
    let worker = Worker::with_channel(channel).function_raw("look", move |payload, context| {
        let _ = contexts.send(context);
        std::future::ready(Ok::<_, Error>(payload))
    });
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;
    let begun = Instant::now();
    session
        .attempts([Attempt {
            version: "7".to_owned(),
            attempt: 3,
            client_context: Bytes::from_static(b"{\"a\":1}"),
            traceparent: "00-1-2-01".to_owned(),
            tracestate: "k=v".to_owned(),
            invoked_function: "look:live".to_owned(),
            memory_mb: 512,
            ..attempt(1, "")
        }])
        .await;
    assert_eq!(session.answer().await, response("{}"), "an empty payload is an empty event");
    let context: Context = seen.recv().await.unwrap();
    assert_eq!(context.request_id(), "request-1");
    assert_eq!((context.function(), context.invoked_function()), ("look", "look:live"));
    assert_eq!((context.version(), context.attempt(), context.memory_mb()), ("7", 3, 512));
    assert_eq!((context.traceparent(), context.tracestate()), ("00-1-2-01", "k=v"));
    assert_eq!(context.client_context(), "{\"a\":1}");
    assert_eq!(context.deadline() - begun, Duration::from_secs(3));
    assert!(!context.cancellation().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_log_tail_is_sent_when_asked_for() {
    let (mut peer, channel) = Peer::in_memory();
    let worker = Worker::with_channel(channel).function_raw("log", |_, context| async move {
        context.log("a line");
        Err::<Bytes, _>(Error::new("Shop.Closed", ""))
    });
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;
    session.attempts([attempt(1, ""), Attempt { log_tail: true, ..attempt(2, "") }]).await;
    let outcomes = session.outcomes(2).await;
    assert_eq!(outcomes[0].log_tail, "");
    assert_eq!(
        outcomes[1].log_tail,
        "START RequestId: request-2 Version: $LATEST\na line\nEND RequestId: request-2\n\
         REPORT RequestId: request-2\tDuration: 0.00 ms\tBilled Duration: 0 ms\
         \tMemory Size: 128 MB\tStatus: error\tError Type: Shop.Closed\n"
    );
}

#[tokio::test(start_paused = true)]
async fn layers_wrap_every_function() {
    let (mut peer, channel) = Peer::in_memory();
    let worker = double(channel)
        .layer(TimeoutLayer::new(Duration::from_millis(100)))
        .function_raw("wait", for_ever);
    let _running = Running::start(worker);
    let mut session = peer.welcome().await;
    session.attempts([attempt(1, "21"), Attempt { function_index: 1, ..attempt(2, "") }]).await;
    assert_eq!(session.answer().await, response("42"));
    assert_eq!(session.function_error().await["errorMessage"], "request timed out");
}

#[tokio::test(start_paused = true)]
async fn channels_share_the_slots() {
    let (mut peer, channel) = Peer::in_memory();
    let _running = Running::start(double(channel).slots(5).channels(2));
    let mut slots =
        [peer.accept().await.hello().await.slots, peer.accept().await.hello().await.slots];
    slots.sort_unstable();
    assert_eq!(slots, [2, 3]);
}

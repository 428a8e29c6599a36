//! `InvokeStream`: frames of many calls, answers as they become known, and a client that sends more than is
//! good for anybody.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use trine_proto::RESPONSE_BYTES_MAX;
use trine_proto::v1::outcome::Result as Given;
use trine_proto::v1::{
    Durability, FunctionSettings, InvokeRequest, InvokeStreamRequest, Reason, StreamCall,
};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{Client, call, event, reason};
use trine_tests::fixture::puppet::Puppet;
use trine_tests::fixture::raw_worker::{RawWorker, outcome};
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::stream::Stream;
use trine_tests::fixture::wait::{soon, until};
use trine_tests::fixture::{LIMIT, run};
use trine_worker::{Context, Error, Worker};

async fn echo(broker: &Broker, functions: &[&str]) -> Serving {
    let mut worker = Worker::connect(broker.url()).slots(64);
    for name in functions {
        broker.client().create(name, FunctionSettings::default()).await;
        let named = (*name).to_owned();
        let echo = move |payload: Bytes, _: Context| {
            let answer = format!("[\"{named}\",{}]", String::from_utf8_lossy(&payload));
            async move { Ok::<_, Error>(Bytes::from(answer)) }
        };
        worker = worker.function_raw(*name, echo);
    }
    Serving::start(worker).await
}

fn unnamed(payload: &'static str) -> InvokeRequest {
    InvokeRequest { payload: Bytes::from_static(payload.as_bytes()), ..InvokeRequest::default() }
}

#[test]
fn every_call_of_a_large_frame_gets_its_own_answer() {
    run(async {
        let broker = Broker::start().await;
        let _worker = echo(&broker, &["f"]).await;
        let mut stream = Stream::open(&broker.client()).await;
        // Ids as a client may choose them: with gaps, in any order, at the end of the range.
        let ids: Vec<u64> = (0..500).map(|n| u64::MAX - n * 7_919).collect();
        stream.send(ids.iter().map(|id| (*id, call("f", id.to_string())))).await;
        let answers = stream.answers(ids.len()).await;
        let mut request_ids = BTreeSet::new();
        for id in &ids {
            let answer = answers[id].as_ref().unwrap();
            assert_eq!(answer.payload, format!("[\"f\",{id}]"));
            request_ids.insert(answer.request_id.clone());
        }
        assert_eq!(request_ids.len(), ids.len());
        assert!(stream.frames < ids.len(), "answers share frames too");
    });
}

#[test]
fn answers_come_in_the_order_in_which_they_become_known() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler());
        let _worker = Serving::start(worker).await;
        let mut stream = Stream::open(&client).await;
        stream.send((1..=3).map(|id| (id, call("f", id.to_string())))).await;
        let mut held = [puppet.next().await, puppet.next().await, puppet.next().await];
        held.sort_by_key(|held| held.payload.clone());
        for held in held.into_iter().rev() {
            let id: u64 = String::from_utf8_lossy(&held.payload).parse().unwrap();
            held.answer(id.to_string());
            let frame = stream.frame().await.unwrap().unwrap();
            let ids: Vec<u64> = frame.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, [id], "no call waits for another one");
        }
    });
}

#[test]
fn a_call_without_a_name_goes_where_the_one_before_it_went() {
    run(async {
        let broker = Broker::start().await;
        let _worker = echo(&broker, &["f", "g"]).await;
        let mut stream = Stream::open(&broker.client()).await;
        let latest = InvokeRequest { qualifier: "$LATEST".to_owned(), ..call("g", "3") };
        stream
            .send([
                (0, unnamed("0")),
                (1, call("f", "1")),
                (2, unnamed("2")),
                (3, latest),
                (4, unnamed("4")),
                (5, call("f", "5")),
            ])
            .await;
        let answers = stream.answers(6).await;
        assert_eq!(reason(&answers[&0]), Some(Reason::InvalidArgument), "nothing was before it");
        for (id, function) in [(1, "f"), (2, "f"), (3, "g"), (4, "g"), (5, "f")] {
            let answer = answers[&id].as_ref().unwrap();
            assert_eq!(answer.payload, format!("[\"{function}\",{id}]"));
        }
        // The name holds for a frame, not for a stream.
        stream.send([(6, unnamed("6"))]).await;
        assert_eq!(reason(&stream.answers(1).await[&6]), Some(Reason::InvalidArgument));
    });
}

/// What a refused call names is what the next one repeats: it must not run what was named before.
#[test]
fn a_call_without_a_name_after_a_refused_one_is_refused_with_it() {
    run(async {
        let broker = Broker::start().await;
        let _worker = echo(&broker, &["f"]).await;
        let mut stream = Stream::open(&broker.client()).await;
        let odd = InvokeRequest { qualifier: "no such thing".to_owned(), ..call("f", "2") };
        stream
            .send([
                (1, call("f", "1")),
                (2, odd),
                (3, unnamed("3")),
                (4, call("nobody", "4")),
                (5, unnamed("5")),
            ])
            .await;
        let answers = stream.answers(5).await;
        assert_eq!(reason(&answers[&1]), None);
        assert_eq!(reason(&answers[&2]), Some(Reason::InvalidArgument));
        assert_eq!(reason(&answers[&3]), Some(Reason::InvalidArgument));
        assert_eq!(reason(&answers[&4]), Some(Reason::UnknownFunction));
        assert_eq!(reason(&answers[&5]), Some(Reason::UnknownFunction));
    });
}

#[test]
fn a_refused_call_leaves_the_rest_of_its_frame_alone() {
    run(async {
        let broker = Broker::start().await;
        let _worker = echo(&broker, &["f"]).await;
        let mut stream = Stream::open(&broker.client()).await;
        let late = InvokeRequest { deadline_ms: Some(0), ..call("f", "4") };
        stream
            .send([
                (1, call("f", "1")),
                (2, call("g", "2")),
                (3, call("f", "{")),
                (4, late),
                (5, event("f", vec![b' '; (1 << 20) + 1])),
                (6, call("f", "6")),
                (7, event("f", "7")),
            ])
            .await;
        let answers = stream.answers(7).await;
        let expected = [
            (1, None),
            (2, Some(Reason::UnknownFunction)),
            (3, Some(Reason::MalformedPayload)),
            (4, Some(Reason::DeadlineExpired)),
            (5, Some(Reason::PayloadTooLarge)),
            (6, None),
            (7, None),
        ];
        for (id, refused) in expected {
            assert_eq!(reason(&answers[&id]), refused, "call {id}");
        }
        let accepted = answers[&7].as_ref().unwrap();
        assert_eq!(accepted.durability(), Durability::LocalDisk);
        assert!(accepted.payload.is_empty() && accepted.executed_version.is_empty());
    });
}

#[test]
fn a_client_that_ends_its_side_gets_every_answer_and_then_the_end() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler());
        let _worker = Serving::start(worker).await;
        let mut stream = Stream::open(&client).await;
        stream.send((0..3).map(|id| (id, call("f", "1")))).await;
        let held = [puppet.next().await, puppet.next().await, puppet.next().await];
        stream.half_close();
        held.into_iter().for_each(|held| held.answer("1"));
        assert!(stream.answers(3).await.values().all(Result::is_ok));
        assert!(stream.frame().await.unwrap().is_none());
        // A stream on which nothing was said ends as well.
        let mut silent = Stream::open(&client).await;
        silent.half_close();
        assert!(silent.frame().await.unwrap().is_none());
    });
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler()).slots(2);
        let _worker = Serving::start(worker).await;
        let stream = Stream::open(&client).await;
        stream.send((0..10).map(|id| (id, call("f", "1")))).await;
        let running = [puppet.next().await, puppet.next().await];
        drop(stream);
        // Those that waited for a slot never start.
        until("the wait of eight calls to end", LIMIT, async || {
            broker.metrics().await.value("trine_sync_waiting") == 0.0
        })
        .await;
        assert_eq!(client.account().await.running, 2);
        running.into_iter().for_each(|held| held.answer("1"));
        until("an idle broker", LIMIT, async || client.account().await.running == 0).await;
        assert!(puppet.is_quiet(), "nobody asks for these any more");
        let metrics = broker.metrics().await;
        assert_eq!(metrics.value("trine_slots_taken"), 0.0);
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
        let mut stream = Stream::open(&client).await;
        stream.send([(1, call("f", "1")), (2, call("f", "1"))]).await;
        for _ in 0..2 {
            puppet.next().await.answer("1");
        }
        assert_eq!(stream.answers(2).await.len(), 2);
    });
}

/// Answers that become known together share frames only as far as a client takes them.
#[test]
fn large_answers_that_come_together_all_arrive() {
    const CALLS: u64 = 5;
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("big", FunctionSettings::default()).await;
        let mut worker = RawWorker::join(&client, &["big"], 64).await;
        let mut stream = Stream::open(&client).await;
        stream.send((0..CALLS).map(|id| (id, call("big", "1")))).await;
        let attempts = worker.some(usize::try_from(CALLS).unwrap()).await;
        // One frame of the worker: for the broker they become known at once.
        let large = Bytes::from(format!("\"{}\"", "x".repeat(900 << 10)));
        let outcomes =
            attempts.iter().map(|a| outcome(a, Given::Response(large.clone()))).collect();
        worker.outcomes(outcomes).await;
        let answers = stream.answers(usize::try_from(CALLS).unwrap()).await;
        for answer in answers.values() {
            assert_eq!(answer.as_ref().unwrap().payload, large);
        }
        assert_eq!(stream.frames, attempts.len(), "each is a frame's worth by itself");
        // The same for calls that end our side first, with answers of the largest size from many frames.
        stream.send((0..CALLS).map(|id| (id, call("big", "1")))).await;
        stream.half_close();
        let attempts = worker.some(usize::try_from(CALLS).unwrap()).await;
        let largest = Bytes::from(format!("\"{}\"", "x".repeat(RESPONSE_BYTES_MAX - 2)));
        for attempt in &attempts {
            worker.respond(attempt, largest.clone()).await;
        }
        let answers = stream.answers(usize::try_from(CALLS).unwrap()).await;
        for answer in answers.values() {
            assert_eq!(answer.as_ref().unwrap().payload.len(), RESPONSE_BYTES_MAX);
        }
        assert!(stream.frame().await.unwrap().is_none());
    });
}

#[test]
fn calls_beyond_what_a_frame_may_hold_are_refused_and_the_others_run() {
    run(async {
        let broker = Broker::start().await;
        let _worker = echo(&broker, &["f"]).await;
        let mut stream = Stream::open(&broker.client()).await;
        stream.send((0..8_194).map(|id| (id, event("f", "1")))).await;
        let answers = stream.answers(8_194).await;
        let refused: Vec<u64> =
            answers.iter().filter(|(_, answer)| answer.is_err()).map(|(id, _)| *id).collect();
        assert_eq!(refused, [8_192, 8_193]);
        assert_eq!(reason(&answers[&8_192]), Some(Reason::InvalidArgument));
    });
}

#[test]
fn a_frame_too_large_to_read_ends_its_stream_and_no_other() {
    run(async {
        let broker = Broker::start().await;
        let _worker = echo(&broker, &["f"]).await;
        let client = broker.client();
        let mut good = Stream::open(&client).await;
        let mut bad = Stream::open(&client).await;
        let payload = Bytes::from(format!("\"{}\"", "x".repeat(1 << 20)));
        // A send may see the end already; the answers' side tells of it.
        let _ = bad.try_send((0..12).map(|id| (id, call("f", payload.clone())))).await;
        let ended = loop {
            match bad.frame().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended as if all were well"),
                Err(status) => break status,
            }
        };
        assert!(
            matches!(ended.code(), tonic::Code::OutOfRange | tonic::Code::ResourceExhausted),
            "{ended:?}"
        );
        good.send([(1, call("f", "1"))]).await;
        assert!(good.answers(1).await[&1].is_ok(), "the same connection serves on");
    });
}

#[test]
fn a_stream_that_is_not_answered_is_not_read() {
    const SENT: u64 = 40_000;
    const FRAME: u64 = 1_000;
    run(async {
        let broker =
            Setup::new().virtual_time().set("limits.account_concurrency", 1_000_000).start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let (open, gate) = watch::channel(false);
        let wait = move |payload: Bytes, _: Context| {
            let mut gate = gate.clone();
            async move {
                let _ = gate.wait_for(|open| *open).await;
                Ok::<_, Error>(payload)
            }
        };
        let worker = Worker::connect(broker.url()).function_raw("f", wait).slots(1);
        let _worker = Serving::start(worker).await;
        let mut stream = Stream::open(&client).await;
        for frame in 0..SENT / FRAME {
            let calls = (frame * FRAME..(frame + 1) * FRAME).map(|id| (id, call("f", "1")));
            stream.send(calls).await;
        }
        let waiting = async || broker.metrics().await.value("trine_sync_waiting");
        until("a full stream", LIMIT, async || waiting().await >= 16_383.0).await;
        // Whatever the broker still has to do, it has done after it has answered somebody else.
        for _ in 0..20 {
            client.broker().await;
        }
        let held = waiting().await;
        assert!(held < 16_384.0 + 1_000.0, "{held} calls were taken off one stream");
        open.send_replace(true);
        let sent = usize::try_from(SENT).unwrap();
        assert_eq!(stream.answers(sent).await.len(), sent);
    });
}

#[test]
fn a_client_that_does_not_read_its_answers_holds_up_nobody_else() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("big", FunctionSettings::default()).await;
        let big = |_: Bytes, _: Context| async move {
            Ok::<_, Error>(Bytes::from(format!("\"{}\"", "x".repeat(1 << 20))))
        };
        let worker = Worker::connect(broker.url()).function_raw("big", big).slots(64);
        let _worker = Serving::start(worker).await;
        // Its own connection: the windows of the connection are full then.
        let lazy = broker.client();
        let stream = Stream::open(&lazy).await;
        stream.send((0..64).map(|id| (id, call("big", "1")))).await;
        let served = async || broker.metrics().await.of("trine_invocations_total", "big") >= 64.0;
        until("64 answers that nobody reads", LIMIT, served).await;
        for _ in 0..3 {
            let answer = soon("another client's answer", client.call("big", "1")).await;
            assert_eq!(answer.payload.len(), (1 << 20) + 2);
        }
        drop(stream);
        let account = client.account().await;
        assert_eq!(account.running, 0);
    });
}

#[test]
fn events_over_a_stream_are_durable_and_keyed() {
    run(async {
        let mut broker = Broker::start().await;
        let client = broker.client();
        client.create("later", FunctionSettings::default()).await;
        let mut stream = Stream::open(&client).await;
        let keyed =
            |key: &str| InvokeRequest { idempotency_key: key.to_owned(), ..event("later", "1") };
        // The same key twice in one frame: the second one finds the first one on its way to the disk.
        stream.send([(1, keyed("a")), (2, keyed("a")), (3, keyed("b"))]).await;
        let answers = stream.answers(3).await;
        let [one, two, three] = [1, 2, 3].map(|id| answers[&id].as_ref().unwrap().clone());
        assert_eq!(one.request_id, two.request_id);
        assert_ne!(one.request_id, three.request_id);
        assert_eq!((one.duplicate, two.duplicate, three.duplicate), (false, true, false));
        assert!(!one.warnings.is_empty(), "nobody serves it: the caller should know");
        broker.crash().await;
        let client = broker.client();
        assert_eq!(client.get(&one.request_id).await.idempotency_key, "a");
        assert_eq!(client.account().await.queued, 2);
    });
}

#[test]
fn a_frame_that_says_nothing_is_nothing() {
    run(async {
        let broker = Broker::start().await;
        let _worker = echo(&broker, &["f"]).await;
        let client = broker.client();
        let calls = vec![StreamCall { call_id: 1, request: None }];
        let frames = vec![
            InvokeStreamRequest::default(),
            InvokeStreamRequest { calls },
            InvokeStreamRequest::default(),
        ];
        let answers = client.invocations().invoke_stream(tokio_stream::iter(frames)).await;
        let mut answers = answers.unwrap().into_inner();
        let first = soon("an answer", answers.message()).await.unwrap().unwrap();
        assert_eq!(first.answers.len(), 1, "{first:?}");
        assert!(soon("the end", answers.message()).await.unwrap().is_none());
        served(&client).await;
    });
}

async fn served(client: &Client) {
    let answer = tokio::time::timeout(Duration::from_secs(20), client.call("f", "1")).await;
    assert_eq!(answer.unwrap().payload, "[\"f\",1]");
}

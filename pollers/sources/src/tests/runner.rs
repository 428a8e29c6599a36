//! One source, one engine, one broker: what a poller does as others see it.

use std::time::Duration;

use serde_json::{Value, json};
use tonic::transport::Channel;
use trine_poll_engine::{BATCH_BYTES_MAX, BatchLimits, Verdict};
use trine_proto::v1::Reason;

use super::broker::Broker;
use super::watching::until;
use crate::memory::{self, Fault, MemoryStream};
use crate::runner::{self, Plan};
use crate::target::Target;
use crate::{PollerHandle, PollerState, ShutdownError};

const SOON: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);

pub(super) fn start(channel: Channel, stream: &MemoryStream) -> PollerHandle {
    start_with(channel, stream, BatchLimits::new(2, 0).unwrap())
}

fn start_with(channel: Channel, stream: &MemoryStream, batch: BatchLimits) -> PollerHandle {
    let plan = Plan {
        name: "test".to_owned(),
        connect: stream.clone(),
        descriptor: memory::DESCRIPTOR,
        batch,
        target: Target::new("sink", Some("live")).unwrap(),
        channel,
    };
    runner::start(plan).unwrap()
}

pub(super) fn produce(stream: &MemoryStream, numbers: impl IntoIterator<Item = usize>) {
    numbers.into_iter().for_each(|number| stream.produce(number.to_string()));
}

pub(super) fn numbers(numbers: impl IntoIterator<Item = usize>) -> Vec<Value> {
    numbers.into_iter().map(|number| json!(number)).collect()
}

#[tokio::test(start_paused = true)]
async fn records_reach_the_function_in_order_in_batches_and_are_settled() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    produce(&stream, 0..5);
    let poller = start(channel, &stream);
    for records in [0..2, 2..4, 4..5] {
        let call = broker.call().await;
        assert_eq!((&*call.request.function, &*call.request.qualifier), ("sink", "live"));
        assert_eq!(call.records(), numbers(records.clone()));
        assert_eq!(stream.settled(), records.start, "settled before its verdict");
        call.succeed();
    }
    let status = until(&poller, "5 settled", |s| s.checkpoint.as_deref() == Some("4")).await;
    assert_eq!((status.counts.polled_events, status.counts.invoked_events), (5, 5));
    assert_eq!((status.counts.succeeded_batches, status.counts.failed_invoke_events), (3, 0));
    assert_eq!(status.last_error, None);
    assert_eq!(status.counts.iterator_age, Some(Duration::ZERO));
    assert_eq!(stream.verdicts(), (0..5).map(|at| (at, Verdict::Done)).collect::<Vec<_>>());
    let last = poller.shutdown(SOON).await.unwrap();
    assert_eq!(last.state, PollerState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn only_one_batch_is_in_flight() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    produce(&stream, 0..4);
    let poller = start(channel, &stream);
    let first = broker.call().await;
    broker.quiet(LONG).await;
    assert_eq!(poller.status().state, PollerState::Invoking);
    first.succeed();
    assert_eq!(broker.call().await.records(), numbers(2..4));
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_function_fails_comes_again_whole() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    produce(&stream, 0..3);
    let poller = start(channel, &stream);
    for _ in 0..3 {
        let call = broker.call().await;
        assert_eq!(call.records(), numbers(0..2));
        call.fail();
    }
    let status = until(&poller, "3 failures", |s| s.counts.failed_invoke_events == 6).await;
    assert_eq!(status.state, PollerState::Retrying);
    assert!(status.last_error.unwrap().contains("it went off"));
    assert_eq!(stream.settled(), 0);
    broker.call().await.succeed();
    broker.call().await.succeed();
    let status = until(&poller, "all settled", |s| s.checkpoint.as_deref() == Some("2")).await;
    assert_eq!((status.counts.invoked_events, status.last_error), (9, None));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_reach_the_function_waits_and_is_no_failure() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    produce(&stream, 0..1);
    let poller = start(channel, &stream);
    let refusals = [
        (Reason::NoWorker, "NO_WORKER"),
        (Reason::ReservedConcurrencyExceeded, "RESERVED_CONCURRENCY_EXCEEDED"),
        (Reason::UnknownFunction, "UNKNOWN_FUNCTION"),
    ];
    for (reason, name) in refusals {
        broker.call().await.refuse(reason);
        let told =
            until(&poller, name, |s| s.last_error.as_ref().is_some_and(|e| e.contains(name)));
        assert_eq!(told.await.state, PollerState::Retrying);
    }
    drop(broker.call().await);
    until(&poller, "a lost call", |s| s.counts.lost_batches == 1).await;
    broker.call().await.succeed();
    let counts = until(&poller, "settled", |s| s.checkpoint.is_some()).await.counts;
    assert_eq!((counts.invoked_events, counts.failed_invoke_events), (1, 0));
    assert_eq!((counts.no_capacity_batches, counts.throttled_batches), (1, 1));
    assert_eq!((counts.refused_batches, counts.lost_batches), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_breaks_comes_back_by_itself_and_loses_and_repeats_nothing() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    for fault in [Fault::Connect, Fault::Connect, Fault::Receive, Fault::Connect] {
        stream.fail(fault);
    }
    produce(&stream, 0..2);
    let poller = start(channel, &stream);
    let call = broker.call().await;
    assert_eq!(call.records(), numbers(0..2));
    call.succeed();
    stream.fail(Fault::ReceivePanics);
    stream.fail(Fault::Receive);
    until(&poller, "the losses", |s| s.counts.source_losses == 6).await;
    produce(&stream, 2..3);
    let call = broker.call().await;
    assert_eq!(call.records(), numbers(2..3));
    call.succeed();
    let status = until(&poller, "settled", |s| s.checkpoint.as_deref() == Some("2")).await;
    assert_eq!((status.last_error, status.counts.polled_events), (None, 3));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_away_for_ten_minutes_is_shown_and_resumed() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    produce(&stream, 0..1);
    (0..100_000).for_each(|_| stream.fail(Fault::Connect));
    let poller = start(channel, &stream);
    broker.quiet(10 * LONG).await;
    let status = until(&poller, "the loss", |s| s.state == PollerState::WaitingForSource).await;
    assert!(status.last_error.unwrap().contains("refuses the connection"));
    let tries = status.counts.source_losses;
    assert!((400..700).contains(&tries), "{tries} tries: waits are a second at most, never none");
    stream.repair();
    let repaired = tokio::time::Instant::now();
    broker.call().await.succeed();
    assert!(repaired.elapsed() < SOON, "{:?}", repaired.elapsed());
    until(&poller, "settled", |s| s.checkpoint.is_some() && s.last_error.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_more_is_sent_until_verdicts_are_durable() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    produce(&stream, 0..4);
    stream.fail(Fault::Settle);
    stream.fail(Fault::SettleAnswer);
    let poller = start(channel, &stream);
    broker.call().await.succeed();
    let status = until(&poller, "the failure", |s| s.counts.checkpoint_failures == 1).await;
    assert!(status.last_error.unwrap().contains("refuses the verdicts"));
    assert_eq!((status.state, stream.settled()), (PollerState::Settling, 0));
    let call = broker.call().await;
    assert_eq!((call.records(), stream.settled()), (numbers(2..4), 2));
    assert_eq!(poller.status().counts.checkpoint_failures, 2);
    assert_eq!(poller.status().last_error, None);
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_any_payload_is_skipped_in_its_place() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    let huge = usize::try_from(BATCH_BYTES_MAX).unwrap() + 1;
    produce(&stream, 0..1);
    stream.produce(format!("\"{}\"", "x".repeat(huge)));
    produce(&stream, 2..3);
    let poller = start(channel, &stream);
    for number in [0, 2] {
        let call = broker.call().await;
        assert_eq!(call.records(), numbers([number]));
        call.succeed();
    }
    let status = until(&poller, "settled", |s| s.checkpoint.as_deref() == Some("2")).await;
    assert_eq!((status.counts.dropped_events, status.counts.invoked_events), (1, 2));
    let verdicts = [(0, Verdict::Done), (1, Verdict::Rejected), (2, Verdict::Done)];
    assert_eq!(stream.verdicts(), verdicts);
}

#[tokio::test(start_paused = true)]
async fn the_largest_payload_passes() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    let room = usize::try_from(BATCH_BYTES_MAX).unwrap() - "{\"Records\":[\"\"]}".len();
    stream.produce(format!("\"{}\"", "x".repeat(room)));
    let poller = start(channel, &stream);
    let call = broker.call().await;
    assert_eq!(call.request.payload.len() as u64, BATCH_BYTES_MAX);
    call.succeed();
    until(&poller, "settled", |s| s.checkpoint.is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_window_gathers_what_comes_in_it() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    let poller = start_with(channel, &stream, BatchLimits::new(100, 30_000).unwrap());
    for number in 0..3 {
        produce(&stream, [number]);
        let read = u64::try_from(number).unwrap() + 1;
        until(&poller, "read", |s| s.counts.polled_events == read).await;
    }
    assert_eq!(poller.status().state, PollerState::Gathering);
    broker.quiet(Duration::from_secs(29)).await;
    assert_eq!(broker.call().await.records(), numbers(0..3));
}

#[tokio::test(start_paused = true)]
async fn a_pause_lets_the_batch_end_and_starts_no_other() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    produce(&stream, 0..3);
    let poller = start(channel, &stream);
    let call = broker.call().await;
    poller.pause().await;
    call.succeed();
    until(&poller, "the pause", |s| s.state == PollerState::Paused).await;
    assert_eq!(stream.settled(), 2);
    broker.quiet(LONG).await;
    poller.resume().await;
    assert_eq!(broker.call().await.records(), numbers(2..3));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_the_batch_in_flight_and_its_verdict() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    produce(&stream, 0..4);
    let poller = start(channel, &stream);
    let call = broker.call().await;
    let answer = async {
        broker.quiet(SOON).await;
        call.succeed();
    };
    let (status, ()) = tokio::join!(poller.shutdown(LONG), answer);
    assert_eq!((status.unwrap().state, stream.settled()), (PollerState::Stopped, 2));
    broker.quiet(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_of_a_quiet_poller_is_prompt() {
    let (_broker, channel) = Broker::start();
    let poller = start(channel, &MemoryStream::new());
    until(&poller, "polling", |s| s.state == PollerState::Polling).await;
    let asked = tokio::time::Instant::now();
    poller.shutdown(LONG).await.unwrap();
    assert!(asked.elapsed() <= memory::DESCRIPTOR.receive_wait, "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_has_a_deadline_and_what_it_drops_comes_again() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    produce(&stream, 0..2);
    let poller = start(channel.clone(), &stream);
    let stuck = broker.call().await;
    let error = poller.shutdown(SOON).await.unwrap_err();
    assert_eq!(error, ShutdownError::DeadlinePassed { state: PollerState::Stopping });
    drop(stuck);
    let _again = start(channel, &stream);
    assert_eq!(broker.call().await.records(), numbers(0..2));
}

#[tokio::test(start_paused = true)]
async fn without_its_handle_a_poller_stops_between_units() {
    let (mut broker, channel) = Broker::start();
    let stream = MemoryStream::new();
    produce(&stream, 0..4);
    let poller = start(channel, &stream);
    let mut watch = poller.watch();
    let call = broker.call().await;
    drop(poller);
    call.succeed();
    let stopped = watch.wait_for(|status| status.state == PollerState::Stopped);
    tokio::time::timeout(LONG, stopped).await.unwrap().unwrap();
    assert_eq!(stream.settled(), 2);
}

#[test]
fn without_a_runtime_there_is_no_poller() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let channel = runtime.block_on(async {
        tonic::transport::Endpoint::from_static("http://broker.invalid").connect_lazy()
    });
    let plan = Plan {
        name: "test".to_owned(),
        connect: MemoryStream::new(),
        descriptor: memory::DESCRIPTOR,
        batch: BatchLimits::new(1, 0).unwrap(),
        target: Target::new("f", None).unwrap(),
        channel,
    };
    let error = runner::start(plan).unwrap_err();
    assert!(error.to_string().contains("runtime"), "{error}");
}

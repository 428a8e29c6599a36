//! Asynchronous events while they wait: what for, how long, how many; keys, delays, cancels and lists (LS 3.2).
//! All in the broker's virtual time.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use trine_proto::v1::{
    Blocker, Condition, DeliveryState, FunctionSettings, Invocation, InvocationFilter,
    InvocationState, InvokeRequest, ListInvocationsRequest, LogType, Reason,
};
use trine_tests::fixture::broker::Setup;
use trine_tests::fixture::client::{Client, call, event, reason, refusal};
use trine_tests::fixture::puppet::Puppet;
use trine_tests::fixture::raw_worker::RawWorker;
use trine_tests::fixture::run;

use crate::scene::{MINUTE, MS, serve, to_files};

/// LS 1.1: a client context is for synchronous calls. What an event may carry does not depend on where its payload is.
#[test]
fn an_event_takes_its_trace_along_and_no_client_context() {
    run(async {
        for cache_bytes in [0, 1 << 20] {
            let broker =
                Setup::new().set("limits.payload_cache_bytes_max", cache_bytes).start().await;
            let client = broker.client();
            client.create("f", FunctionSettings::default()).await;
            let mut worker = RawWorker::join(&client, &["f"], 1).await;
            let with_all = |request: InvokeRequest| InvokeRequest {
                client_context: Bytes::from_static(b"{}"),
                log_type: LogType::Tail.into(),
                traceparent: "00-a".to_owned(),
                tracestate: "b=c".to_owned(),
                ..request
            };
            client.invoke(with_all(event("f", "1"))).await.unwrap();
            let attempt = worker.attempt().await;
            assert_eq!((attempt.client_context.as_ref(), attempt.log_tail), (&b""[..], false));
            assert_eq!((&*attempt.traceparent, &*attempt.tracestate), ("00-a", "b=c"));
            worker.respond(&attempt, "1").await;
            // A caller who waits has both.
            let calling = {
                let client = client.clone();
                let request = with_all(call("f", "2"));
                tokio::spawn(async move { client.invoke(request).await })
            };
            let attempt = worker.attempt().await;
            assert_eq!((attempt.client_context.as_ref(), attempt.log_tail), (&b"{}"[..], true));
            worker.respond(&attempt, "1").await;
            calling.await.unwrap().unwrap();
        }
    });
}

#[test]
fn why_names_the_one_thing_that_is_missing() {
    run(async {
        let broker = Setup::new()
            .virtual_time()
            .set("limits.account_concurrency", 2)
            .set("limits.unreserved_concurrency_min", 1)
            .start()
            .await;
        let client = broker.client();
        client.create("slots", to_files()).await;
        client.create("pool", to_files()).await;
        let (mut puppet, strings) = Puppet::new();
        let _one_slot = serve(&broker, &["slots"], &strings, 1).await;
        let _many = serve(&broker, &["pool"], &strings, 8).await;
        let running = client.event("slots", "1").await;
        let held = puppet.next().await;
        let [second, third] = [client.event("slots", "2").await, client.event("slots", "3").await];
        assert_eq!(client.why(&running).await.blocker(), Blocker::Running);
        assert_eq!(client.why(&second).await.blocker(), Blocker::NoFreeSlot);
        assert_eq!(client.why(&third).await.blocker(), Blocker::QueueAhead);
        let why = client.why(&second).await;
        assert!(why.message.contains("slot"), "a sentence for people: {}", why.message);
        client.event("pool", "4").await;
        let also_held = puppet.next().await;
        let waits = client.event("pool", "5").await;
        assert_eq!(client.why(&waits).await.blocker(), Blocker::AccountConcurrency);
        held.answer("1");
        also_held.answer("1");
        for _ in 0..3 {
            puppet.next().await.answer("1");
        }
        let done = client
            .until(&waits, |invocation| invocation.delivery() == DeliveryState::Delivered)
            .await;
        assert_eq!(done.attempts, 1);
        assert_eq!(client.why(&waits).await.blocker(), Blocker::Finished);
        let unknown = client.cancel("0199d3f0-0000-7000-8000-000000000000").await;
        assert_eq!(reason(&unknown), Some(Reason::UnknownInvocation));
    });
}

#[test]
fn a_function_that_is_switched_off_sends_its_events_to_the_failure_destination_at_once() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let off = FunctionSettings { reserved_concurrency: Some(0), ..to_files() };
        client.create("off", off.clone()).await;
        client.create("later", to_files()).await;
        let id = client.event("off", r#"{"n":1}"#).await;
        let dead =
            client.until(&id, |invocation| invocation.delivery() == DeliveryState::Delivered).await;
        assert_eq!((dead.attempts, dead.condition()), (0, Condition::ZeroReservedConcurrency));
        let record = &broker.records("failure.jsonl")[0];
        assert_eq!(record["requestContext"]["condition"], "ZeroReservedConcurrency");
        assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
        assert_eq!(record["requestPayload"], json!({"n": 1}));
        assert_eq!((record.get("responseContext"), record.get("responsePayload")), (None, None));
        // Switched off with events in the queue: they go the same way.
        let queued = client.event("later", "1").await;
        client.try_update("later", off, &[]).await.unwrap();
        let dead = client.state(&queued, InvocationState::Dead).await;
        assert_eq!(dead.condition(), Condition::ZeroReservedConcurrency);
    });
}

#[test]
fn an_event_starts_not_before_its_time_and_ages_from_there() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings { max_event_age_seconds: Some(60), ..to_files() };
        client.create("f", settings).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = serve(&broker, &["f"], &strings, 8).await;
        let now = client.broker().await.now_ms;
        let at = now + 3_600_000;
        let later = |at| InvokeRequest { not_before_ms: Some(at), ..event("f", "1") };
        let id = client.invoke(later(at)).await.unwrap().request_id;
        let scheduled = client.get(&id).await;
        assert_eq!(scheduled.state(), InvocationState::Scheduled);
        assert_eq!(scheduled.next_attempt_at_ms, Some(at));
        assert_eq!(client.why(&id).await.blocker(), Blocker::NotBefore);
        assert_eq!(client.broker().await.next_timer_ms, Some(at));
        client.advance(60 * MINUTE - MS).await;
        assert!(puppet.is_quiet());
        assert_eq!(client.advance_to_next_timer().await, at);
        puppet.next().await.answer("1");
        client.state(&id, InvocationState::Succeeded).await;

        drop(worker);
        let at = at + 3_600_000;
        let id = client.invoke(later(at)).await.unwrap().request_id;
        client.advance(60 * MINUTE + MINUTE - MS).await;
        assert_eq!(
            client.get(&id).await.state(),
            InvocationState::Ready,
            "its age counts from there"
        );
        client.advance(MS).await;
        let dead = client.state(&id, InvocationState::Dead).await;
        assert_eq!(dead.condition(), Condition::EventAgeExceeded);

        let now = client.broker().await.now_ms;
        let fifteen_days = 15 * 24 * 3_600_000;
        assert_eq!(reason(&client.invoke(later(now + fifteen_days)).await), None);
        let refused = client.invoke(later(now + fifteen_days + 1)).await;
        assert_eq!(reason(&refused), Some(Reason::InvalidArgument));
        assert_eq!(reason(&client.invoke(later(-1)).await), Some(Reason::InvalidArgument));
        let past = client.invoke(later(now - 1)).await.unwrap().request_id;
        assert_eq!(
            client.get(&past).await.state(),
            InvocationState::Ready,
            "a time in the past is now"
        );
    });
}

#[test]
fn a_key_makes_a_second_request_the_first_one() {
    run(async {
        let mut broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", to_files()).await;
        client.create("g", to_files()).await;
        let keyed = |function: &str, key: &str, payload: &'static str| InvokeRequest {
            idempotency_key: key.to_owned(),
            ..event(function, payload)
        };
        let first = client.invoke(keyed("f", "order-1", "1")).await.unwrap();
        assert!(!first.duplicate);
        let again = client.invoke(keyed("f", "order-1", "1")).await.unwrap();
        assert_eq!((again.request_id.as_str(), again.duplicate), (first.request_id.as_str(), true));
        let other = client.invoke(keyed("g", "order-1", "1")).await.unwrap();
        assert!(!other.duplicate, "a key belongs to its function");
        let mismatch = client.invoke(keyed("f", "order-1", "2")).await;
        assert_eq!(reason(&mismatch), Some(Reason::IdempotencyMismatch));
        let long = "ü".repeat(128);
        assert_eq!(reason(&client.invoke(keyed("f", &long, "1")).await), None);
        let too_long = client.invoke(keyed("f", &"x".repeat(129), "1")).await;
        assert_eq!(reason(&too_long), Some(Reason::InvalidArgument));

        // Also once it has ended, and after a crash.
        let (mut puppet, strings) = Puppet::new();
        let worker = serve(&broker, &["f"], &strings, 8).await;
        for _ in 0..2 {
            puppet.next().await.answer("1");
        }
        client.state(&first.request_id, InvocationState::Succeeded).await;
        drop(worker);
        broker.crash().await;
        let client = broker.client();
        let again = client.invoke(keyed("f", "order-1", "1")).await.unwrap();
        assert_eq!((again.request_id, again.duplicate), (first.request_id, true));
        let mismatch = client.invoke(keyed("f", "order-1", "2")).await;
        assert_eq!(reason(&mismatch), Some(Reason::IdempotencyMismatch));
    });
}

#[test]
fn a_cancelled_event_is_neither_run_nor_recorded() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", to_files()).await;
        let later = client.broker().await.now_ms + 3_600_000;
        let scheduled = InvokeRequest { not_before_ms: Some(later), ..event("f", "1") };
        let scheduled = client.invoke(scheduled).await.unwrap().request_id;
        let ready = client.event("f", "2").await;
        for id in [&scheduled, &ready] {
            let cancelled = client.cancel(id).await.unwrap();
            assert_eq!(cancelled.state(), InvocationState::Cancelled);
            assert_eq!(reason(&client.cancel(id).await), Some(Reason::InvocationFinished));
        }
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings, 1).await;
        let running = client.event("f", "3").await;
        let mut held = puppet.next().await;
        assert_eq!(held.payload, "3", "the others are gone");
        let cancelled = client.cancel(&running).await.unwrap();
        assert_eq!(cancelled.state(), InvocationState::Cancelled);
        held.dropped().await;
        // The slot comes back as soon as the worker has said that it stopped.
        let next = client.event("f", "4").await;
        puppet.next().await.answer("4");
        client.state(&next, InvocationState::Succeeded).await;
        client.advance(6 * 60 * MINUTE).await;
        assert!(puppet.is_quiet());
        assert!(broker.records("failure.jsonl").is_empty());
        assert_eq!(broker.records("success.jsonl").len(), 1);
        assert_eq!(client.account().await.queued, 0);
    });
}

#[test]
fn a_cancelled_call_is_told_so() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", to_files()).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings, 1).await;
        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.invoke(call("f", "1")).await })
        };
        let mut held = puppet.next().await;
        client.cancel(held.context.request_id()).await.unwrap();
        assert_eq!(reason(&calling.await.unwrap()), Some(Reason::InvocationCancelled));
        held.dropped().await;
        let calling = tokio::spawn(async move { client.call("f", "2").await });
        puppet.next().await.answer("2");
        assert_eq!(calling.await.unwrap().payload, "2");
    });
}

#[test]
fn a_full_queue_refuses_and_takes_again_once_there_is_room() {
    run(async {
        let broker = Setup::new()
            .virtual_time()
            .set("limits.queue_count_max", 3)
            .set("limits.queue_bytes_max", 1_000)
            .start()
            .await;
        let client = broker.client();
        client.create("f", to_files()).await;
        let json = |bytes: usize| Bytes::from(format!("\"{}\"", "x".repeat(bytes - 2)));
        let large = client.event("f", json(900)).await;
        let refused = client.invoke(event("f", json(101))).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::QueueFull);
        assert!(refused.retry_after_ms.is_some());
        let small = client.event("f", json(50)).await;
        client.event("f", json(50)).await;
        let refused = client.invoke(event("f", "1")).await;
        assert_eq!(reason(&refused), Some(Reason::QueueFull), "three are three");
        let account = client.account().await;
        assert_eq!((account.queued, account.queued_bytes), (3, 1_000));
        assert_eq!((account.queued_max, account.queued_bytes_max), (3, 1_000));
        client.cancel(&large).await.unwrap();
        client.event("f", json(900)).await;
        client.cancel(&small).await.unwrap();
        assert_eq!(client.account().await.queued, 2);
    });
}

async fn list(client: &Client, filter: InvocationFilter, page_size: u32) -> Vec<Invocation> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            ListInvocationsRequest { filter: Some(filter.clone()), page_size, page_token };
        let page = client.invocations().list_invocations(request).await.unwrap().into_inner();
        assert!(page.invocations.len() <= page_size as usize);
        found.extend(page.invocations);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

#[test]
fn invocations_are_listed_by_what_is_asked_for() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let no_retries = FunctionSettings { max_retries: Some(0), ..to_files() };
        client.create("bad", no_retries).await;
        client.create("idle", to_files()).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["bad"], &strings, 1).await;
        let mut dead = Vec::new();
        for _ in 0..5 {
            let id = client.event("bad", "1").await;
            puppet.next().await.fail("No", "no");
            client.state(&id, InvocationState::Dead).await;
            dead.push(id);
        }
        let early = client.broker().await.now_ms;
        client.advance(MINUTE).await;
        let mut queued = Vec::new();
        for _ in 0..4 {
            queued.push(client.event("idle", "1").await);
        }
        let ids = |found: Vec<Invocation>| {
            let mut ids: Vec<_> = found.into_iter().map(|one| one.request_id).collect();
            ids.sort();
            ids
        };
        dead.sort();
        queued.sort();
        let all = InvocationFilter::default();
        let of = |function: &str| InvocationFilter { function: function.to_owned(), ..all.clone() };
        assert_eq!(ids(list(&client, of("bad"), 2).await), dead);
        let by_state =
            InvocationFilter { states: vec![InvocationState::Ready.into()], ..all.clone() };
        assert_eq!(ids(list(&client, by_state, 3).await), queued);
        let by_condition =
            InvocationFilter { condition: Condition::RetriesExhausted.into(), ..all.clone() };
        assert_eq!(ids(list(&client, by_condition, 1_000).await), dead);
        let since = InvocationFilter { accepted_from_ms: Some(early + 1), ..all.clone() };
        assert_eq!(ids(list(&client, since, 1).await), queued);
        let before = InvocationFilter { accepted_until_ms: Some(early + 1), ..all.clone() };
        assert_eq!(ids(list(&client, before, 100).await), dead);
        assert_eq!(list(&client, all.clone(), 4).await.len(), 9);
        assert!(list(&client, of("nobody"), 100).await.is_empty());
        let too_many = ListInvocationsRequest { page_size: 1_001, ..Default::default() };
        let refused = client.invocations().list_invocations(too_many).await.unwrap_err();
        assert_eq!(refusal(refused).reason(), Reason::InvalidArgument);
        let garbage = ListInvocationsRequest { page_token: "x".to_owned(), ..Default::default() };
        let refused = client.invocations().list_invocations(garbage).await.unwrap_err();
        assert_eq!(refusal(refused).reason(), Reason::InvalidArgument);
    });
}

#[test]
fn what_has_ended_is_forgotten_in_its_turn() {
    run(async {
        let broker = Setup::new().virtual_time().set("limits.history_count_max", 2).start().await;
        let client = broker.client();
        client.create("f", to_files()).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings, 1).await;
        let mut ids = Vec::new();
        for _ in 0..4 {
            let id = client.event("f", "1").await;
            puppet.next().await.answer("1");
            client.until(&id, |one| one.delivery() == DeliveryState::Delivered).await;
            ids.push(id);
        }
        let mut known = Vec::new();
        for id in &ids {
            known.push(client.try_get(id).await.is_ok());
        }
        assert_eq!(known, [false, false, true, true]);
        client.advance(Duration::from_secs(25 * 3600)).await;
        let metrics = broker.metrics().await;
        assert_eq!(metrics.value("trine_invocations_remembered"), 0.0, "a day is over");
        assert_eq!(metrics.value("trine_account_queue_events"), 0.0);
    });
}

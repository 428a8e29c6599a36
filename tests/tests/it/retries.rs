//! Attempts of asynchronous events: at their times, as many as allowed, none for what is no failure, and the
//! record at the end (LS 3.1, 3.3). All in the broker's virtual time.

use std::time::Duration;

use serde_json::json;
use trine_proto::v1::{Blocker, Condition, DeliveryState, FunctionSettings, InvocationState};
use trine_tests::fixture::broker::Setup;
use trine_tests::fixture::puppet::Puppet;
use trine_tests::fixture::run;

use crate::scene::{MINUTE, MS, rfc3339, serve, to_files};

#[test]
fn a_failing_event_is_retried_after_one_and_two_minutes_and_then_recorded() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("pay", to_files()).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["pay"], &strings, 8).await;
        let accepted = client.broker().await.now_ms;
        let id = client.event("pay", r#"{"amount": 10.0, "id": 12345678901234567890}"#).await;
        for (attempt, wait) in [(1, 60_000), (2, 120_000)] {
            let held = puppet.next().await;
            assert_eq!((held.context.attempt(), held.context.request_id()), (attempt, id.as_str()));
            held.fail("Bank.Down", "try later");
            let waiting = client.state(&id, InvocationState::Scheduled).await;
            let now = client.broker().await.now_ms;
            assert_eq!(waiting.attempts, attempt);
            assert_eq!(waiting.next_attempt_at_ms, Some(now + wait), "after attempt {attempt}");
            assert_eq!(waiting.function_error, "Unhandled");
            let why = client.why(&id).await;
            assert_eq!((why.blocker(), why.until_ms), (Blocker::RetryWait, Some(now + wait)));
            client.advance(Duration::from_millis(wait.unsigned_abs()) - MS).await;
            assert!(puppet.is_quiet(), "a millisecond early");
            client.advance(MS).await;
        }
        let held = puppet.next().await;
        assert_eq!((held.context.attempt(), held.context.request_id()), (3, id.as_str()));
        held.fail("Bank.Down", "for \"good\"");
        let dead =
            client.until(&id, |invocation| invocation.delivery() == DeliveryState::Delivered).await;
        assert_eq!(
            (dead.state(), dead.condition()),
            (InvocationState::Dead, Condition::RetriesExhausted)
        );
        assert_eq!((dead.attempts, dead.accepted_at_ms), (3, accepted));
        assert_eq!(dead.finished_at_ms, Some(accepted + 180_000));
        let last_error =
            r#"{"errorType":"Bank.Down","errorMessage":"for \"good\"","stackTrace":[]}"#;
        assert_eq!(dead.response, last_error);
        let text = std::fs::read_to_string(broker.folder().join("destinations/failure.jsonl"));
        let timestamp = rfc3339(accepted + 180_000);
        let expected = format!(
            concat!(
                r#"{{"version":"1.0","timestamp":"{timestamp}","requestContext":{{"requestId":"{id}","#,
                r#""functionArn":"trine:function:pay:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":3}},"#,
                r#""requestPayload":{{"amount": 10.0, "id": 12345678901234567890}},"#,
                r#""responseContext":{{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"}},"#,
                r#""responsePayload":{last_error}}}"#,
                "\n"
            ),
            timestamp = timestamp,
            id = id,
            last_error = last_error,
        );
        assert_eq!(text.unwrap(), expected, "Lambda's record, byte for byte (LS 3.3)");
        assert!(broker.records("success.jsonl").is_empty());
        client.advance(6 * 60 * MINUTE).await;
        assert!(puppet.is_quiet(), "there is no fourth attempt");
        let metrics = broker.metrics().await;
        let dropped =
            "trine_async_events_dropped_total{function=\"pay\",condition=\"RetriesExhausted\"}";
        assert_eq!(metrics.value(dropped), 1.0, "{}", metrics.text());
    });
}

#[test]
fn an_event_that_succeeds_at_last_is_recorded_as_a_success() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("pay", to_files()).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["pay"], &strings, 8).await;
        let id = client.event("pay", "").await;
        puppet.next().await.fail("Bank.Down", "try later");
        client.state(&id, InvocationState::Scheduled).await;
        client.advance(MINUTE).await;
        let held = puppet.next().await;
        assert_eq!(held.payload, "{}");
        held.answer(r#"{"ok":true}"#);
        let done =
            client.until(&id, |invocation| invocation.delivery() == DeliveryState::Delivered).await;
        assert_eq!(
            (done.state(), done.condition()),
            (InvocationState::Succeeded, Condition::Success)
        );
        assert_eq!((done.attempts, done.function_error.as_str()), (2, ""));
        assert_eq!(done.response, r#"{"ok":true}"#);
        let record = &broker.records("success.jsonl")[0];
        let finished = rfc3339(done.finished_at_ms.unwrap());
        assert_eq!(
            *record,
            json!({
                "version": "1.0",
                "timestamp": finished,
                "requestContext": {
                    "requestId": id,
                    "functionArn": "trine:function:pay:$LATEST",
                    "condition": "Success",
                    "approximateInvokeCount": 2,
                },
                "requestPayload": {},
                "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
                "responsePayload": {"ok": true},
            })
        );
        assert!(broker.records("failure.jsonl").is_empty());
    });
}

#[test]
fn retries_are_as_many_as_the_function_allows() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let (mut puppet, strings) = Puppet::new();
        for retries in [0, 1] {
            let name = format!("retries-{retries}");
            let settings = FunctionSettings { max_retries: Some(retries), ..to_files() };
            client.create(&name, settings).await;
            let _worker = serve(&broker, &[&name], &strings, 8).await;
            let id = client.event(&name, "1").await;
            for attempt in 1..=retries + 1 {
                puppet.next().await.fail("No", "no");
                if attempt <= retries {
                    client.state(&id, InvocationState::Scheduled).await;
                    client.advance(MINUTE).await;
                }
            }
            let dead = client.state(&id, InvocationState::Dead).await;
            assert_eq!(
                (dead.attempts, dead.condition()),
                (retries + 1, Condition::RetriesExhausted)
            );
        }
    });
}

/// Recorded at AWS: the age test looks ahead (LS 3.1).
#[test]
fn an_attempt_that_would_come_too_late_is_not_waited_for() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let (mut puppet, strings) = Puppet::new();
        for (age, attempts) in [(60, 1), (90, 2)] {
            let name = format!("age-{age}");
            let settings = FunctionSettings { max_event_age_seconds: Some(age), ..to_files() };
            client.create(&name, settings).await;
            let _worker = serve(&broker, &[&name], &strings, 8).await;
            let id = client.event(&name, "1").await;
            puppet.next().await.fail("No", "no");
            if attempts == 2 {
                client.state(&id, InvocationState::Scheduled).await;
                client.advance(MINUTE).await;
                puppet.next().await.fail("No", "no");
            }
            // At once: nobody waits for the age to be reached.
            let dead = client
                .until(&id, |invocation| invocation.delivery() == DeliveryState::Delivered)
                .await;
            assert_eq!((dead.attempts, dead.condition()), (attempts, Condition::EventAgeExceeded));
            let records = broker.records("failure.jsonl");
            let record = records.last().unwrap();
            assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
            assert_eq!(record["requestContext"]["approximateInvokeCount"], attempts);
            assert_eq!(record["responsePayload"]["errorType"], "No", "of its last attempt");
        }
    });
}

#[test]
fn an_event_that_nobody_could_start_dies_of_its_age_without_an_attempt() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings { max_event_age_seconds: Some(60), ..to_files() };
        client.create("f", settings).await;
        let id = client.event("f", "1").await;
        client.advance(MINUTE - MS).await;
        assert_eq!(client.get(&id).await.state(), InvocationState::Ready);
        client.advance(MS).await;
        let dead =
            client.until(&id, |invocation| invocation.delivery() == DeliveryState::Delivered).await;
        assert_eq!((dead.attempts, dead.condition()), (0, Condition::EventAgeExceeded));
        let record = &broker.records("failure.jsonl")[0];
        assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
        assert_eq!(record.get("responseContext"), None);
        assert_eq!(record.get("responsePayload"), None);
    });
}

#[test]
fn waiting_for_a_worker_or_for_concurrency_spends_no_attempt() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings { reserved_concurrency: Some(1), ..to_files() };
        client.create("f", settings).await;
        let [first, second] = [client.event("f", "1").await, client.event("f", "2").await];
        let why = client.why(&first).await;
        assert_eq!(why.blocker(), Blocker::NoWorker, "{why:?}");
        client.advance(5 * 60 * MINUTE).await;
        assert_eq!(client.get(&first).await.state(), InvocationState::Ready);

        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings, 8).await;
        let held = puppet.next().await;
        assert_eq!((held.payload.as_ref(), held.context.attempt()), (&b"1"[..], 1));
        assert_eq!(client.why(&first).await.blocker(), Blocker::Running);
        let why = client.why(&second).await;
        assert_eq!(why.blocker(), Blocker::ReservedConcurrency, "{why:?}");
        client.advance(10 * MINUTE).await;
        assert!(puppet.is_quiet());
        held.answer("1");
        let held = puppet.next().await;
        assert_eq!((held.payload.as_ref(), held.context.attempt()), (&b"2"[..], 1));
        held.answer("2");
        for id in [&first, &second] {
            let done = client.state(id, InvocationState::Succeeded).await;
            assert_eq!(done.attempts, 1);
        }
        let metrics = broker.metrics().await;
        let throttles = |why: &str| {
            metrics.value(&format!("trine_throttles_total{{function=\"f\",reason=\"{why}\"}}"))
        };
        // 1 s, 2 s, … 5 min: some dozens in five hours, not thousands.
        let by_worker = throttles("no_worker");
        assert!((60.0..80.0).contains(&by_worker), "{by_worker}");
        assert!(throttles("reserved_concurrency") >= 1.0);
    });
}

#[test]
fn a_timeout_is_a_failed_attempt() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings =
            FunctionSettings { timeout_seconds: Some(30), max_retries: Some(0), ..to_files() };
        client.create("f", settings).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings, 1).await;
        let id = client.event("f", "1").await;
        let mut held = puppet.next().await;
        client.advance(Duration::from_secs(30)).await;
        let dead =
            client.until(&id, |invocation| invocation.delivery() == DeliveryState::Delivered).await;
        assert_eq!((dead.attempts, dead.condition()), (1, Condition::RetriesExhausted));
        held.dropped().await;
        let record = &broker.records("failure.jsonl")[0];
        assert_eq!(
            record["responsePayload"],
            json!({
                "errorType": "Sandbox.Timedout",
                "errorMessage": format!("RequestId: {id} Error: Task timed out after 30.00 seconds"),
            })
        );
    });
}

/// Queued events run with what is in force when they run (LS 2.4).
#[test]
fn settings_count_from_the_moment_they_are_changed() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", to_files()).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings, 1).await;
        let id = client.event("f", "1").await;
        let held = puppet.next().await;
        let fewer = FunctionSettings { max_retries: Some(0), ..Default::default() };
        client.try_update("f", fewer, &[]).await.unwrap();
        held.fail("No", "no");
        let dead = client.state(&id, InvocationState::Dead).await;
        assert_eq!((dead.attempts, dead.condition()), (1, Condition::RetriesExhausted));
    });
}

#[test]
fn a_record_keeps_the_digits_and_the_order_of_what_it_quotes() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", to_files()).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings, 1).await;
        let payload = "{\"z\":1.10,\n\"a\":[1e400, -0, \"\\u00e9\\n\"]}";
        let id = client.event("f", payload).await;
        puppet.next().await.answer(" {\"big\":123456789012345678901234567890} ");
        client.until(&id, |one| one.delivery() == DeliveryState::Delivered).await;
        let text = std::fs::read_to_string(broker.folder().join("destinations/success.jsonl"));
        let text = text.unwrap();
        assert_eq!(text.lines().count(), 1, "one record, one line: {text}");
        assert!(text.contains(r#"{"z":1.10, "a":[1e400, -0, "\u00e9\n"]}"#), "{text}");
        assert!(text.contains("123456789012345678901234567890"), "{text}");
    });
}

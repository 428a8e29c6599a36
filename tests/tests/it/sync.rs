//! Synchronous calls: answers, function errors in Lambda's words, and what a call carries (LS 1).

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use trine_proto::RESPONSE_BYTES_MAX;
use trine_proto::v1::{FunctionSettings, InvocationType, InvokeRequest, LogType, Reason};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{call, reason};
use trine_tests::fixture::puppet::Puppet;
use trine_tests::fixture::raw_worker::RawWorker;
use trine_tests::fixture::run;
use trine_tests::fixture::serving::Serving;
use trine_worker::{Context, Error, Worker};

fn error_object(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).expect("an error object is JSON")
}

#[test]
fn a_call_is_answered_by_its_function() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("echo", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("echo", strings.handler());
        let _worker = Serving::start(worker).await;
        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.call("echo", r#"{"a": 1.0}"#).await })
        };
        let held = puppet.next().await;
        assert_eq!(held.payload, r#"{"a": 1.0}"#, "the payload comes through byte for byte");
        assert_eq!(held.context.invoked_function(), "echo");
        assert_eq!((held.context.version(), held.context.attempt()), ("$LATEST", 1));
        let seen = held.context.request_id().to_owned();
        held.answer("[1, 2.50]");
        let answer = calling.await.unwrap();
        assert_eq!(answer.payload, "[1, 2.50]");
        assert_eq!(
            (answer.executed_version.as_str(), answer.function_error.as_str()),
            ("$LATEST", "")
        );
        assert_eq!(answer.request_id, seen, "caller and function see one request id");
        assert_eq!(seen.len(), 36, "a UUID: {seen}");
        assert!(answer.log_tail.is_empty() && answer.warnings.is_empty() && !answer.duplicate);
    });
}

#[test]
fn an_empty_payload_reaches_the_function_as_an_empty_object() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("echo", FunctionSettings::default()).await;
        let echo = |payload: Bytes, _: Context| async move { Ok::<_, Error>(payload) };
        let worker = Worker::connect(broker.url()).function_raw("echo", echo);
        let _worker = Serving::start(worker).await;
        assert_eq!(client.call("echo", "").await.payload, "{}");
    });
}

#[test]
fn a_function_error_is_an_answer_and_is_not_retried() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("shop", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("shop", strings.handler());
        let _worker = Serving::start(worker).await;
        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.call("shop", "1").await })
        };
        puppet.next().await.fail("Shop.Closed", "come back tomorrow");
        let answer = calling.await.unwrap();
        assert_eq!(answer.function_error, "Unhandled");
        assert_eq!(answer.executed_version, "$LATEST");
        let object = error_object(&answer.payload);
        assert_eq!(
            object,
            json!({
                "errorType": "Shop.Closed", "errorMessage": "come back tomorrow", "stackTrace": [],
            })
        );
        // The next call that the function sees is the next one that was made.
        let calling = tokio::spawn(async move { client.call("shop", "2").await });
        let held = puppet.next().await;
        assert_eq!(held.payload, "2");
        held.answer("null");
        calling.await.unwrap();
        let metrics = broker.metrics().await;
        assert_eq!(metrics.of("trine_invocations_total", "shop"), 2.0);
        assert_eq!(metrics.of("trine_function_errors_total", "shop"), 1.0);
    });
}

#[test]
fn a_panic_is_a_function_error_and_the_worker_lives_on() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("divide", FunctionSettings::default()).await;
        let divide = |by: u32, _: Context| async move {
            assert!(by != 0, "divided by zero");
            Ok::<_, Error>(100 / by)
        };
        let worker = Worker::connect(broker.url()).function("divide", divide).slots(1);
        let _worker = Serving::start(worker).await;
        let answer = client.call("divide", "0").await;
        assert_eq!(answer.function_error, "Unhandled");
        let object = error_object(&answer.payload);
        assert_eq!(object["errorType"], "Runtime.Panic", "{object}");
        assert!(object["errorMessage"].as_str().unwrap().contains("divided by zero"), "{object}");
        assert_eq!(client.call("divide", "4").await.payload, "25");
        let answer = client.call("divide", r#""four""#).await;
        assert_eq!(error_object(&answer.payload)["errorType"], "Runtime.UnmarshalError");
    });
}

#[test]
fn a_handler_past_its_timeout_is_ended_with_lambdas_words() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings { timeout_seconds: Some(900), ..Default::default() };
        client.create("slow", settings).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("slow", strings.handler()).slots(1);
        let _worker = Serving::start(worker).await;
        let calling = {
            let client = client.clone();
            tokio::spawn(async move { client.call("slow", "1").await })
        };
        let mut held = puppet.next().await;
        client.advance(Duration::from_millis(899_999)).await;
        assert!(!held.is_dropped(), "it has a millisecond left");
        client.advance(Duration::from_millis(1)).await;
        let answer = calling.await.unwrap();
        assert_eq!(answer.function_error, "Unhandled");
        let id = &answer.request_id;
        let expected = format!(
            r#"{{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: {id} Error: Task timed out after 900.00 seconds"}}"#
        );
        assert_eq!(answer.payload, expected);
        held.dropped().await;
        // The one slot is free again.
        let calling = tokio::spawn(async move { client.call("slow", "2").await });
        puppet.next().await.answer("2");
        assert_eq!(calling.await.unwrap().payload, "2");
        let metrics = broker.metrics().await;
        assert_eq!(metrics.of("trine_leases_expired_total", "slow"), 1.0);
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
    });
}

/// In virtual time the broker's timer does not ring: the words are the worker's report, and the same.
#[test]
fn a_worker_that_notices_a_timeout_first_is_believed() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings { timeout_seconds: Some(1), ..Default::default() };
        client.create("slow", settings).await;
        let never = |_: Bytes, _: Context| std::future::pending::<Result<Bytes, Error>>();
        let worker = Worker::connect(broker.url()).function_raw("slow", never);
        let _worker = Serving::start(worker).await;
        let answer = client.call("slow", "1").await;
        let object = error_object(&answer.payload);
        assert_eq!(object["errorType"], "Sandbox.Timedout");
        let message = object["errorMessage"].as_str().unwrap();
        assert!(message.ends_with(" Error: Task timed out after 1.00 seconds"), "{message}");
    });
}

#[test]
fn payloads_are_taken_up_to_their_limit_and_not_beyond() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("size", FunctionSettings::default()).await;
        let size = |payload: Bytes, _: Context| async move {
            Ok::<_, Error>(Bytes::from(payload.len().to_string()))
        };
        let worker = Worker::connect(broker.url()).function_raw("size", size);
        let _worker = Serving::start(worker).await;
        let json = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        let (sync_max, event_max) = (6 * 1024 * 1024, 1024 * 1024);
        assert_eq!(client.call("size", json(sync_max)).await.payload, sync_max.to_string());
        let refused = client.invoke(call("size", json(sync_max + 1))).await;
        assert_eq!(reason(&refused), Some(Reason::PayloadTooLarge));
        let said = refused.unwrap_err().message;
        assert!(said.contains("6291457 byte") && said.contains("6291456"), "{said}");

        let event = |bytes| InvokeRequest {
            r#type: InvocationType::Event.into(),
            ..call("size", json(bytes))
        };
        assert_eq!(reason(&client.invoke(event(event_max)).await), None);
        let refused = client.invoke(event(event_max + 1)).await;
        assert_eq!(reason(&refused), Some(Reason::PayloadTooLarge));
    });
}

#[test]
fn a_response_is_taken_up_to_its_limit_and_refused_beyond_it() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("sdk", FunctionSettings::default()).await;
        client.create("raw", FunctionSettings::default()).await;
        let make = |bytes: usize, _: Context| async move {
            Ok::<_, Error>(Bytes::from(format!("\"{}\"", "x".repeat(bytes - 2))))
        };
        let parse = move |payload: Bytes, context: Context| {
            let bytes = std::str::from_utf8(&payload).unwrap().parse().unwrap();
            make(bytes, context)
        };
        let worker = Worker::connect(broker.url()).function_raw("sdk", parse);
        let _worker = Serving::start(worker).await;
        let answer = client.call("sdk", RESPONSE_BYTES_MAX.to_string()).await;
        assert_eq!((answer.payload.len(), answer.function_error.as_str()), (6_291_556, ""));
        let too_large = json!({
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        });
        let answer = client.call("sdk", (RESPONSE_BYTES_MAX + 1).to_string()).await;
        assert_eq!(answer.function_error, "Unhandled");
        assert_eq!(error_object(&answer.payload), too_large, "the SDK notices");

        let mut raw = RawWorker::join(&client, &["raw"], 1).await;
        let calling = tokio::spawn(async move { client.call("raw", "1").await });
        let attempt = raw.attempt().await;
        raw.respond(&attempt, vec![b' '; RESPONSE_BYTES_MAX + 1]).await;
        let answer = calling.await.unwrap();
        assert_eq!(answer.function_error, "Unhandled");
        assert_eq!(error_object(&answer.payload), too_large, "the broker notices by itself");
    });
}

#[test]
fn what_is_no_json_is_refused() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        for payload in
            [&b"{"[..], b"{\"a\":1,}", b"nope", b"1 2", b"\xff\xfe", b"\"\x00\"", b"\"\xc3\""]
        {
            let refused = client.invoke(call("f", payload)).await;
            assert_eq!(reason(&refused), Some(Reason::MalformedPayload), "{payload:?}");
            let event =
                InvokeRequest { r#type: InvocationType::Event.into(), ..call("f", payload) };
            assert_eq!(reason(&client.invoke(event).await), Some(Reason::MalformedPayload));
        }
        // Deep enough to overflow a careless parser's stack.
        let deep = "[".repeat(1 << 20);
        assert_eq!(reason(&client.invoke(call("f", deep)).await), Some(Reason::MalformedPayload));
        assert_eq!(broker.metrics().await.value("trine_account_queue_events"), 0.0);
    });
}

#[test]
fn a_call_to_what_is_not_there_is_refused_by_name() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let refused = client.invoke(call("g", "1")).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::UnknownFunction);
        assert!(refused.message.contains('g'), "{}", refused.message);
        for qualifier in ["7", "prod"] {
            let request = InvokeRequest { qualifier: qualifier.to_owned(), ..call("f", "1") };
            let refused = client.invoke(request).await;
            assert_eq!(reason(&refused), Some(Reason::UnknownQualifier), "{qualifier}");
        }
        for request in [
            call("", "1"),
            InvokeRequest { qualifier: "a b".to_owned(), ..call("f", "1") },
            InvokeRequest { r#type: 9, ..call("f", "1") },
            InvokeRequest { log_type: 9, ..call("f", "1") },
            InvokeRequest { idempotency_key: "k".to_owned(), ..call("f", "1") },
            InvokeRequest { not_before_ms: Some(1), ..call("f", "1") },
        ] {
            let refused = client.invoke(request.clone()).await;
            assert_eq!(reason(&refused), Some(Reason::InvalidArgument), "{request:?}");
        }
        for (id, expected) in [
            ("0199d3f0-0000-7000-8000-000000000000", Reason::UnknownInvocation),
            ("nobody", Reason::InvalidArgument),
            ("", Reason::InvalidArgument),
        ] {
            assert_eq!(reason(&client.try_get(id).await), Some(expected), "{id:?}");
            assert_eq!(reason(&client.cancel(id).await), Some(expected), "{id:?}");
        }
    });
}

#[test]
fn a_dry_run_checks_and_runs_nothing() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let dry = |function: &str, payload: &'static str| InvokeRequest {
            r#type: InvocationType::DryRun.into(),
            ..call(function, payload)
        };
        // Nobody serves the function: that is no fault of the parameters.
        let answer = client.invoke(dry("f", "1")).await.unwrap();
        assert!(answer.payload.is_empty() && answer.executed_version.is_empty());
        assert_eq!(reason(&client.invoke(dry("g", "1")).await), Some(Reason::UnknownFunction));
        assert_eq!(reason(&client.invoke(dry("f", "{")).await), Some(Reason::MalformedPayload));
        assert_eq!(broker.metrics().await.of("trine_invocations_total", "f"), 0.0);
    });
}

#[test]
fn client_context_trace_and_log_tail_come_through() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings { memory_mb: Some(512), ..Default::default() }).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler());
        let _worker = Serving::start(worker).await;
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request = InvokeRequest {
            client_context: Bytes::from_static(br#"{"custom":{"k":"v"}}"#),
            traceparent: trace.to_owned(),
            tracestate: "vendor=1".to_owned(),
            log_type: LogType::Tail.into(),
            qualifier: "$LATEST".to_owned(),
            ..call("f", "1")
        };
        let calling = {
            let (client, request) = (client.clone(), request.clone());
            tokio::spawn(async move { client.invoke(request).await.unwrap() })
        };
        let held = puppet.next().await;
        assert_eq!(held.context.client_context(), r#"{"custom":{"k":"v"}}"#);
        assert_eq!((held.context.traceparent(), held.context.tracestate()), (trace, "vendor=1"));
        assert_eq!(held.context.invoked_function(), "f:$LATEST", "as the caller named it");
        assert_eq!(held.context.memory_mb(), 512);
        for line in 0..1_000 {
            held.context.log(format_args!("line {line} of a long log"));
        }
        held.answer("1");
        let tail = calling.await.unwrap().log_tail;
        assert!(tail.len() <= 4096, "{} bytes", tail.len());
        let tail = String::from_utf8_lossy(&tail);
        assert!(tail.contains("line 999 of a long log") && !tail.contains("line 1 of"), "{tail}");

        for request in [
            InvokeRequest { client_context: vec![b'1'; 3_584].into(), ..call("f", "1") },
            InvokeRequest { traceparent: "x".repeat(2_000), ..call("f", "1") },
        ] {
            assert_eq!(reason(&client.invoke(request).await), Some(Reason::InvalidArgument));
        }
    });
}

#[test]
fn a_call_waits_for_a_slot_as_long_as_it_may() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings { timeout_seconds: Some(900), ..Default::default() };
        client.create("f", settings).await;
        let refused = client.invoke(call("f", "1")).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::NoWorker, "at once: nobody serves it");
        assert!(refused.retry_after_ms.is_some());

        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler()).slots(1);
        let _worker = Serving::start(worker).await;
        let calling = |deadline_ms| {
            let client = client.clone();
            let request = InvokeRequest { deadline_ms, ..call("f", "1") };
            tokio::spawn(async move { client.invoke(request).await })
        };
        let first = calling(None);
        let held = puppet.next().await;
        // Two wait: one as long as the broker lets it, one as long as its caller does.
        let (patient, hasty) = (calling(None), calling(Some(2_000)));
        waiting(&broker, 2.0).await;
        client.advance(Duration::from_secs(2)).await;
        assert_eq!(reason(&hasty.await.unwrap()), Some(Reason::DeadlineExpired));
        client.advance(Duration::from_millis(2_999)).await;
        assert!(!patient.is_finished(), "5 s are not over");
        client.advance(Duration::from_millis(1)).await;
        assert_eq!(reason(&patient.await.unwrap()), Some(Reason::NoCapacity));

        // One that waits gets the slot when it comes free.
        let next = calling(None);
        waiting(&broker, 1.0).await;
        held.answer("1");
        first.await.unwrap().unwrap();
        puppet.next().await.answer("2");
        assert_eq!(next.await.unwrap().unwrap().payload, "2");
        assert_eq!(reason(&calling(Some(0)).await.unwrap()), Some(Reason::DeadlineExpired));
    });
}

async fn waiting(broker: &Broker, count: f64) {
    let limit = trine_tests::fixture::LIMIT;
    trine_tests::fixture::wait::until("calls that wait for a slot", limit, async || {
        broker.metrics().await.value("trine_sync_waiting") == count
    })
    .await;
}

#[test]
fn concurrency_limits_refuse_calls_at_once() {
    run(async {
        let broker = Setup::new()
            .set("limits.account_concurrency", 3)
            .set("limits.unreserved_concurrency_min", 1)
            .start()
            .await;
        let client = broker.client();
        let reserved = |limit| FunctionSettings {
            reserved_concurrency: Some(limit),
            timeout_seconds: Some(900),
            ..Default::default()
        };
        client.create("one", reserved(1)).await;
        client.create("off", reserved(0)).await;
        let plain = FunctionSettings { timeout_seconds: Some(900), ..Default::default() };
        client.create("pool", plain).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url())
            .function_raw("one", strings.handler())
            .function_raw("off", strings.handler())
            .function_raw("pool", strings.handler())
            .slots(10);
        let _worker = Serving::start(worker).await;
        let calling = |function: &'static str| {
            let client = client.clone();
            tokio::spawn(async move { client.call(function, "1").await })
        };
        let mut held = Vec::new();
        for function in ["one", "pool", "pool"] {
            let running = calling(function);
            held.push((running, puppet.next().await));
        }
        let refused = client.invoke(call("one", "1")).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::ReservedConcurrencyExceeded);
        assert!(refused.message.starts_with("Rate Exceeded."), "{}", refused.message);
        assert!(refused.retry_after_ms.is_some(), "a throttle says when to come back");
        let refused = client.invoke(call("off", "1")).await;
        assert_eq!(reason(&refused), Some(Reason::ReservedConcurrencyExceeded));
        let refused = client.invoke(call("pool", "1")).await;
        assert_eq!(reason(&refused), Some(Reason::AccountConcurrencyExceeded));

        let metrics = broker.metrics().await;
        let throttles = |function: &str, why: &str| {
            let labels =
                format!("trine_throttles_total{{function=\"{function}\",reason=\"{why}\"}}");
            metrics.value(&labels)
        };
        assert_eq!(throttles("one", "reserved_concurrency"), 1.0);
        assert_eq!(throttles("off", "reserved_concurrency"), 1.0);
        assert_eq!(throttles("pool", "account_concurrency"), 1.0);
        assert_eq!(metrics.of("trine_concurrent_executions", "pool"), 2.0);
        for (running, held) in held {
            held.answer("1");
            running.await.unwrap();
        }
        assert_eq!(broker.metrics().await.value("trine_account_concurrent_executions"), 0.0);
    });
}

#[test]
fn a_unary_call_keeps_to_its_grpc_timeout() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let (_puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler()).slots(1);
        let _worker = Serving::start(worker).await;
        let mut request = tonic::Request::new(call("f", "1"));
        request.set_timeout(Duration::from_millis(50));
        let status = client.invocations().invoke(request).await.unwrap_err();
        // Ours or the transport's, whichever is first: both say the same.
        let code = status.code();
        assert!(
            matches!(code, tonic::Code::DeadlineExceeded | tonic::Code::Cancelled),
            "{status:?}"
        );
    });
}

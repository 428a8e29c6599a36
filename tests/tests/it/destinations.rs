//! Where records go: functions, HTTP, NATS, JetStream, files; and what happens while nobody takes them.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use trine_proto::v1::destination::Target;
use trine_proto::v1::{
    Blocker, Condition, DeleteFunctionRequest, DeliveryState, Destination, FunctionSettings,
    HttpDestination, InvocationFilter, InvokeRequest, ListInvocationsRequest, NatsDestination,
    Reason,
};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{event, file, reason};
use trine_tests::fixture::http_sink::HttpSink;
use trine_tests::fixture::nats::Nats;
use trine_tests::fixture::puppet::{Puppet, Strings};
use trine_tests::fixture::run;
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::wait::soon;
use trine_worker::Worker;

#[expect(clippy::unnecessary_wraps, reason = "settings hold an option")]
fn to(target: Target) -> Option<Destination> {
    Some(Destination { target: Some(target) })
}

fn http(url: String) -> Option<Destination> {
    to(Target::Http(HttpDestination { url }))
}

fn nats(url: String, subject: &str, jetstream: bool) -> Option<Destination> {
    to(Target::Nats(NatsDestination { url, subject: subject.to_owned(), jetstream }))
}

fn on_success(destination: Option<Destination>) -> FunctionSettings {
    FunctionSettings { on_success: destination, ..Default::default() }
}

async fn serve(broker: &Broker, functions: &[&str], strings: &Strings) -> Serving {
    let worker = functions.iter().fold(Worker::connect(broker.url()), |worker, name| {
        worker.function_raw(*name, strings.handler())
    });
    Serving::start(worker).await
}

fn lenient() -> Setup {
    Setup::new().virtual_time().set("destinations.allow_internal_addresses", true)
}

#[test]
fn a_record_becomes_an_event_of_another_function() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("first", on_success(to(Target::Function("second".to_owned())))).await;
        client.create("second", on_success(file("done.jsonl"))).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["first", "second"], &strings).await;
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request =
            InvokeRequest { traceparent: trace.to_owned(), ..event("first", r#"{"n":1}"#) };
        let id = client.invoke(request).await.unwrap().request_id;
        puppet.next().await.answer(r#"{"ok":true}"#);
        let held = puppet.next().await;
        assert_eq!((held.context.function(), held.context.traceparent()), ("second", trace));
        assert_ne!(held.context.request_id(), id, "another event");
        let record: Value = serde_json::from_slice(&held.payload).unwrap();
        assert_eq!(record["requestContext"]["requestId"], id.as_str());
        assert_eq!(record["requestPayload"], json!({"n": 1}));
        assert_eq!(record["responsePayload"], json!({"ok": true}));
        let second = held.context.request_id().to_owned();
        held.answer("1");
        client.until(&id, |one| one.delivery() == DeliveryState::Delivered).await;
        client.until(&second, |one| one.delivery() == DeliveryState::Delivered).await;
        assert_eq!(broker.records("done.jsonl").len(), 1);
    });
}

/// The record waits for the function, and shows why, without any other traffic.
#[test]
fn a_record_for_a_function_that_does_not_exist_waits_for_it() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("second", FunctionSettings::default()).await;
        client.create("first", on_success(to(Target::Function("second".to_owned())))).await;
        let request = DeleteFunctionRequest { name: "second".to_owned(), force: false };
        client.functions().delete_function(request).await.unwrap();
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["first"], &strings).await;
        let id = client.event("first", "1").await;
        puppet.next().await.answer("1");
        // Looking at it moves nothing.
        let pending = client.until(&id, |one| one.delivery_attempts > 0).await;
        assert_eq!((pending.delivery(), pending.delivery_attempts), (DeliveryState::Pending, 1));
        assert!(pending.delivery_error.contains("not found"), "{}", pending.delivery_error);
        client.create("second", FunctionSettings::default()).await;
        client.advance(Duration::from_secs(1)).await;
        client.until(&id, |one| one.delivery() == DeliveryState::Delivered).await;
        assert_eq!(client.account().await.queued, 1);
    });
}

/// LS 3.5: about 16 invocations in one chain, then the loop is cut.
#[test]
fn a_loop_of_destinations_ends() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings {
            on_failure: file("cut.jsonl"),
            ..on_success(to(Target::Function("round".to_owned())))
        };
        client.create("round", settings).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["round"], &strings).await;
        client.event("round", "1").await;
        for _ in 0..16 {
            puppet.next().await.answer("1");
        }
        let filter = InvocationFilter {
            condition: Condition::RecursiveInvocation.into(),
            ..Default::default()
        };
        let request = ListInvocationsRequest { filter: Some(filter), ..Default::default() };
        let mut cut = Vec::new();
        trine_tests::fixture::wait::until(
            "the end of the loop",
            trine_tests::fixture::LIMIT,
            async || {
                let listed = client.invocations().list_invocations(request.clone()).await.unwrap();
                cut = listed.into_inner().invocations;
                !cut.is_empty()
            },
        )
        .await;
        let cut = client
            .until(&cut[0].request_id, |one| one.delivery() == DeliveryState::Delivered)
            .await;
        assert_eq!(cut.attempts, 0);
        client.advance(Duration::from_secs(6 * 3600)).await;
        assert!(puppet.is_quiet(), "it did not go round again");
        let record = &broker.records("cut.jsonl")[0];
        assert_eq!(record["requestContext"]["condition"], "RecursiveInvocation");
        assert_eq!(client.account().await.queued, 0);
    });
}

#[test]
fn a_record_is_posted_as_a_cloud_event() {
    run(async {
        let broker = lenient().start().await;
        let client = broker.client();
        let mut sink = HttpSink::start().await;
        client.create("f", on_success(http(sink.url("/hook?a=1")))).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings).await;
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request = InvokeRequest {
            traceparent: trace.to_owned(),
            tracestate: "vendor=1".to_owned(),
            ..event("f", r#"{"n":1}"#)
        };
        let id = client.invoke(request).await.unwrap().request_id;
        puppet.next().await.answer("1");
        let posted = sink.next().await;
        assert_eq!(posted.header("traceparent"), Some(trace));
        assert_eq!(posted.header("tracestate"), Some("vendor=1"));
        assert_eq!(posted.line, "POST /hook?a=1 HTTP/1.1");
        assert_eq!(posted.header("content-type"), Some("application/json"));
        assert_eq!(posted.header("ce-specversion"), Some("1.0"));
        assert_eq!(posted.header("ce-id"), Some(id.as_str()));
        assert_eq!(posted.header("ce-source"), Some("trine:function:f:$LATEST"));
        assert!(posted.header("ce-type").is_some_and(|kind| kind.contains("uccess")), "{posted:?}");
        let record: Value = serde_json::from_slice(&posted.body).unwrap();
        assert_eq!(record["requestContext"]["requestId"], id.as_str());
        assert_eq!(posted.header("ce-time"), record["timestamp"].as_str());
        let done = client.until(&id, |one| one.delivery() == DeliveryState::Delivered).await;
        assert_eq!((done.delivery_attempts, done.delivery_error.as_str()), (1, ""));
    });
}

#[test]
fn a_destination_that_is_away_is_tried_with_backoff_until_it_is_back() {
    run(async {
        let mut broker = lenient().start().await;
        let client = broker.client();
        let mut sink = HttpSink::start().await;
        client.create("f", on_success(http(sink.url("/")))).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = serve(&broker, &["f"], &strings).await;
        sink.answer_with(503);
        let id = client.event("f", "1").await;
        puppet.next().await.answer("1");
        let first = sink.next().await;
        for (tries, wait) in [(1, 1_000), (2, 2_000), (3, 4_000)] {
            let pending = client.until(&id, |one| one.delivery_attempts == tries).await;
            assert_eq!(pending.delivery(), DeliveryState::Pending);
            assert!(pending.delivery_error.contains("503"), "{}", pending.delivery_error);
            let why = client.why(&id).await;
            let now = client.broker().await.now_ms;
            assert_eq!((why.blocker(), why.until_ms), (Blocker::Destination, Some(now + wait)));
            client.advance(Duration::from_millis(wait.unsigned_abs() - 1)).await;
            assert!(sink.is_quiet(), "too early");
            client.advance(Duration::from_millis(1)).await;
            assert_eq!(sink.next().await.body, first.body, "the same record every time");
        }
        client.until(&id, |one| one.delivery_attempts == 4).await;
        // Nobody listens, the broker dies, and then all is well again.
        sink.go_away().await;
        client.advance(Duration::from_secs(8)).await;
        client.until(&id, |one| one.delivery_attempts == 5).await;
        drop(worker);
        broker.crash().await;
        let client = broker.client();
        // A restart offers what is pending at once.
        client.until(&id, |one| one.delivery_attempts >= 1).await;
        sink.answer_with(200);
        sink.come_back().await;
        client.advance(Duration::from_secs(1)).await;
        assert_eq!(sink.next().await.body, first.body);
        client.until(&id, |one| one.delivery() == DeliveryState::Delivered).await;
        client.advance(Duration::from_secs(3600)).await;
        assert!(sink.is_quiet(), "delivered once");
        assert!(puppet.is_quiet(), "the event itself has ended");
    });
}

#[test]
fn addresses_inside_are_refused_unless_they_are_allowed() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        let mut number = 0;
        for url in [
            "http://127.0.0.1:9/",
            "http://localhost/",
            "http://a.localhost:80/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0.0.0.0/",
            "http://169.254.169.254/latest/meta-data",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
        ] {
            number += 1;
            let settings = on_success(http(url.to_owned()));
            let refused = client.try_create(&format!("f{number}"), settings.clone()).await;
            assert_eq!(reason(&refused), Some(Reason::DestinationForbidden), "{url}");
            let also = FunctionSettings { on_failure: settings.on_success, ..Default::default() };
            let refused = client.try_create(&format!("f{number}"), also.clone()).await;
            assert_eq!(reason(&refused), Some(Reason::DestinationForbidden), "{url}");
            client.create(&format!("f{number}"), FunctionSettings::default()).await;
            let refused = client.try_update(&format!("f{number}"), also, &[]).await;
            assert_eq!(reason(&refused), Some(Reason::DestinationForbidden), "{url}");
        }
    });
}

/// What was allowed when it was set is looked at again when it is used: a policy, and a name's address, change.
#[test]
fn a_destination_that_has_become_forbidden_is_not_reached() {
    run(async {
        let folder = trine_tests::fixture::folder::Folder::new();
        let mut sink = HttpSink::start().await;
        let mut broker = lenient().data(folder.path()).start().await;
        broker.client().create("f", on_success(http(sink.url("/")))).await;
        broker.kill();
        drop(broker);
        let broker = Setup::new().virtual_time().data(folder.path()).start().await;
        let client = broker.client();
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings).await;
        let id = client.event("f", "1").await;
        puppet.next().await.answer("1");
        let stopped = client.until(&id, |one| !one.delivery_error.is_empty()).await;
        assert_ne!(stopped.delivery(), DeliveryState::Delivered, "{stopped:?}");
        assert!(sink.is_quiet());
    });
}

#[test]
fn a_record_is_published_to_nats() {
    run(async {
        let Some(server) = Nats::start("a_record_is_published_to_nats").await else { return };
        let broker = lenient().start().await;
        let client = broker.client();
        let mut subscribed = server.client().await.subscribe("trine.done").await.unwrap();
        client.create("f", on_success(nats(server.url(), "trine.done", false))).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings).await;
        // The subscription is known to the server once it has answered this.
        let id = client.event("f", r#"{"n":1}"#).await;
        puppet.next().await.answer("1");
        let message = soon("the record", subscribed.next()).await.unwrap();
        let record: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(record["requestContext"]["requestId"], id.as_str());
        client.until(&id, |one| one.delivery() == DeliveryState::Delivered).await;
    });
}

#[test]
fn a_stream_that_is_away_gets_its_records_when_it_is_back() {
    run(async {
        let name = "a_stream_that_is_away_gets_its_records_when_it_is_back";
        let Some(mut server) = Nats::start(name).await else { return };
        let broker = lenient().start().await;
        let client = broker.client();
        client.create("f", on_success(nats(server.url(), "done.f", true))).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings).await;
        // No stream takes the subject: that is no delivery, whatever the server flushes.
        let first = client.event("f", "1").await;
        puppet.next().await.answer("1");
        client.until(&first, |one| one.delivery_attempts >= 1).await;
        assert_eq!(client.get(&first).await.delivery(), DeliveryState::Pending);
        let config = || async_nats::jetstream::stream::Config {
            name: "DONE".to_owned(),
            subjects: vec!["done.*".to_owned()],
            ..Default::default()
        };
        let jetstream = async_nats::jetstream::new(server.client().await);
        jetstream.create_stream(config()).await.unwrap();
        delivered(&client, &first).await;
        server.kill();
        let second = client.event("f", "2").await;
        puppet.next().await.answer("2");
        client.until(&second, |one| one.delivery_attempts >= 1).await;
        server.restart().await;
        delivered(&client, &second).await;
        let jetstream = async_nats::jetstream::new(server.client().await);
        let mut stream = jetstream.get_stream("DONE").await.unwrap();
        assert_eq!(stream.info().await.unwrap().state.messages, 2, "each record once");
    });
}

/// Moves the time on until the record is delivered: its tries are at 1, 2, 4 … seconds.
async fn delivered(client: &trine_tests::fixture::client::Client, id: &str) {
    trine_tests::fixture::wait::until("the delivery", trine_tests::fixture::LIMIT, async || {
        client.advance(Duration::from_secs(60)).await;
        client.get(id).await.delivery() == DeliveryState::Delivered
    })
    .await;
}

#[test]
fn an_event_without_a_destination_is_delivered_nowhere() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings).await;
        let id = client.event("f", "1").await;
        puppet.next().await.answer("1");
        let done = client.until(&id, |one| one.finished_at_ms.is_some()).await;
        assert_eq!((done.delivery(), done.delivery_attempts), (DeliveryState::Unspecified, 0));
        assert_eq!(client.why(&id).await.blocker(), Blocker::Finished);
    });
}

#[test]
fn a_destination_that_was_taken_away_leaves_its_records_in_sight() {
    run(async {
        let broker = lenient().start().await;
        let client = broker.client();
        let mut sink = HttpSink::start().await;
        sink.answer_with(500);
        client.create("f", on_success(http(sink.url("/")))).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &["f"], &strings).await;
        let id = client.event("f", "1").await;
        puppet.next().await.answer("1");
        sink.next().await;
        client.until(&id, |one| one.delivery_attempts == 1).await;
        client.try_update("f", FunctionSettings::default(), &["on_success"]).await.unwrap();
        client.advance(Duration::from_secs(60)).await;
        let aside = client.until(&id, |one| one.delivery() == DeliveryState::Undelivered).await;
        assert!(aside.finished_at_ms.is_some());
        assert!(sink.is_quiet());
    });
}

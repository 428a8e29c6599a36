//! The broker inside a program, with its workers and callers in the same process. There is no socket; what
//! it accepts is as safe as in a process of its own.

#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::path::Path;
use std::time::Duration;

use tokio::net::TcpListener;
use trine_broker::{
    Broker, BrokerOptions, DestinationPolicy, Drained, Limits, StoreOption, Timing,
};
use trine_proto::SYNC_PAYLOAD_BYTES_MAX;
use trine_proto::v1::destination::Target;
use trine_proto::v1::{
    Destination, FunctionSettings, GetAccountSettingsRequest, GetInvocationRequest,
    HttpDestination, InvocationState, Reason,
};
use trine_tests::fixture::client::{Client, call, event, reason, refusal};
use trine_tests::fixture::folder::Folder;
use trine_tests::fixture::puppet::{Puppet, Strings};
use trine_tests::fixture::wait::{soon, until};
use trine_tests::fixture::{LIMIT, run};
use trine_worker::{Context, Error, Worker, WorkerHandle};

async fn start(folder: &Path) -> (Broker, Client) {
    let store = StoreOption::Embedded { dir: folder.to_owned() };
    let broker = Broker::start(BrokerOptions { store, ..BrokerOptions::default() }).await.unwrap();
    let client = Client::over(broker.channel());
    (broker, client)
}

async fn serve(broker: &Broker, strings: &Strings, slots: u32) -> WorkerHandle {
    let worker = Worker::with_channel(broker.channel()).function_raw("f", strings.handler());
    soon("the worker's session", worker.slots(slots).start()).await.unwrap()
}

#[test]
fn a_program_calls_its_own_functions_without_a_socket() {
    run(async {
        let folder = Folder::new();
        let (broker, client) = start(folder.path()).await;
        assert_eq!(broker.address(), None);
        client.create("double", FunctionSettings::default()).await;
        let worker = Worker::with_channel(broker.channel())
            .function("double", |n: u64, _: Context| async move { Ok::<_, Error>(2 * n) })
            .start()
            .await
            .unwrap();
        let answer = broker.invocations().invoke(call("double", "21")).await.unwrap();
        assert_eq!(answer.into_inner().payload, "42");
        let id = client.event("double", "4").await;
        let ended = client.state(&id, InvocationState::Succeeded).await;
        assert_eq!((ended.response.as_ref(), ended.attempts), (b"8".as_ref(), 1));
        worker.shutdown().await.unwrap();
        let drained = broker.shutdown(LIMIT).await;
        assert_eq!(drained, Drained { complete: true, cut_off: 0 });
        // Whoever still holds a connection is told, at once.
        assert!(client.invocations().invoke(call("double", "1")).await.is_err());
    });
}

/// What a poller in the same process does: the same call without a connection.
#[test]
fn a_call_without_a_connection_is_the_same_call() {
    run(async {
        let folder = Folder::new();
        let (broker, client) = start(folder.path()).await;
        client.create("f", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = serve(&broker, &strings, 1).await;
        let calls = broker.calls();
        let inside = calls.clone();
        let calling = tokio::spawn(async move { inside.invoke(call("f", "\"in\"")).await });
        let attempt = puppet.next().await;
        assert_eq!(attempt.payload, "\"in\"");
        attempt.answer("\"out\"");
        assert_eq!(calling.await.unwrap().unwrap().payload, "\"out\"");
        for (request, expected) in [
            (call("f", "no json"), Reason::MalformedPayload),
            (call("nobody", "1"), Reason::UnknownFunction),
            (call("f", vec![b'1'; SYNC_PAYLOAD_BYTES_MAX + 1]), Reason::PayloadTooLarge),
        ] {
            assert_eq!(reason(&calls.invoke(request).await.map_err(refusal)), Some(expected));
        }
        worker.shutdown().await.unwrap();
        broker.shutdown(LIMIT).await;
        let refused = calls.invoke(call("f", "1")).await.map_err(refusal);
        assert_eq!(reason(&refused), Some(Reason::ShuttingDown));
    });
}

#[test]
fn the_largest_payload_goes_there_and_back() {
    run(async {
        let broker = Broker::start(BrokerOptions::default()).await.unwrap();
        let client = Client::over(broker.channel());
        client.create("echo", FunctionSettings::default()).await;
        let _worker = Worker::with_channel(broker.channel())
            .function_raw("echo", |payload, _| async { Ok::<_, Error>(payload) })
            .start()
            .await
            .unwrap();
        let payload = format!("\"{}\"", "x".repeat(SYNC_PAYLOAD_BYTES_MAX - 2));
        let answer = broker.invocations().invoke(call("echo", payload.clone())).await.unwrap();
        assert!(answer.into_inner().payload == payload);
    });
}

#[test]
fn what_ended_and_what_waits_outlive_the_broker() {
    run(async {
        let folder = Folder::new();
        let (broker, client) = start(folder.path()).await;
        client.create("f", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = serve(&broker, &strings, 1).await;
        let ended = client.event("f", "1").await;
        puppet.next().await.answer("\"one\"");
        client.state(&ended, InvocationState::Succeeded).await;
        worker.shutdown().await.unwrap();
        let waits = client.event("f", "2").await;
        broker.shutdown(LIMIT).await;

        let (broker, client) = start(folder.path()).await;
        let again = client.try_create("f", FunctionSettings::default()).await;
        assert_eq!(reason(&again), Some(Reason::FunctionExists));
        let ended = client.get(&ended).await;
        assert_eq!((ended.state(), ended.response), (InvocationState::Succeeded, "\"one\"".into()));
        let _worker = serve(&broker, &strings, 1).await;
        let held = puppet.next().await;
        assert_eq!(held.payload, "2");
        held.answer("\"two\"");
        let ended = client.state(&waits, InvocationState::Succeeded).await;
        assert_eq!((ended.response, ended.attempts), ("\"two\"".into(), 1));
    });
}

#[test]
fn a_drain_finishes_what_runs_and_loses_nothing() {
    run(async {
        let folder = Folder::new();
        let (broker, client) = start(folder.path()).await;
        client.create("f", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = serve(&broker, &strings, 2).await;
        let caller = client.clone();
        let calling = tokio::spawn(async move { caller.call("f", "\"called\"").await });
        let called = puppet.next().await;
        let mut ids = Vec::new();
        for n in 0..50 {
            ids.push(client.event("f", n.to_string()).await);
        }
        let running = puppet.next().await;
        let draining = tokio::spawn(broker.shutdown(LIMIT));
        let ready = async || client.invoke(call("f", "1")).await;
        until("the drain", LIMIT, async || reason(&ready().await) == Some(Reason::ShuttingDown))
            .await;
        called.answer("\"answered\"");
        running.answer("0");
        assert_eq!(calling.await.unwrap().payload, "\"answered\"");
        let drained = draining.await.unwrap();
        assert_eq!(drained, Drained { complete: true, cut_off: 0 });
        assert!(puppet.is_quiet(), "nothing is started by a broker that drains");
        worker.shutdown().await.unwrap();

        let (broker, client) = start(folder.path()).await;
        let worker = serve(&broker, &strings, 2).await;
        for _ in 1..50 {
            puppet.next().await.answer("0");
        }
        for id in &ids {
            let ended = client.state(id, InvocationState::Succeeded).await;
            assert_eq!(ended.attempts, 1, "{ended:?}");
        }
        assert!(puppet.is_quiet(), "what had ended is not run again");
        worker.shutdown().await.unwrap();
        broker.shutdown(LIMIT).await;
    });
}

/// A worker that is told to go first hands back what it was sent and has not begun.
#[test]
fn a_worker_that_goes_first_takes_nothing_with_it() {
    run(async {
        let folder = Folder::new();
        let (broker, client) = start(folder.path()).await;
        client.create("f", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = serve(&broker, &strings, 1).await;
        let (first, second) = (client.event("f", "1").await, client.event("f", "2").await);
        let held = puppet.next().await;
        let going = tokio::spawn(worker.shutdown());
        let none = async || client.function("f").await.usage.unwrap().free_slots == 0;
        until("the worker's goodbye", LIMIT, none).await;
        held.answer("1");
        going.await.unwrap().unwrap();
        client.state(&first, InvocationState::Succeeded).await;
        assert_eq!(client.get(&second).await.state(), InvocationState::Ready);
        let _worker = serve(&broker, &strings, 1).await;
        puppet.next().await.answer("2");
        client.state(&second, InvocationState::Succeeded).await;
    });
}

/// The folder is free when the shutdown says so, whoever was still looking.
#[test]
fn a_folder_can_be_used_again_at_once() {
    run(async {
        let folder = Folder::new();
        for round in 0..20 {
            let store = StoreOption::Embedded { dir: folder.path().to_owned() };
            let listen = Some(([127, 0, 0, 1], 0).into());
            let options = BrokerOptions { store, listen, ..BrokerOptions::default() };
            let broker = Broker::start(options).await.unwrap_or_else(|e| panic!("{round}: {e}"));
            let outside = Client::new(broker.address().unwrap());
            if round == 0 {
                outside.create("f", FunctionSettings::default()).await;
            }
            let request_id = outside.event("f", "1").await;
            let request = GetInvocationRequest {
                request_id,
                wait_ms: 60_000,
                after_revision: Some(u64::MAX),
            };
            let watching =
                tokio::spawn(async move { outside.invocations().get_invocation(request).await });
            broker.shutdown(LIMIT).await;
            assert!(watching.await.unwrap().is_err());
        }
    });
}

/// Neither a caller that keeps its stream open nor a destination that never answers holds the folder.
#[test]
fn nobody_holds_on_to_the_folder() {
    run(async {
        let folder = Folder::new();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let options = || BrokerOptions {
            store: StoreOption::Embedded { dir: folder.path().to_owned() },
            destinations: DestinationPolicy {
                allow_internal_addresses: true,
                ..DestinationPolicy::default()
            },
            ..BrokerOptions::default()
        };
        let broker = Broker::start(options()).await.unwrap();
        let client = Client::over(broker.channel());
        let http = Destination { target: Some(Target::Http(HttpDestination { url })) };
        let settings = FunctionSettings { on_success: Some(http), ..Default::default() };
        client.create("f", settings).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &strings, 1).await;
        let id = client.event("f", "1").await;
        puppet.next().await.answer("1");
        let _delivering = soon("the delivery", silent.accept()).await.unwrap();
        let frames = tokio_stream::pending();
        let _stream = client.invocations().invoke_stream(frames).await.unwrap();
        broker.shutdown(LIMIT).await;

        let broker = Broker::start(options()).await.unwrap();
        let delivering = soon("the delivery", silent.accept()).await.unwrap();
        let ended = Client::over(broker.channel()).get(&id).await;
        assert_eq!(ended.state(), InvocationState::Succeeded);
        drop(delivering);
    });
}

/// Calls fill a connection; workers and whoever looks after functions have others.
#[test]
fn callers_do_not_stand_in_the_way_of_workers() {
    run(async {
        let limits = Limits { account_concurrency: 5_000, ..Limits::default() };
        let timing = Timing { placement_wait: 2 * LIMIT, ..Timing::default() };
        let options = BrokerOptions { limits, timing, ..BrokerOptions::default() };
        let broker = Broker::start(options).await.unwrap();
        Client::over(broker.channel()).create("f", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let _busy = serve(&broker, &strings, 1).await;
        let mut calling = tokio::task::JoinSet::new();
        for _ in 0..2_000 {
            let mut client = broker.invocations();
            calling.spawn(async move { client.invoke(call("f", "1")).await.unwrap() });
        }
        let mut functions = broker.functions();
        let full = async || {
            let account = functions.get_account_settings(GetAccountSettingsRequest {}).await;
            account.unwrap().into_inner().running >= 1_000
        };
        until("a full connection", LIMIT, full).await;
        let _more = serve(&broker, &strings, 500).await;
        for _ in 0..2_000 {
            puppet.next().await.answer("1");
        }
        assert_eq!(calling.join_all().await.len(), 2_000);
    });
}

#[test]
fn a_worker_that_the_broker_does_not_want_does_not_start() {
    run(async {
        let broker = Broker::start(BrokerOptions::default()).await.unwrap();
        let nothing = Worker::with_channel(broker.channel()).start().await.unwrap_err();
        assert!(nothing.to_string().contains("no function is served"), "{nothing}");
        let event = broker.invocations().invoke(event("f", "1")).await.unwrap_err();
        let refusal = trine_proto::reason::refusal(&event).unwrap();
        assert_eq!(refusal.reason(), Reason::UnknownFunction);
        // Dropped, a broker is gone like one that was killed; nothing waits for it.
        drop(broker);
    });
}

#[test]
fn a_drain_has_an_end() {
    run(async {
        let broker = Broker::start(BrokerOptions::default()).await.unwrap();
        let client = Client::over(broker.channel());
        client.create("f", FunctionSettings::default()).await;
        let (mut puppet, strings) = Puppet::new();
        let _worker = serve(&broker, &strings, 1).await;
        client.event("f", "1").await;
        let _held = puppet.next().await;
        let drained = broker.shutdown(Duration::from_millis(50)).await;
        assert_eq!(drained, Drained { complete: false, cut_off: 1 });
    });
}

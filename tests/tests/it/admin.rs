//! The broker about itself: health, reflection, configuration, virtual time, and where it refuses to listen.

use std::time::Duration;

use tokio_stream::StreamExt as _;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use trine_proto::v1::advance_time_request::Amount;
use trine_proto::v1::{AdvanceTimeRequest, FunctionSettings, Reason};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::refusal;
use trine_tests::fixture::raw_worker::RawWorker;
use trine_tests::fixture::wait::soon;
use trine_tests::fixture::{LIMIT, http, run};

/// What the health service knows: the broker, and its services by name.
const HEALTHY: [&str; 5] = [
    "",
    "trine.v1.InvocationService",
    "trine.v1.FunctionService",
    "trine.v1.WorkerService",
    "trine.v1.AdminService",
];

#[test]
fn health_and_reflection_are_served() {
    run(async {
        let broker = Broker::start().await;
        let channel = broker.client().channel();
        for service in HEALTHY {
            let asked = HealthCheckRequest { service: service.to_owned() };
            let checked = HealthClient::new(channel.clone()).check(asked).await.unwrap();
            assert_eq!(checked.into_inner().status(), ServingStatus::Serving, "{service:?}");
        }
        let list = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut reflection = ServerReflectionClient::new(channel);
        let answers = reflection.server_reflection_info(tokio_stream::once(list)).await.unwrap();
        let answer = answers.into_inner().next().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
            panic!("{answer:?}");
        };
        let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
        for service in ["Invocation", "Function", "Worker", "Admin"] {
            let full = format!("trine.v1.{service}Service");
            assert!(names.contains(&full.as_str()), "{full} is not in {names:?}");
        }
        assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
    });
}

#[test]
fn a_draining_broker_says_that_it_does_not_serve() {
    run(async {
        let mut broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let mut worker = RawWorker::join(&client, &["f"], 1).await;
        // A watcher learns of it by itself; others ask.
        let mut watched = Vec::new();
        for service in HEALTHY {
            let asked = HealthCheckRequest { service: service.to_owned() };
            let mut watch =
                HealthClient::new(client.channel()).watch(asked).await.unwrap().into_inner();
            let first = soon("the health", watch.message()).await.unwrap().unwrap();
            assert_eq!(first.status(), ServingStatus::Serving, "{service:?}");
            watched.push(watch);
        }
        let call = {
            let client = client.clone();
            tokio::spawn(async move { client.call("f", "1").await })
        };
        let running = worker.attempt().await;
        broker.terminate();
        soon("the word to the worker", worker.drained()).await;
        for (service, watch) in HEALTHY.iter().zip(&mut watched) {
            let next = soon("the news", watch.message()).await.unwrap().unwrap();
            assert_eq!(next.status(), ServingStatus::NotServing, "{service:?}");
        }
        let asked = HealthCheckRequest { service: String::new() };
        let checked = HealthClient::new(client.channel()).check(asked).await.unwrap();
        assert_eq!(checked.into_inner().status(), ServingStatus::NotServing);
        worker.respond(&running, "1").await;
        call.await.unwrap();
        // Whoever watches must not hold up the end.
        assert_eq!(broker.ended(LIMIT).await.code(), Some(0));
    });
}

#[test]
fn one_port_speaks_http_too() {
    run(async {
        let broker = Broker::start().await;
        for (path, status) in [
            ("/healthz", 200),
            ("/readyz", 200),
            ("/metrics", 200),
            ("/", 404),
            ("/metrics/x", 404),
        ] {
            let page = http::get(broker.address(), path).await;
            assert_eq!(page.status, status, "{path}: {page:?}");
        }
        let metrics = http::get(broker.address(), "/metrics").await;
        assert!(
            metrics.head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4")
        );
    });
}

#[test]
fn a_broker_tells_its_configuration_and_where_it_came_from() {
    run(async {
        let broker = Setup::new().set("limits.queue_count_max", 12_345).start().await;
        let told = broker.client().broker().await;
        assert!(!told.version.is_empty());
        assert_eq!((told.virtual_time, told.store.as_str(), told.workers), (false, "embedded", 0));
        assert!(told.now_ms > 1_600_000_000_000);
        let of = |name: &str| {
            let found = told.configuration.iter().find(|value| value.name == name);
            let found =
                found.unwrap_or_else(|| panic!("{name} is not in {:?}", told.configuration));
            (found.value.as_str(), found.origin.as_str())
        };
        assert_eq!(of("limits.queue_count_max"), ("12345", "file"));
        assert_eq!(of("limits.account_concurrency"), ("1000", "default"));
    });
}

#[test]
fn real_time_is_not_moved() {
    run(async {
        let broker = Broker::start().await;
        let request = AdvanceTimeRequest { amount: Some(Amount::ByMs(1)) };
        let refused = broker.client().admin().advance_time(request).await.unwrap_err();
        assert_eq!(refusal(refused).reason(), Reason::VirtualTimeOff);
    });
}

#[test]
fn virtual_time_moves_as_it_is_told() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let start = client.broker().await.now_ms;
        assert_eq!(client.broker().await.now_ms, start, "it stands");
        assert_eq!(client.advance(Duration::from_secs(90)).await, start + 90_000);
        assert_eq!(client.broker().await.now_ms, start + 90_000);
        assert_eq!(client.broker().await.next_timer_ms, None);
        assert_eq!(client.advance_to_next_timer().await, start + 90_000, "no timer, no move");
        let month = 30 * 24 * 3_600_000;
        for amount in [
            Some(Amount::ByMs(month + 1)),
            Some(Amount::ByMs(u64::MAX)),
            Some(Amount::ToNextTimer(false)),
            None,
        ] {
            let request = AdvanceTimeRequest { amount };
            let refused = client.admin().advance_time(request).await.unwrap_err();
            assert_eq!(refusal(refused).reason(), Reason::InvalidArgument, "{amount:?}");
        }
        assert_eq!(
            client.advance(Duration::from_millis(month)).await,
            start + 90_000 + 2_592_000_000
        );
    });
}

#[test]
fn no_address_but_loopback_is_listened_on() {
    run(async {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7400"] {
            let refused = Setup::new().listen(address).try_start().await.unwrap_err();
            assert_eq!(refused.status.code(), Some(64), "{refused:?}");
            assert!(refused.said.contains("loopback"), "it says why: {}", refused.said);
            assert!(refused.said.contains(address), "it says what: {}", refused.said);
        }
    });
}

#[test]
fn a_port_that_is_taken_is_named() {
    run(async {
        let broker = Broker::start().await;
        let address = broker.address().to_string();
        let refused = Setup::new().listen(&address).try_start().await.unwrap_err();
        assert_ne!(refused.status.code(), Some(0));
        assert!(refused.said.contains(&address), "{}", refused.said);
        assert!(broker.is_ready().await, "the one that has it serves on");
    });
}

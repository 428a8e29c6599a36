//! What may be set as a destination, and the sentences that say why not.

use trine_broker::DestinationPolicy;
use trine_broker::destinations::{DeliveryOutcome, Destinations, ForbiddenDestination};
use trine_engine::{Destination, FunctionName};

use crate::{http, refused, success};

fn nats(url: &str, subject: &str) -> Destination {
    Destination::Nats { url: url.into(), subject: subject.into(), jetstream: false }
}

fn file(name: &str) -> Destination {
    Destination::File { name: name.into() }
}

#[tokio::test]
async fn what_the_configuration_forbids_names_the_setting() {
    let strict = DestinationPolicy::default();
    let lax = DestinationPolicy {
        allow_internal_addresses: true,
        file_dir: Some("destinations".into()),
        nats_credentials: Vec::new(),
    };
    for (target, setting) in [
        (http("http://127.0.0.1:8080/"), "destinations.allow_internal_addresses"),
        (http("https://[fd00:ec2::254]/"), "destinations.allow_internal_addresses"),
        (http("http://localhost/"), "destinations.allow_internal_addresses"),
        (file("failures.jsonl"), "destinations.file_dir"),
    ] {
        match Destinations::check(&strict, &target) {
            Err(ForbiddenDestination::Policy(why)) => assert!(why.contains(setting), "{why}"),
            other => panic!("{target:?}: {other:?}"),
        }
        assert_eq!(Destinations::check(&lax, &target), Ok(()));
        // It was set under another configuration.
        let outcome = Destinations::new(strict.clone()).deliver(&target, success()).await;
        assert!(refused(outcome).contains(setting));
    }
}

#[test]
fn what_can_never_be_right_says_what_is_expected() {
    let policy = DestinationPolicy { file_dir: Some("destinations".into()), ..Default::default() };
    for (target, expected) in [
        (http("ftp://example.com"), "starts with http:// or https://"),
        (http("https://user:secret@example.com"), "credentials do not belong"),
        (http("http:// example.com"), "no spaces"),
        (nats("localhost:4222", "a"), "nats://host:port"),
        (nats("nats://u:secret@localhost:4222", "a"), "credentials do not belong"),
        (nats("nats://localhost:4222", "orders.*"), "no spaces, * or >"),
        (nats("nats://localhost:4222", "$JS.API.STREAM.PURGE.orders"), "does not start with $"),
        (file("../outside"), "a plain file name"),
    ] {
        match Destinations::check(&policy, &target) {
            Err(ForbiddenDestination::Malformed(why)) => {
                assert!(why.contains(expected) && !why.contains("secret"), "{why}");
            }
            other => panic!("{target:?}: {other:?}"),
        }
    }
    for target in [
        http("https://hooks.example/a?b=c"),
        nats("nats://localhost:4222", "orders.failed"),
        file("failures.jsonl"),
        Destination::Function(FunctionName::new("index").unwrap()),
    ] {
        assert_eq!(Destinations::check(&policy, &target), Ok(()));
    }
}

#[tokio::test]
async fn a_function_is_left_to_whoever_asked() {
    let name = FunctionName::new("index").unwrap();
    let destinations = Destinations::new(DestinationPolicy::default());
    let outcome = destinations.deliver(&Destination::Function(name.clone()), success()).await;
    assert_eq!(outcome, DeliveryOutcome::Function(name));
}

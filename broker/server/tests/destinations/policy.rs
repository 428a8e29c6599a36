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

fn sns(url: &str, topic_arn: &str) -> Destination {
    Destination::Sns { url: url.into(), topic_arn: topic_arn.into() }
}

fn sqs(queue: &str, endpoint_url: &str) -> Destination {
    Destination::Sqs { queue: queue.into(), region: "".into(), endpoint_url: endpoint_url.into() }
}

fn kafka(servers: &[&str], topic: &str) -> Destination {
    let bootstrap_servers = servers.iter().map(|&server| server.into()).collect();
    Destination::Kafka { bootstrap_servers, topic: topic.into() }
}

fn rabbitmq(url: &str, queue: &str) -> Destination {
    Destination::RabbitMq {
        url: url.into(),
        virtual_host: "".into(),
        exchange: "".into(),
        routing_key: queue.into(),
    }
}

const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:failures";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:failures";

#[tokio::test]
async fn what_the_configuration_forbids_names_the_setting() {
    let strict = DestinationPolicy::default();
    let lax = DestinationPolicy {
        allow_internal_addresses: true,
        file_dir: Some("destinations".into()),
        ..DestinationPolicy::default()
    };
    for (target, setting) in [
        (http("http://127.0.0.1:8080/"), "destinations.allow_internal_addresses"),
        (http("https://[fd00:ec2::254]/"), "destinations.allow_internal_addresses"),
        (http("http://localhost/"), "destinations.allow_internal_addresses"),
        (sns("http://localhost/", TOPIC), "destinations.allow_internal_addresses"),
        (sqs(QUEUE, "http://127.0.0.1:4566"), "destinations.allow_internal_addresses"),
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
        (sns("ftp://example.com", TOPIC), "starts with http:// or https://"),
        (sns("https://example.com", "topic"), "arn:PARTITION:sns:REGION:ACCOUNT:NAME"),
        (sns("https://example.com", "arn:aws:sns:eu-west-1:1:t.fifo"), "a standard one"),
        (sqs("queue", ""), "an ARN or https://"),
        (sqs("arn:aws:sqs:eu-west-1:1:q.fifo", ""), "a standard one"),
        (kafka(&[], "topic"), "has bootstrap servers"),
        (kafka(&["u:secret@k:9092"], "topic"), "credentials do not belong"),
        (rabbitmq("amqp://u:secret@rabbit", "queue"), "credentials do not belong"),
        (rabbitmq("amqp://rabbit", ""), "names a queue"),
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
        sns("https://hooks.example/topic", TOPIC),
        sqs(QUEUE, ""),
        kafka(&["k1:9092", "k2:9092"], "orders.failed"),
        rabbitmq("amqps://rabbit", "failures"),
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

//! Destinations against the real things: sockets, files, servers of NATS, SQS, Kafka and RabbitMQ.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod file;
mod http;
mod https;
mod kafka;
mod nats;
mod nats_server;
mod policy;
mod rabbitmq;
mod receiver;
mod record;
mod skip;
mod sns;
mod sqs;
mod sqs_server;
mod whole;

use trine_broker::destinations::{DeliveryOutcome, DestinationRecord};
use trine_engine::{
    Death, Delivery, Destination, End, Ended, EventRecord, EventSeq, EventStage, FunctionName,
    RequestId,
};

/// The request id of [`event`].
const ID: &str = "0199f2a4-b1c2-7def-8123-456789abcdef";

/// 2019-11-14T18:16:05.568Z.
const ENDED_AT: u64 = 1_573_755_365_568;

/// An event of the function `resize` that ended after three attempts.
fn event(end: End) -> EventRecord {
    EventRecord {
        seq: EventSeq(1),
        request_id: RequestId(0x0199_f2a4_b1c2_7def_8123_4567_89ab_cdef),
        function: FunctionName::new("resize").unwrap(),
        accepted_at: ENDED_AT - 180_000,
        age_from: ENDED_AT - 180_000,
        payload_seq: EventSeq(1),
        payload_bytes: 0,
        attempts: 3,
        hops: 0,
        failed: end != End::Succeeded,
        stage: EventStage::Ended(Ended { end, at: ENDED_AT, delivery: Delivery::Pending }),
        idempotency: None,
        redriven_from: None,
    }
}

/// The record of a failure with `payload` as its request.
fn failure(payload: &str) -> DestinationRecord {
    let error = br#"{"errorType":"E"}"#;
    DestinationRecord::new(
        &event(End::Dead(Death::RetriesExhausted)),
        payload.as_bytes(),
        Some(error),
    )
}

fn success() -> DestinationRecord {
    DestinationRecord::new(&event(End::Succeeded), b"{}", Some(b"true"))
}

/// A name that no other test, and no other run of this one, uses.
fn unique(name: &str) -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("trine-{name}-{}-{}", std::process::id(), nanos.as_nanos())
}

fn http(url: impl Into<String>) -> Destination {
    Destination::Http { url: url.into().into() }
}

fn failed(outcome: DeliveryOutcome) -> String {
    match outcome {
        DeliveryOutcome::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

fn refused(outcome: DeliveryOutcome) -> String {
    match outcome {
        DeliveryOutcome::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

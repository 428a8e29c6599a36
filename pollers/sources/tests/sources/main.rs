//! Every adapter against the real thing that it reads: the conformance suite, and what is special to its source.

#![cfg(feature = "conformance")]

#[cfg(any(feature = "sqs", feature = "kinesis", feature = "dynamodb-streams"))]
mod aws;
#[cfg(any(feature = "nats", feature = "redis"))]
mod by_hand;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(any(feature = "rabbitmq", feature = "activemq"))]
mod mq;
#[cfg(feature = "nats")]
mod nats;
#[cfg(any(feature = "nats", feature = "redis"))]
mod proxy;
#[cfg(feature = "redis")]
mod redis;
mod skip;
#[cfg(any(feature = "nats", feature = "redis", feature = "rabbitmq", feature = "activemq"))]
mod tls;

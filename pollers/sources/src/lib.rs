//! Event-source adapters and the runner that drives them.
//!
//! A poller reads records from sources, lets the pure engine of `trine-poll-engine` make batches of them, invokes a function
//! with each batch over the public contract, and settles what ended. It is a client of the broker like any other; all it gets is a
//! [`Way`] to it.
//!
//! An adapter is a folder (`file/`, `kafka/`) with its configuration, its source, its tests and a README that says how it orders,
//! redelivers, bounds, stops and reconnects. Every adapter is a cargo feature and passes the suite in `conformance/`.

mod adapters;
#[cfg(any(feature = "rabbitmq", feature = "activemq"))]
mod address;
mod binding;
mod clock;
mod descriptor;
mod error;
#[cfg(any(feature = "nats", feature = "redis"))]
mod in_hand;
mod invoke;
#[cfg(any(
    feature = "kafka",
    feature = "aws",
    feature = "rabbitmq",
    feature = "activemq",
    feature = "nats",
    feature = "redis"
))]
mod json_text;
mod lease;
mod plan;
mod poller;
mod reports;
mod runner;
mod session;
mod source;
mod timestamp;
#[cfg(any(
    feature = "kafka",
    feature = "rabbitmq",
    feature = "activemq",
    feature = "nats",
    feature = "redis"
))]
mod trust;
mod way;

#[cfg(feature = "activemq")]
pub mod activemq;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "dynamodb-streams")]
pub mod dynamodb_streams;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kinesis")]
pub mod kinesis;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqs")]
pub mod sqs;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use adapters::kinds;
pub use binding::{Binding, Secrets};
pub use descriptor::{Descriptor, Keeper, Ordering, Redelivery, Settling};
pub use error::{Problem, SourceError};
pub use poller::{PollerHandle, PollerOptions, start_poller};
pub use source::{
    Change, Connect, Content, Envelope, Notice, Opened, Place, Places, Position, Reader, Received,
    Record, SeekTo, Settled, ShardName, Sought, Source, Target, Unit, Verdict, Want,
};
pub use trine_poll_engine::Start;
pub use way::{Invoke, Way};

//! Event-source adapters and the runner that drives them.
//!
//! A poller reads records from sources, lets the pure engine of `trine-poll-engine` make batches of them, invokes a function
//! with each batch over the public contract, and settles what ended. It is a client of the broker like any other: all it gets
//! is a channel.
//!
//! An adapter is a folder (`file/`, `kafka/`) with its configuration, its source, its tests and a README that says how it orders,
//! redelivers, bounds, stops and reconnects. Every adapter is a cargo feature and passes the suite in `conformance/`.

#[cfg(feature = "aws")]
mod aws;
mod binding;
mod clock;
mod descriptor;
#[cfg(feature = "dynamodb-streams")]
pub mod dynamodb_streams;
mod error;
#[cfg(feature = "kinesis")]
pub mod kinesis;
mod source;
#[cfg(feature = "sqs")]
pub mod sqs;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use binding::{Binding, Secrets, Start};
pub use descriptor::{Descriptor, Keeper, Ordering, Redelivery, Settling};
pub use error::{Problem, SourceError};
pub use source::{
    Change, Connect, Content, Envelope, Notice, Opened, Place, Places, Position, Reader, Received,
    Record, SeekTo, Settled, ShardName, Sought, Source, Target, Unit, Verdict, Want,
};

//! Event-source adapters and the runner that drives them.
//!
//! A poller reads records from sources, lets the pure engine of `trine-poll-engine` make batches of them, invokes a function
//! with each batch over the public contract, and settles what ended. It is a client of the broker like any other: all it gets
//! is a channel.
//!
//! An adapter is a folder (`file/`, `kafka/`) with its configuration, its source, its tests and a README that says how it orders,
//! redelivers, bounds, stops and reconnects. Every adapter is a cargo feature and passes the suite in `conformance/`.

#[cfg(any(feature = "rabbitmq", feature = "activemq"))]
mod address;
mod binding;
#[expect(dead_code, reason = "the runner, which reads it, is not here yet")]
mod clock;
mod descriptor;
mod error;
#[cfg(any(feature = "rabbitmq", feature = "activemq"))]
mod json_text;
mod source;
#[cfg(any(feature = "rabbitmq", feature = "activemq"))]
mod timestamp;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;

pub use binding::{Binding, Secrets, Start};
pub use descriptor::{Descriptor, Keeper, Ordering, Redelivery, Settling};
pub use error::{Problem, SourceError};
pub use source::{
    Change, Connect, Content, Envelope, Notice, Opened, Place, Places, Position, Reader, Received,
    Record, SeekTo, Settled, ShardName, Sought, Source, Target, Unit, Verdict, Want,
};

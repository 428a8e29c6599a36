//! The broker as a library: one shard loop around the engine, and the edges that speak gRPC and HTTP.
//!
//! ```text
//! edge ──call──▶ shard task ──Input──▶ engine ──Effect──▶ shard task ──▶ edge, session, store, destination
//! ```
//!
//! Edges decode and encode; the shard's task owns the engine and everything that moves; the engine decides.
//!
//! The binary `trine` is one program around it. Any other can hold a broker as well, with its workers and callers in
//! the same process; this is the example `embedded`:
//!
//! ```
#![doc = include_str!("../examples/embedded.rs")]
//! ```

mod broker;
mod calls;
mod clock;
mod credentials;
pub mod destinations;
mod disk;
mod edge;
mod edges;
mod front;
mod lanes;
mod listener;
mod mappings;
pub mod metrics;
mod options;
mod readiness;
mod redrive;
mod refusal;
mod request_id;
mod shard;
mod store;

/// The contract, for what goes over [`Broker::channel`].
pub use trine_proto as proto;

pub use broker::{Broker, Drained, StartError, StopReason};
pub use calls::Calls;
pub use credentials::{
    AwsCredential, KafkaCredential, KafkaLogin, KafkaMechanism, NatsCredential, RabbitMqCredential,
};
pub use options::{BrokerOptions, DestinationPolicy, Limits, MappingBounds, StoreOption, Timing};

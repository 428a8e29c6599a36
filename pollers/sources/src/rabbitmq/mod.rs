//! The `rabbitmq` source: a queue of RabbitMQ over AMQP 0-9-1.
#![doc = ""]
#![doc = include_str!("README.md")]

mod acks;
mod config;
mod event;
mod fetch;
mod reader;
mod session;
mod source;
mod trouble;

pub use source::DESCRIPTOR;

use std::sync::Arc;

use trine_proto::v1::RabbitMqSource;

use crate::{Binding, Connect, SourceError};

/// The connector of a mapping that reads a RabbitMQ queue. No I/O happens here.
///
/// # Errors
/// When the configuration cannot be right whatever the server says.
pub fn connector(
    config: &RabbitMqSource,
    binding: &Binding,
) -> Result<Arc<dyn Connect>, SourceError> {
    Ok(Arc::new(source::RabbitMq::new(config::Config::new(config, binding)?)))
}

//! The `activemq` source: a queue of ActiveMQ over STOMP 1.2.
#![doc = ""]
#![doc = include_str!("README.md")]

mod config;
mod credit;
mod desk;
mod event;
mod reader;
mod source;
mod stomp;
mod trouble;

pub use source::DESCRIPTOR;

use std::sync::Arc;

use trine_proto::v1::ActiveMqSource;

use crate::{Binding, Connect, SourceError};

/// The connector of a mapping that reads an ActiveMQ queue. No I/O happens here.
///
/// # Errors
/// When the configuration cannot be right whatever the server says.
pub fn connector(
    config: &ActiveMqSource,
    binding: &Binding,
) -> Result<Arc<dyn Connect>, SourceError> {
    Ok(Arc::new(source::ActiveMq::new(config::Config::new(config, binding)?)))
}

//! The `nats` source: a JetStream stream, read with a durable pull consumer.
#![doc = ""]
#![doc = include_str!("README.md")]

mod config;
mod consumer;
mod delivery;
mod event;
mod link;
mod pulls;
mod reader;
mod reclaim;
mod seek;
mod settle;
mod source;

use std::sync::Arc;

use trine_proto::v1::NatsSource;

use crate::{Binding, Connect, SourceError};

/// The connector of a stream.
///
/// # Errors
/// When the configuration cannot be right, or names a secret that is not known. No server is asked.
pub fn connector(config: &NatsSource, binding: &Binding) -> Result<Arc<dyn Connect>, SourceError> {
    Ok(Arc::new(source::NatsConnector::new(config::NatsConfig::new(config, binding)?)))
}

//! The `kafka` source: the partitions of a topic, as a member of a consumer group.
#![doc = ""]
#![doc = include_str!("README.md")]

mod batch_info;
mod commits;
mod config;
mod connection;
mod connector;
mod context;
mod event;
mod member;
mod offsets;
mod problem;
mod reader;
mod security;
mod seek;
mod start;
mod statistics;

use std::sync::Arc;

use trine_proto::v1::KafkaSource;

use crate::{Binding, Connect, SourceError};

/// A connector for the topic that `config` names, checked without asking anybody.
///
/// # Errors
/// [`Problem::Configuration`](crate::Problem) if it cannot be right, or asks for what this build of the client library cannot do;
/// [`Problem::Authentication`](crate::Problem) if its secret is not known.
pub fn connector(config: &KafkaSource, binding: &Binding) -> Result<Arc<dyn Connect>, SourceError> {
    let config = config::Config::new(config, binding)?;
    Ok(Arc::new(connector::KafkaConnector::new(config)))
}

//! The `sqs` source: a queue of SQS, standard or FIFO, each message settled by itself.
#![doc = ""]
#![doc = include_str!("README.md")]

mod config;
mod connect;
mod event;
mod queue;
mod reader;
mod settle;

use std::sync::Arc;

use trine_proto::v1::SqsSource;

use crate::{Binding, Connect, SourceError};

/// Makes connections to the queue of a mapping.
///
/// # Errors
/// When the configuration cannot be right. Nothing is asked for yet.
pub fn connector(config: &SqsSource, binding: &Binding) -> Result<Arc<dyn Connect>, SourceError> {
    Ok(Arc::new(connect::SqsConnector::new(config::SqsConfig::check(config, binding)?)))
}

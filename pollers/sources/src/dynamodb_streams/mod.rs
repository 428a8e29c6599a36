//! The `dynamodb-streams` source: the changes of a DynamoDB table, in order per item.
#![doc = ""]
#![doc = include_str!("README.md")]

mod api;
mod attribute;
mod config;
mod event;

use std::sync::Arc;

use trine_proto::v1::DynamoDbStreamsSource;

use crate::aws::stream::StreamConnector;
use crate::{Binding, Connect, SourceError};

/// Makes connections to the stream of a mapping.
///
/// # Errors
/// When the configuration cannot be right. Nothing is asked for yet.
pub fn connector(
    config: &DynamoDbStreamsSource,
    binding: &Binding,
) -> Result<Arc<dyn Connect>, SourceError> {
    let config = config::StreamConfig::check(config, binding)?;
    Ok(Arc::new(StreamConnector::<api::DynamoDbStreams>::new(config, binding.start)))
}

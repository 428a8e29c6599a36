//! The `kinesis` source: a stream of Kinesis, its shards in order over splits and merges.
#![doc = ""]
#![doc = include_str!("README.md")]

mod api;
mod config;
mod event;

use std::sync::Arc;

use trine_proto::v1::KinesisSource;

use crate::aws::stream::StreamConnector;
use crate::{Binding, Connect, SourceError};

/// Makes connections to the stream of a mapping.
///
/// # Errors
/// When the configuration cannot be right. Nothing is asked for yet.
pub fn connector(
    config: &KinesisSource,
    binding: &Binding,
) -> Result<Arc<dyn Connect>, SourceError> {
    let config = config::KinesisConfig::check(config, binding)?;
    Ok(Arc::new(StreamConnector::<api::Kinesis>::new(config, binding.start)))
}

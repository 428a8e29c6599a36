//! The `redis` source: a Redis stream, read as one consumer of a group.
#![doc = ""]
#![doc = include_str!("README.md")]

mod config;
mod entry;
mod event;
mod group;
mod link;
mod reader;
mod seek;
mod source;

use std::sync::Arc;
use std::time::Duration;

use trine_proto::v1::RedisSource;

use crate::{Binding, Connect, SourceError};

/// After so long without a sign of life a consumer of the group counts as dead, and what it has pending is taken over.
const LEASE: Duration = Duration::from_secs(60);

/// The connector of a stream.
///
/// # Errors
/// When the configuration cannot be right, or names a secret that is not known. No server is asked.
pub fn connector(config: &RedisSource, binding: &Binding) -> Result<Arc<dyn Connect>, SourceError> {
    connector_with_lease(config, binding, LEASE)
}

/// The same with another lease, for tests that cannot wait a minute.
///
/// # Errors
/// As [`connector`].
#[doc(hidden)]
pub fn connector_with_lease(
    config: &RedisSource,
    binding: &Binding,
    lease: Duration,
) -> Result<Arc<dyn Connect>, SourceError> {
    let config = config::RedisConfig::new(config, binding, lease)?;
    Ok(Arc::new(source::RedisConnector::new(config)))
}

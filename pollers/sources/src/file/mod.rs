//! The `file` source: the lines of a growing file.
#![doc = ""]
#![doc = include_str!("README.md")]

mod config;
mod event;
mod json;
mod lines;
mod position;
mod rotation;
mod seek;
mod source;
mod tail;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use trine_proto::v1::FileSource;

use crate::{Binding, Connect, SourceError};

/// The connector of a file.
///
/// # Errors
/// When the configuration cannot be right. Nothing is looked at on the disk: a file need not exist yet.
pub fn connector(config: &FileSource, binding: &Binding) -> Result<Arc<dyn Connect>, SourceError> {
    let config = config::FileConfig::new(config, binding.start)?;
    Ok(Arc::new(source::FileConnector::new(config, &binding.mapping_id)))
}

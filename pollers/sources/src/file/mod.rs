//! The `file` source: the lines of a growing file, in batches to a function.
#![doc = ""]
#![doc = include_str!("README.md")]

mod config;
mod event;
mod json;
mod lines;
mod position;
mod rotation;
mod source;
mod tail;

#[cfg(test)]
mod tests;

pub use config::FilePollerOptions;
pub use position::FilePosition;
pub use source::{DESCRIPTOR, FileConnector, FileSource};

use tonic::transport::Channel;

use crate::runner::{self, Plan};
use crate::{PollerError, PollerHandle};

/// Starts a poller that invokes a function with the lines of a file, in batches, for ever.
///
/// It must be called on a tokio runtime, on which the poller then runs. The file need not exist yet. The
/// options are checked and the checkpoint is read before this returns; everything that can go wrong
/// later is tried again and shown in [`PollerHandle::status`].
///
/// # Errors
/// [`PollerError::InvalidOptions`] with everything that is wrong, [`PollerError::Checkpoint`] if the
/// checkpoint is damaged, in use or that of another file, [`PollerError::NoRuntime`].
pub fn start_file_poller(
    channel: Channel,
    options: FilePollerOptions,
) -> Result<PollerHandle, PollerError> {
    let config = options.check().map_err(PollerError::InvalidOptions)?;
    let connect = FileConnector::open(&config)?;
    runner::start(Plan {
        name: config.name,
        connect,
        descriptor: DESCRIPTOR,
        batch: config.batch,
        target: config.target,
        channel,
    })
}

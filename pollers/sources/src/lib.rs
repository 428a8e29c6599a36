//! Event-source adapters and the runner that drives them.
//!
//! A poller reads records from a [`Source`], lets the pure engine of `trine-poll-engine` make batches
//! of them, invokes a function with each batch over the public contract, and settles what ended. It is
//! a client of the broker like any other: all it gets is a channel.
//!
//! An adapter is a folder (`file/`) with its configuration, its source, its tests and a README that
//! says how it orders, redelivers, bounds, stops and reconnects. Every adapter passes the suite in
//! `conformance/`.
//!
//! ```no_run
//! # async fn example(channel: tonic::transport::Channel) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use trine_pollers::{FilePollerOptions, start_file_poller};
//!
//! let poller = start_file_poller(
//!     channel,
//!     FilePollerOptions {
//!         name: "orders".to_owned(),
//!         path: "orders.jsonl".into(),
//!         function: "handle-order".to_owned(),
//!         qualifier: None,
//!         batch_size: 100,
//!         batch_window: Duration::ZERO,
//!         state_dir: "state".into(),
//!     },
//! )?;
//! println!("{}", poller.status().state);
//! poller.shutdown(Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```

// Without a source there is nothing to run; the parts are checked all the same.
#![cfg_attr(not(feature = "file"), allow(dead_code))]

mod clock;
mod descriptor;
mod error;
mod handle;
mod invoke;
mod runner;
mod source;
mod status;
mod target;

#[cfg(feature = "file")]
mod checkpoint_file;
#[cfg(feature = "file")]
pub mod file;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(any(test, feature = "conformance"))]
pub mod memory;

#[cfg(feature = "file")]
pub use checkpoint_file::CheckpointError;
pub use descriptor::{Descriptor, Envelope, Ordering, Redelivery, Settling};
pub use error::{InvalidOption, PollerError, ShutdownError};
#[cfg(feature = "file")]
pub use file::{FilePollerOptions, start_file_poller};
pub use handle::PollerHandle;
pub use source::{Connect, Content, Notice, Received, Record, Settled, Source, SourceError, Want};
pub use status::{PollerCounts, PollerState, PollerStatus};
pub use trine_poll_engine::Verdict;

#[cfg(test)]
mod tests;

//! Everything a shard is told once, at its start.

use crate::{Backoff, BatchLimits, Millis};

/// The settings of a shard. Every value of these types is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How large a batch may become.
    pub batch: BatchLimits,
    /// Waits after function errors.
    pub function_errors: Backoff,
    /// Waits after attempts that did not reach the function. No attempt is spent by them.
    pub not_reached: Backoff,
    /// Waits before the source is built anew.
    pub reconnect: Backoff,
    /// Waits before a checkpoint is stored again.
    pub checkpoint: Backoff,
    /// Longest wait of one read for the first record, in milliseconds.
    pub receive_wait_ms: Millis,
    /// Spreads the waits of shards that would otherwise move in step: any number, best a different
    /// one for each.
    pub salt: u64,
}

impl Settings {
    /// The defaults with these limits.
    #[must_use]
    pub const fn new(batch: BatchLimits) -> Self {
        Self {
            batch,
            function_errors: Backoff::FUNCTION_ERRORS,
            not_reached: Backoff::NOT_REACHED,
            reconnect: Backoff::RECONNECT,
            checkpoint: Backoff::CHECKPOINT,
            receive_wait_ms: 1_000,
            salt: 0,
        }
    }
}

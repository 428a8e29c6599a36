//! What a shard does or waits for now, in one word, for people and for `describe`. It decides nothing.

use crate::Millis;

/// What a shard does now. The first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The mapping has ended, or there is no such shard.
    Gone,
    /// It finishes what is in flight, because it was revoked or the mapping stops.
    Ending,
    /// The function cannot be reached; one batch tries again at this time.
    Throttled {
        /// When.
        probe_at: Millis,
    },
    /// The function runs.
    Invoking {
        /// How many batches.
        batches: u32,
    },
    /// Someone paused the mapping.
    Paused,
    /// Batches wait to be sent again.
    Retrying {
        /// When the first of them is sent.
        retry_at: Millis,
    },
    /// Records are ready and every permit of the mapping is taken.
    WaitingForConcurrency,
    /// The on-failure destination has not taken word of records that were given up.
    Delivering,
    /// Records are being set aside.
    Parking,
    /// The lookahead is full: nothing is read before a checkpoint or verdicts are durable.
    Settling,
    /// The source is gone and waits to be built anew.
    SourceDown {
        /// When it is tried again. `None`: it is being built.
        retry_at: Option<Millis>,
    },
    /// Records wait for more of them, or for the end of their window.
    Gathering,
    /// The source has no more; the end is being recorded.
    Finishing,
    /// It reads, and has nothing.
    Polling,
}

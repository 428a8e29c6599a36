//! Everything a shard can cause. If it is not here, the shard cannot do it.
//!
//! Waits are no effect: [`Shard::next_deadline`](crate::Shard::next_deadline) holds them all, and a
//! [`Fact`] tells of each.

use crate::{BatchId, Fact, Span};

/// One consequence, to be carried out by the shell in the order of emission.
///
/// The shell answers each of the first four with an input exactly once; none of them is asked for
/// again before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Build the source anew, to go on after the last record it gave. Answered by `SourceBack` or
    /// `SourceGone`.
    Connect,
    /// Ask the source for records. Answered by `RecordsRead` or `SourceGone`.
    Receive {
        /// At most this many records.
        records_max: u32,
        /// At most this many bytes, except that a single record may be larger.
        bytes_max: u64,
        /// Come back with nothing after this long, in milliseconds.
        wait_ms: u64,
    },
    /// Invoke the function synchronously. Answered by `InvocationAnswered`.
    Invoke {
        /// The batch.
        batch: BatchId,
        /// 1 for the first; grows only with function errors.
        attempt: u32,
        /// Its records.
        records: Span,
    },
    /// Give the source these verdicts and make durable that all records before the end of the span
    /// have ended. Answered by `CheckpointStored` or `CheckpointFailed`.
    StoreCheckpoint {
        /// They follow directly on what was stored before.
        records: Span,
        /// The same for all of them.
        verdict: Verdict,
    },
    /// Nothing is in flight any more and nothing more will be asked for.
    Stopped,
    /// Something happened; nothing is to be done.
    Fact(Fact),
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The function took it.
    Done,
    /// It was skipped by a declared rule and will never be sent.
    Rejected,
}

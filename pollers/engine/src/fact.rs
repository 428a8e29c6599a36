//! What a shard tells without asking for anything: one fact becomes one metric and, where it is
//! worth it, one log line. It does not know their names.

use crate::{BatchId, Millis, Sequence, Span};

/// Something that happened inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The source is connected.
    SourceConnected,
    /// The source is gone.
    SourceLost {
        /// When it is tried again.
        retry_at: Millis,
    },
    /// Records came in. Not told for an empty read (LS 7, `PolledEventCount`).
    Polled {
        /// How many.
        records: u64,
    },
    /// A batch is handed over.
    Invoking {
        /// Which one.
        batch: BatchId,
        /// 1 for the first.
        attempt: u32,
        /// How many records.
        records: u64,
        /// Age of its last record now, in milliseconds (LS 7, `IteratorAge`).
        age_ms: u64,
    },
    /// The function took the batch.
    Succeeded {
        /// Which one.
        batch: BatchId,
        /// How many records.
        records: u64,
    },
    /// The function failed; the whole batch will be sent again (LS 4.3).
    FunctionFailed {
        /// Which one.
        batch: BatchId,
        /// The attempt that failed.
        attempt: u32,
        /// How many records.
        records: u64,
        /// When it is sent again.
        retry_at: Millis,
    },
    /// The function was not reached, or nobody knows; no attempt is spent.
    Delayed {
        /// Which one.
        batch: BatchId,
        /// Why.
        delay: Delay,
        /// When it is sent again.
        retry_at: Millis,
    },
    /// A record that no batch can hold was skipped.
    Oversized {
        /// Which one.
        record: Sequence,
        /// Its length.
        bytes: u64,
    },
    /// Everything before the end of these records is settled and durable.
    CheckpointStored {
        /// What was added.
        records: Span,
    },
    /// The checkpoint could not be stored. Nothing new is sent until it is.
    CheckpointFailed {
        /// When it is tried again.
        retry_at: Millis,
    },
    /// Someone paused the shard.
    Paused,
    /// Someone resumed it.
    Resumed,
    /// The shard stops with records that were sent or read but not settled: they come again after
    /// the next start.
    Abandoned {
        /// How many.
        records: u64,
    },
    /// An input came that nobody had asked for; it changed nothing. A defect of the shell.
    OutOfTurn {
        /// The input's name.
        input: &'static str,
    },
}

/// Why a batch did not reach its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delay {
    /// See [`Answer::Throttled`](crate::Answer::Throttled).
    Throttled,
    /// See [`Answer::NoCapacity`](crate::Answer::NoCapacity).
    NoCapacity,
    /// See [`Answer::Refused`](crate::Answer::Refused).
    Refused,
    /// See [`Answer::Lost`](crate::Answer::Lost).
    Lost,
}

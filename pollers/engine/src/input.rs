//! Everything that can happen to a shard. If it is not here, it cannot happen.

use crate::BatchId;

/// One thing that happened, told by the shell in the order in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A deadline has come, or the shell starts and wants to hear what to do first.
    Tick,
    /// The source answered [`Effect::Receive`](crate::Effect::Receive), perhaps with nothing. The
    /// records are in the source's order and follow on all earlier ones.
    RecordsRead {
        /// What is known of each.
        records: &'a [RecordMeta],
    },
    /// The invocation asked for by [`Effect::Invoke`](crate::Effect::Invoke) ended, one way or another.
    InvocationAnswered {
        /// Which batch.
        batch: BatchId,
        /// How.
        answer: Answer,
    },
    /// What [`Effect::StoreCheckpoint`](crate::Effect::StoreCheckpoint) asked for is durable.
    CheckpointStored,
    /// It is not, or nobody knows.
    CheckpointFailed,
    /// [`Effect::Connect`](crate::Effect::Connect) succeeded.
    SourceBack,
    /// It failed, or the source broke later: while receiving, or at any time by itself.
    SourceGone,
    /// Someone wants no new batch to start.
    Pause,
    /// Someone wants batches again.
    Resume,
    /// The process ends: finish what is in flight, then [`Effect::Stopped`](crate::Effect::Stopped).
    Stop,
}

/// What the engine knows of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMeta {
    /// What it adds to the payload, metadata included and separators not, in bytes.
    pub bytes: u64,
    /// How old it was when it was read, in milliseconds; 0 if the source cannot tell.
    pub age_ms: u64,
}

/// How an invocation ended (LS 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The function took the whole batch.
    Succeeded,
    /// The function failed, timed out or died: an attempt is spent.
    FunctionFailed,
    /// Concurrency is used up; the function was not reached.
    Throttled,
    /// No worker, no free slot, a broker that shuts down; the function was not reached.
    NoCapacity,
    /// The broker will not have the request as it is, for example because the function does not
    /// exist. Somebody has to change something; the records wait for it.
    Refused,
    /// The connection broke: perhaps the function ran, perhaps it did not.
    ///
    /// It spends no attempt. Otherwise a broken network would use up the retries of good records.
    Lost,
}

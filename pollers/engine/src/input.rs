//! Everything that can happen to a mapping. If it is not here, it cannot happen.

use crate::{BatchId, Key, Millis, Sequence, ShardId, Ticket};

/// One thing that happened, told by the shell in the order in which it happened.
///
/// An answer that nobody waits for changes nothing and is told as [`Fact::OutOfTurn`](crate::Fact::OutOfTurn);
/// answers for a shard that was released or finished are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A deadline has come, or the shell starts and wants to hear what to do first.
    Tick,
    /// [`Effect::Connect`](crate::Effect::Connect) succeeded.
    SourceConnected,
    /// It failed, or the source broke later, at any time by itself. It answers every
    /// [`Effect::Receive`](crate::Effect::Receive) that is under way: none of them is answered any more.
    /// Shards stay open.
    SourceGone,
    /// A shard is to be read: from here on it may be asked for records.
    ShardOpened {
        /// Its number, not in use.
        shard: ShardId,
        /// How long the source waits for a verdict on a record (an SQS visibility timeout, an ack wait).
        /// `None`: as [`Settings::source_lease_ms`](crate::Settings::source_lease_ms) says.
        lease_ms: Option<Millis>,
        /// Keys that are parked now.
        parked: &'a [ParkedKey],
        /// The tumbling window that was open at the checkpoint.
        window: Option<OpenWindow>,
    },
    /// The shard goes to somebody else, or nobody wants it any more: nothing new starts, what was gathered is
    /// given back, what is in flight may end within
    /// [`Settings::revoke_drain_ms`](crate::Settings::revoke_drain_ms). Ends with
    /// [`Effect::ShardReleased`](crate::Effect::ShardReleased).
    ShardRevoked {
        /// Which one.
        shard: ShardId,
    },
    /// The source says that the shard has no more records after those that were read (a resharded stream).
    ShardEnded {
        /// Which one.
        shard: ShardId,
    },
    /// The source answered [`Effect::Receive`](crate::Effect::Receive), perhaps with nothing. The
    /// records are in the source's order and follow on all earlier ones; they get the next sequences.
    RecordsRead {
        /// Of which shard.
        shard: ShardId,
        /// What is known of each.
        records: &'a [RecordMeta],
    },
    /// This one receive failed and the source as a whole works. It is asked again after
    /// [`Settings::reconnect`](crate::Settings::reconnect).
    ReceiveFailed {
        /// Of which shard.
        shard: ShardId,
    },
    /// The invocation asked for by [`Effect::Invoke`](crate::Effect::Invoke) ended, one way or another.
    BatchAnswered {
        /// Of which shard.
        shard: ShardId,
        /// Which batch.
        batch: BatchId,
        /// How.
        answer: Answer<'a>,
        /// The length of the window state in the answer, in bytes; 0 without tumbling windows.
        state_bytes: u64,
    },
    /// What [`Effect::Settle`](crate::Effect::Settle) or
    /// [`Effect::UnparkSettled`](crate::Effect::UnparkSettled) asked for is done.
    Settled {
        /// Of which shard.
        shard: ShardId,
        /// Of the effect.
        ticket: Ticket,
    },
    /// It is not, or nobody knows; the same is asked for again, unless its time is over.
    SettleFailed {
        /// Of which shard.
        shard: ShardId,
        /// Of the effect.
        ticket: Ticket,
    },
    /// What [`Effect::StoreCheckpoint`](crate::Effect::StoreCheckpoint) asked for is durable.
    CheckpointStored {
        /// Of which shard.
        shard: ShardId,
        /// Of the effect.
        ticket: Ticket,
    },
    /// It is not, or nobody knows.
    CheckpointFailed {
        /// Of which shard.
        shard: ShardId,
        /// Of the effect.
        ticket: Ticket,
    },
    /// The destination has what [`Effect::DeliverFailure`](crate::Effect::DeliverFailure) asked for.
    FailureDelivered {
        /// Of which shard.
        shard: ShardId,
        /// Of the effect.
        ticket: Ticket,
    },
    /// It has not; it is tried again, for ever.
    FailureDeliveryFailed {
        /// Of which shard.
        shard: ShardId,
        /// Of the effect.
        ticket: Ticket,
    },
    /// The records of [`Effect::Park`](crate::Effect::Park) are durably set aside.
    Parked {
        /// Of which shard.
        shard: ShardId,
        /// Of the effect.
        ticket: Ticket,
    },
    /// They are not; it is tried again, for ever.
    ParkFailed {
        /// Of which shard.
        shard: ShardId,
        /// Of the effect.
        ticket: Ticket,
        /// Because the bound on parked records is reached.
        full: bool,
    },
    /// Records of a parked key come back, the oldest of those that are not in hand: they are sent before
    /// anything else of the key. At most [`UNPARK_RECORDS_MAX`](crate::UNPARK_RECORDS_MAX) in hand
    /// for a key; more are refused with [`Fact::UnparkRefused`](crate::Fact::UnparkRefused).
    Unpark {
        /// Of which shard.
        shard: ShardId,
        /// Of which key.
        key: Key,
        /// Parked records of the key, older than these, that somebody dropped: they never come.
        dropped: u64,
        /// What is known of each. `key` and `filtered` do not matter.
        records: &'a [RecordMeta],
    },
    /// What [`Effect::FinishShard`](crate::Effect::FinishShard) asked for is durable. The shard is gone.
    ShardFinished {
        /// Which one.
        shard: ShardId,
    },
    /// It is not, or nobody knows.
    ShardFinishFailed {
        /// Which one.
        shard: ShardId,
    },
    /// Someone wants no new batch to start. Records that wait are kept; where verdicts are given for each
    /// record they are given back to the source.
    Pause,
    /// Someone wants batches again.
    Resume,
    /// The process ends, or the mapping is disabled: finish and settle what is in flight, give back the
    /// rest, then [`Effect::Stopped`](crate::Effect::Stopped).
    Stop,
}

/// What the engine knows of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMeta {
    /// What it adds to the payload, metadata included and separators not, in bytes.
    pub bytes: u64,
    /// When it arrived in the source, on the shell's clock; `now` if the source cannot tell. Its age (LS 4.2)
    /// and its window (LS 4.6) are counted from it.
    pub arrived_at: Millis,
    /// What its order hangs on. Records without a key get any number: the same one to keep them in order,
    /// different ones to let them run apart.
    pub key: Key,
    /// The filter let it not pass (LS 4.4): it is never sent.
    pub filtered: bool,
}

/// A key that is parked when its shard is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedKey {
    /// Which one.
    pub key: Key,
    /// How many records are parked under it, at least 1.
    pub records: u64,
}

/// A tumbling window that a checkpoint left open (LS 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenWindow {
    /// Where it starts, on the shell's clock.
    pub start_ms: Millis,
    /// The length of its state, in bytes. 0: none yet.
    pub state_bytes: u64,
}

/// How an invocation ended (LS 4.3). Only [`Self::Partial`] and [`Self::FunctionFailed`] spend an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The function took the whole batch.
    Succeeded,
    /// The function took some of it and named those that it did not take (LS 4.5, 4.6). Only with
    /// [`Settings::report_batch_item_failures`](crate::Settings::report_batch_item_failures).
    Partial {
        /// Records of the invocation, at least one, in any order. Any other record makes the whole
        /// batch count as failed, as Lambda has it for unknown identifiers.
        failed: &'a [Sequence],
    },
    /// The function failed, timed out or died, or its partial answer was not valid.
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

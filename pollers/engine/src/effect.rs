//! Everything a mapping can cause. If it is not here, the engine cannot do it.
//!
//! Waits are no effect: [`Poll::next_deadline`](crate::Poll::next_deadline) holds them all, and a
//! [`Fact`] tells of each.

use crate::{BatchId, Fact, Key, Millis, Records, Sequence, ShardId, Span, Ticket};

/// One consequence, to be carried out by the shell in the order of emission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Build the source anew. Its shards go on after the last record that was read of them where records in
    /// hand survive ([`Settings::survives_reconnect`](crate::Settings::survives_reconnect)), otherwise after
    /// their checkpoint. Answered by `SourceConnected` or `SourceGone`.
    Connect,
    /// Ask the source for records of this shard; at most one a shard. Answered by `RecordsRead`,
    /// `ReceiveFailed` or `SourceGone`.
    Receive {
        /// Of which shard.
        shard: ShardId,
        /// At most this many records, at least 1.
        records_max: u32,
        /// At most this many bytes, except that a single record may be larger.
        bytes_max: u64,
        /// Come back with nothing after this long, in milliseconds.
        wait_ms: u64,
    },
    /// Invoke the function synchronously. Answered by `BatchAnswered`.
    Invoke {
        /// Of which shard.
        shard: ShardId,
        /// The batch. No two invocations of one batch are under way at a time; the records of a later
        /// one are some of those of the first.
        batch: BatchId,
        /// 1 for the first; grows with function errors and starts again whenever records of the batch
        /// have ended (LS 4.6).
        attempt: u32,
        /// From where its records are.
        origin: Origin,
        /// Its records, in order. Empty only for the final invocation of a window.
        records: Records,
        /// What the event says of its tumbling window. `None`: there are no windows.
        window: Option<WindowPart>,
    },
    /// Give the source these verdicts. Only where it takes one for each record
    /// ([`Settling::PerRecord`](crate::Settling::PerRecord)). Answered by `Settled` or `SettleFailed`.
    Settle {
        /// Of which shard.
        shard: ShardId,
        /// Comes back in the answer.
        ticket: Ticket,
        /// In the order of the records, to be given in this order. `Held` stands alone: it is never with others.
        verdicts: Vec<(Span, Verdict)>,
    },
    /// Make durable that everything up to a record has ended. Only with
    /// [`Settling::LowWater`](crate::Settling::LowWater); at most one a shard. Answered by
    /// `CheckpointStored` or `CheckpointFailed`.
    StoreCheckpoint {
        /// Of which shard.
        shard: ShardId,
        /// Comes back in the answer.
        ticket: Ticket,
        /// This record of the source and all before it have ended. `None`: no record has since the shard was
        /// opened, and only the window changed.
        through: Option<Sequence>,
        /// The tumbling window that is open there, to be stored with the state of its last answer. Take
        /// the state while carrying out this effect: a later answer may change it. `None`: none is open, and
        /// no state is to be kept.
        window: Option<WindowMark>,
    },
    /// Make durable that the source's shard has ended and everything in it is settled. Answered by
    /// `ShardFinished`, which ends the shard, or `ShardFinishFailed`.
    FinishShard {
        /// Which one.
        shard: ShardId,
    },
    /// Tell the on-failure destination of records that were given up; once it has it, they are settled.
    /// Answered by `FailureDelivered` or `FailureDeliveryFailed`; after a failure it is asked for again
    /// under the same ticket.
    DeliverFailure {
        /// Of which shard.
        shard: ShardId,
        /// Comes back in the answer.
        ticket: Ticket,
        /// What to tell.
        failure: Failure,
    },
    /// Set these records aside durably behind what is parked under the key already. At most one a key.
    /// Answered by `Parked` or `ParkFailed`; after a failure it is asked for again under the same ticket.
    Park {
        /// Of which shard.
        shard: ShardId,
        /// Comes back in the answer.
        ticket: Ticket,
        /// Under which key.
        key: Key,
        /// Which ones, in order; at most [`PARK_RECORDS_MAX`](crate::PARK_RECORDS_MAX), and not many more bytes
        /// than [`PARK_BYTES_MAX`](crate::PARK_BYTES_MAX).
        records: Records,
        /// The batch whose attempts are used up. `None`: the records only follow parked ones.
        failed: Option<BatchId>,
    },
    /// Forget the oldest parked records of a key: they came back and have ended. At most one a key.
    /// Answered by `Settled` or `SettleFailed`.
    UnparkSettled {
        /// Of which shard.
        shard: ShardId,
        /// Comes back in the answer.
        ticket: Ticket,
        /// Of which key.
        key: Key,
        /// How many.
        count: u64,
    },
    /// Nothing of a revoked shard is under way any more and it will not be spoken of again.
    ShardReleased {
        /// Which one.
        shard: ShardId,
    },
    /// Nothing is in flight any more and nothing more will be asked for.
    Stopped,
    /// Something happened; nothing is to be done.
    Fact(Fact),
}

/// From where records come, and so whose [`Sequence`]s they have and who is told of their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// From the source.
    Source,
    /// From the park of this key; all records of the batch are. Their sequences count the records that came
    /// back from the park, of whatever key, since the shard was opened, from 0.
    Park(Key),
}

/// What an event of a windowed shard says (LS 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowPart {
    /// Where the window starts, on the shell's clock.
    pub start_ms: Millis,
    /// Where it ends.
    pub end_ms: Millis,
    /// No record of this window follows: the state goes with this invocation. It has no records of its own.
    pub is_final: bool,
    /// It ends because its state has become too large.
    pub is_terminated_early: bool,
    /// The event carries the state of the last answer; otherwise an empty one.
    pub has_state: bool,
}

/// A window that is open at a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowMark {
    /// Where it starts, on the shell's clock.
    pub start_ms: Millis,
    /// Whether an answer has given it a state.
    pub has_state: bool,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The function took it.
    Done,
    /// The filter let it not pass (LS 4.4); it is over for the source as if it were done.
    Filtered,
    /// It was given up by a declared rule and will never be sent again; the on-failure destination, if there is
    /// one, has been told.
    Rejected,
    /// It was set aside behind its key; it is over for the source.
    Parked,
    /// The function failed on it; let the source redeliver it by its own rules.
    Failed,
    /// It was not sent; let the source redeliver it at once, as if it had never been read.
    Released,
    /// It is still in hand: extend its lease.
    Held,
}

/// Records that were given up (LS 4.6, 4.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The batch they were in. `None`: they were never in one.
    pub batch: Option<BatchId>,
    /// From where they are.
    pub origin: Origin,
    /// Which ones, in order.
    pub records: Records,
    /// By which rule.
    pub condition: Condition,
    /// `approximateInvokeCount`: how often these records were sent since records of their batch ended last.
    pub approximate_invoke_count: u32,
    /// The last answer was a function error. If not, and there was a response, `functionError` is null: the
    /// failure was told by batch item failures.
    pub function_error: bool,
    /// There is a `responseContext`.
    pub had_response: bool,
}

/// Why records were given up, in the words of the failure record (LS 4.6, 4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The function failed on them as often as it may.
    RetryAttemptsExhausted,
    /// The record became too old before the function took it.
    RecordAgeExceeded,
    /// No batch can hold the record.
    MaximumPayloadSizeExceeded,
}

//! What a mapping tells without asking for anything: one fact becomes one metric and, where it is
//! worth it, one log line. It does not know their names.

use crate::{BatchId, Condition, Key, Millis, Sequence, ShardId, Verdict};

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
    /// One receive failed.
    ReceiveFailed {
        /// Of which shard.
        shard: ShardId,
        /// When it is tried again.
        retry_at: Millis,
    },
    /// Records came in. Not told for an empty read (LS 7, `PolledEventCount`).
    Polled {
        /// Of which shard.
        shard: ShardId,
        /// How many.
        records: u64,
        /// How many of them the filter let not pass (LS 7, `FilteredOutEventCount`).
        filtered: u64,
    },
    /// A batch is handed over (LS 7, `InvokedEventCount`).
    Invoking {
        /// Of which shard.
        shard: ShardId,
        /// Which one.
        batch: BatchId,
        /// As in the effect.
        attempt: u32,
        /// How many records.
        records: u64,
        /// Age of its last record now, in milliseconds (LS 7, `IteratorAge`). `None`: it has no records.
        age_ms: Option<u64>,
    },
    /// The function took these.
    Succeeded {
        /// Of which shard.
        shard: ShardId,
        /// Of which batch.
        batch: BatchId,
        /// How many records.
        records: u64,
    },
    /// The function failed, on all or on some (LS 7, `FailedInvokeEventCount`).
    FunctionFailed {
        /// Of which shard.
        shard: ShardId,
        /// Which one.
        batch: BatchId,
        /// The attempt that failed.
        attempt: u32,
        /// How many records are to be sent again, or are given up or given back.
        records: u64,
        /// When the first of them are sent again. `None`: not by the engine.
        retry_at: Option<Millis>,
    },
    /// A batch was cut in two because the function failed on it (LS 4.6).
    Split {
        /// Of which shard.
        shard: ShardId,
        /// Which one.
        batch: BatchId,
        /// How many records the first half has; it is sent first.
        first: u64,
        /// And the second.
        second: u64,
    },
    /// The function was not reached, or nobody knows; no attempt is spent.
    Delayed {
        /// Of which shard.
        shard: ShardId,
        /// Which batch.
        batch: BatchId,
        /// Why.
        delay: Delay,
    },
    /// No batch is under way, and none is tried before this time: the function cannot be reached.
    GateShut {
        /// When one batch tries again.
        probe_at: Millis,
    },
    /// The function was reached again.
    GateOpened,
    /// Records were given up (LS 7, `DroppedEventCount`). With an on-failure destination it has been asked to take
    /// word of them.
    GivenUp {
        /// Of which shard.
        shard: ShardId,
        /// How many.
        records: u64,
        /// The first of them.
        first: Sequence,
        /// By which rule.
        condition: Condition,
    },
    /// The on-failure destination has word of them (LS 7, `OnFailureDestinationDeliveredEventCount`).
    FailureDelivered {
        /// Of which shard.
        shard: ShardId,
        /// How many records.
        records: u64,
    },
    /// The on-failure destination did not take it.
    FailureDeliveryFailed {
        /// Of which shard.
        shard: ShardId,
        /// When it is tried again.
        retry_at: Millis,
    },
    /// Records were set aside.
    Parked {
        /// Of which shard.
        shard: ShardId,
        /// Under which key.
        key: Key,
        /// How many.
        records: u64,
    },
    /// They could not be.
    ParkFailed {
        /// Of which shard.
        shard: ShardId,
        /// Under which key.
        key: Key,
        /// Because the bound on parked records is reached.
        full: bool,
        /// When it is tried again.
        retry_at: Millis,
    },
    /// None of the records of an [`Input::Unpark`](crate::Input::Unpark) was taken, and they got no sequence:
    /// they are too many, the shard ends, or the function failed again on those before them, of which
    /// [`Self::UnparkEnded`] tells.
    UnparkRefused {
        /// Of which shard.
        shard: ShardId,
        /// Of which key.
        key: Key,
    },
    /// None of the records that came back from the park of a key is in hand any more, and the park has
    /// forgotten those that ended. The next that come back are the oldest that are parked.
    UnparkEnded {
        /// Of which shard.
        shard: ShardId,
        /// Of which key.
        key: Key,
        /// How many records are parked under it still. 0: the key is free.
        left: u64,
        /// Whether they ended. `false`: the function failed again, and the rest stays parked.
        done: bool,
    },
    /// Everything up to and including this record has ended, durably (LS 7, `CommittedEventCount`).
    CheckpointStored {
        /// Of which shard.
        shard: ShardId,
        /// `None`: only the window changed.
        through: Option<Sequence>,
        /// How many records were added.
        records: u64,
    },
    /// The checkpoint could not be stored. It is tried again; what may be sent meanwhile is bounded by the
    /// lookahead.
    CheckpointFailed {
        /// Of which shard.
        shard: ShardId,
        /// When it is tried again.
        retry_at: Millis,
    },
    /// The source took verdicts (LS 7, `DeletedEventCount` where they delete). Not told for `Held`.
    Settled {
        /// Of which shard.
        shard: ShardId,
        /// Which.
        verdict: Verdict,
        /// How many records.
        records: u64,
    },
    /// It did not.
    SettleFailed {
        /// Of which shard.
        shard: ShardId,
        /// When it is tried again. `None`: it is not.
        retry_at: Option<Millis>,
    },
    /// Leases were extended.
    Held {
        /// Of which shard.
        shard: ShardId,
        /// Of how many records.
        records: u64,
    },
    /// A tumbling window began.
    WindowOpened {
        /// Of which shard.
        shard: ShardId,
        /// Where it starts.
        start_ms: Millis,
    },
    /// Its final invocation succeeded, or was given up.
    WindowClosed {
        /// Of which shard.
        shard: ShardId,
        /// Where it starts.
        start_ms: Millis,
        /// Its state became too large.
        early: bool,
        /// The final invocation succeeded.
        done: bool,
    },
    /// The ramp lets this many batches be under way (LS 4.5).
    RampMoved {
        /// How many.
        concurrency: u32,
    },
    /// Someone paused the mapping.
    Paused,
    /// Someone resumed it.
    Resumed,
    /// Records that were sent or read were let go without a verdict: they come again from the source.
    Abandoned {
        /// Of which shard.
        shard: ShardId,
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

//! Everything that can happen to the engine. If it is not here, it cannot happen.

use crate::record::Idempotency;
use crate::{
    Caller, EntryId, FunctionId, FunctionName, FunctionSettings, Lease, Millis, PersistNumber,
    RequestId, SettingsChange, WorkerId,
};

/// One thing that happened. Bytes stay with the shell: payloads and responses are known here by
/// their length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A client asks for an invocation that was already resolved to a function. Sent by the
    /// invocation edge and by the delivery of a record to another function.
    Invoke(Invoke),
    /// The client of a synchronous invocation went away; if it has not started, it never will.
    CallerGone {
        /// As it was in [`Invoke::caller`].
        caller: Caller,
        /// The invocation's id.
        request_id: RequestId,
    },
    /// An edge connection went away, and with it every caller on it: [`CallerGone`](Self::CallerGone) for each.
    CallersGone {
        /// As it was in their [`Caller::edge`].
        edge: u32,
    },
    /// A client cancels an invocation.
    Cancel {
        /// Gets an answer.
        caller: Caller,
        /// Which one.
        request_id: RequestId,
    },
    /// A client puts a dead invocation back, or an undelivered record.
    Redrive {
        /// Gets an answer.
        caller: Caller,
        /// The dead one.
        request_id: RequestId,
        /// Name of the new one.
        new_request_id: RequestId,
    },
    /// A client creates a function.
    CreateFunction {
        /// Gets an answer.
        caller: Caller,
        /// Its name.
        name: FunctionName,
        /// Its settings.
        settings: FunctionSettings,
    },
    /// A client changes settings of a function.
    UpdateFunction {
        /// Gets an answer.
        caller: Caller,
        /// Which one.
        function: FunctionId,
        /// Made to what is in force once the changes before it are. Boxed: inputs of invocations must stay small.
        change: Box<SettingsChange>,
    },
    /// A client deletes a function.
    DeleteFunction {
        /// Gets an answer.
        caller: Caller,
        /// Which one.
        function: FunctionId,
    },
    /// A worker opened a session.
    WorkerJoined {
        /// Gets [`Answer::Joined`](crate::Answer::Joined).
        caller: Caller,
        /// Names it serves, in the order of its hello, without repetition.
        functions: Vec<FunctionName>,
        /// Attempts it runs at a time.
        slots: u32,
    },
    /// The session ended, by whatever cause.
    WorkerLeft {
        /// Which one.
        worker: WorkerId,
    },
    /// The worker has another number of slots.
    WorkerSlots {
        /// Which one.
        worker: WorkerId,
        /// From now on.
        slots: u32,
    },
    /// The worker takes no more attempts.
    WorkerDraining {
        /// Which one.
        worker: WorkerId,
    },
    /// The worker started this many attempts of its session.
    Started {
        /// Which one.
        worker: WorkerId,
        /// Counted from the session's first.
        through: u64,
    },
    /// A worker gives back an attempt.
    Outcome {
        /// Whose session it came over.
        worker: WorkerId,
        /// As it was sent.
        lease: Lease,
        /// What came of it.
        result: AttemptResult,
    },
    /// The shell could not send an attempt (its payload cannot be read, the session is full).
    NotSent {
        /// Whose session.
        worker: WorkerId,
        /// As it was granted.
        lease: Lease,
    },
    /// A destination took the record, or did not.
    Delivered {
        /// Which event.
        entry: EntryId,
        /// What came of it.
        result: DeliveryResult,
    },
    /// These mutations are durable.
    Persisted {
        /// First number.
        from: PersistNumber,
        /// Last number.
        through: PersistNumber,
    },
    /// This mutation, one that may be refused, was not written.
    PersistRejected {
        /// Its number.
        number: PersistNumber,
    },
    /// The store failed for good, and whether it wrote what it was asked to is not known. The last input: whoever waits
    /// for the disk is told, and only what is read at the next start can say what holds.
    StoreLost,
    /// The broker shuts down: start nothing, accept nothing.
    Drain,
    /// Time passed.
    Tick,
}

/// A request to run a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoke {
    /// Gets an answer.
    pub caller: Caller,
    /// Resolved with [`Engine::resolve`](crate::Engine::resolve).
    pub function: FunctionId,
    /// A new one.
    pub request_id: RequestId,
    /// Size of the payload.
    pub payload_bytes: u32,
    /// How to run it.
    pub mode: Mode,
}

/// The two ways to run a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The caller waits for the outcome.
    Sync {
        /// The caller's patience ends here; `None`: it has no end.
        deadline: Option<Millis>,
    },
    /// The caller waits for durability.
    Event {
        /// Not to be started before; `None`: at once.
        not_before: Option<Millis>,
        /// Length of the chain of destinations that led here.
        hops: u8,
        /// Key for repetition.
        idempotency: Option<Box<Idempotency>>,
    },
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// The handler answered with this many bytes.
    Response {
        /// Length.
        bytes: u64,
    },
    /// The handler failed with an error object of this many bytes.
    FunctionError {
        /// Length.
        bytes: u64,
    },
    /// The handler was stopped.
    Stopped {
        /// At its timeout, by the worker's own clock.
        timed_out: bool,
    },
    /// The handler was never started.
    Returned,
}

/// What came of the delivery of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The destination has it.
    Taken,
    /// Not this time.
    Failed,
    /// Never: trying again cannot help.
    Refused,
}

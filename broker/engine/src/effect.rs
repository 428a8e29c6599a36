//! Everything the engine can cause. If it is not here, the engine cannot do it.

use crate::record::{Delivery, End, EventRecord, Mutation};
use crate::{
    Caller, EntryId, Fact, FunctionId, FunctionName, Lease, Millis, PersistNumber, RequestId,
    WorkerId,
};

/// One consequence, to be carried out by the shell in the order of emission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Keep the payload of the [`Input::Invoke`](crate::Input::Invoke) being stepped under this entry until [`Effect::Release`].
    Hold {
        /// Under which entry.
        entry: EntryId,
    },
    /// The entry is gone, and the need for its payload in memory with it.
    Release {
        /// Which entry.
        entry: EntryId,
    },
    /// Send an attempt.
    Dispatch(Dispatch),
    /// Ask the worker to stop an attempt.
    Stop {
        /// Whose session.
        worker: WorkerId,
        /// As it was granted.
        lease: Lease,
    },
    /// Answer a caller. A response or error object belongs to the outcome being stepped.
    Reply {
        /// Whom.
        caller: Caller,
        /// What.
        answer: Answer,
    },
    /// Make this durable, in the order of numbers. Bytes at hand belong to the input being stepped.
    Persist {
        /// Comes back in `Persisted`.
        number: PersistNumber,
        /// What. Boxed: effects of synchronous invocations must stay small.
        mutation: Box<Mutation>,
    },
    /// Offer the record of an ended event to its destination.
    Deliver(Box<Deliver>),
    /// An asynchronous invocation changed as clients see it.
    Changed {
        /// Which one.
        request_id: RequestId,
    },
    /// Worth a metric or a log line, without consequence.
    Fact(Fact),
}

/// One attempt to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// Whose session.
    pub worker: WorkerId,
    /// Under which grant.
    pub lease: Lease,
    /// Under which the payload is held.
    pub entry: EntryId,
    /// Key of a stored payload that is not held in memory; 0 for a synchronous invocation.
    pub payload_seq: u64,
    /// Identity.
    pub request_id: RequestId,
    /// What runs.
    pub function: FunctionId,
    /// Place of the function in the worker's hello.
    pub position: u32,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Time it may run.
    pub timeout_ms: u32,
}

/// One record to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliver {
    /// Comes back in `Delivered`.
    pub entry: EntryId,
    /// The event, ended.
    pub record: EventRecord,
    /// Whose destination; its settings say where to.
    pub function: FunctionId,
    /// How often it was tried before.
    pub tries: u32,
}

/// What a caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The function answered; its response is at hand.
    Succeeded {
        /// The invocation.
        request_id: RequestId,
    },
    /// The function failed.
    Failed {
        /// The invocation.
        request_id: RequestId,
        /// How.
        error: FunctionError,
    },
    /// The event is durable.
    Accepted {
        /// The invocation, an earlier one if `duplicate`.
        request_id: RequestId,
        /// The idempotency key was used before.
        duplicate: bool,
        /// No worker serves the function now.
        no_worker: bool,
    },
    /// Cancelled.
    Cancelled {
        /// The invocation.
        request_id: RequestId,
    },
    /// Put back.
    Redriven {
        /// The new invocation; `None`: only the record is delivered again.
        new_request_id: Option<RequestId>,
    },
    /// The function is as asked, durably.
    Function {
        /// Which one.
        function: FunctionId,
    },
    /// The function is no more.
    Deleted,
    /// The session is open.
    Joined {
        /// Its handle.
        worker: WorkerId,
        /// Names in the hello that no function has.
        unknown: Vec<FunctionName>,
    },
    /// No.
    Refused(Refusal),
}

/// How a function failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FunctionError {
    /// The handler says so; its error object is at hand.
    Reported,
    /// It ran longer than its timeout.
    TimedOut {
        /// The timeout.
        timeout_ms: u32,
    },
    /// Its worker went away.
    WorkerLost,
    /// Its response was larger than allowed.
    ResponseTooLarge,
}

/// Why the engine says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// The function was deleted meanwhile.
    UnknownFunction,
    /// Only `$LATEST` exists.
    UnknownQualifier,
    /// No invocation with this id is remembered.
    UnknownInvocation,
    /// The name is taken.
    FunctionExists,
    /// It has invocations that have not ended.
    FunctionBusy,
    /// Too many functions.
    TooManyFunctions,
    /// Its reserved concurrency is in use.
    ReservedConcurrency {
        /// The reservation.
        limit: u32,
    },
    /// The unreserved pool is in use.
    AccountConcurrency {
        /// Size of the pool.
        limit: u32,
    },
    /// The reservation leaves too little.
    UnreservedTooLow {
        /// What must be left.
        min: u32,
    },
    /// Nobody serves it.
    NoWorker,
    /// Nobody had a slot in time.
    NoCapacity,
    /// The queue holds too many events.
    QueueFullByCount {
        /// The bound.
        max: u64,
    },
    /// The queue holds too many bytes.
    QueueFullByBytes {
        /// The bound.
        max: u64,
    },
    /// Too late.
    DeadlineExpired,
    /// The key was used with another payload.
    IdempotencyMismatch,
    /// It has ended.
    InvocationFinished,
    /// It was cancelled.
    InvocationCancelled,
    /// It is not dead, or its payload is gone.
    NotRedrivable,
    /// The store wrote nothing.
    StoreUnavailable,
    /// The store failed: it may or may not have been written.
    StoreUnknown,
    /// The broker drains.
    ShuttingDown,
    /// Too many synchronous invocations wait.
    Overloaded,
}

/// What clients see of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationView {
    /// Its handle.
    pub entry: EntryId,
    /// Identity.
    pub request_id: RequestId,
    /// What it runs.
    pub function: FunctionName,
    /// Asynchronous.
    pub event: bool,
    /// Where it stands.
    pub phase: Phase,
    /// Attempts that count.
    pub attempts: u32,
    /// When it came.
    pub accepted_at: Millis,
    /// Size of its payload.
    pub payload_bytes: u32,
    /// Key of its payload and of its response, for events.
    pub record: Option<EventRecord>,
    /// How often its record was offered.
    pub delivery_tries: u32,
    /// Grows with every change.
    pub revision: u64,
}

/// Where an invocation stands, as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waits until then.
    Scheduled {
        /// Due time.
        due_at: Millis,
        /// After a failure; else for `not_before`.
        retry: bool,
    },
    /// Waits for concurrency or a slot.
    Ready,
    /// Runs.
    Running,
    /// Ended.
    Ended {
        /// How.
        end: End,
        /// When.
        at: Millis,
        /// What became of its record.
        delivery: Delivery,
    },
}

/// The one thing an invocation waits for (users.md A3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocker {
    /// Nothing; it ended.
    Finished,
    /// Nothing; it runs.
    Running,
    /// Its time.
    NotBefore(Millis),
    /// The wait after a failure.
    RetryWait(Millis),
    /// The function's reservation is in use.
    ReservedConcurrency {
        /// The reservation.
        limit: u32,
        /// When it is counted as throttled again.
        until: Millis,
    },
    /// The unreserved pool is in use.
    AccountConcurrency {
        /// Size of the pool.
        limit: u32,
        /// When it is counted as throttled again.
        until: Millis,
    },
    /// Nobody serves it.
    NoWorker {
        /// When it is looked at again at the latest.
        until: Millis,
    },
    /// All slots are busy.
    NoFreeSlot {
        /// How many there are.
        slots: u32,
        /// When it is looked at again at the latest.
        until: Millis,
    },
    /// Others go first.
    QueueAhead {
        /// At most this many.
        events: u64,
    },
    /// The destination does not take its record.
    Destination {
        /// Next try.
        until: Millis,
    },
    /// The disk.
    Store,
}

//! One line of a history, as it lies in the file: JSON, one object a line.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An event or a synchronous call as the load knows it, from before it is sent. The payload carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub u64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// One run of a handler in a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

/// An entry and when it was noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since the history was begun, by the monotonic clock.
    pub at_ms: u64,
    #[serde(flatten)]
    pub entry: Entry,
}

/// What every invocation of a function must come to when nothing goes wrong but the faults we inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// The first attempt succeeds.
    Success,
    /// Every attempt fails.
    Failure,
    /// Every attempt but the last one that is allowed fails.
    LastAttempt,
}

/// How a run ended in the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Answered,
    Failed,
    /// The SDK dropped the handler: its session was lost.
    Dropped,
}

/// The destination that a record came out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Success,
    Failure,
}

/// The condition in a destination record (LS 3.3); one that is not known here is a fault of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Condition {
    Success,
    RetriesExhausted,
    EventAgeExceeded,
    ZeroReservedConcurrency,
    RecursiveInvocation,
}

impl Condition {
    /// The destination that a record with this condition belongs to.
    #[must_use]
    pub fn side(self) -> Side {
        if self == Self::Success { Side::Success } else { Side::Failure }
    }
}

/// What somebody in a run did or saw. What is about to be done is noted before, what was seen after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Entry {
    /// A function of this run, before anything is sent to it.
    Function { name: String, expect: Expect, retries: u32, reserved: Option<u32> },
    /// An event is about to be sent.
    Attempted { event: EventId, function: String },
    /// The broker answered that it has the event. `duplicate`: that it had it before.
    Acked { event: EventId, request_id: String, duplicate: bool },
    /// The broker answered that it does not have the event.
    Refused { event: EventId, reason: String },
    /// No answer came, or one that leaves it open.
    Unanswered { event: EventId, why: String },
    /// A synchronous call is about to be sent.
    Called { call: EventId, function: String },
    /// The answer to a call, a function error included.
    Returned { call: EventId },
    /// The call was refused, or its answer did not come.
    CallFailed { call: EventId, why: String },
    /// A handler begins; `epoch` is the number of kills before it.
    Started {
        run: RunId,
        event: EventId,
        function: String,
        request_id: String,
        attempt: u32,
        epoch: u32,
        sync: bool,
    },
    /// A handler ends; noted before its answer leaves the worker.
    Ended { run: RunId, how: Ending },
    /// The broker is about to be killed for the `epoch`th time.
    Killed { epoch: u32 },
    /// The broker serves again.
    Serving { epoch: u32, after_ms: u64, queued: u64 },
    /// The last fault is over; from here on the backlog must fall.
    Healed { queued: u64 },
    /// The queue after the run; 0 if it is empty.
    Drained { queued: u64 },
    /// A record in a destination, in the order of the file. `digest` is of its bytes: the same record
    /// delivered twice has the same one, two records of one event do not.
    Record {
        side: Side,
        event: EventId,
        request_id: String,
        condition: Condition,
        attempts: u32,
        digest: u64,
    },
    /// A line of a destination that is no record: torn by a kill.
    Torn { side: Side, bytes: u64 },
    /// What the broker says of an acknowledged event at the end.
    Known { event: EventId, ended: bool, delivered: bool, attempts: u32 },
    /// After the run: how many of `limit` invocations of a function ran at once, and what the broker
    /// believes to be taken with nothing running.
    Slots { function: String, limit: u32, together: u32, drift: i64, running: u32 },
}

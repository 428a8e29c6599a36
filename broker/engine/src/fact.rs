//! What the engine tells without asking for anything: one fact becomes one metric and, where it
//! is worth it, one log line. It does not know their names.

use crate::record::Death;
use crate::{FunctionId, Millis, RequestId};

/// Something that happened inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// An attempt was sent.
    Started {
        /// What runs.
        function: FunctionId,
        /// Asynchronous: time since its age counts.
        event_age_ms: Option<Millis>,
    },
    /// An attempt ended in the eyes of the engine.
    Ended {
        /// What ran.
        function: FunctionId,
        /// Without a function error.
        ok: bool,
        /// From dispatch.
        duration_ms: Millis,
    },
    /// A start was refused or put off.
    Throttled {
        /// What did not run.
        function: FunctionId,
        /// Why.
        reason: Throttle,
    },
    /// An event is durable.
    EventReceived {
        /// For what.
        function: FunctionId,
    },
    /// An event ended without success.
    EventDropped {
        /// Of what.
        function: FunctionId,
        /// Why.
        death: Death,
        /// Which one.
        request_id: RequestId,
    },
    /// An attempt's lease ran out: the function timeout.
    LeaseExpired {
        /// What ran.
        function: FunctionId,
    },
    /// A stopped handler kept silent for the whole grace; its slot stays taken until the worker speaks.
    SlotAbandoned {
        /// What ran.
        function: FunctionId,
    },
    /// An outcome came under a lease that is no more, and was refused.
    LateOutcome,
    /// An attempt went back unspent: its worker left before it started.
    Unspent {
        /// What did not run.
        function: FunctionId,
    },
    /// A running attempt was lost with its worker.
    WorkerLost {
        /// What ran.
        function: FunctionId,
        /// Which one.
        request_id: RequestId,
    },
    /// A destination took a record.
    RecordDelivered {
        /// Of what.
        function: FunctionId,
    },
    /// A destination did not take a record.
    DeliveryFailed {
        /// Of what.
        function: FunctionId,
    },
    /// A record was set aside.
    Undelivered {
        /// Of what.
        function: FunctionId,
        /// Which one.
        request_id: RequestId,
    },
    /// A dead invocation was forgotten by age or bound.
    DeadForgotten {
        /// Of what.
        function: FunctionId,
        /// Which one.
        request_id: RequestId,
    },
    /// Functions came or went, or their settings changed.
    FunctionsChanged,
}

/// Why a start was refused or put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Throttle {
    /// The function's reservation is in use.
    Reserved,
    /// The unreserved pool is in use.
    Account,
    /// Nobody serves it.
    NoWorker,
    /// All slots are busy.
    NoCapacity,
}

//! What must survive the process: the durable form of functions and events, and the changes to
//! it. It does not know how a record is written down; the store does.

use crate::{Caller, EventSeq, FunctionError, FunctionName, FunctionSettings, Millis, RequestId};

/// A function as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRecord {
    /// Key in the store.
    pub number: u64,
    /// Unique among functions that exist.
    pub name: FunctionName,
    /// As the user set them.
    pub settings: FunctionSettings,
    /// When it was created.
    pub created_at: Millis,
    /// When its settings last changed.
    pub modified_at: Millis,
}

/// An asynchronous invocation as it is kept. Its payload and its last response lie apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// Key in the store.
    pub seq: EventSeq,
    /// Identity over all attempts.
    pub request_id: RequestId,
    /// By name: the record outlives the function.
    pub function: FunctionName,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// The age counts from here: the later of acceptance and `not_before`.
    pub age_from: Millis,
    /// Key of its payload: its own number, or that of the dead event it was redriven from.
    pub payload_seq: EventSeq,
    /// Size of the payload.
    pub payload_bytes: u32,
    /// Attempts that were spent.
    pub attempts: u32,
    /// Length of the chain of destinations that led here (LS 3.5).
    pub hops: u8,
    /// Error of the last attempt, whose error object lies under the event's response key.
    pub failed: bool,
    /// Where it stands.
    pub stage: EventStage,
    /// Key under which the client may repeat the request, with a digest of the payload.
    pub idempotency: Option<Box<Idempotency>>,
    /// The dead event that this one continues.
    pub redriven_from: Option<RequestId>,
}

impl EventRecord {
    /// Its client asked for a later time than that of its acceptance.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.age_from > self.accepted_at
    }
}

/// Where a durable event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventStage {
    /// To be started at this time or later.
    Waiting {
        /// Due time.
        due_at: Millis,
        /// It has failed and waits for its next attempt; else it waits for `not_before`.
        retry: bool,
    },
    /// Ended; kept until its record is delivered and it is forgotten.
    Ended(Ended),
}

/// How and when an event ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub end: End,
    /// When.
    pub at: Millis,
    /// What became of its record.
    pub delivery: Delivery,
}

/// The ways an event can end. I1: exactly one for every accepted event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// The function answered.
    Succeeded,
    /// Dead, for this reason.
    Dead(Death),
    /// Cancelled by a client.
    Cancelled,
    /// Dead, then put back as another event.
    Redriven {
        /// That event.
        to: RequestId,
    },
}

/// Why an event died; the `condition` of its record (LS 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Death {
    /// The last allowed attempt failed.
    RetriesExhausted,
    /// It was, or would have been before its next attempt, too old.
    EventAgeExceeded,
    /// The function is switched off.
    ZeroReservedConcurrency,
    /// It went round a loop of destinations.
    RecursiveInvocation,
}

/// What became of the record of an ended event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Delivery {
    /// No destination was configured for this outcome when it ended.
    None,
    /// To be delivered.
    Pending,
    /// The destination has it.
    Delivered,
    /// Given up; visible, can be redriven.
    Undelivered,
}

/// An idempotency key and what it was used with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Chosen by the client, per function.
    pub key: Box<str>,
    /// Digest of the payload.
    pub digest: u64,
}

/// Which response goes into the store with a mutation. Bytes belong to the outcome being stepped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseAtHand {
    /// None; what is there stays.
    None,
    /// The function's answer.
    Response,
    /// An error object.
    Error(FunctionError),
}

/// One durable change. All of one mutation is written, or nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// Write a new event with the payload at hand.
    Accept(EventRecord),
    /// The event failed and waits; its error object replaces an earlier one.
    Retry {
        /// With its stage [`EventStage::Waiting`].
        record: EventRecord,
        /// What the error object says.
        error: FunctionError,
    },
    /// The event ended. `keep_payload`: it is still needed, for a record or a redrive.
    End {
        /// With its stage [`EventStage::Ended`].
        record: EventRecord,
        /// Else the payload is deleted.
        keep_payload: bool,
        /// What replaces an earlier response.
        response: ResponseAtHand,
    },
    /// The delivery of a record ended, or was started again.
    Delivery {
        /// With its new stage.
        record: EventRecord,
        /// Else the payload is deleted.
        keep_payload: bool,
    },
    /// A dead event and the new one that continues it; the payload changes hands.
    Redrive {
        /// The dead one.
        old: EventRecord,
        /// The new one.
        new: EventRecord,
    },
    /// Forget an ended event, with all that lies under its keys.
    Forget {
        /// Its key.
        seq: EventSeq,
        /// Key of its payload if that is still its own.
        payload: Option<EventSeq>,
    },
    /// Write a function.
    PutFunction(FunctionRecord),
    /// Delete a function.
    DeleteFunction {
        /// Its key.
        number: u64,
    },
    /// Nothing; comes back in order with the others.
    Barrier,
}

/// What to do with a mutation when the store refused it and wrote nothing (disk full).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRejection {
    /// Tell the engine; whoever asked is refused.
    Refuse,
    /// Offer it again until it is taken; nobody was told of it yet and nothing may be lost.
    Repeat,
}

impl Mutation {
    /// The engine's decision for a full disk: new work is refused, progress of accepted work waits.
    #[must_use]
    pub fn on_rejection(&self) -> OnRejection {
        match self {
            Self::Accept(_)
            | Self::Redrive { .. }
            | Self::PutFunction(_)
            | Self::DeleteFunction { .. }
            | Self::Barrier => OnRejection::Refuse,
            Self::Retry { .. } | Self::End { .. } | Self::Delivery { .. } | Self::Forget { .. } => {
                OnRejection::Repeat
            }
        }
    }
}

/// What the engine does once a mutation is durable. Held in the order of the mutations.
#[derive(Debug)]
pub(crate) enum After {
    Accepted { entry: u32, caller: Option<Caller>, warn_no_worker: bool },
    Waits { entry: u32, due_at: Millis },
    Ended { entry: u32, caller: Option<Caller> },
    DeliveryEnded { entry: u32 },
    Redriven { old: u32, new: u32, at: Millis, caller: Caller },
    Redelivers { entry: u32, caller: Caller },
    FunctionPut { record: Box<FunctionRecord>, promised: u32, caller: Caller },
    CancelAgain { request_id: RequestId, caller: Caller, before: u8 },
    FunctionDeleted { function: u32, caller: Caller },
    Repeated { entry: u32, generation: u32, caller: Caller },
    Forgotten,
}

impl After {
    /// Who waits for it.
    pub(crate) fn caller(&self) -> Option<Caller> {
        match self {
            Self::Accepted { caller, .. } | Self::Ended { caller, .. } => *caller,
            Self::Redriven { caller, .. }
            | Self::Redelivers { caller, .. }
            | Self::FunctionPut { caller, .. }
            | Self::FunctionDeleted { caller, .. }
            | Self::CancelAgain { caller, .. }
            | Self::Repeated { caller, .. } => Some(*caller),
            Self::Waits { .. } | Self::DeliveryEnded { .. } | Self::Forgotten => None,
        }
    }
}

//! Owns what has to occur in the scripts at least once: every word of the contract, every transition of the tables
//! in `entry.rs`, `worker.rs` and `function.rs`, and no transition that is not in them.

use std::collections::BTreeSet;

use trine_engine::{
    Answer, Blocker, Caller, Death, Delivery, Effect, EventSeq, EventStage, Fact, FunctionError,
    FunctionId, FunctionName, Mutation, Phase, Refusal, RequestId, ResponseAtHand, Throttle,
    WorkerId,
};

use crate::text::variant;

#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) words: BTreeSet<String>,
    pub(crate) transitions: BTreeSet<String>,
}

impl Seen {
    pub(crate) fn add(&mut self, other: Self) {
        self.words.extend(other.words);
        self.transitions.extend(other.transitions);
    }

    pub(crate) fn effect(&mut self, effect: &Effect) {
        self.word("Effect", effect);
        match effect {
            Effect::Reply { answer, .. } => {
                self.word("Answer", answer);
                match answer {
                    Answer::Refused(refusal) => self.word("Refusal", refusal),
                    Answer::Failed { error, .. } => self.word("FunctionError", error),
                    _ => {}
                }
            }
            Effect::Persist { mutation, .. } => self.mutation(mutation),
            Effect::Fact(fact) => {
                self.word("Fact", fact);
                match fact {
                    Fact::Throttled { reason, .. } => self.word("Throttle", reason),
                    Fact::EventDropped { death, .. } => self.word("Death", death),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn mutation(&mut self, mutation: &Mutation) {
        self.word("Mutation", mutation);
        match mutation {
            Mutation::End { record, response, .. } => {
                self.word("ResponseAtHand", response);
                if let EventStage::Ended(ended) = &record.stage {
                    self.word("End", &ended.end);
                    self.word("Delivery", &ended.delivery);
                }
            }
            Mutation::Delivery { record, .. } => {
                if let EventStage::Ended(ended) = &record.stage {
                    self.word("Delivery", &ended.delivery);
                }
            }
            Mutation::Retry { error, .. } => self.word("FunctionError", error),
            _ => {}
        }
    }

    pub(crate) fn word(&mut self, kind: &str, value: &impl std::fmt::Debug) {
        self.words.insert(format!("{kind}::{}", variant(value)));
    }

    pub(crate) fn transition(&mut self, machine: &str, from: &str, to: &str) {
        if from != to {
            self.transitions.insert(format!("{machine}: {from} -> {to}"));
        }
    }

    /// Compares with what has to occur.
    pub(crate) fn judge(&self) {
        let missing: Vec<_> =
            vocabulary().into_iter().filter(|w| !self.words.contains(w)).collect();
        assert!(missing.is_empty(), "no script ever says {missing:#?}");
        let table: BTreeSet<String> = TRANSITIONS
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        let missing: Vec<_> = table.difference(&self.transitions).collect();
        assert!(missing.is_empty(), "no script goes through {missing:#?}");
        let unlisted: Vec<_> = self.transitions.difference(&table).collect();
        assert!(unlisted.is_empty(), "scripts go through what is in no table: {unlisted:#?}");
    }
}

/// As seen between two steps, so what passes through a state within one step names only its ends.
const TRANSITIONS: &str = "
    event: - -> Saving(accept)
    event: Saving(accept) -> -
    event: Saving(accept) -> Scheduled
    event: Saving(accept) -> Ready
    event: Saving(accept) -> Running
    event: Saving(accept) -> Saving(end)
    event: Scheduled -> Ready
    event: Scheduled -> Running
    event: Scheduled -> Saving(end)
    event: Ready -> Running
    event: Ready -> Saving(end)
    event: Running -> Ready
    event: Running -> Scheduled
    event: Running -> Scheduled(retry)
    event: Running -> Saving(retry)
    event: Running -> Saving(end)
    event: Saving(retry) -> Scheduled(retry)
    event: Saving(retry) -> Ready
    event: Saving(retry) -> Running
    event: Scheduled(retry) -> Ready
    event: Scheduled(retry) -> Running
    event: Scheduled(retry) -> Saving(end)
    event: Saving(end) -> Ended
    event: Saving(end) -> -
    event: Saving(end) -> Delivering
    event: Saving(end) -> Saving(delivery)
    event: Delivering -> Saving(delivery)
    event: Saving(delivery) -> Ended
    event: Saving(delivery) -> Delivering
    event: Ended -> Saving(delivery)
    event: Ended -> Saving(redrive)
    event: Saving(redrive) -> Ended
    event: Ended -> -

    sync: - -> Placing
    sync: - -> Running
    sync: Placing -> Running
    sync: Placing -> -
    sync: Running -> Placing
    sync: Running -> -

    lease: Running -> Stopping
    lease: Running -> gone
    lease: Stopping -> Abandoned
    lease: Stopping -> gone
    lease: Abandoned -> gone

    function: - -> Creating
    function: Creating -> Active
    function: Creating -> gone
    function: Active -> Deleting
    function: Deleting -> Active
    function: Deleting -> Deleted
    function: Deleted -> gone
";

/// Lists the variants of closed enums, and does not compile when one of them is missing.
macro_rules! variants {
    ($($kind:ident { $($value:expr => $pattern:pat),+ $(,)? })+) => {
        fn vocabulary() -> Vec<String> {
            let mut words = Vec::new();
            $(
                let complete = |value: &$kind| match value { $($pattern => ()),+ };
                $(
                    let value = $value;
                    complete(&value);
                    words.push(format!("{}::{}", stringify!($kind), variant(&value)));
                )+
            )+
            words
        }
    };
}

const ID: RequestId = RequestId(0);
const FUNCTION: FunctionId = FunctionId { index: 0, generation: 0 };
const WORKER: WorkerId = WorkerId { index: 0, generation: 0 };

variants! {
    Refusal {
        Refusal::UnknownFunction => Refusal::UnknownFunction,
        Refusal::UnknownQualifier => Refusal::UnknownQualifier,
        Refusal::UnknownInvocation => Refusal::UnknownInvocation,
        Refusal::FunctionExists => Refusal::FunctionExists,
        Refusal::FunctionBusy => Refusal::FunctionBusy,
        Refusal::TooManyFunctions => Refusal::TooManyFunctions,
        Refusal::ReservedConcurrency { limit: 0 } => Refusal::ReservedConcurrency { .. },
        Refusal::AccountConcurrency { limit: 0 } => Refusal::AccountConcurrency { .. },
        Refusal::UnreservedTooLow { min: 0 } => Refusal::UnreservedTooLow { .. },
        Refusal::NoWorker => Refusal::NoWorker,
        Refusal::NoCapacity => Refusal::NoCapacity,
        Refusal::QueueFullByCount { max: 0 } => Refusal::QueueFullByCount { .. },
        Refusal::QueueFullByBytes { max: 0 } => Refusal::QueueFullByBytes { .. },
        Refusal::DeadlineExpired => Refusal::DeadlineExpired,
        Refusal::IdempotencyMismatch => Refusal::IdempotencyMismatch,
        Refusal::InvocationFinished => Refusal::InvocationFinished,
        Refusal::InvocationCancelled => Refusal::InvocationCancelled,
        Refusal::NotRedrivable => Refusal::NotRedrivable,
        Refusal::StoreUnavailable => Refusal::StoreUnavailable,
        Refusal::StoreUnknown => Refusal::StoreUnknown,
        Refusal::ShuttingDown => Refusal::ShuttingDown,
        Refusal::Overloaded => Refusal::Overloaded,
    }
    Answer {
        Answer::Succeeded { request_id: ID } => Answer::Succeeded { .. },
        Answer::Failed { request_id: ID, error: FunctionError::Reported } => Answer::Failed { .. },
        Answer::Accepted { request_id: ID, duplicate: false, no_worker: false } => Answer::Accepted { .. },
        Answer::Cancelled { request_id: ID } => Answer::Cancelled { .. },
        Answer::Redriven { new_request_id: None } => Answer::Redriven { .. },
        Answer::Function { function: FUNCTION } => Answer::Function { .. },
        Answer::Deleted => Answer::Deleted,
        Answer::Joined { worker: WORKER, unknown: Vec::<FunctionName>::new() } => Answer::Joined { .. },
        Answer::Refused(Refusal::NoWorker) => Answer::Refused(_),
    }
    FunctionError {
        FunctionError::Reported => FunctionError::Reported,
        FunctionError::TimedOut { timeout_ms: 0 } => FunctionError::TimedOut { .. },
        FunctionError::WorkerLost => FunctionError::WorkerLost,
        FunctionError::ResponseTooLarge => FunctionError::ResponseTooLarge,
    }
    Fact {
        Fact::Started { function: FUNCTION, event_age_ms: None } => Fact::Started { .. },
        Fact::Ended { function: FUNCTION, ok: true, duration_ms: 0 } => Fact::Ended { .. },
        Fact::Throttled { function: FUNCTION, reason: Throttle::Account } => Fact::Throttled { .. },
        Fact::EventReceived { function: FUNCTION } => Fact::EventReceived { .. },
        Fact::EventDropped { function: FUNCTION, death: Death::RetriesExhausted, request_id: ID } => Fact::EventDropped { .. },
        Fact::LeaseExpired { function: FUNCTION } => Fact::LeaseExpired { .. },
        Fact::SlotAbandoned { function: FUNCTION } => Fact::SlotAbandoned { .. },
        Fact::LateOutcome => Fact::LateOutcome,
        Fact::Unspent { function: FUNCTION } => Fact::Unspent { .. },
        Fact::WorkerLost { function: FUNCTION, request_id: ID } => Fact::WorkerLost { .. },
        Fact::RecordDelivered { function: FUNCTION } => Fact::RecordDelivered { .. },
        Fact::DeliveryFailed { function: FUNCTION } => Fact::DeliveryFailed { .. },
        Fact::Undelivered { function: FUNCTION, request_id: ID } => Fact::Undelivered { .. },
        Fact::DeadForgotten { function: FUNCTION, request_id: ID } => Fact::DeadForgotten { .. },
        Fact::FunctionsChanged => Fact::FunctionsChanged,
    }
    Throttle {
        Throttle::Reserved => Throttle::Reserved,
        Throttle::Account => Throttle::Account,
        Throttle::NoWorker => Throttle::NoWorker,
        Throttle::NoCapacity => Throttle::NoCapacity,
    }
    Death {
        Death::RetriesExhausted => Death::RetriesExhausted,
        Death::EventAgeExceeded => Death::EventAgeExceeded,
        Death::ZeroReservedConcurrency => Death::ZeroReservedConcurrency,
        Death::RecursiveInvocation => Death::RecursiveInvocation,
    }
    Delivery {
        Delivery::None => Delivery::None,
        Delivery::Pending => Delivery::Pending,
        Delivery::Delivered => Delivery::Delivered,
        Delivery::Undelivered => Delivery::Undelivered,
    }
    ResponseAtHand {
        ResponseAtHand::None => ResponseAtHand::None,
        ResponseAtHand::Response => ResponseAtHand::Response,
        ResponseAtHand::Error(FunctionError::Reported) => ResponseAtHand::Error(_),
    }
    Phase {
        Phase::Scheduled { due_at: 0, retry: false } => Phase::Scheduled { .. },
        Phase::Ready => Phase::Ready,
        Phase::Running => Phase::Running,
        Phase::Ended { end: trine_engine::End::Succeeded, at: 0, delivery: Delivery::None } => Phase::Ended { .. },
    }
    Blocker {
        Blocker::Finished => Blocker::Finished,
        Blocker::Running => Blocker::Running,
        Blocker::NotBefore(0) => Blocker::NotBefore(_),
        Blocker::RetryWait(0) => Blocker::RetryWait(_),
        Blocker::ReservedConcurrency { limit: 0, until: 0 } => Blocker::ReservedConcurrency { .. },
        Blocker::AccountConcurrency { limit: 0, until: 0 } => Blocker::AccountConcurrency { .. },
        Blocker::NoWorker { until: 0 } => Blocker::NoWorker { .. },
        Blocker::NoFreeSlot { slots: 0, until: 0 } => Blocker::NoFreeSlot { .. },
        Blocker::QueueAhead { events: 0 } => Blocker::QueueAhead { .. },
        Blocker::Destination { until: 0 } => Blocker::Destination { .. },
        Blocker::Store => Blocker::Store,
    }
    Mutation {
        Mutation::DeleteFunction { number: 0 } => Mutation::DeleteFunction { .. } | Mutation::Accept(_)
            | Mutation::Retry { .. } | Mutation::End { .. } | Mutation::Delivery { .. }
            | Mutation::Redrive { .. } | Mutation::PutFunction(_),
        Mutation::Barrier => Mutation::Barrier,
        Mutation::Forget { seq: EventSeq(0), payload: None } => Mutation::Forget { .. },
    }
    Effect {
        Effect::Changed { request_id: ID } => Effect::Changed { .. } | Effect::Hold { .. }
            | Effect::Release { .. } | Effect::Dispatch(_) | Effect::Persist { .. }
            | Effect::Deliver(_) | Effect::Fact(_),
        Effect::Stop { worker: WORKER, lease: trine_engine::Lease { index: 0, fence: 0 } } => Effect::Stop { .. },
        Effect::Reply { caller: Caller { edge: 0, tag: 0 }, answer: Answer::Deleted } => Effect::Reply { .. },
    }
}

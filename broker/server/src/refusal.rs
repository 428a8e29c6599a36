//! Turns the engine's refusals, and those of the edges, into sentences that say what was wrong, what was
//! expected and what to do. It decides nothing.

use trine_engine::mapping::MappingRefusal;
use trine_engine::{InvalidSetting, Refusal as Engine};
use trine_proto::v1::{Reason, Refusal};

/// A refusal without advice on when to retry.
pub(crate) fn refuse(reason: Reason, message: impl Into<String>) -> Refusal {
    Refusal { reason: reason.into(), message: message.into(), retry_after_ms: None }
}

pub(crate) fn invalid(message: impl Into<String>) -> Refusal {
    refuse(Reason::InvalidArgument, message)
}

pub(crate) fn invalid_setting(error: &InvalidSetting) -> Refusal {
    invalid(format!("{error}."))
}

/// The broker's inbox is closed: it is going down.
pub(crate) fn gone() -> Refusal {
    refuse(
        Reason::ShuttingDown,
        "The broker is shutting down; send the request again once it is back.",
    )
}

/// What the engine's refusal says to the caller of `function`.
pub(crate) fn from_engine(refusal: Engine, function: &str) -> Refusal {
    let (reason, message, retry_after_ms) = sentence(refusal, function);
    Refusal { reason: reason.into(), message, retry_after_ms }
}

/// What the registry's refusal says about `subject`: a mapping's id, or the source and function of a new one.
pub(crate) fn from_registry(refusal: MappingRefusal, subject: &str) -> Refusal {
    use Reason as R;
    let say = |reason, message: String| refuse(reason, message);
    let later = |reason, message: String, wait_ms| Refusal {
        reason: reason as i32,
        message,
        retry_after_ms: Some(wait_ms),
    };
    match refusal {
        MappingRefusal::Unknown => say(
            R::UnknownMapping,
            format!("There is no mapping {subject}; `trine mapping list` shows those that exist."),
        ),
        MappingRefusal::Exists { id } => say(
            R::MappingExists,
            format!(
                "An event source mapping with {subject} already exists. Please update or delete the existing mapping with UUID {id}"
            ),
        ),
        MappingRefusal::ReaderExists { id } => say(
            R::MappingExists,
            format!(
                "Mapping {id} reads under the same name: a Kafka consumer group, a NATS durable and a Redis group belong to one mapping. Leave the name out, choose another, or delete that mapping."
            ),
        ),
        MappingRefusal::Busy | MappingRefusal::Changed => later(
            R::MappingBusy,
            format!(
                "Mapping {subject} is being created, updated, sought or deleted; try again when that has ended."
            ),
            1_000,
        ),
        MappingRefusal::TooMany => say(
            R::Overloaded,
            "The broker holds as many mappings as it may (limits.mappings_max); delete some."
                .to_owned(),
        ),
        MappingRefusal::TooManyPollers => later(
            R::Overloaded,
            "As many pollers are connected as may be (limits.pollers_max); stop some.".to_owned(),
            5_000,
        ),
        MappingRefusal::NoPoller => later(
            R::NoPoller,
            format!(
                "No poller holds mapping {subject} now, and only its holder can ask the source; start one that reads its kind, and enable or pause the mapping."
            ),
            1_000,
        ),
        MappingRefusal::PollerSilent => later(
            R::NoPoller,
            format!(
                "The poller that holds mapping {subject} did not answer in time; whether it has moved the place is not known. Look at it and try again."
            ),
            1_000,
        ),
        MappingRefusal::SeekFailed(why) => say(R::InvalidArgument, why.into()),
        MappingRefusal::UnknownKey => say(
            R::InvalidArgument,
            format!(
                "No such key is parked of mapping {subject}; `trine mapping parked {subject}` shows those that are."
            ),
        ),
        MappingRefusal::StoreUnavailable => later(
            R::StoreUnavailable,
            "The disk took nothing (is it full?); nothing was changed, retry later.".to_owned(),
            5_000,
        ),
        MappingRefusal::ShuttingDown => later(R::ShuttingDown, gone().message, 1_000),
    }
}

fn sentence(refusal: Engine, function: &str) -> (Reason, String, Option<u64>) {
    use Reason as R;
    let say = |reason, message: String| (reason, message, None);
    match refusal {
        Engine::UnknownFunction => say(
            R::UnknownFunction,
            format!(
                "Function not found: {function}. Create it with `trine function create {function}`."
            ),
        ),
        Engine::UnknownQualifier => say(
            R::UnknownQualifier,
            format!("Function {function} has no such version or alias; $LATEST is the only one."),
        ),
        Engine::UnknownInvocation => say(
            R::UnknownInvocation,
            "No invocation with this request id is known; it may have been forgotten.".to_owned(),
        ),
        Engine::FunctionExists => say(
            R::FunctionExists,
            format!("Function {function} exists; update it, or choose another name."),
        ),
        Engine::FunctionBusy => say(
            R::FunctionBusy,
            format!(
                "Function {function} has invocations that have not ended; wait for them, or delete with force."
            ),
        ),
        Engine::TooManyFunctions => say(
            R::InvalidArgument,
            "The broker holds as many functions as limits.functions_max allows.".to_owned(),
        ),
        Engine::DeadlineExpired => say(
            R::DeadlineExpired,
            format!("The caller's deadline passed before {function} could start; nothing has run."),
        ),
        Engine::IdempotencyMismatch => say(
            R::IdempotencyMismatch,
            "The idempotency key was used before with another payload; choose another key."
                .to_owned(),
        ),
        Engine::InvocationFinished => say(
            R::InvocationFinished,
            "The invocation has ended; there is nothing to cancel.".to_owned(),
        ),
        Engine::InvocationCancelled => say(
            R::InvocationCancelled,
            "The invocation was cancelled by another client.".to_owned(),
        ),
        Engine::NotRedrivable => say(
            R::NotRedrivable,
            "Only a dead invocation, or one whose record is undelivered, can be redriven."
                .to_owned(),
        ),
        later => passing(later, function),
    }
}

/// Refusals that pass by themselves, with the time after which to try again.
fn passing(refusal: Engine, function: &str) -> (Reason, String, Option<u64>) {
    use Reason as R;
    match refusal {
        Engine::ReservedConcurrency { limit } => (
            R::ReservedConcurrencyExceeded,
            format!("Rate Exceeded. All {limit} reserved concurrent executions of {function} are in use."),
            Some(1_000),
        ),
        Engine::AccountConcurrency { limit } => (
            R::AccountConcurrencyExceeded,
            format!("Rate Exceeded. All {limit} unreserved concurrent executions of the account are in use."),
            Some(1_000),
        ),
        Engine::UnreservedTooLow { min } => (
            R::UnreservedConcurrencyTooLow,
            format!(
                "Specified ConcurrentExecutions for function decreases account's \
                 UnreservedConcurrentExecution below its minimum value of [{min}]."
            ),
            None,
        ),
        Engine::NoWorker => (
            R::NoWorker,
            format!("No connected worker serves {function}; start one, then retry."),
            Some(1_000),
        ),
        Engine::NoCapacity => (
            R::NoCapacity,
            format!("No slot for {function} came free in time; add workers or slots, or retry."),
            Some(1_000),
        ),
        Engine::QueueFullByCount { max } => (
            R::QueueFull,
            format!("The queue holds {max} events, its bound (limits.queue_count_max); retry later."),
            Some(5_000),
        ),
        Engine::QueueFullByBytes { max } => (
            R::QueueFull,
            format!("The queue holds as many payload bytes as its bound of {max} (limits.queue_bytes_max) allows; retry later."),
            Some(5_000),
        ),
        Engine::StoreUnavailable => (
            R::StoreUnavailable,
            "The disk took nothing (is it full?); the request was not accepted, retry later.".to_owned(),
            Some(5_000),
        ),
        Engine::StoreUnknown => (
            R::StoreUnknown,
            "The disk failed and the broker stops: whether the request was accepted is not known. Send it again with \
             the same idempotency key once the broker is back."
                .to_owned(),
            None,
        ),
        Engine::ShuttingDown => {
            let refusal = gone();
            (R::ShuttingDown, refusal.message, Some(1_000))
        }
        Engine::Overloaded => (
            R::Overloaded,
            "Too many synchronous invocations wait for a slot (limits.sync_waiting_max); retry later.".to_owned(),
            Some(1_000),
        ),
        other => (R::Internal, format!("The broker refused without a reason: {other:?}."), None),
    }
}

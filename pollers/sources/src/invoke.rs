//! One synchronous invocation over the public contract, and what kind of end it came to. It does not retry and does not know
//! records: the engine decides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tonic::{Code, Status};
use trine_proto::reason;
use trine_proto::v1::{InvocationType, InvokeRequest, InvokeResponse, Reason};

use crate::lease::Lease;
use crate::way::Invoke;

/// Longest wait for an answer: the longest function timeout (LS 2.3), the longest wait for a slot, and
/// some time for the way.
const ANSWER_WAIT: Duration = Duration::from_secs(900 + 20);

/// Characters of a function's error text that are kept for people.
const ERROR_TEXT_MAX: usize = 300;

/// Sends batches to one function.
#[derive(Clone)]
pub(crate) struct Invoker {
    calls: Arc<dyn Invoke>,
    function: String,
    /// Empty: `$LATEST`.
    qualifier: String,
    lease: Lease,
}

/// What came of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The function ran and answered.
    Answered(Response),
    /// It did not, or nobody knows.
    NotAnswered {
        why: NotAnswered,
        /// What was wrong, for people.
        error: String,
    },
}

/// What a function answered, and what an on-failure record says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) request_id: String,
    pub(crate) executed_version: String,
    /// `Unhandled` if the function failed, else empty (LS 1.5).
    pub(crate) function_error: String,
    pub(crate) payload: Bytes,
}

/// Why there is no answer (LS 4.3). None of these spends an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAnswered {
    /// Concurrency is used up.
    Throttled,
    /// No worker, no free slot, a broker that shuts down.
    NoCapacity,
    /// The broker will not have the request as it is.
    Refused,
    /// Perhaps the function ran, perhaps it did not.
    Lost,
}

impl Invoker {
    pub(crate) fn new(
        calls: Arc<dyn Invoke>,
        function: &str,
        qualifier: &str,
        lease: Lease,
    ) -> Self {
        Self { calls, function: function.to_owned(), qualifier: qualifier.to_owned(), lease }
    }

    /// Invokes the function with `payload` and waits for its answer, with a bound.
    pub(crate) async fn invoke(&self, payload: Bytes) -> Reply {
        // A process that was stopped for longer than its lease still has records in hand when it goes on. Somebody else reads
        // them by now, and is perhaps not as far: sent now, they could overtake.
        if self.lease.is_over() {
            let error = "the lease is over: the broker was silent for too long".to_owned();
            return Reply::NotAnswered { why: NotAnswered::NoCapacity, error };
        }
        let request = InvokeRequest {
            function: self.function.clone(),
            qualifier: self.qualifier.clone(),
            r#type: InvocationType::RequestResponse.into(),
            payload,
            ..InvokeRequest::default()
        };
        // The bound counts twice, so that a broker that ignores it cannot hold the shard for ever.
        match timeout(ANSWER_WAIT, self.calls.invoke(request, ANSWER_WAIT)).await {
            Ok(Ok(response)) => Reply::Answered(answered(response)),
            Ok(Err(status)) => refused(&status),
            Err(_) => {
                let error = format!("no answer from the broker within {} s", ANSWER_WAIT.as_secs());
                Reply::NotAnswered { why: NotAnswered::Lost, error }
            }
        }
    }
}

fn answered(response: InvokeResponse) -> Response {
    let InvokeResponse { request_id, executed_version, function_error, payload, .. } = response;
    Response { request_id, executed_version, function_error, payload }
}

impl Response {
    /// The function's error for people; empty if it did not fail.
    pub(crate) fn error(&self) -> String {
        if self.function_error.is_empty() {
            return String::new();
        }
        let text = String::from_utf8_lossy(&self.payload);
        let text: String = text.chars().take(ERROR_TEXT_MAX).collect();
        format!("the function failed in request {}: {text}", self.request_id)
    }
}

fn refused(status: &Status) -> Reply {
    let Some(refusal) = reason::refusal(status) else {
        let error =
            format!("the broker could not be asked: {:?}: {}", status.code(), status.message());
        return Reply::NotAnswered { why: of_code(status.code()), error };
    };
    let reason = refusal.reason();
    let error = format!("{}: {}", reason::name(reason), refusal.message);
    Reply::NotAnswered { why: of_reason(reason), error }
}

/// Exhaustive: a new reason does not compile without a decision what it means to a batch.
const fn of_reason(reason: Reason) -> NotAnswered {
    use Reason as R;
    match reason {
        R::ReservedConcurrencyExceeded
        | R::AccountConcurrencyExceeded
        | R::QueueFull
        | R::Overloaded => NotAnswered::Throttled,
        R::NoWorker
        | R::NoCapacity
        | R::DeadlineExpired
        | R::StoreUnavailable
        | R::ShuttingDown => NotAnswered::NoCapacity,
        // Somebody stopped it, with the function perhaps, which is deleted: no fault of the records, which could be all given up within
        // the time that a deletion takes.
        R::InvocationCancelled | R::StoreUnknown | R::Internal | R::Unspecified => {
            NotAnswered::Lost
        }
        R::InvalidArgument
        | R::MalformedPayload
        | R::PayloadTooLarge
        | R::UnknownFunction
        | R::UnknownQualifier
        | R::UnknownInvocation
        | R::FunctionExists
        | R::FunctionBusy
        | R::UnreservedConcurrencyTooLow
        | R::IdempotencyMismatch
        | R::InvocationFinished
        | R::NotRedrivable
        | R::DestinationForbidden
        | R::UnsupportedProtocol
        | R::UnknownMapping
        | R::MappingExists
        | R::MappingBusy
        | R::NoPoller
        | R::VirtualTimeOff => NotAnswered::Refused,
    }
}

/// Without a reason the answer is the transport's, or that of something in between.
const fn of_code(code: Code) -> NotAnswered {
    match code {
        Code::ResourceExhausted => NotAnswered::Throttled,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => NotAnswered::Refused,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => NotAnswered::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::v1::Refusal;

    fn reply(reason: Reason) -> Reply {
        let refusal =
            Refusal { reason: reason.into(), message: "why".to_owned(), retry_after_ms: None };
        refused(&reason::status(&refusal))
    }

    fn why(reason: Reason) -> NotAnswered {
        let Reply::NotAnswered { why, .. } = reply(reason) else { panic!("{reason:?}") };
        why
    }

    #[test]
    fn what_never_reached_the_function_is_no_answer() {
        for reason in (0..).map_while(|number| Reason::try_from(number).ok()) {
            assert!(matches!(reply(reason), Reply::NotAnswered { .. }), "{reason:?}");
        }
        assert_eq!(why(Reason::NoWorker), NotAnswered::NoCapacity);
        assert_eq!(why(Reason::ReservedConcurrencyExceeded), NotAnswered::Throttled);
        assert_eq!(why(Reason::UnknownFunction), NotAnswered::Refused);
        assert_eq!(why(Reason::InvocationCancelled), NotAnswered::Lost);
    }

    #[test]
    fn the_transports_own_answers_are_unknown_outcomes() {
        for code in [Code::Unavailable, Code::Cancelled, Code::Unknown, Code::DeadlineExceeded] {
            let Reply::NotAnswered { why, error } = refused(&Status::new(code, "gone")) else {
                panic!("{code:?}")
            };
            assert_eq!(why, NotAnswered::Lost);
            assert!(error.contains("gone"), "{error}");
        }
    }

    #[test]
    fn the_text_of_an_error_is_bounded() {
        let payload = Bytes::from("é".repeat(10_000));
        let failed = answered(InvokeResponse {
            function_error: "Unhandled".to_owned(),
            payload,
            ..InvokeResponse::default()
        });
        assert!(failed.error().chars().count() < ERROR_TEXT_MAX + 100);
        assert_eq!(answered(InvokeResponse::default()).error(), "");
    }
}

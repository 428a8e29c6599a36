//! One synchronous invocation over the public contract, and what its answer means to a batch. It does
//! not retry: the engine decides that.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use trine_poll_engine::Answer;
use trine_proto::v1::invocation_service_client::InvocationServiceClient;
use trine_proto::v1::{InvocationType, InvokeRequest, InvokeResponse, Reason};
use trine_proto::{FRAME_BYTES_MAX, reason};

use crate::target::Target;

/// Longest wait for an answer: the longest function timeout (LS 2.3), the longest wait for a slot, and
/// some time for the way.
const ANSWER_WAIT: Duration = Duration::from_secs(900 + 20);

/// Characters of a function's error text that are kept for people.
const ERROR_TEXT_MAX: usize = 300;

/// Sends batches to one function.
#[derive(Clone, Debug)]
pub(crate) struct Invoker {
    client: InvocationServiceClient<Channel>,
    target: Target,
}

/// What came of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    /// What was wrong, for people; empty if nothing was.
    pub(crate) error: String,
}

impl Invoker {
    pub(crate) fn new(channel: Channel, target: Target) -> Self {
        let client = InvocationServiceClient::new(channel)
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(FRAME_BYTES_MAX);
        Self { client, target }
    }

    /// Invokes the function with `payload` and waits for its answer, with a bound.
    pub(crate) async fn invoke(&self, payload: Bytes) -> Reply {
        let mut request = Request::new(InvokeRequest {
            function: self.target.function.clone(),
            qualifier: self.target.qualifier.clone(),
            r#type: InvocationType::RequestResponse.into(),
            payload,
            ..InvokeRequest::default()
        });
        request.set_timeout(ANSWER_WAIT);
        // The bound counts twice, so that a broker that ignores it cannot hold the shard for ever.
        match timeout(ANSWER_WAIT, self.client.clone().invoke(request)).await {
            Ok(Ok(response)) => answered(&response.into_inner()),
            Ok(Err(status)) => refused(&status),
            Err(_) => {
                let error = format!("no answer from the broker within {} s", ANSWER_WAIT.as_secs());
                Reply { answer: Answer::Lost, error }
            }
        }
    }
}

fn answered(response: &InvokeResponse) -> Reply {
    if response.function_error.is_empty() {
        return Reply { answer: Answer::Succeeded, error: String::new() };
    }
    let text = String::from_utf8_lossy(&response.payload);
    let text: String = text.chars().take(ERROR_TEXT_MAX).collect();
    let error = format!("the function failed in request {}: {text}", response.request_id);
    Reply { answer: Answer::FunctionFailed, error }
}

fn refused(status: &Status) -> Reply {
    let Some(refusal) = reason::refusal(status) else {
        let error =
            format!("the broker could not be asked: {:?}: {}", status.code(), status.message());
        return Reply { answer: of_code(status.code()), error };
    };
    let reason = refusal.reason();
    let error = format!("{}: {}", reason::name(reason), refusal.message);
    Reply { answer: of_reason(reason), error }
}

/// Exhaustive: a new reason does not compile without a decision what it means to a batch.
const fn of_reason(reason: Reason) -> Answer {
    use Reason as R;
    match reason {
        R::ReservedConcurrencyExceeded
        | R::AccountConcurrencyExceeded
        | R::QueueFull
        | R::Overloaded => Answer::Throttled,
        R::NoWorker
        | R::NoCapacity
        | R::DeadlineExpired
        | R::StoreUnavailable
        | R::ShuttingDown => Answer::NoCapacity,
        // It was running, and somebody stopped it.
        R::InvocationCancelled => Answer::FunctionFailed,
        R::StoreUnknown | R::Internal | R::Unspecified => Answer::Lost,
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
        | R::VirtualTimeOff => Answer::Refused,
    }
}

/// Without a reason the answer is the transport's, or that of something in between.
const fn of_code(code: Code) -> Answer {
    match code {
        Code::ResourceExhausted => Answer::Throttled,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Answer::Refused,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Answer::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::v1::Refusal;

    fn answer(reason: Reason) -> Answer {
        let refusal =
            Refusal { reason: reason.into(), message: "why".to_owned(), retry_after_ms: None };
        refused(&reason::status(&refusal)).answer
    }

    #[test]
    fn what_never_reached_the_function_spends_no_attempt() {
        for reason in (0..).map_while(|number| Reason::try_from(number).ok()) {
            let spends = answer(reason) == Answer::FunctionFailed;
            assert_eq!(spends, reason == Reason::InvocationCancelled, "{reason:?}");
            // A refusal that may pass by itself is not one that waits for a person.
            if reason::row(reason).retryable && reason != Reason::FunctionBusy {
                assert_ne!(answer(reason), Answer::Refused, "{reason:?}");
            }
        }
        assert_eq!(answer(Reason::NoWorker), Answer::NoCapacity);
        assert_eq!(answer(Reason::ReservedConcurrencyExceeded), Answer::Throttled);
        assert_eq!(answer(Reason::UnknownFunction), Answer::Refused);
    }

    #[test]
    fn the_transports_own_answers_are_unknown_outcomes() {
        for code in [Code::Unavailable, Code::Cancelled, Code::Unknown, Code::DeadlineExceeded] {
            assert_eq!(refused(&Status::new(code, "gone")).answer, Answer::Lost);
        }
        assert_eq!(refused(&Status::unimplemented("what")).answer, Answer::Refused);
        assert!(refused(&Status::unavailable("gone")).error.contains("gone"));
    }

    #[test]
    fn a_function_error_is_an_answer_and_its_text_is_bounded() {
        let payload = Bytes::from("é".repeat(10_000));
        let failed = InvokeResponse {
            function_error: "Unhandled".to_owned(),
            payload,
            ..InvokeResponse::default()
        };
        let reply = answered(&failed);
        assert_eq!(reply.answer, Answer::FunctionFailed);
        assert!(reply.error.chars().count() < ERROR_TEXT_MAX + 100);
        assert_eq!(answered(&InvokeResponse::default()).answer, Answer::Succeeded);
    }
}

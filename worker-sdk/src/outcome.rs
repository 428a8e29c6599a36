//! Outcomes as they go over the wire, and the lease that ties one to its attempt.
//!
//! It does not know when an outcome is sent.

use bytes::Bytes;
use trine_proto::v1::outcome::Result as Answer;
use trine_proto::v1::{Attempt, AttemptStop, Outcome, OutcomeReturned, OutcomeStopped};

use crate::context::Context;
use crate::error::Error;
use crate::log_tail::LogEnd;

/// Bytes of an outcome beside its payloads, at most: tags, lengths, entry and fence.
const OUTCOME_OVERHEAD_BYTES: usize = 40;

/// The broker's grant of an attempt to this session; sent back as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) entry: u32,
    pub(crate) fence: u64,
}

/// Why a handler was stopped before it had an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The function timeout was over.
    TimedOut,
    /// The broker asked, or the worker's grace was over.
    Asked,
}

impl Lease {
    /// The outcome of a handler that was never started.
    pub(crate) fn returned(self) -> Outcome {
        self.outcome(Answer::Returned(OutcomeReturned {}), Bytes::new())
    }

    /// The outcome of a handler that was stopped.
    pub(crate) fn stopped(self, stopped: Stopped, context: &Context) -> Outcome {
        let (timed_out, end) = match stopped {
            Stopped::TimedOut => (true, LogEnd::Timeout),
            Stopped::Asked => (false, LogEnd::Stopped),
        };
        self.outcome(Answer::Stopped(OutcomeStopped { timed_out }), context.take_log(end))
    }

    /// The outcome of a handler that ran to its end. A response or an error object above
    /// `bytes_max` is replaced by Lambda's error for it (LS 1.4): it would not fit a frame.
    pub(crate) fn answered(
        self,
        answer: Result<Bytes, Error>,
        context: &Context,
        bytes_max: usize,
    ) -> Outcome {
        let error = match answer {
            Ok(response) if response.len() <= bytes_max => {
                let log = context.take_log(LogEnd::Success);
                return self.outcome(Answer::Response(response), log);
            }
            Ok(_) => Error::response_too_large(bytes_max),
            Err(error) => error,
        };
        let log = context.take_log(LogEnd::Error { error_type: error.error_type() });
        let object = error.to_json();
        let object = if object.len() <= bytes_max {
            object
        } else {
            Error::response_too_large(bytes_max).to_json()
        };
        self.outcome(Answer::FunctionError(object), log)
    }

    fn outcome(self, result: Answer, log_tail: Bytes) -> Outcome {
        Outcome { entry: self.entry, fence: self.fence, result: Some(result), log_tail }
    }
}

impl From<&Attempt> for Lease {
    fn from(attempt: &Attempt) -> Self {
        Self { entry: attempt.entry, fence: attempt.fence }
    }
}

impl From<AttemptStop> for Lease {
    fn from(stop: AttemptStop) -> Self {
        Self { entry: stop.entry, fence: stop.fence }
    }
}

/// What `outcome` takes up in a frame, in bytes, rounded up.
pub(crate) fn wire_bytes(outcome: &Outcome) -> usize {
    let payload = match &outcome.result {
        Some(Answer::Response(bytes) | Answer::FunctionError(bytes)) => bytes.len(),
        Some(Answer::Stopped(_) | Answer::Returned(_)) | None => 0,
    };
    payload + outcome.log_tail.len() + OUTCOME_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Lease = Lease { entry: u32::MAX, fence: u64::MAX };

    fn function_error(answer: Result<Bytes, Error>, bytes_max: usize) -> String {
        let context = Context::detached("f");
        match LEASE.answered(answer, &context, bytes_max).result {
            Some(Answer::FunctionError(object)) => String::from_utf8(object.to_vec()).unwrap(),
            other => panic!("expected a function error, got {other:?}"),
        }
    }

    #[test]
    fn a_response_at_the_limit_passes_and_one_above_is_an_error() {
        let context = Context::detached("f");
        let at_limit = LEASE.answered(Ok(Bytes::from_static(b"1234")), &context, 4);
        assert_eq!(at_limit.result, Some(Answer::Response(Bytes::from_static(b"1234"))));
        assert!(function_error(Ok(Bytes::from_static(b"12345")), 4).contains("(4 bytes)"));
    }

    #[test]
    fn an_error_object_above_the_limit_is_replaced() {
        let error = Error::new("Shop.Closed", "x".repeat(500));
        assert!(function_error(Err(error), 400).contains("Function.ResponseSizeTooLarge"));
    }

    #[test]
    fn the_overhead_covers_the_largest_numbers() {
        let outcome = LEASE.returned();
        assert!(prost_len(&outcome) <= wire_bytes(&outcome));
        let answered =
            LEASE.answered(Ok(vec![b'1'; 1 << 20].into()), &Context::detached("f"), 1 << 21);
        assert!(prost_len(&answered) <= wire_bytes(&answered));
    }

    /// Bytes of `outcome` as one element of a frame, tag and length included.
    fn prost_len(outcome: &Outcome) -> usize {
        use trine_proto::v1::WorkerServiceSessionRequest as Frame;
        prost::Message::encoded_len(&Frame { outcomes: vec![outcome.clone()], ..Frame::default() })
    }
}

//! The table of refusal reasons: reason ↔ gRPC code ↔ HTTP status ↔ retryable, and how a reason
//! travels in a `tonic::Status`.
//!
//! It does not know when a reason is used; that is decided where the request is.

use std::collections::HashMap;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::v1::{Reason, Refusal};

/// Trailer that carries the reason's name in plain text.
pub const REASON_TRAILER: &str = "trine-reason";

/// Trailer that carries the time after which a retry makes sense, in milliseconds.
pub const RETRY_AFTER_TRAILER: &str = "trine-retry-after-ms";

/// Domain of the `google.rpc.ErrorInfo` in `grpc-status-details-bin`.
pub const ERROR_DOMAIN: &str = "trine.v1";

/// What a reason means on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonRow {
    /// The gRPC status code.
    pub code: Code,
    /// The HTTP status of the REST edges.
    pub http: u16,
    /// Whether the same request may succeed later without anybody changing anything.
    pub retryable: bool,
}

/// The row of `reason`. Exhaustive: a new reason does not compile without its row.
#[must_use]
pub const fn row(reason: Reason) -> ReasonRow {
    use Reason as R;
    let (code, http, retryable) = match reason {
        R::InvalidArgument | R::MalformedPayload => (Code::InvalidArgument, 400, false),
        R::UnreservedConcurrencyTooLow => (Code::FailedPrecondition, 400, false),
        R::DestinationForbidden => (Code::PermissionDenied, 403, false),
        R::PayloadTooLarge => (Code::InvalidArgument, 413, false),
        R::UnknownFunction | R::UnknownQualifier | R::UnknownInvocation | R::UnknownMapping => {
            (Code::NotFound, 404, false)
        }
        R::FunctionExists | R::IdempotencyMismatch | R::MappingExists => {
            (Code::AlreadyExists, 409, false)
        }
        R::FunctionBusy | R::MappingBusy => (Code::FailedPrecondition, 409, true),
        R::InvocationFinished | R::NotRedrivable => (Code::FailedPrecondition, 409, false),
        R::InvocationCancelled => (Code::Cancelled, 409, false),
        R::ReservedConcurrencyExceeded | R::AccountConcurrencyExceeded | R::QueueFull => {
            (Code::ResourceExhausted, 429, true)
        }
        R::Overloaded => (Code::ResourceExhausted, 503, true),
        R::NoWorker | R::NoCapacity | R::NoPoller | R::ShuttingDown | R::StoreUnavailable => {
            (Code::Unavailable, 503, true)
        }
        R::DeadlineExpired => (Code::DeadlineExceeded, 504, true),
        R::StoreUnknown => (Code::Unknown, 500, false),
        R::UnsupportedProtocol | R::VirtualTimeOff => (Code::FailedPrecondition, 412, false),
        R::Internal | R::Unspecified => (Code::Internal, 500, false),
    };
    ReasonRow { code, http, retryable }
}

/// The short name of a reason as people and labels see it: `UNKNOWN_FUNCTION`.
#[must_use]
pub fn name(reason: Reason) -> &'static str {
    let full = reason.as_str_name();
    full.strip_prefix("REASON_").unwrap_or(full)
}

/// The status that carries `refusal`.
#[must_use]
pub fn status(refusal: &Refusal) -> Status {
    let reason = refusal.reason();
    let mut details = ErrorDetails::new();
    details.set_error_info(name(reason), ERROR_DOMAIN, HashMap::new());
    let mut trailers = MetadataMap::new();
    trailers.insert(REASON_TRAILER, MetadataValue::from_static(name(reason)));
    if let Some(retry_after_ms) = refusal.retry_after_ms {
        trailers.insert(RETRY_AFTER_TRAILER, MetadataValue::from(retry_after_ms));
    }
    Status::with_error_details_and_metadata(row(reason).code, &refusal.message, details, trailers)
}

/// The refusal that `status` carries, or `None` if it comes from something else than Trine.
#[must_use]
pub fn refusal(status: &Status) -> Option<Refusal> {
    let short = status.metadata().get(REASON_TRAILER)?.to_str().ok()?;
    let reason = Reason::from_str_name(&format!("REASON_{short}"))?;
    let retry_after_ms = status
        .metadata()
        .get(RETRY_AFTER_TRAILER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    Some(Refusal { reason: reason.into(), message: status.message().to_owned(), retry_after_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Reason> {
        (0..).map_while(|number| Reason::try_from(number).ok()).collect()
    }

    #[test]
    fn every_reason_survives_the_way_through_a_status() {
        assert_eq!(all().len(), 32, "a reason was added: give it a row and a page in docs/errors");
        for reason in all() {
            let sent = Refusal {
                reason: reason.into(),
                message: "a sentence".to_owned(),
                retry_after_ms: Some(7),
            };
            let status = status(&sent);
            assert_eq!(status.code(), row(reason).code);
            assert_eq!(refusal(&status), Some(sent));
        }
    }

    #[test]
    fn retryable_reasons_use_codes_that_clients_retry() {
        for reason in all().into_iter().filter(|reason| row(*reason).retryable) {
            assert!(matches!(row(reason).http, 409 | 429 | 503 | 504), "{reason:?}");
        }
    }

    #[test]
    fn a_foreign_status_has_no_refusal() {
        assert_eq!(refusal(&Status::internal("boom")), None);
    }
}

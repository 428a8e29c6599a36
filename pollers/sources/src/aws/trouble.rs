//! What an error of an AWS client means to people. It does not know what is done about it.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::{Problem, SourceError};

/// The code with which the service refused, without the namespace that some put before it.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    let code = error.as_service_error()?.code()?;
    Some(code.rsplit(['#', '.']).next().unwrap_or(code))
}

/// What is told when `call` ended with `error`: which call, what the service says.
pub(crate) fn trouble<E>(call: &str, error: &SdkError<E, HttpResponse>) -> SourceError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let Some(refused) = error.as_service_error() else {
        let says = format!("{call} was not answered: {}", chain(error));
        return SourceError::unreachable(says);
    };
    let Some(code) = code(error) else {
        let says = format!(
            "{call} was answered in a way that nobody understands: {} (HTTP status {status})",
            chain(refused)
        );
        return SourceError::new(problem("", status), says);
    };
    let says = refused.message().unwrap_or("no message");
    let says = format!("{call} was refused: {code}: {says} (HTTP status {status})");
    SourceError::new(problem(code, status), says)
}

/// Whether the service wants to be asked less often.
pub(crate) fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "ProvisionedThroughputExceededException"
            | "LimitExceededException"
            | "KMSThrottlingException"
            | "KmsThrottled"
            | "OverLimit"
            | "RequestThrottled"
            | "ThrottledException"
            | "Throttling"
            | "ThrottlingException"
            | "RequestLimitExceeded"
    )
}

fn problem(code: &str, status: u16) -> Problem {
    match code {
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidSecurity"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "OptInRequired" => Problem::Authentication,
        "AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "UnauthorizedOperation" => {
            Problem::Authorization
        }
        code if code.to_ascii_lowercase().starts_with("kms") && !is_throttle(code) => {
            Problem::Authorization
        }
        "ResourceNotFoundException"
        | "NonExistentQueue"
        | "QueueDoesNotExist"
        | "ValidationException"
        | "ValidationError"
        | "InvalidAddress"
        | "InvalidArgumentException"
        | "InvalidParameterValue"
        | "UnsupportedOperation"
        | "UnknownOperationException" => Problem::Configuration,
        _ if status == 401 => Problem::Authentication,
        _ if status == 403 => Problem::Authorization,
        _ => Problem::Unreachable,
    }
}

/// An error and its causes, each said once.
fn chain(error: &dyn Error) -> String {
    let mut says = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !says.ends_with(&more) {
            says.push_str(": ");
            says.push_str(&more);
        }
        cause = error.source();
    }
    says
}

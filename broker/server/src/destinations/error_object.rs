//! The error objects that the broker writes itself because the function could not, with Lambda's
//! texts (LS 1.4, 1.5). An error that a handler reports is passed on as it came and is not seen here.

use bytes::Bytes;
use serde::Serialize;
use trine_engine::{FunctionError, RequestId};

/// Largest response of a function, in bytes, as the text about a larger one names it (LS 1.4).
const RESPONSE_BYTES_MAX: u32 = 6_291_556;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TypeFirst<'a> {
    error_type: &'a str,
    error_message: String,
}

/// The one text that Lambda writes the other way round (LS 1.4).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageFirst<'a> {
    error_message: String,
    error_type: &'a str,
}

/// The error object of an attempt that ended as `error` says.
///
/// For [`FunctionError::Reported`] the handler's own object is the right one; what is returned then
/// stands in for one that is missing.
#[must_use]
pub fn error_object(error: FunctionError, request_id: RequestId) -> Bytes {
    let by_request = |error_type, error: &str| {
        let error_message = format!("RequestId: {request_id} Error: {error}");
        json(&TypeFirst { error_type, error_message })
    };
    match error {
        FunctionError::TimedOut { timeout_ms } => {
            let (seconds, hundredths) = (timeout_ms / 1000, timeout_ms % 1000 / 10);
            let text = format!("Task timed out after {seconds}.{hundredths:02} seconds");
            by_request("Sandbox.Timedout", &text)
        }
        FunctionError::WorkerLost => {
            by_request("Runtime.ExitError", "Runtime exited without providing a reason")
        }
        FunctionError::ResponseTooLarge => json(&MessageFirst {
            error_message: format!(
                "Response payload size exceeded maximum allowed payload size \
                 ({RESPONSE_BYTES_MAX} bytes)."
            ),
            error_type: "Function.ResponseSizeTooLarge",
        }),
        FunctionError::Reported => {
            by_request("Runtime.Unknown", "The function failed without an error object")
        }
    }
}

fn json(object: &impl Serialize) -> Bytes {
    // Two strings: there is nothing in them that JSON cannot hold.
    serde_json::to_vec(object).expect("strings are JSON").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_lambdas() {
        let id = RequestId(0x0199_f2a4_b1c2_7def_8123_4567_89ab_cdef);
        for (error, expected) in [
            (
                FunctionError::TimedOut { timeout_ms: 3_000 },
                r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 0199f2a4-b1c2-7def-8123-456789abcdef Error: Task timed out after 3.00 seconds"}"#,
            ),
            (
                FunctionError::TimedOut { timeout_ms: 900_059 },
                r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 0199f2a4-b1c2-7def-8123-456789abcdef Error: Task timed out after 900.05 seconds"}"#,
            ),
            (
                FunctionError::WorkerLost,
                r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 0199f2a4-b1c2-7def-8123-456789abcdef Error: Runtime exited without providing a reason"}"#,
            ),
            (
                FunctionError::ResponseTooLarge,
                r#"{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}"#,
            ),
            (
                FunctionError::Reported,
                r#"{"errorType":"Runtime.Unknown","errorMessage":"RequestId: 0199f2a4-b1c2-7def-8123-456789abcdef Error: The function failed without an error object"}"#,
            ),
        ] {
            assert_eq!(error_object(error, id), expected, "{error:?}");
        }
    }
}

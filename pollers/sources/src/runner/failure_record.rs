//! The record of a batch that was given up, as an on-failure destination gets it (LS 4.6, 4.8). It does not know where it goes.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use trine_poll_engine::{Condition, Failure};

use crate::invoke::Response;
use crate::timestamp::rfc3339;

/// What the record is made of, beside the failure itself.
pub(super) struct About<'a> {
    /// `trine:function:NAME`, unqualified (LS 4.6).
    pub(super) function_arn: &'a str,
    /// The last answer. `None`: there was none.
    pub(super) response: Option<&'a Response>,
    /// Which records, in the words of the source: `KinesisBatchInfo` and its object.
    pub(super) batch: (&'static str, Value),
    pub(super) now_ms: u64,
}

/// Its JSON text.
pub(super) fn failure_record(failure: &Failure, about: About<'_>) -> Bytes {
    let request_id = about.response.map_or("", |response| &response.request_id);
    let mut record = Map::new();
    let context = json!({
        "requestId": request_id,
        "functionArn": about.function_arn,
        "condition": condition(failure.condition),
        "approximateInvokeCount": failure.approximate_invoke_count,
    });
    record.insert("requestContext".to_owned(), context);
    match failure.condition {
        // Recorded: absent (LS 4.6).
        Condition::RecordAgeExceeded => {}
        // LS 4.8: null.
        Condition::MaximumPayloadSizeExceeded => {
            drop(record.insert("responseContext".to_owned(), Value::Null))
        }
        Condition::RetryAttemptsExhausted => {
            let version = about.response.map_or("$LATEST", |response| &response.executed_version);
            let context = json!({
                "statusCode": 200,
                "executedVersion": version,
                "functionError": failure.function_error.then_some("Unhandled"),
            });
            record.insert("responseContext".to_owned(), context);
        }
    }
    record.insert("version".to_owned(), "1.0".into());
    record.insert(
        "timestamp".to_owned(),
        rfc3339(i64::try_from(about.now_ms).unwrap_or(i64::MAX)).into(),
    );
    let (member, batch) = about.batch;
    record.insert(member.to_owned(), batch);
    Bytes::from(Value::Object(record).to_string())
}

const fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::RetryAttemptsExhausted => "RetryAttemptsExhausted",
        Condition::RecordAgeExceeded => "RecordAgeExceeded",
        Condition::MaximumPayloadSizeExceeded => "MaximumPayloadSizeExceeded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_poll_engine::{Origin, Records};

    fn record(condition: Condition, function_error: bool) -> Value {
        let failure = Failure {
            batch: None,
            origin: Origin::Source,
            records: Records::default(),
            condition,
            approximate_invoke_count: 2,
            function_error,
            had_response: true,
        };
        let response = Response {
            request_id: "id".to_owned(),
            executed_version: "$LATEST".to_owned(),
            function_error: "Unhandled".to_owned(),
            payload: Bytes::new(),
        };
        let batch = ("KinesisBatchInfo", json!({"batchSize": 1}));
        let about = About {
            function_arn: "trine:function:f",
            response: Some(&response),
            batch,
            now_ms: 1_573_690_686_000,
        };
        serde_json::from_slice(&failure_record(&failure, about)).unwrap()
    }

    #[test]
    fn it_is_the_record_of_ls_4_6() {
        let expected = json!({
            "requestContext": {"requestId": "id", "functionArn": "trine:function:f", "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 2},
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0", "timestamp": "2019-11-14T00:18:06.000Z", "KinesisBatchInfo": {"batchSize": 1},
        });
        assert_eq!(record(Condition::RetryAttemptsExhausted, true), expected);
    }

    #[test]
    fn what_only_batch_item_failures_told_has_a_null_error() {
        assert_eq!(
            record(Condition::RetryAttemptsExhausted, false)["responseContext"]["functionError"],
            Value::Null
        );
    }

    #[test]
    fn what_became_too_old_has_no_response_context_and_what_was_too_large_a_null_one() {
        assert!(record(Condition::RecordAgeExceeded, true).get("responseContext").is_none());
        assert_eq!(
            record(Condition::MaximumPayloadSizeExceeded, true)["responseContext"],
            Value::Null
        );
    }
}

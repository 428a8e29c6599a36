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
    pub(super) now_ms: u64,
}

/// Which records, in the words of the source: `KinesisBatchInfo` and its object.
pub(super) type Member = (&'static str, Value);

/// All but which records they are.
pub(super) struct Head(Map<String, Value>);

impl Head {
    pub(super) fn new(failure: &Failure, about: &About<'_>) -> Self {
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
                let version =
                    about.response.map_or("$LATEST", |response| &response.executed_version);
                let context = json!({
                    "statusCode": 200,
                    "executedVersion": version,
                    "functionError": failure.function_error.then_some("Unhandled"),
                });
                record.insert("responseContext".to_owned(), context);
            }
        }
        record.insert("version".to_owned(), "1.0".into());
        let now = rfc3339(i64::try_from(about.now_ms).unwrap_or(i64::MAX));
        record.insert("timestamp".to_owned(), now.into());
        Self(record)
    }

    /// The JSON text of the record about a batch.
    pub(super) fn of_batch(&self, member: Member) -> Bytes {
        self.text(member).into()
    }

    /// The JSON text of the record about a single one: with `payload`, the event that the function got of it (LS 4.8). `None`: it was too large
    /// for one.
    pub(super) fn of_one(&self, member: Member, payload: Option<&[u8]>) -> Bytes {
        let mut text = self.text(member).into_bytes();
        // As it is: read and written again, numbers would change.
        text.pop();
        text.extend_from_slice(b",\"payload\":");
        text.extend_from_slice(payload.unwrap_or(b"null"));
        text.push(b'}');
        text.into()
    }

    fn text(&self, (name, member): Member) -> String {
        let mut record = self.0.clone();
        record.insert(name.to_owned(), member);
        Value::Object(record).to_string()
    }
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

    fn head(condition: Condition, function_error: bool) -> Head {
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
        let about = About {
            function_arn: "trine:function:f",
            response: Some(&response),
            now_ms: 1_573_690_686_000,
        };
        Head::new(&failure, &about)
    }

    fn record(condition: Condition, function_error: bool) -> Value {
        let batch = ("KinesisBatchInfo", json!({"batchSize": 1}));
        serde_json::from_slice(&head(condition, function_error).of_batch(batch)).unwrap()
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

    #[test]
    fn a_single_record_is_there_as_it_was_sent() {
        let head = head(Condition::RetryAttemptsExhausted, true);
        let member = || ("KafkaBatchInfo", json!({"batchSize": 1}));
        let sent = br#"{"records":{"t-0":[{"value":1.0}]}}"#;
        let text = head.of_one(member(), Some(sent));
        assert!(text.ends_with(br#","payload":{"records":{"t-0":[{"value":1.0}]}}}"#), "{text:?}");
        let record: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(record["requestContext"]["condition"], "RetryAttemptsExhausted");
        assert_eq!(record["KafkaBatchInfo"], json!({"batchSize": 1}));
        let too_large: Value = serde_json::from_slice(&head.of_one(member(), None)).unwrap();
        assert_eq!(too_large.get("payload"), Some(&Value::Null));
    }
}

//! The record of a finished asynchronous invocation, as JSON that is Lambda's to the key (LS 3.3).
//!
//! Request and response are put into it as the text they are: a number keeps its digits, an object
//! the order of its keys. Parsing them into values would be simpler and would change 1.0 into 1 and
//! large integers into other integers.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use trine_engine::{Death, End, Ended, EventRecord, EventStage};

use super::timestamp::rfc3339;

/// One record, and what destinations say about it outside of its JSON.
#[derive(Clone)]
pub struct DestinationRecord {
    /// The invocation's request id. The same for every try, so that a destination can tell that it
    /// has the record already.
    pub delivery_id: String,
    /// Name of the function that ran.
    pub function: String,
    /// Identity of what ran: `trine:function:NAME:$LATEST`.
    pub function_arn: String,
    /// The invocation succeeded.
    pub success: bool,
    /// When it ended, RFC 3339. The same for every try.
    pub timestamp: String,
    /// The record.
    pub json: Bytes,
    /// Of its message, where messages have keys.
    pub key: MessageKey,
    /// W3C trace context of whoever invoked the function; empty: none.
    pub traceparent: String,
    /// Vendor part of the trace context; empty: none.
    pub tracestate: String,
}

/// The key of a record's message: messages of one key stay in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MessageKey {
    /// The record's delivery id.
    #[default]
    Id,
    /// That of the source's record which it is about (LS 4.8); `None`: that one has none.
    OfSource(Option<Bytes>),
}

impl MessageKey {
    /// Bytes that it holds by itself.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Id | Self::OfSource(None) => 0,
            Self::OfSource(Some(key)) => key.len(),
        }
    }
}

impl DestinationRecord {
    /// The record of `event`, which has ended with a success or a death; the engine has no record
    /// delivered of any other end.
    ///
    /// `response` is the answer or error object of its last attempt, if it had one. It is left out
    /// where Lambda has none, also if one is given.
    #[must_use]
    pub fn new(event: &EventRecord, request: &[u8], response: Option<&[u8]>) -> Self {
        let (condition, ended_at) = condition(&event.stage);
        let success = condition == "Success";
        let function_arn = format!("trine:function:{}:$LATEST", event.function);
        let timestamp = rfc3339(ended_at);
        let answered = has_response(condition, event.attempts);
        let json = RecordJson {
            version: "1.0",
            timestamp: &timestamp,
            request_context: RequestContext {
                request_id: event.request_id.to_string(),
                function_arn: &function_arn,
                condition,
                approximate_invoke_count: event.attempts,
            },
            request_payload: embed(request, "{}"),
            response_context: answered.then_some(ResponseContext {
                status_code: 200,
                executed_version: "$LATEST",
                function_error: (!success).then_some("Unhandled"),
            }),
            response_payload: answered.then(|| embed(response.unwrap_or_default(), "null")),
        };
        // Strings, numbers and texts that are JSON already: nothing here can fail to be written.
        let json = serde_json::to_vec(&json).expect("a record is JSON").into();
        Self {
            delivery_id: event.request_id.to_string(),
            function: event.function.to_string(),
            function_arn,
            success,
            timestamp,
            json,
            key: MessageKey::Id,
            traceparent: String::new(),
            tracestate: String::new(),
        }
    }

    /// The same with the trace context of the invocation, which destinations get as headers.
    #[must_use]
    pub fn with_trace(self, traceparent: String, tracestate: String) -> Self {
        Self { traceparent, tracestate, ..self }
    }
}

impl fmt::Debug for DestinationRecord {
    /// Without payloads: what is printed ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DestinationRecord")
            .field("delivery_id", &self.delivery_id)
            .field("function", &self.function)
            .field("success", &self.success)
            .field("json_bytes", &self.json.len())
            .finish_non_exhaustive()
    }
}

/// Fields in the order in which Lambda writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordJson<'a> {
    version: &'static str,
    timestamp: &'a str,
    request_context: RequestContext<'a>,
    request_payload: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_payload: Option<Cow<'a, RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: String,
    function_arn: &'a str,
    condition: &'static str,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext {
    status_code: u16,
    executed_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_error: Option<&'static str>,
}

/// How it ended, in Lambda's word, and when. What is never delivered is called what it is.
fn condition(stage: &EventStage) -> (&'static str, u64) {
    let EventStage::Ended(Ended { end, at, .. }) = stage else { return ("Waiting", 0) };
    let condition = match end {
        End::Succeeded => "Success",
        End::Dead(Death::RetriesExhausted) => "RetriesExhausted",
        End::Dead(Death::EventAgeExceeded) => "EventAgeExceeded",
        End::Dead(Death::ZeroReservedConcurrency) => "ZeroReservedConcurrency",
        End::Dead(Death::RecursiveInvocation) => "RecursiveInvocation",
        End::Cancelled => "Cancelled",
        End::Redriven { .. } => "Redriven",
    };
    (condition, *at)
}

/// Whether the record tells of a response: there was an attempt, and it is what the event ended by
/// or at least what was known of it when its age ran out.
fn has_response(condition: &str, attempts: u32) -> bool {
    match condition {
        "Success" | "RetriesExhausted" => true,
        "EventAgeExceeded" => attempts > 0,
        _ => false,
    }
}

/// `bytes` as a JSON value: themselves if they are one, `empty` if there are none, else a string.
fn embed<'a>(bytes: &'a [u8], empty: &'static str) -> Cow<'a, RawValue> {
    let bytes = if bytes.is_empty() { empty.as_bytes() } else { bytes };
    if let Ok(value) = serde_json::from_slice::<&RawValue>(bytes) {
        return Cow::Borrowed(value);
    }
    let text = String::from_utf8_lossy(bytes);
    // Every string is JSON once it is quoted.
    Cow::Owned(serde_json::value::to_raw_value(&text).expect("a string is JSON"))
}

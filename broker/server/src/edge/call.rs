//! An `InvokeRequest` to a call for the shard, and a reply to an `InvokeResponse`: parsed once, here. It does not know
//! whether it came by itself or in a frame.

use bytes::Bytes;
use serde::de::IgnoredAny;
use trine_engine::{FunctionError, Qualifier, RequestId};
use trine_proto::v1::{
    Durability, InvocationType, InvokeRequest, InvokeResponse, LogType, Reason, Refusal,
};
use trine_proto::{ASYNC_PAYLOAD_BYTES_MAX, SYNC_PAYLOAD_BYTES_MAX};

use crate::clock::Clock;
use crate::destinations::error_object;
use crate::refusal::{invalid, invalid_setting, refuse};
use crate::request_id;
use crate::shard::call::{Call, CallMode, Extra, Reply, ReplyBody, Target};

/// Longest client context, in bytes (LS 1.1).
const CLIENT_CONTEXT_BYTES_MAX: usize = 3_583;

/// Longest idempotency key, in characters.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;

/// Longest traceparent and tracestate, in bytes; W3C asks for at least 512 of the latter.
const TRACE_BYTES_MAX: usize = 1_024;

/// `not_before` lies at most this far ahead, in milliseconds: 15 days.
const DELAY_MS_MAX: u64 = 15 * 24 * 3_600_000;

/// What an empty payload reaches the function as (LS 1.1).
const EMPTY_PAYLOAD: &[u8] = b"{}";

/// The function and qualifier that a request names.
pub(crate) fn target(request: &mut InvokeRequest) -> Result<Target, Refusal> {
    if request.function.is_empty() {
        return Err(invalid("function must be the name of a function; it is empty."));
    }
    let qualifier =
        Qualifier::parse(&request.qualifier).map_err(|error| invalid_setting(&error))?;
    let qualified = !request.qualifier.is_empty();
    Ok(Target { name: std::mem::take(&mut request.function), qualifier, qualified })
}

/// The rest of a request.
pub(crate) fn call(
    request: InvokeRequest,
    tag: u64,
    place: usize,
    clock: &Clock,
) -> Result<Call, Refusal> {
    let kind = invocation_type(request.r#type)?;
    let log_tail = match LogType::try_from(request.log_type) {
        Ok(LogType::Unspecified | LogType::None) => false,
        // Like the client context: an event's caller gets no answer that could hold it (LS 1.1).
        Ok(LogType::Tail) => kind != InvocationType::Event,
        Err(_) => return Err(invalid("log_type must be NONE or TAIL.")),
    };
    let payload = payload(request.payload, kind)?;
    let mode = match kind {
        InvocationType::Event => CallMode::Event {
            not_before: not_before(request.not_before_ms, clock)?,
            hops: 0,
            idempotency_key: idempotency_key(&request.idempotency_key)?,
        },
        _ if !request.idempotency_key.is_empty() || request.not_before_ms.is_some() => {
            return Err(invalid(
                "idempotency_key and not_before_ms are for EVENT invocations; leave them out, or set type to EVENT.",
            ));
        }
        InvocationType::DryRun => CallMode::DryRun,
        _ => CallMode::Sync { deadline_ms: request.deadline_ms },
    };
    let client_context = match kind {
        // It would reach the function for as long as the payload is cached, and no longer.
        InvocationType::Event => Bytes::new(),
        _ => request.client_context,
    };
    let extra = extra(client_context, request.traceparent, request.tracestate)?;
    Ok(Call { tag, target: place, payload, mode, log_tail, extra })
}

fn invocation_type(number: i32) -> Result<InvocationType, Refusal> {
    match InvocationType::try_from(number) {
        Ok(InvocationType::Unspecified) => Ok(InvocationType::RequestResponse),
        Ok(kind) => Ok(kind),
        Err(_) => Err(invalid("type must be REQUEST_RESPONSE, EVENT or DRY_RUN.")),
    }
}

fn payload(payload: Bytes, kind: InvocationType) -> Result<Bytes, Refusal> {
    let (max, name) = match kind {
        InvocationType::Event => (ASYNC_PAYLOAD_BYTES_MAX, "EVENT"),
        _ => (SYNC_PAYLOAD_BYTES_MAX, "REQUEST_RESPONSE"),
    };
    if payload.len() > max {
        let size = payload.len();
        return Err(refuse(
            Reason::PayloadTooLarge,
            format!(
                "{size} byte payload is too large for the {name} invocation type (limit {max} bytes)."
            ),
        ));
    }
    if payload.is_empty() {
        return Ok(Bytes::from_static(EMPTY_PAYLOAD));
    }
    match json_error(&payload) {
        None => Ok(payload),
        Some(error) => Err(refuse(
            Reason::MalformedPayload,
            format!(
                "Could not parse request body into json: {error}. The payload must be a JSON text."
            ),
        )),
    }
}

/// Why `payload` is no JSON text. UTF-8 first: the parser does not look into strings that it skips.
fn json_error(payload: &[u8]) -> Option<String> {
    match std::str::from_utf8(payload) {
        Ok(text) => serde_json::from_str::<IgnoredAny>(text).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

fn not_before(not_before_ms: Option<i64>, clock: &Clock) -> Result<Option<u64>, Refusal> {
    let Some(at) = not_before_ms else { return Ok(None) };
    let at = u64::try_from(at)
        .map_err(|_| invalid("not_before_ms must be a time after 1970, in milliseconds."))?;
    if at > clock.now().saturating_add(DELAY_MS_MAX) {
        return Err(invalid("not_before_ms must be at most 15 days ahead."));
    }
    Ok(Some(at))
}

fn idempotency_key(key: &str) -> Result<Option<Box<str>>, Refusal> {
    if key.chars().count() > IDEMPOTENCY_KEY_CHARS_MAX {
        return Err(invalid("idempotency_key must have 1 to 128 characters."));
    }
    Ok((!key.is_empty()).then(|| key.into()))
}

fn extra(
    client_context: Bytes,
    traceparent: String,
    tracestate: String,
) -> Result<Option<Box<Extra>>, Refusal> {
    if client_context.is_empty() && traceparent.is_empty() && tracestate.is_empty() {
        return Ok(None);
    }
    if client_context.len() > CLIENT_CONTEXT_BYTES_MAX {
        return Err(invalid("client_context must have at most 3583 bytes."));
    }
    if traceparent.len() > TRACE_BYTES_MAX || tracestate.len() > TRACE_BYTES_MAX {
        return Err(invalid("traceparent and tracestate must have at most 1024 bytes each."));
    }
    Ok(Some(Box::new(Extra { client_context, traceparent, tracestate })))
}

/// What a reply says on the wire.
pub(crate) fn response(reply: Reply, durability: Durability) -> Result<InvokeResponse, Refusal> {
    let Reply { request_id, body, .. } = reply;
    match body {
        ReplyBody::Response { payload, log_tail } => Ok(executed(request_id, payload, log_tail)),
        ReplyBody::Failed { error, payload, log_tail } => {
            let payload = match error {
                FunctionError::Reported => payload,
                error => error_object(error, request_id),
            };
            let function_error = "Unhandled".to_owned();
            Ok(InvokeResponse { function_error, ..executed(request_id, payload, log_tail) })
        }
        ReplyBody::Accepted { duplicate, no_worker } => Ok(InvokeResponse {
            request_id: request_id::text(request_id),
            duplicate,
            durability: durability.into(),
            warnings: no_worker.then(no_worker_warning).into_iter().collect(),
            ..InvokeResponse::default()
        }),
        ReplyBody::DryRun => Ok(InvokeResponse {
            request_id: request_id::text(request_id),
            ..InvokeResponse::default()
        }),
        ReplyBody::Refused(refusal) => Err(*refusal),
    }
}

fn executed(request_id: RequestId, payload: Bytes, log_tail: Bytes) -> InvokeResponse {
    InvokeResponse {
        request_id: request_id::text(request_id),
        executed_version: "$LATEST".to_owned(),
        payload,
        log_tail,
        ..InvokeResponse::default()
    }
}

fn no_worker_warning() -> String {
    "No connected worker serves the function now; the event waits for one.".to_owned()
}

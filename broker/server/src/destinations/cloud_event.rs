//! A record as a CloudEvents 1.0 event in binary mode: the attributes beside the record's JSON.
//! HTTP and NATS name them alike; where they go is theirs.

use super::DestinationRecord;

/// Type of the record's bytes.
pub(super) const CONTENT_TYPE: &str = "application/json";

/// The attributes of `record` as header names and values.
///
/// `ce-id` together with `ce-source` is the same for every try, which is how CloudEvents has
/// receivers find duplicates. `ce-subject` is the plain name of the function, for rules that
/// match on it; the invocation is in `ce-id` already. The values are made of what is checked
/// elsewhere and need no percent-encoding: names, UUIDs, times.
pub(super) fn attributes(record: &DestinationRecord) -> [(&'static str, &str); 6] {
    let kind = if record.success { "trine.invocation.success" } else { "trine.invocation.failure" };
    [
        ("ce-specversion", "1.0"),
        ("ce-id", &record.delivery_id),
        ("ce-source", &record.function_arn),
        ("ce-type", kind),
        ("ce-subject", &record.function),
        ("ce-time", &record.timestamp),
    ]
}

/// The trace context, if there is one that a header can carry. It came from a client: anything but
/// visible ASCII is left out, and with it the chance to write a header of one's own.
pub(super) fn trace(record: &DestinationRecord) -> impl Iterator<Item = (&'static str, &str)> {
    let fine = |value: &str| {
        !value.is_empty() && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    };
    [("traceparent", record.traceparent.as_str()), ("tracestate", record.tracestate.as_str())]
        .into_iter()
        .filter(move |(_, value)| fine(value))
}

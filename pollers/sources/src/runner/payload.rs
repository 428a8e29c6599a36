//! The event that a function gets: the envelope of the source around the elements of a batch, and the members of a tumbling
//! window (LS 4.5 to 4.9). It does not know where the elements come from.

use bytes::{Bytes, BytesMut};
use trine_poll_engine::WindowPart;

use crate::source::Envelope;
use crate::timestamp::rfc3339;

/// What the event says of its tumbling window (LS 4.6).
#[derive(Clone, Debug)]
pub(super) struct WindowMembers {
    pub(super) part: WindowPart,
    /// A JSON text; empty: none yet.
    pub(super) state: Bytes,
    pub(super) shard: String,
    pub(super) source: String,
}

/// The whole event.
pub(super) fn event(
    envelope: &Envelope,
    elements: &[Bytes],
    window: Option<&WindowMembers>,
) -> Bytes {
    let members = window.map(members).unwrap_or_default();
    let bytes: usize = elements.iter().map(|element| element.len() + 1).sum();
    let mut event =
        BytesMut::with_capacity(envelope.open.len() + bytes + envelope.close.len() + members.len());
    event.extend_from_slice(envelope.open.as_bytes());
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            event.extend_from_slice(b",");
        }
        event.extend_from_slice(element);
    }
    match envelope.close.strip_suffix('}') {
        Some(close) if !members.is_empty() => {
            event.extend_from_slice(close.as_bytes());
            event.extend_from_slice(members.as_bytes());
            event.extend_from_slice(b"}");
        }
        _ => event.extend_from_slice(envelope.close.as_bytes()),
    }
    event.freeze()
}

fn members(window: &WindowMembers) -> String {
    let WindowPart { start_ms, end_ms, is_final, is_terminated_early, .. } = window.part;
    let state = match std::str::from_utf8(&window.state) {
        Ok(state) if !state.is_empty() => state,
        _ => "{}",
    };
    let text = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        ",\"window\":{{\"start\":{},\"end\":{}}},\"state\":{state},\"shardId\":{},\"eventSourceARN\":{},\
         \"isFinalInvokeForWindow\":{is_final},\"isWindowTerminatedEarly\":{is_terminated_early}",
        text(&timestamp(start_ms)),
        text(&timestamp(end_ms)),
        text(&window.shard),
        text(&window.source),
    )
}

/// `2020-07-30T17:00:00Z`, with milliseconds only where there are some.
fn timestamp(at_ms: u64) -> String {
    let text = rfc3339(i64::try_from(at_ms).unwrap_or(i64::MAX));
    match text.strip_suffix(".000Z") {
        Some(seconds) => format!("{seconds}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stand_in_their_envelope() {
        let envelope = Envelope::records();
        let elements = [Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{\"a\":2}")];
        assert_eq!(&event(&envelope, &elements, None)[..], b"{\"Records\":[{\"a\":1},{\"a\":2}]}");
        assert_eq!(&event(&envelope, &[], None)[..], b"{\"Records\":[]}");
    }

    #[test]
    fn a_window_adds_its_members() {
        let part = WindowPart {
            start_ms: 1_596_128_400_000,
            end_ms: 1_596_128_520_500,
            is_final: true,
            is_terminated_early: false,
            has_state: true,
        };
        let window = WindowMembers {
            part,
            state: Bytes::from_static(b"{\"n\":3}"),
            shard: "shardId-0".to_owned(),
            source: "arn:\"x\"".to_owned(),
        };
        let event = event(&Envelope::records(), &[], Some(&window));
        let event: serde_json::Value = serde_json::from_slice(&event).unwrap();
        let expected = serde_json::json!({
            "Records": [], "window": {"start": "2020-07-30T17:00:00Z", "end": "2020-07-30T17:02:00.500Z"}, "state": {"n": 3},
            "shardId": "shardId-0", "eventSourceARN": "arn:\"x\"", "isFinalInvokeForWindow": true, "isWindowTerminatedEarly": false,
        });
        assert_eq!(event, expected);
    }
}

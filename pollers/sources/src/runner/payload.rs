//! The event that a function gets: the envelope of the source around the elements of a batch, and the members of a tumbling
//! window (LS 4.5 to 4.9). It does not know where the elements come from.

use bytes::{Bytes, BytesMut};
use trine_poll_engine::WindowPart;

use crate::source::Envelope;

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
pub(super) fn timestamp(millis: u64) -> String {
    let seconds = millis / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let fraction = match millis % 1_000 {
        0 => String::new(),
        fraction => format!(".{fraction:03}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Year, month and day of a number of days since the Unix epoch, in the Gregorian calendar.
const fn civil(days: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that a leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
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

    #[test]
    fn days_become_dates() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(timestamp(4_102_444_799_999), "2099-12-31T23:59:59.999Z");
    }
}

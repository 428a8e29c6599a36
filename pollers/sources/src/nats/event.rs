//! The JSON of one message as the function gets it: the only place that knows its shape.

use async_nats::HeaderMap;
use bytes::Bytes;

use super::delivery::Delivery;
use crate::json_text::{base64, buffer, number, string};

/// Writes the events of one consumer.
#[derive(Clone, Debug)]
pub(crate) struct EventWriter {
    /// Everything up to the subject: the same in all of them.
    opening: Vec<u8>,
}

impl EventWriter {
    pub(crate) fn new(stream: &str, consumer: &str) -> Self {
        let mut opening = b"{\"eventSource\":\"trine:nats\",\"stream\":".to_vec();
        string(stream, &mut opening);
        opening.extend_from_slice(b",\"consumer\":");
        string(consumer, &mut opening);
        opening.extend_from_slice(b",\"subject\":");
        Self { opening }
    }

    pub(crate) fn event(
        &self,
        subject: &str,
        delivery: &Delivery,
        headers: Option<&HeaderMap>,
        payload: &[u8],
    ) -> Bytes {
        let mut event = buffer(payload.len());
        event.extend_from_slice(&self.opening);
        string(subject, &mut event);
        for (name, value) in [
            ("streamSequence", delivery.stream_sequence),
            ("consumerSequence", delivery.consumer_sequence),
            ("deliveredCount", delivery.count),
        ] {
            event.extend_from_slice(b",\"");
            event.extend_from_slice(name.as_bytes());
            event.extend_from_slice(b"\":");
            number(value, &mut event);
        }
        event.extend_from_slice(b",\"timestamp\":");
        number(delivery.stored_at_ms(), &mut event);
        event.extend_from_slice(b",\"headers\":{");
        write_headers(headers, &mut event);
        event.extend_from_slice(b"},\"data\":");
        base64(payload, &mut event);
        event.push(b'}');
        event.into()
    }
}

fn write_headers(headers: Option<&HeaderMap>, event: &mut Vec<u8>) {
    let mut headers: Vec<_> = headers.into_iter().flat_map(HeaderMap::iter).collect();
    // A record is the same text each time it comes.
    headers.sort_by_key(|(name, _)| AsRef::<str>::as_ref(*name));
    for (at, (name, values)) in headers.into_iter().enumerate() {
        if at > 0 {
            event.push(b',');
        }
        string(AsRef::<str>::as_ref(name), event);
        event.extend_from_slice(b":[");
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                event.push(b',');
            }
            string(value.as_str(), event);
        }
        event.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_this_shape() {
        let delivery = Delivery::of("$JS.ACK.S.C.2.10.11.1700000000123456789.5").unwrap();
        let mut headers = HeaderMap::new();
        headers.append("X-A", "1");
        headers.append("X-A", "\"2\"");
        let event = EventWriter::new("S", "C").event("a.b", &delivery, Some(&headers), b"hello");
        assert_eq!(
            std::str::from_utf8(&event).unwrap(),
            "{\"eventSource\":\"trine:nats\",\"stream\":\"S\",\"consumer\":\"C\",\"subject\":\"a.b\",\
             \"streamSequence\":10,\"consumerSequence\":11,\"deliveredCount\":2,\"timestamp\":1700000000123,\
             \"headers\":{\"X-A\":[\"1\",\"\\\"2\\\"\"]},\"data\":\"aGVsbG8=\"}"
        );
        let bare = EventWriter::new("S", "C").event("a", &delivery, None, b"");
        let bare: serde_json::Value = serde_json::from_slice(&bare).unwrap();
        assert_eq!((&bare["headers"], &bare["data"]), (&serde_json::json!({}), &"".into()));
    }
}

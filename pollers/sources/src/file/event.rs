//! The JSON of one line as the function gets it: the only place that knows its shape.

use base64_simd::STANDARD;
use bytes::Bytes;

use super::json::is_json;

/// Writes the events of one source.
#[derive(Clone, Debug)]
pub(crate) struct EventWriter {
    /// Everything up to the id: the same in all of them.
    opening: String,
}

/// A line that is a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The line without what is not content.
    pub(crate) body: Bytes,
    pub(crate) event: Bytes,
}

impl EventWriter {
    pub(crate) fn new(mapping_id: &str, path: &str) -> Self {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let (name, path) = (text(mapping_id), text(path));
        let opening = format!(
            "{{\"eventSource\":\"trine:file\",\"eventSourceName\":{name},\"path\":{path},\"id\":\""
        );
        Self { opening }
    }

    /// The event of the line `id` at `offset`, without its line end. `None` for a blank line, which is no
    /// record.
    pub(crate) fn event(&self, id: &str, offset: u64, line: &Bytes) -> Option<Written> {
        let line = without_suffix(line, b"\r");
        let line = if offset == 0 { without_prefix(&line, BYTE_ORDER_MARK) } else { line };
        let trimmed = line.trim_ascii();
        if trimmed.is_empty() {
            return None;
        }
        let (format, value) = match std::str::from_utf8(&line) {
            Ok(text) if is_json(text) => ("json", None),
            Ok(text) => ("text", Some(serde_json::Value::from(text).to_string())),
            Err(_) => ("base64", Some(format!("\"{}\"", STANDARD.encode_to_string(&line)))),
        };
        let value = value.as_deref().map_or(trimmed, str::as_bytes);
        let opening = &self.opening;
        let middle = format!("{id}\",\"offset\":{offset},\"format\":\"{format}\",\"line\":");
        let mut event = Vec::with_capacity(opening.len() + middle.len() + value.len() + 1);
        for part in [opening.as_bytes(), middle.as_bytes(), value, b"}"] {
            event.extend_from_slice(part);
        }
        Some(Written { event: event.into(), body: line })
    }
}

/// What some editors put at the start of a file to say that it is UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn without_suffix(line: &Bytes, suffix: &[u8]) -> Bytes {
    line.slice(..line.strip_suffix(suffix).unwrap_or(line).len())
}

fn without_prefix(line: &Bytes, prefix: &[u8]) -> Bytes {
    line.slice(line.len() - line.strip_prefix(prefix).unwrap_or(line).len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(offset: u64, line: &[u8]) -> Option<Written> {
        EventWriter::new("orders", "/var/\"o\".jsonl").event("7-17", offset, &line.to_vec().into())
    }

    fn line(offset: u64, line: &[u8]) -> (String, serde_json::Value) {
        let event: serde_json::Value =
            serde_json::from_slice(&written(offset, line).unwrap().event).unwrap();
        (event["format"].as_str().unwrap().to_owned(), event["line"].clone())
    }

    #[test]
    fn an_event_has_this_shape_and_the_line_as_it_was_written() {
        let written = written(17, b" {\"n\": 1.0}\r").unwrap();
        assert_eq!(
            String::from_utf8_lossy(&written.event),
            "{\"eventSource\":\"trine:file\",\"eventSourceName\":\"orders\",\
             \"path\":\"/var/\\\"o\\\".jsonl\",\"id\":\"7-17\",\"offset\":17,\"format\":\"json\",\"line\":{\"n\": 1.0}}"
        );
        assert_eq!(written.body, " {\"n\": 1.0}");
    }

    #[test]
    fn lines_that_are_not_json_are_strings_and_lose_nothing() {
        assert_eq!(line(0, b"GET / \"x\" \t200 "), ("text".into(), "GET / \"x\" \t200 ".into()));
        assert_eq!(line(0, b"{\"cut\":"), ("text".into(), "{\"cut\":".into()));
        assert_eq!(line(0, b"\xff\x00a"), ("base64".into(), "/wBh".into()));
        assert_eq!(line(0, b"\"a string\""), ("json".into(), "a string".into()));
    }

    #[test]
    fn blank_lines_are_no_records_and_a_byte_order_mark_is_no_content() {
        for blank in [&b""[..], b"\r", b" \t"] {
            assert_eq!(written(5, blank), None);
        }
        assert_eq!(line(0, b"\xef\xbb\xbf{}"), ("json".into(), serde_json::json!({})));
        assert_eq!(line(9, b"\xef\xbb\xbf{}").0, "text");
    }
}

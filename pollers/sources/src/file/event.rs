//! The JSON of one line as the function gets it: the only place that knows its shape.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::json::is_json;

/// Writes the events of one source.
#[derive(Clone, Debug)]
pub(crate) struct EventWriter {
    /// Everything up to the offset: the same in all of them.
    opening: String,
}

impl EventWriter {
    pub(crate) fn new(name: &str, path: &str) -> Self {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let (name, path) = (text(name), text(path));
        let opening = format!(
            "{{\"eventSource\":\"trine:file\",\"eventSourceName\":{name},\"path\":{path},\"offset\":"
        );
        Self { opening }
    }

    /// The event of the line at `offset`, without its line end. `None` for a blank line, which is no
    /// record.
    pub(crate) fn event(&self, offset: u64, line: &[u8]) -> Option<Bytes> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line =
            if offset == 0 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        let trimmed = line.trim_ascii();
        if trimmed.is_empty() {
            return None;
        }
        let (format, value) = match std::str::from_utf8(line) {
            Ok(text) if is_json(text) => ("json", None),
            Ok(text) => ("text", Some(serde_json::Value::from(text).to_string())),
            Err(_) => ("base64", Some(format!("\"{}\"", STANDARD.encode(line)))),
        };
        let value = value.as_deref().map_or(trimmed, str::as_bytes);
        let opening = &self.opening;
        let mut event = format!("{opening}{offset},\"format\":\"{format}\",\"line\":").into_bytes();
        event.reserve_exact(value.len() + 1);
        event.extend_from_slice(value);
        event.push(b'}');
        Some(event.into())
    }
}

/// What some editors put at the start of a file to say that it is UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    fn event(offset: u64, line: &[u8]) -> Option<String> {
        let event = EventWriter::new("orders", "/var/\"o\".jsonl").event(offset, line)?;
        Some(String::from_utf8(event.to_vec()).unwrap())
    }

    fn line(offset: u64, line: &[u8]) -> (String, serde_json::Value) {
        let event: serde_json::Value = serde_json::from_str(&event(offset, line).unwrap()).unwrap();
        (event["format"].as_str().unwrap().to_owned(), event["line"].clone())
    }

    #[test]
    fn an_event_has_this_shape_and_the_line_as_it_was_written() {
        assert_eq!(
            event(17, b" {\"n\": 1.0}\r").unwrap(),
            "{\"eventSource\":\"trine:file\",\"eventSourceName\":\"orders\",\
             \"path\":\"/var/\\\"o\\\".jsonl\",\"offset\":17,\"format\":\"json\",\"line\":{\"n\": 1.0}}"
        );
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
            assert_eq!(event(5, blank), None);
        }
        assert_eq!(line(0, b"\xef\xbb\xbf{}"), ("json".into(), serde_json::json!({})));
        assert_eq!(line(9, b"\xef\xbb\xbf{}").0, "text");
    }
}

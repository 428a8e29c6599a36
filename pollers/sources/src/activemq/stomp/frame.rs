//! One frame: command, headers, body; and how one is written.

use bytes::Bytes;

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) command: String,
    /// In their order, unescaped. Of a repeated name the first one counts.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// All of it.
    Kept(Bytes),
    /// It was larger than anybody wants, this many bytes, and is gone.
    Skipped(u64),
}

impl Frame {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Its body as text, for people.
    pub(crate) fn text(&self) -> String {
        match &self.body {
            Body::Kept(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Skipped(bytes) => format!("({bytes} bytes)"),
        }
    }
}

/// Frames to the server, one after the other.
#[derive(Debug, Default)]
pub(crate) struct FrameWriter(Vec<u8>);

impl FrameWriter {
    /// Adds a frame without a body.
    pub(crate) fn frame(&mut self, command: &str, headers: &[(&str, &str)]) {
        self.0.extend_from_slice(command.as_bytes());
        self.0.push(b'\n');
        // The one frame that is read by older servers too, which know no escapes.
        let plain = command == "CONNECT";
        for (name, value) in headers {
            for text in [*name, ":", *value, "\n"] {
                if plain || matches!(text, ":" | "\n") {
                    self.0.extend_from_slice(text.as_bytes());
                } else {
                    escape(text, &mut self.0);
                }
            }
        }
        self.0.extend_from_slice(b"\n\0");
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

fn escape(text: &str, into: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b':' => into.extend_from_slice(b"\\c"),
            byte => into.push(byte),
        }
    }
}

/// The opposite. An escape that the protocol does not know stays as it is: refusing the frame would refuse its record for ever.
pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let escaped = match after.as_bytes().first() {
            Some(b'n') => Some('\n'),
            Some(b'r') => Some('\r'),
            Some(b'c') => Some(':'),
            Some(b'\\') => Some('\\'),
            _ => None,
        };
        plain.push(escaped.unwrap_or('\\'));
        // An escape is one ASCII character.
        rest = if escaped.is_some() { &after[1..] } else { after };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_written_with_escapes_but_the_first() {
        let mut writer = FrameWriter::default();
        writer.frame("CONNECT", &[("passcode", "a:b\\")]);
        writer.frame("ACK", &[("id", "ID:1\n\r\\")]);
        let expected = "CONNECT\npasscode:a:b\\\n\n\0ACK\nid:ID\\c1\\n\\r\\\\\n\n\0";
        assert_eq!(String::from_utf8(writer.bytes()).unwrap(), expected);
    }

    #[test]
    fn escapes_are_read() {
        for (text, plain) in [
            ("", ""),
            ("a\\cb", "a:b"),
            ("\\\\n\\n\\r", "\\n\n\r"),
            ("é\\cé", "é:é"),
            ("\\t\\", "\\t\\"),
        ] {
            assert_eq!(unescape(text), plain);
        }
    }
}

//! A JSON text written by hand into one buffer. It does not check that what is written together is valid: its callers write
//! fixed shapes, and only strings and bytes come from outside.

use base64_simd::STANDARD;
use bytes::Bytes;

/// A buffer for one JSON text.
#[derive(Debug)]
pub(crate) struct Json(Vec<u8>);

impl Json {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    #[cfg(feature = "dynamodb-streams")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// As it is.
    pub(crate) fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Quoted and escaped.
    pub(crate) fn string(&mut self, text: &str) {
        self.0.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| ESCAPED[usize::from(*byte)]) {
            self.0.extend_from_slice(&rest[..at]);
            self.escape(rest[at]);
            rest = &rest[at + 1..];
        }
        self.0.extend_from_slice(rest);
        self.0.push(b'"');
    }

    /// Quoted, as base64.
    pub(crate) fn base64(&mut self, bytes: &[u8]) {
        self.0.push(b'"');
        STANDARD.encode_append(bytes, &mut self.0);
        self.0.push(b'"');
    }

    /// `"name":`, after a comma unless it is the first member.
    pub(crate) fn name(&mut self, name: &str) {
        if !matches!(self.0.last(), Some(b'{' | b'[') | None) {
            self.0.push(b',');
        }
        self.string(name);
        self.0.push(b':');
    }

    /// Every item of a list, with commas between them.
    #[cfg(any(feature = "sqs", feature = "dynamodb-streams"))]
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.raw("[");
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]");
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                self.raw(&format!("\\u{byte:04x}"));
                return;
            }
        };
        self.0.extend_from_slice(&[b'\\', short]);
    }
}

/// How long the base64 text of so many bytes is.
pub(crate) const fn base64_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// Which bytes of a string are not written as they are.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escaped[byte] = true;
        byte += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_they_were() {
        let every_ascii: String = (0..128_u8).map(char::from).collect();
        for text in ["", "plain", "\"\\/\u{8}\u{c}\n\r\t\u{1f}é\u{2028}😀", &every_ascii] {
            let mut json = Json::with_capacity(0);
            json.string(text);
            let back: String = serde_json::from_slice(&json.into_bytes()).unwrap();
            assert_eq!(back, text);
        }
    }

    #[cfg(any(feature = "sqs", feature = "dynamodb-streams"))]
    #[test]
    fn base64_and_members_are_written_in_place() {
        let mut json = Json::with_capacity(0);
        json.raw("{");
        for (name, bytes) in [("a", &b""[..]), ("b", b"f"), ("c", b"fo"), ("d", b"\xff\x00\x01")] {
            json.name(name);
            json.base64(bytes);
        }
        json.name("e");
        json.list([1, 2], |json, number| json.raw(&number.to_string()));
        json.raw("}");
        let text = json.into_bytes();
        assert_eq!(text, r#"{"a":"","b":"Zg==","c":"Zm8=","d":"/wAB","e":[1,2]}"#);
    }
}

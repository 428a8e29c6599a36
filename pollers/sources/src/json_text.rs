//! JSON written by hand into a buffer: events are many and their shapes are fixed, so that no tree of values is made of them.

use std::io::Write as _;

use base64_simd::STANDARD;

/// Bytes of an event beside its base64 that a buffer is made for.
const AROUND_BYTES: usize = 512;

/// A buffer for an event that carries so many bytes as base64.
pub(crate) fn buffer(carried: usize) -> Vec<u8> {
    Vec::with_capacity(AROUND_BYTES + carried.div_ceil(3) * 4)
}

/// A JSON string.
pub(crate) fn string(text: &str, into: &mut Vec<u8>) {
    // Writing to memory does not fail, and a string always is JSON.
    serde_json::to_writer(into, text).expect("a string is JSON");
}

/// A number.
pub(crate) fn number(number: impl Into<i128>, into: &mut Vec<u8>) {
    write!(into, "{}", number.into()).expect("writing to memory does not fail");
}

/// Bytes as a JSON string of base64.
pub(crate) fn base64(bytes: &[u8], into: &mut Vec<u8>) {
    into.push(b'"');
    STANDARD.encode_append(bytes, into);
    into.push(b'"');
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;

    use super::*;

    #[test]
    fn what_is_written_is_json() {
        for length in 0..10 {
            let bytes = vec![0xfb; length];
            let mut text = buffer(length);
            text.extend_from_slice(b"{\"n\":");
            number(u64::MAX, &mut text);
            text.extend_from_slice(b",\"i\":");
            number(-7_i64, &mut text);
            text.extend_from_slice(b",\"s\":");
            string("a \"b\"\n\u{1}é", &mut text);
            text.extend_from_slice(b",\"d\":");
            base64(&bytes, &mut text);
            text.push(b'}');
            let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let expected = serde_json::json!({
                "n": u64::MAX, "i": -7, "s": "a \"b\"\n\u{1}é", "d": ::base64::engine::general_purpose::STANDARD.encode(&bytes)
            });
            assert_eq!(read, expected);
        }
    }
}

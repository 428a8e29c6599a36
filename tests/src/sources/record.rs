//! One record of a run: whose it is, the how manieth of its key, and its text; and how the records of an event are found again,
//! whatever the source has wrapped around them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use serde_json::Value;

/// Length of a record's text.
pub const RECORD_BYTES: usize = 1_024;

/// What the text of a record begins with, and what it begins with in base64: six bytes are eight characters, whatever follows.
const MARK: &str = "trine:";
const MARK_IN_BASE64: &str = "dHJpbmU6";

/// Characters of base64 in which key and sequence are for sure: whole groups of four.
const HEAD_IN_BASE64: usize = 64;

/// A record by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    pub key: u32,
    /// Counts from 0 within the key, in the order in which the records are produced.
    pub sequence: u64,
}

impl Record {
    /// What is produced: `trine:KEY:SEQUENCE:` and padding.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = format!("{MARK}{}:{}:", self.key, self.sequence);
        text.extend(std::iter::repeat_n('.', RECORD_BYTES - text.len()));
        text
    }

    /// The key as sources take it.
    #[must_use]
    pub fn key_text(self) -> String {
        format!("key-{}", self.key)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(MARK)?.split(':');
        let key = parts.next()?.parse().ok()?;
        let sequence = parts.next()?.parse().ok()?;
        Some(Self { key, sequence })
    }

    fn parse_base64(text: &str) -> Option<Self> {
        let head = text.get(..HEAD_IN_BASE64).filter(|head| head.starts_with(MARK_IN_BASE64))?;
        Self::parse(std::str::from_utf8(&STANDARD.decode(head).ok()?).ok()?)
    }
}

/// The records in an event, in its order.
///
/// # Errors
/// If the event is not JSON.
pub fn records_of(event: &[u8]) -> Result<Vec<Record>, serde_json::Error> {
    let mut found = Vec::new();
    gather(&serde_json::from_slice(event)?, &mut found);
    Ok(found)
}

/// How many records are in an event, by a look at its bytes: for functions that must not be slower than what is measured.
#[must_use]
pub fn count_of(event: &[u8]) -> u64 {
    let plain = memmem::find_iter(event, MARK).filter(|at| {
        // Sources are called `trine:kafka` and the like; a record goes on with the number of its key.
        event.get(at + MARK.len()).is_some_and(u8::is_ascii_digit)
    });
    (plain.count() + memmem::find_iter(event, MARK_IN_BASE64).count()) as u64
}

fn gather(value: &Value, found: &mut Vec<Record>) {
    match value {
        Value::String(text) => {
            found.extend(Record::parse(text).or_else(|| Record::parse_base64(text)));
        }
        Value::Array(elements) => elements.iter().for_each(|element| gather(element, found)),
        Value::Object(members) => members.values().for_each(|member| gather(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_found_in_whatever_is_around_it() {
        let first = Record { key: 0, sequence: 0 };
        let second = Record { key: 63, sequence: 1_234_567_890 };
        assert_eq!(first.text().len(), RECORD_BYTES);
        let event = json!({"records": {"t-0": [
            {"key": STANDARD.encode("key-0"), "value": STANDARD.encode(first.text())},
            {"dynamodb": {"NewImage": {"text": {"S": second.text()}}}},
        ]}});
        assert_eq!(records_of(event.to_string().as_bytes()).unwrap(), [first, second]);
        assert_eq!(count_of(event.to_string().as_bytes()), 2);
        assert_eq!(count_of(b"{\"eventSource\":\"trine:file\"}"), 0);
        assert!(records_of(b"{").is_err());
    }
}

//! What the broker's messages look like to people and to programs: one file a noun.
//!
//! The JSON keeps the names and units of the contract, so that whoever knows one knows the other.

pub(crate) mod base64;
pub(crate) mod function;
pub(crate) mod invocation;
pub(crate) mod mapping;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The short name of an enum value of the contract, in lower case: `INVOCATION_STATE_READY` with
/// the prefix `INVOCATION_STATE_` is `ready`.
pub(crate) fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

/// A JSON text as it is inside other JSON: as a value, not as a string. What is not JSON (a
/// broker would not send it) is shown as a string rather than hidden.
#[derive(Debug)]
pub(crate) struct Json<'a>(pub(crate) &'a [u8]);

impl Json<'_> {
    /// One line. In a JSON text a line break can only stand between values, so a blank does as well.
    pub(crate) fn line(&self) -> String {
        String::from_utf8_lossy(self.0).replace(['\n', '\r'], " ")
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let line = self.line();
        match RawValue::from_string(line) {
            Ok(value) => value.serialize(serializer),
            Err(_) => String::from_utf8_lossy(self.0).serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_stays_what_it_is_and_on_one_line() {
        let show = |text: &str| serde_json::to_string(&Json(text.as_bytes())).expect("JSON");
        assert_eq!(
            show("{\n \"a\": 12345678901234567890123}"),
            "{  \"a\": 12345678901234567890123}"
        );
        assert_eq!(show("\"a\\nb\""), "\"a\\nb\"");
        assert_eq!(show("not json"), "\"not json\"");
    }

    #[test]
    fn names_are_short() {
        assert_eq!(short("INVOCATION_STATE_READY", "INVOCATION_STATE_"), "ready");
    }
}

//! Whether a line is a JSON text that every reader of the payload can read. It keeps nothing of it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Deepest nesting that is handed on as JSON. Common parsers stop at 128, and the payload around a line
/// adds three: a line that only the function's parser refuses would come back for ever.
const DEPTH_MAX: u32 = 100;

/// Whether `text` is one JSON value, not too deep, with strings that are Unicode and numbers that fit.
pub(crate) fn is_json(text: &str) -> bool {
    let mut reader = serde_json::Deserializer::from_str(text);
    Value { depth: 0 }.deserialize(&mut reader).is_ok() && reader.end().is_ok()
}

/// Reads a value and drops it.
#[derive(Clone, Copy)]
struct Value {
    depth: u32,
}

impl Value {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        if number.is_finite() { Ok(()) } else { Err(E::custom("out of range")) }
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let inner = self.inner::<A::Error>()?;
        while values.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while entries.next_key_seed(inner)?.is_some() {
            entries.next_value_seed(inner).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_from_text() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for json in ["1", "-0.5e3", "null", "\"é\\n\"", " {\"a\":[true,{}]} ", &deep(100)] {
            assert!(is_json(json), "{json}");
        }
        for text in
            ["", " ", "a", "{", "1 2", "{\"a\":}", "'a'", "1e999", "\"\\ud800\"", "NaN", &deep(101)]
        {
            assert!(!is_json(text), "{text}");
        }
    }

    #[test]
    fn what_is_taken_for_json_can_be_read_inside_a_payload() {
        let deepest = format!("{}1{}", "{\"a\":[".repeat(50), "]}".repeat(50));
        assert!(is_json(&deepest));
        let payload = format!("{{\"Records\":[{{\"line\":{deepest}}}]}}");
        serde_json::from_str::<serde_json::Value>(&payload).unwrap();
    }
}

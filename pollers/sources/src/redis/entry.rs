//! Entries of a stream as the server sends them, and their ids.

use std::fmt;
use std::str::FromStr;

use redis::Value;

/// The id of an entry: milliseconds since the Unix epoch unless the producer chose it, and a number within them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId {
    pub(crate) at_ms: u64,
    pub(crate) number: u64,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// Names and values in their order. `None`: it was trimmed or deleted while it was pending.
    pub(crate) fields: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl EntryId {
    /// Before all entries.
    pub(crate) const ZERO: Self = Self { at_ms: 0, number: 0 };

    /// The id right before this one; zero has none.
    pub(crate) const fn before(self) -> Self {
        match (self.at_ms, self.number) {
            (0, 0) => Self::ZERO,
            (at_ms, 0) => Self { at_ms: at_ms - 1, number: u64::MAX },
            (at_ms, number) => Self { at_ms, number: number - 1 },
        }
    }

    fn of(value: &Value) -> Option<Self> {
        std::str::from_utf8(bytes(value)?).ok()?.parse().ok()
    }
}

impl FromStr for EntryId {
    type Err = ();

    /// `1700000000000-0`, or without the number, which is 0 then.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (at_ms, number) = text.split_once('-').unwrap_or((text, "0"));
        Ok(Self { at_ms: at_ms.parse().map_err(drop)?, number: number.parse().map_err(drop)? })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at_ms, self.number)
    }
}

/// The bytes of a string of any kind.
pub(crate) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// What XREADGROUP says about one stream. Nothing at all means that there is nothing. `None`: it is not what it should be.
pub(crate) fn read(answer: Value) -> Option<Vec<Entry>> {
    match answer {
        Value::Nil => Some(Vec::new()),
        Value::Array(streams) => {
            let Some(Value::Array(mut stream)) = streams.into_iter().next() else { return None };
            entries(stream.pop()?)
        }
        _ => None,
    }
}

/// What XAUTOCLAIM says: where it goes on, what was claimed, and what is gone.
pub(crate) fn claimed(answer: Value) -> Option<(EntryId, Vec<Entry>, Vec<EntryId>)> {
    let Value::Array(parts) = answer else { return None };
    let mut parts = parts.into_iter();
    let next = EntryId::of(&parts.next()?)?;
    let entries = entries(parts.next()?)?;
    // Servers before 7.0 have no third part and send the gone ones as nothing.
    let gone = match parts.next() {
        Some(Value::Array(gone)) => gone.iter().map(EntryId::of).collect::<Option<Vec<_>>>()?,
        _ => Vec::new(),
    };
    Some((next, entries, gone))
}

/// A list of entries. What is not even told by its id, as servers before 7.0 do, is left out.
pub(crate) fn entries(list: Value) -> Option<Vec<Entry>> {
    let Value::Array(list) = list else { return None };
    list.into_iter().filter(|entry| *entry != Value::Nil).map(entry).collect()
}

fn entry(entry: Value) -> Option<Entry> {
    let Value::Array(parts) = entry else { return None };
    let mut parts = parts.into_iter();
    let id = EntryId::of(&parts.next()?)?;
    let fields = match parts.next()? {
        Value::Nil => None,
        Value::Array(flat) => Some(pairs(flat)?),
        _ => return None,
    };
    Some(Entry { id, fields })
}

fn pairs(flat: Vec<Value>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut pairs = Vec::with_capacity(flat.len() / 2);
    let mut flat = flat.into_iter();
    while let Some(name) = flat.next() {
        let (Value::BulkString(name), Value::BulkString(value)) = (name, flat.next()?) else {
            return None;
        };
        pairs.push((name, value));
    }
    Some(pairs)
}

/// The value of a name in what XINFO says: names and values in turn.
pub(crate) fn named<'a>(flat: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Array(flat) = flat else { return None };
    let at = flat.iter().step_by(2).position(|found| bytes(found) == Some(name.as_bytes()))?;
    flat.get(at * 2 + 1)
}

/// An id under a name.
pub(crate) fn named_id(flat: &Value, name: &str) -> Option<EntryId> {
    EntryId::of(named(flat, name)?)
}

/// A number under a name.
pub(crate) fn named_number(flat: &Value, name: &str) -> Option<u64> {
    match named(flat, name)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn id(at_ms: u64, number: u64) -> EntryId {
        EntryId { at_ms, number }
    }

    #[test]
    fn ids_are_read_written_and_ordered() {
        for (written, expected) in [("5-7", id(5, 7)), ("5", id(5, 0)), ("0-0", EntryId::ZERO)] {
            assert_eq!(written.parse(), Ok(expected));
        }
        for wrong in ["", "a", "5-", "-5", "5-x", "5-6-7"] {
            assert_eq!(wrong.parse::<EntryId>(), Err(()), "{wrong}");
        }
        assert_eq!(id(5, 0).before(), id(4, u64::MAX));
        assert_eq!(id(5, 1).before().to_string(), "5-0");
        assert!(id(5, u64::MAX) < id(6, 0));
    }

    #[test]
    fn answers_are_read_with_what_was_trimmed() {
        let whole = Value::Array(vec![text("1-0"), Value::Array(vec![text("a"), text("b")])]);
        let trimmed = Value::Array(vec![text("2-0"), Value::Nil]);
        let list = Value::Array(vec![whole, trimmed, Value::Nil]);
        let answer = Value::Array(vec![Value::Array(vec![text("key"), list.clone()])]);
        let expected = [
            Entry { id: id(1, 0), fields: Some(vec![(b"a".to_vec(), b"b".to_vec())]) },
            Entry { id: id(2, 0), fields: None },
        ];
        assert_eq!(read(answer).unwrap(), expected);
        assert_eq!(read(Value::Nil).unwrap(), []);
        assert_eq!(read(Value::Okay), None);
        let answer = Value::Array(vec![text("3-0"), list, Value::Array(vec![text("4-0")])]);
        assert_eq!(claimed(answer).unwrap(), (id(3, 0), expected.to_vec(), vec![id(4, 0)]));
    }

    #[test]
    fn what_is_named_is_found() {
        let flat = Value::Array(vec![
            text("length"),
            Value::Int(3),
            text("last-generated-id"),
            text("7-1"),
        ]);
        assert_eq!(named_number(&flat, "length"), Some(3));
        assert_eq!(named_id(&flat, "last-generated-id"), Some(id(7, 1)));
        assert_eq!(named_number(&flat, "lag"), None);
    }
}

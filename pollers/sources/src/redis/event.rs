//! The JSON of one entry as the function gets it: the only place that knows its shape.

use std::collections::HashMap;

use bytes::Bytes;

use super::entry::EntryId;
use crate::json_text::{base64, buffer, number, string};

/// Up to so many fields a name is looked for among those behind it.
const FIELDS_FEW: usize = 32;

/// Writes the events of one stream.
#[derive(Clone, Debug)]
pub(crate) struct EventWriter {
    /// Everything up to the id: the same in all of them.
    opening: Vec<u8>,
}

/// An entry that is a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The JSON object of the fields, a part of the event.
    pub(crate) body: Bytes,
    pub(crate) event: Bytes,
}

type Field = (Vec<u8>, Vec<u8>);

impl EventWriter {
    pub(crate) fn new(stream: &str) -> Self {
        let mut opening = b"{\"eventSource\":\"trine:redis\",\"stream\":".to_vec();
        string(stream, &mut opening);
        opening.extend_from_slice(b",\"id\":\"");
        Self { opening }
    }

    pub(crate) fn event(&self, id: EntryId, id_text: &str, fields: &[Field]) -> Written {
        let carried = fields.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let mut event = buffer(carried);
        event.extend_from_slice(&self.opening);
        event.extend_from_slice(id_text.as_bytes());
        event.extend_from_slice(b"\",\"timestamp\":");
        number(id.at_ms, &mut event);
        event.extend_from_slice(b",\"fields\":");
        let last = last_of_each_name(fields);
        let body_start = event.len();
        let text = |value: &Vec<u8>| std::str::from_utf8(value).is_ok();
        object(fields, |at, value| last(at) && text(value), &mut event);
        let body = body_start..event.len();
        if fields.iter().any(|(_, value)| !text(value)) {
            event.extend_from_slice(b",\"binaryFields\":");
            object(fields, |at, value| last(at) && !text(value), &mut event);
        }
        event.push(b'}');
        let event = Bytes::from(event);
        Written { body: event.slice(body), event }
    }
}

/// The fields that `wanted` picks: text as it is, anything else as base64.
fn object(fields: &[Field], wanted: impl Fn(usize, &Vec<u8>) -> bool, event: &mut Vec<u8>) {
    let before = event.len();
    event.push(b'{');
    for (at, (name, value)) in fields.iter().enumerate() {
        if !wanted(at, value) {
            continue;
        }
        if event.len() > before + 1 {
            event.push(b',');
        }
        string(&String::from_utf8_lossy(name), event);
        event.push(b':');
        match std::str::from_utf8(value) {
            Ok(text) => string(text, event),
            Err(_) => base64(value, event),
        }
    }
    event.push(b'}');
}

/// Whether a field is the last of its name: an entry may repeat one, a JSON object may not.
fn last_of_each_name(fields: &[Field]) -> impl Fn(usize) -> bool {
    let many = (fields.len() > FIELDS_FEW).then(|| {
        let ats = fields.iter().enumerate().map(|(at, (name, _))| (name.as_slice(), at));
        ats.collect::<HashMap<_, _>>()
    });
    move |at| match &many {
        Some(last) => last.get(fields[at].0.as_slice()) == Some(&at),
        None => fields[at + 1..].iter().all(|(name, _)| *name != fields[at].0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: EntryId = EntryId { at_ms: 1_700_000_000_123, number: 4 };

    fn written(fields: &[(&[u8], &[u8])]) -> Written {
        let fields: Vec<Field> =
            fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        EventWriter::new("or\"ders").event(ID, &ID.to_string(), &fields)
    }

    #[test]
    fn an_event_has_this_shape() {
        let written = written(&[(b"a", b"1"), (b"b", b"\"x\"")]);
        assert_eq!(
            written.event,
            "{\"eventSource\":\"trine:redis\",\"stream\":\"or\\\"ders\",\"id\":\"1700000000123-4\",\
             \"timestamp\":1700000000123,\"fields\":{\"a\":\"1\",\"b\":\"\\\"x\\\"\"}}"
        );
        assert_eq!(written.body, "{\"a\":\"1\",\"b\":\"\\\"x\\\"\"}");
    }

    #[test]
    fn values_that_are_no_text_are_apart() {
        let written = written(&[(b"img", b"\xff\x00a"), (b"a", b"1")]);
        assert_eq!(written.body, "{\"a\":\"1\"}");
        let event: serde_json::Value = serde_json::from_slice(&written.event).unwrap();
        assert_eq!(event["binaryFields"], serde_json::json!({"img": "/wBh"}));
    }

    #[test]
    fn of_a_repeated_name_the_last_counts() {
        assert_eq!(
            written(&[(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]).body,
            "{\"b\":\"2\",\"a\":\"3\"}"
        );
        let many: Vec<(&[u8], &[u8])> = vec![(b"a", b"1"); 100];
        assert_eq!(written(&many).body, "{\"a\":\"1\"}");
        assert_eq!(written(&[(b"a", b"\xff"), (b"a", b"1")]).body, "{\"a\":\"1\"}");
    }
}

//! The records that were read and are not settled yet: what the engine's numbers stand for.
//!
//! Its size is bounded by the engine, which asks for no more than fits into a batch and reads nothing
//! while one is in flight.

use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};
use trine_poll_engine::{Sequence, Span, Verdict};

use crate::Envelope;
use crate::source::{Content, Record, Settled};

#[derive(Debug)]
pub(super) struct Held<P> {
    records: VecDeque<Record<P>>,
    /// The number of the first of them.
    first: Sequence,
    /// Of the last that was read, also after it is settled.
    last: Option<P>,
}

impl<P: Clone> Held<P> {
    pub(super) const fn new() -> Self {
        Self { records: VecDeque::new(), first: Sequence(0), last: None }
    }

    pub(super) fn push(&mut self, records: Vec<Record<P>>) {
        if let Some(last) = records.last() {
            self.last = Some(last.position.clone());
        }
        self.records.extend(records);
    }

    /// The number that the next record will have.
    pub(super) fn end(&self) -> Sequence {
        self.first.plus(self.records.len() as u64)
    }

    /// Where a source has to go on.
    pub(super) fn last_position(&self) -> Option<P> {
        self.last.clone()
    }

    /// The payload of a batch.
    pub(super) fn payload(&self, records: Span, envelope: Envelope) -> Bytes {
        let events = || {
            self.span(records).filter_map(|record| match record.content() {
                Content::Event(event) => Some(event),
                // No batch holds one: it is larger than any batch (`Record::too_large`).
                Content::TooLarge(_) => None,
            })
        };
        let length = events().map(|event| event.len() + 1).sum::<usize>();
        let mut payload =
            BytesMut::with_capacity(envelope.open.len() + length + envelope.close.len());
        payload.put_slice(envelope.open.as_bytes());
        for (at, event) in events().enumerate() {
            if at > 0 {
                payload.put_u8(b',');
            }
            payload.put_slice(event);
        }
        payload.put_slice(envelope.close.as_bytes());
        payload.freeze()
    }

    pub(super) fn verdicts(&self, records: Span, verdict: Verdict) -> Vec<Settled<P>> {
        let settled = |record: &Record<P>| Settled { position: record.position.clone(), verdict };
        self.span(records).map(settled).collect()
    }

    /// Forgets everything before `end`, and returns where the last of it was.
    pub(super) fn release(&mut self, end: Sequence) -> Option<P> {
        let count = self.index(end).min(self.records.len());
        self.first = self.first.plus(count as u64);
        self.records.drain(..count).next_back().map(|record| record.position)
    }

    fn span(&self, records: Span) -> impl Iterator<Item = &Record<P>> {
        let end = self.index(records.end).min(self.records.len());
        self.records.range(self.index(records.first).min(end)..end)
    }

    fn index(&self, sequence: Sequence) -> usize {
        usize::try_from(sequence.0.saturating_sub(self.first.0)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn held(texts: &[&str]) -> Held<usize> {
        let mut held = Held::new();
        let record = |(at, text): (usize, &&str)| {
            Record::new(at, Duration::ZERO, Bytes::copy_from_slice(text.as_bytes()))
        };
        held.push(texts.iter().enumerate().map(record).collect());
        held
    }

    const fn span(first: u64, end: u64) -> Span {
        Span { first: Sequence(first), end: Sequence(end) }
    }

    #[test]
    fn a_payload_is_the_events_in_their_envelope() {
        let held = held(&["1", "{}", "3"]);
        let payload = |records| held.payload(records, Envelope::RECORDS);
        assert_eq!(payload(span(0, 3)), "{\"Records\":[1,{},3]}");
        assert_eq!(payload(span(1, 2)), "{\"Records\":[{}]}");
        let bytes = "1{}3".len() + 2 + usize::try_from(Envelope::RECORDS.bytes()).unwrap();
        assert_eq!(payload(span(0, 3)).len(), bytes, "what the engine counts");
    }

    #[test]
    fn released_records_are_gone_and_the_numbers_stay() {
        let mut held = held(&["1", "2", "3"]);
        assert_eq!(held.release(Sequence(2)), Some(1));
        assert_eq!(held.release(Sequence(2)), None);
        assert_eq!(held.end(), Sequence(3));
        assert_eq!(held.payload(span(2, 3), Envelope::RECORDS), "{\"Records\":[3]}");
        let verdicts = held.verdicts(span(2, 3), Verdict::Done);
        assert_eq!(verdicts, [Settled { position: 2, verdict: Verdict::Done }]);
        assert_eq!(held.release(Sequence(3)), Some(2));
        assert_eq!(held.last_position(), Some(2));
    }
}

//! The source under test, with a hand on the world behind it; and what clauses do with it.

use std::time::Duration;

use trine_poll_engine::Verdict;

use crate::source::{Connect, Content, Record, Settled, Source, Want};

/// A kind of source, and the world that it reads.
pub trait Subject: Send {
    /// How its sources are made.
    type Connect: Connect;

    /// A connector as a new process would have it. Everything that came from an earlier one has been
    /// dropped; what was durable still is.
    fn start(&mut self) -> Self::Connect;

    /// Makes the world have one more record with this text, which is a JSON string.
    fn produce(&mut self, text: &str);

    /// The text that [`produce`](Self::produce) was given, out of an event made of it.
    fn text(&self, event: &[u8]) -> String;
}

pub(super) type Made<S> = <<S as Subject>::Connect as Connect>::Source;
pub(super) type Position<S> = <Made<S> as Source>::Position;

/// Receives that bring nothing until a clause gives up waiting for records.
const EMPTY_MAX: u32 = 20;

/// As much as there is, soon.
pub(super) const EVERYTHING: Want =
    Want { records_max: 10_000, bytes_max: u64::MAX, wait: Duration::from_secs(1) };

/// A JSON string that tells which record it is.
pub(super) fn text(number: usize) -> String {
    format!("\"record {number}\"")
}

pub(super) async fn connected<S: Subject>(subject: &mut S) -> Made<S> {
    subject.start().connect(None).await.expect("the source is there")
}

/// Exactly the next `count` records, in as many receives as it takes.
pub(super) async fn receive<S: Subject>(
    source: &Made<S>,
    count: usize,
) -> Vec<Record<Position<S>>> {
    let mut records = Vec::new();
    let mut empty = 0;
    while records.len() < count {
        let left = u32::try_from(count - records.len()).expect("small");
        let want = Want { records_max: left, ..EVERYTHING };
        let received = source.receive(want).await.expect("the source works").records;
        empty += u32::from(received.is_empty());
        assert!(empty < EMPTY_MAX, "{} of {count} records came", records.len());
        records.extend(received);
    }
    records
}

pub(super) fn texts<S: Subject>(subject: &S, records: &[Record<Position<S>>]) -> Vec<String> {
    let text = |record: &Record<_>| match record.content() {
        Content::Event(event) => subject.text(event),
        Content::TooLarge(bytes) => format!("too large: {bytes}"),
    };
    records.iter().map(text).collect()
}

pub(super) fn done<P: Clone>(records: &[Record<P>]) -> Vec<Settled<P>> {
    let done =
        |record: &Record<P>| Settled { position: record.position.clone(), verdict: Verdict::Done };
    records.iter().map(done).collect()
}

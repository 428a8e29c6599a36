//! Names of things inside one shard: points in time, records, batches. Plain numbers that mean
//! nothing to the source; the shell keeps what they stand for.

use std::fmt;

/// Milliseconds on the shell's clock. It never goes backwards; only differences mean anything.
pub type Millis = u64;

/// The place of a record in the order in which the shard was told of it, from 0.
///
/// Not the source's own offset or sequence number: those are numbers here, texts there and sparse
/// everywhere, and the engine needs none of it to keep order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The place `count` records further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0 + count) // a shard does not live to see 2^64 records
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Consecutive records: `first` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first record.
    pub first: Sequence,
    /// The one after the last.
    pub end: Sequence,
}

impl Span {
    /// How many records it has.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.end.0 - self.first.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end)
    }
}

/// A batch; the same over all its attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

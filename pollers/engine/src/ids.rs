//! Names of things inside one mapping: points in time, shards, records, keys, batches, tickets. Plain
//! numbers that mean nothing to the source; the shell keeps what they stand for.

use std::fmt;

/// Milliseconds on the shell's clock, since the Unix epoch. It never goes backwards.
pub type Millis = u64;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A shard, partition or queue of the mapping. The shell gives the number when it opens one; small
    /// and dense numbers are cheap. A number may be given again once its shard was released or finished.
    ShardId(u32)
}

number! {
    /// The place of a record in the order in which its shard was told of it, from 0.
    ///
    /// Not the source's own offset or sequence number: those are numbers here, texts there and sparse
    /// everywhere, and the engine needs none of it to keep order. Records that come back from the park
    /// are counted apart, see [`Origin::Park`](crate::Origin::Park).
    Sequence(u64)
}

number! {
    /// What a record's order hangs on: a hash of the partition key, the message group or the Kafka
    /// key, made by the shell. Equal keys are equal numbers; two keys that collide share an order, which
    /// is slower and never wrong.
    Key(u64)
}

number! {
    /// A batch; the same over all its attempts and over the pieces that it is split into. Never given twice
    /// in the life of a [`Poll`](crate::Poll).
    BatchId(u64)
}

number! {
    /// One thing that the shell was asked to make durable; its answer names it. Never given twice in the
    /// life of a [`Poll`](crate::Poll).
    Ticket(u64)
}

impl Sequence {
    /// The place `count` records further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0 + count) // a shard does not live to see 2^64 records
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

    /// Its records.
    pub fn iter(self) -> impl Iterator<Item = Sequence> {
        (self.first.0..self.end.0).map(Sequence)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end)
    }
}

/// Records in rising order, as few spans as possible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Records(Vec<Span>);

impl Records {
    /// Adds a record behind the others.
    pub fn push(&mut self, record: Sequence) {
        let end = record.plus(1);
        match self.0.last_mut() {
            Some(last) if last.end == record => last.end = end,
            _ => self.0.push(Span { first: record, end }),
        }
    }

    /// The spans, in order; none is empty and no two of them touch.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.0
    }

    /// The records, in order.
    pub fn iter(&self) -> impl Iterator<Item = Sequence> {
        self.0.iter().copied().flat_map(Span::iter)
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|span| span.count()).sum()
    }

    /// Whether there is none: only the final invocation of a window has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Sequence> for Records {
    fn from_iter<I: IntoIterator<Item = Sequence>>(records: I) -> Self {
        let mut spans = Self::default();
        records.into_iter().for_each(|record| spans.push(record));
        spans
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, span) in self.0.iter().enumerate() {
            write!(f, "{}{span}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

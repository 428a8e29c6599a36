//! What a source can and cannot do, as values: differences between sources are data here, not optional methods. The closed lists grow
//! with the adapters.

use std::time::Duration;

/// The properties of a source that its runner and the conformance suite go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The kind of source as people and labels see it: `kafka`, `sqs`.
    pub kind: &'static str,
    /// Which records come in order.
    pub ordering: Ordering,
    /// What settling means to it.
    pub settling: Settling,
    /// Who sends a record again whose function failed.
    pub redelivery: Redelivery,
    /// Whether a record that was received before the connection broke can be settled on the next one, and reading goes on after it.
    /// If not, what is in hand is forgotten with the connection and comes again.
    pub outlives_connection: bool,
    /// Longest wait of one receive for its first record that is good for this source.
    pub receive_wait: Duration,
    /// Batches of one shard at a time that the source itself allows; `None`: any number.
    pub shard_concurrency_max: Option<u32>,
}

/// Which records come in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// None that anybody should count on.
    None,
    /// All records of a shard, as they were produced.
    Shard,
    /// Records of one key: a FIFO queue's message groups.
    Key,
}

/// What settling means to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    /// Each record for itself, through [`Reader::settle`](crate::Reader::settle).
    PerRecord,
    /// One mark a shard: everything up to it has ended.
    LowWater(Keeper),
}

/// Who keeps the mark of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The source itself, through [`Reader::commit`](crate::Reader::commit): committed offsets.
    Source,
    /// The broker, under the mapping's fence.
    Broker,
}

/// Who sends a record again whose function failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// The poller: it holds the record, extends its lease and sends it again.
    Poller,
    /// The source, by its own rules, after [`Verdict::Failed`](crate::Verdict::Failed).
    Source,
}

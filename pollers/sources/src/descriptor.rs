//! What a source can and cannot do, as data: differences between sources are values here, not
//! optional methods. The closed lists grow with the adapters.

use std::time::Duration;

/// The properties of a source that its runner and the conformance suite go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The kind of source as people and labels see it: `file`.
    pub kind: &'static str,
    /// Which records come in order.
    pub ordering: Ordering,
    /// What settling means to it.
    pub settling: Settling,
    /// Which records come again.
    pub redelivery: Redelivery,
    /// What surrounds the records in a payload.
    pub envelope: Envelope,
    /// Longest wait of one receive for its first record.
    pub receive_wait: Duration,
    /// Longest wait after an attempt that did not reach the function. `None`: five minutes (LS 3.1).
    pub not_reached_wait_max: Option<Duration>,
    /// Longest wait before the source is connected anew. `None`: thirty seconds.
    pub reconnect_wait_max: Option<Duration>,
}

/// Which records come in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// All records of the source, as they were produced.
    Total,
}

/// What settling means to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    /// One mark: everything before it has ended.
    LowWater,
}

/// Which records come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// After a restart, everything after the settled mark. While it runs, nothing.
    FromMark,
}

/// What surrounds the records in a payload. Between two of them stands a comma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Before the first record.
    pub open: &'static str,
    /// After the last.
    pub close: &'static str,
}

impl Envelope {
    /// `{"Records":[…]}`, as streams and queues of AWS have it.
    pub const RECORDS: Self = Self { open: "{\"Records\":[", close: "]}" };

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        (self.open.len() + self.close.len()) as u64
    }
}

//! The names of things in a store: shard, fence, commit number, table, key.
//!
//! Does not know what a row means: to a store an id is a number and a value is bytes.

use std::fmt;

/// One independent sequence of commits with one owner at a time.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Shard(pub u16);

/// The owner's epoch. It grows by one with each [`acquire`](crate::Store::acquire); only the newest
/// one may commit, so an owner that was deposed cannot write.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Fence(pub u64);

/// The number of a shard's commit: 0 before the first one, then growing by one per durable commit.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Seq(pub u64);

/// Which kind of row. The order of the variants is the order of a scan.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum Table {
    /// Record: what the shard says about itself.
    Meta,
    /// Record: a function, its versions and aliases.
    Function,
    /// Record: an accepted event that has not reached its end.
    Event,
    /// Blob: what a caller sent. Fetched by id, never scanned.
    Payload,
    /// Blob: what a function answered. Fetched by id, never scanned.
    Response,
    /// Record: an event source mapping.
    Mapping,
    /// Record: how far a shard of a mapping's source has been settled.
    Checkpoint,
    /// Record: a key whose records are set aside.
    ParkedKey,
    /// Record: that there is a record which is set aside, and behind which key.
    ParkedRecord,
    /// Blob: what such a record holds. Fetched by id, never scanned.
    ParkedPayload,
}

/// Names one row within a shard.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Key {
    pub table: Table,
    /// Any number; rows written in rising id order are the cheapest.
    pub id: u64,
}

impl Table {
    pub const ALL: [Self; 10] = [
        Self::Meta,
        Self::Function,
        Self::Event,
        Self::Payload,
        Self::Response,
        Self::Mapping,
        Self::Checkpoint,
        Self::ParkedKey,
        Self::ParkedRecord,
        Self::ParkedPayload,
    ];

    /// True for the small rows that a recovery reads; false for blobs.
    #[must_use]
    pub const fn scanned(self) -> bool {
        match self {
            Self::Meta
            | Self::Function
            | Self::Event
            | Self::Mapping
            | Self::Checkpoint
            | Self::ParkedKey
            | Self::ParkedRecord => true,
            Self::Payload | Self::Response | Self::ParkedPayload => false,
        }
    }

    /// The name on disk and in messages. Never change one: stored data carries it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Function => "function",
            Self::Event => "event",
            Self::Payload => "payload",
            Self::Response => "response",
            Self::Mapping => "mapping",
            Self::Checkpoint => "checkpoint",
            Self::ParkedKey => "parked_key",
            Self::ParkedRecord => "parked_record",
            Self::ParkedPayload => "parked_payload",
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.table, self.id)
    }
}

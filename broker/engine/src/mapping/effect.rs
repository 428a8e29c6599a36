//! Everything that the registry can want.

use std::sync::Arc;

use super::input::ShardSeek;
use super::lease::PollerId;
use super::mapping::MappingId;
use super::record::MappingMutation;
use super::view::MappingView;
use crate::{Caller, Millis, PersistNumber};

/// One thing to do.
#[derive(Debug)]
pub enum MappingEffect {
    /// Make it durable, then send `Persisted`; if it was refused, `PersistRejected`.
    Persist {
        /// Counted from 1.
        number: PersistNumber,
        /// What.
        mutation: MappingMutation,
    },
    /// Answer a user, or a poller that joins.
    Reply {
        /// Who waits.
        caller: Caller,
        /// What.
        answer: MappingAnswer,
    },
    /// Give a mapping to a poller, or tell it that its pause changed.
    Assign {
        /// To whom.
        poller: PollerId,
        /// Which; the shell asks [`Registry`](super::Registry) for the rest.
        mapping: MappingId,
        /// Under which fence.
        fence: u64,
        /// Start nothing new.
        paused: bool,
        /// It is new to the poller.
        new: bool,
    },
    /// Ask a mapping back.
    Revoke {
        /// From whom.
        poller: PollerId,
        /// Which.
        mapping: MappingId,
        /// Under which fence.
        fence: u64,
        /// How long what runs may still run.
        drain_ms: Millis,
    },
    /// Answer a report.
    Answer {
        /// Whose.
        poller: PollerId,
        /// Which.
        ticket: u64,
        /// How it went.
        outcome: ReportOutcome,
        /// Why not, a sentence.
        error: &'static str,
    },
    /// Have a mapping sought; the target is at hand.
    Seek {
        /// By whom.
        poller: PollerId,
        /// Comes back with the report.
        ticket: u64,
        /// Which.
        mapping: MappingId,
        /// Under which fence.
        fence: u64,
        /// Only say what would happen.
        preview: bool,
    },
    /// Send parked records again.
    Unpark {
        /// To whom.
        poller: PollerId,
        /// Which.
        mapping: MappingId,
        /// Under which fence.
        fence: u64,
        /// The shard.
        shard: Arc<str>,
        /// The key.
        key: Arc<[u8]>,
        /// Rows of the records, in order.
        records: Vec<u64>,
        /// How many are parked behind these.
        left: u64,
        /// Records of the key, older than these, that a user dropped.
        dropped: u64,
    },
    /// Deliver the failure record that is at hand, once, and answer the report.
    Deliver {
        /// Whose.
        poller: PollerId,
        /// Which report.
        ticket: u64,
        /// Of which mapping.
        mapping: MappingId,
    },
    /// Tell a poller that the broker goes.
    SayDraining {
        /// Whom.
        poller: PollerId,
    },
    /// Something worth counting.
    Fact(MappingFact),
}

/// Something worth counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappingFact {
    /// A report came under a fence that is not the newest.
    StaleFence {
        /// Of which mapping.
        mapping: MappingId,
    },
    /// A poller has a mapping now.
    Assigned {
        /// Which.
        mapping: MappingId,
        /// Who.
        poller: PollerId,
        /// Under which fence.
        fence: u64,
    },
    /// Nobody has the mapping any more.
    LeaseEnded {
        /// Which.
        mapping: MappingId,
        /// Who had it.
        poller: PollerId,
        /// The poller was asked and did not let go in time.
        overdue: bool,
    },
}

/// How a report went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportOutcome {
    /// It is durable.
    Done,
    /// Somebody else has the mapping.
    StaleFence,
    /// Not done.
    Failed,
    /// A bound on what is kept is reached.
    Full,
}

/// What a caller is told.
#[derive(Debug)]
pub enum MappingAnswer {
    /// The change is durable; the mapping as it was at that moment.
    Changed(Box<MappingView>),
    /// What was, or for a preview would be, moved.
    Sought {
        /// By shard.
        shards: Vec<ShardSeek>,
        /// False for a preview.
        done: bool,
    },
    /// The key's records are on their way.
    Unparked {
        /// How many.
        records: u64,
    },
    /// The poller is known.
    Joined,
    /// Nothing was changed.
    Refused(MappingRefusal),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingRefusal {
    /// There is none of this id.
    Unknown,
    /// One of this source and function exists.
    Exists {
        /// Which.
        id: MappingId,
    },
    /// One exists that the source knows under the same name.
    ReaderExists {
        /// Which.
        id: MappingId,
    },
    /// Another change, or a seek, is under way.
    Busy,
    /// It was changed since it was looked at; to be looked at again.
    Changed,
    /// There are as many as may be.
    TooMany,
    /// There are as many pollers as may be.
    TooManyPollers,
    /// Nobody holds the mapping.
    NoPoller,
    /// The poller did not answer a seek in time.
    PollerSilent,
    /// The poller could not seek; why, a sentence.
    SeekFailed(Box<str>),
    /// No such key is parked.
    UnknownKey,
    /// The disk refused it.
    StoreUnavailable,
    /// The broker goes.
    ShuttingDown,
}

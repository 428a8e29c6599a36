//! Everything that can happen to the registry.

use std::sync::Arc;

use super::lease::PollerId;
use super::mapping::{Definition, MappingId, MappingMode};
use super::record::Checkpoint;
use super::status::{Counts, Status};
use crate::{Caller, PersistNumber};

/// One thing that happened.
#[derive(Debug)]
pub enum MappingInput {
    /// A user makes a mapping. Answered with [`MappingAnswer::Changed`](super::MappingAnswer::Changed).
    Create {
        /// Who waits.
        caller: Caller,
        /// Its identity, new.
        id: MappingId,
        /// Checked by the edge.
        definition: Definition,
        /// What is wanted of it.
        mode: MappingMode,
    },
    /// A user changes settings. Answered as `Create`.
    Update {
        /// Who waits.
        caller: Caller,
        /// Which.
        id: MappingId,
        /// What the change was made of; refused if it has changed since.
        revision: u64,
        /// All of it, the change included.
        definition: Definition,
    },
    /// A user enables, disables or pauses. Answered as `Create`.
    SetMode {
        /// Who waits.
        caller: Caller,
        /// Which.
        id: MappingId,
        /// What is wanted of it.
        mode: MappingMode,
    },
    /// A user deletes. Answered as `Create`.
    Delete {
        /// Who waits.
        caller: Caller,
        /// Which.
        id: MappingId,
    },
    /// A user moves the place. Answered with [`MappingAnswer::Sought`](super::MappingAnswer::Sought).
    Seek {
        /// Who waits.
        caller: Caller,
        /// Which.
        id: MappingId,
        /// Only say what would happen.
        preview: bool,
    },
    /// A user has a parked key sent again. Answered with [`MappingAnswer::Unparked`](super::MappingAnswer::Unparked).
    Unpark {
        /// Who waits.
        caller: Caller,
        /// Which.
        id: MappingId,
        /// The shard in which it was parked.
        shard: Box<str>,
        /// The key.
        key: Box<[u8]>,
        /// Drop the first record.
        skip_first: bool,
    },
    /// A poller said hello. Answered with [`MappingAnswer::Joined`](super::MappingAnswer::Joined).
    PollerJoined {
        /// Who waits.
        caller: Caller,
        /// Its session, new.
        poller: PollerId,
        /// What it said.
        hello: NewPoller,
    },
    /// A poller goes away, in its own time: nothing more for it.
    PollerDraining {
        /// Which.
        poller: PollerId,
    },
    /// A poller's session has ended: nothing of it is under way any more, or nobody will hear of it.
    PollerLeft {
        /// Which.
        poller: PollerId,
    },
    /// A shard was settled further.
    Checkpoint {
        /// Of whom and what.
        under: Under,
        /// How far.
        report: CheckpointReport,
    },
    /// Records are set aside, or were settled after all.
    Park {
        /// Of whom and what.
        under: Under,
        /// Which.
        report: ParkReport,
    },
    /// A failure record is to be delivered.
    Failure {
        /// Of whom and what.
        under: Under,
        /// Comes back with the answer.
        ticket: u64,
    },
    /// A poller tells how it is.
    Status {
        /// Of whom and what.
        under: Under,
        /// How.
        status: Status,
        /// What was counted since it told last.
        added: Counts,
    },
    /// A poller lets go of a mapping.
    Release {
        /// Of whom and what.
        under: Under,
    },
    /// A poller has sought, or could not.
    SeekDone {
        /// Which poller.
        poller: PollerId,
        /// That of the order.
        ticket: u64,
        /// How it went.
        report: SeekReport,
    },
    /// These writes are durable.
    Persisted {
        /// The first.
        from: PersistNumber,
        /// The last.
        through: PersistNumber,
    },
    /// This write was refused; nothing of it is on disk.
    PersistRejected {
        /// Which.
        number: PersistNumber,
    },
    /// The broker goes: nobody gets anything any more.
    Drain,
    /// The broker ends: what is written now and then is written now.
    Close,
    /// A deadline has passed.
    Tick,
}

/// What a poller says of itself.
#[derive(Debug, Clone)]
pub struct NewPoller {
    /// For people.
    pub name: Arc<str>,
    /// Kinds of sources that it can read.
    pub kinds: Vec<Arc<str>>,
    /// Mappings that it takes at most.
    pub mappings_max: u32,
}

/// Who reports, on which mapping, under which fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Under {
    /// Which poller.
    pub poller: PollerId,
    /// Which mapping.
    pub mapping: MappingId,
    /// The fence of its assignment.
    pub fence: u64,
}

/// How far a shard was settled.
#[derive(Debug, Clone)]
pub struct CheckpointReport {
    /// Comes back with the answer.
    pub ticket: u64,
    /// The shard.
    pub shard: Box<str>,
    /// How far. `None`: the source has no such shard any more, and it need not be remembered.
    pub checkpoint: Option<Checkpoint>,
}

/// Records that are set aside behind their key, or were settled after all.
#[derive(Debug, Clone)]
pub struct ParkReport {
    /// Comes back with the answer.
    pub ticket: u64,
    /// The shard.
    pub shard: Box<str>,
    /// The key.
    pub key: Box<[u8]>,
    /// Bytes of each record, in order; the bytes themselves are at hand.
    pub records: Vec<u32>,
    /// What the function answered last; empty for records that only follow a parked one.
    pub error: Box<str>,
    /// The first this many records of the key go.
    pub settled: u32,
}

/// How a seek went.
#[derive(Debug, Clone, Default)]
pub struct SeekReport {
    /// What was or would be moved.
    pub shards: Vec<ShardSeek>,
    /// What to keep from now on.
    pub checkpoints: Vec<(Box<str>, Checkpoint)>,
    /// Why not; empty if it worked.
    pub error: Box<str>,
}

/// What a seek means for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSeek {
    /// Which.
    pub shard: Box<str>,
    /// Where it was; empty: nothing was settled yet.
    pub from: Box<str>,
    /// Where it is.
    pub to: Box<str>,
    /// Records that will be read again, if the source can tell.
    pub read_again: Option<u64>,
    /// Records that will never be read, if the source can tell.
    pub skipped: Option<u64>,
}

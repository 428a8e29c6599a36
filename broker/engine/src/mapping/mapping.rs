//! One mapping: what its user made of it, and what is going on with it. It does not know other mappings.
//!
//! | state (LS 4.1) | while | then |
//! |---|---|---|
//! | Creating | the first write is under way | Enabled, Disabled or Paused |
//! | Enabling | the write is under way | Enabled |
//! | Updating | the write is under way, or the holder still reads by the old settings | what it was before |
//! | Disabling | the write is under way, or the holder has not let go | Disabled |
//! | Deleting | the holder has not let go, or rows are left | gone |
//!
//! Whoever changes a mapping in one of these states is told `MAPPING_BUSY`, as Lambda's ResourceInUseException.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::lease::MappingLease;
use super::parked::Parked;
use super::record::{Checkpoint, MappingRecord};
use super::status::Status;
use crate::{FunctionName, Millis};

/// Identity of a mapping (a UUID, made by the shell).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MappingId(pub u128);

impl fmt::Display for MappingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&crate::RequestId(self.0), f)
    }
}

impl fmt::Debug for MappingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a user made of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// What is invoked; it need not exist.
    pub function: FunctionName,
    /// As given; empty means `$LATEST`.
    pub qualifier: Box<str>,
    /// Kind of the source, for example `kafka`: a poller must offer it.
    pub kind: Arc<str>,
    /// What tells the source from others of its kind, for example an ARN.
    pub source: Arc<str>,
    /// The name under which the source knows its reader, where it knows readers by name: no other mapping may have it (LS 4.8). It
    /// follows from the document and the mapping's id.
    pub reader: Option<Arc<str>>,
    /// Source and settings in the edge's own form.
    pub document: Arc<[u8]>,
}

/// What a user wants of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappingMode {
    /// Read and invoke.
    Enabled,
    /// Let go of the source.
    Disabled,
    /// Keep the place and the source, start nothing new.
    Paused,
}

/// What a mapping is doing about it (LS 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MappingState {
    /// Being made.
    Creating,
    /// Being switched on.
    Enabling,
    /// On.
    Enabled,
    /// Being switched off.
    Disabling,
    /// Off.
    Disabled,
    /// Its settings are changing.
    Updating,
    /// On its way out.
    Deleting,
    /// On, starting nothing (beyond Lambda).
    Paused,
}

impl MappingState {
    /// All of them, for counting.
    pub const ALL: [Self; 8] = [
        Self::Creating,
        Self::Enabling,
        Self::Enabled,
        Self::Disabling,
        Self::Disabled,
        Self::Updating,
        Self::Deleting,
        Self::Paused,
    ];
}

/// A change that has not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    Creating,
    Enabling,
    Pausing,
    Disabling,
    Updating,
    Deleting,
}

impl Transition {
    pub(super) fn state(self) -> MappingState {
        match self {
            Self::Creating => MappingState::Creating,
            Self::Enabling => MappingState::Enabling,
            Self::Pausing | Self::Updating => MappingState::Updating,
            Self::Disabling => MappingState::Disabling,
            Self::Deleting => MappingState::Deleting,
        }
    }
}

/// Everything about one mapping.
#[derive(Debug)]
pub(super) struct Mapping {
    /// As it is on disk; for one that is being made, as it will be.
    pub(super) record: MappingRecord,
    /// Grows with every change a user makes.
    pub(super) revision: u64,
    pub(super) transition: Option<Transition>,
    /// The last write of the transition is durable: only the holder is waited for.
    pub(super) written: bool,
    pub(super) lease: Option<MappingLease>,
    /// Reports whose writes are under way: nobody else may begin before they have ended.
    pub(super) writing: u32,
    pub(super) checkpoints: BTreeMap<Arc<str>, Kept>,
    /// Bytes of all checkpoints, those under way included.
    pub(super) checkpoint_bytes: u64,
    pub(super) parked: Parked,
    /// What its poller told last.
    pub(super) status: Option<Status>,
    pub(super) told_at: Option<Millis>,
    /// Ticket of the seek that is under way.
    pub(super) seek: Option<u64>,
    /// Counts have grown since they were written; a timer is set.
    pub(super) counts_due: bool,
}

/// A checkpoint that is on disk, or, with `checkpoint` unset, is being written for the first time.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) checkpoint: Option<Checkpoint>,
    /// Of the newest one, that under way included.
    pub(super) bytes: u64,
    /// Its row is being taken away.
    pub(super) going: bool,
}

impl Mapping {
    pub(super) fn new(record: MappingRecord) -> Self {
        Self {
            record,
            revision: 0,
            transition: None,
            written: false,
            lease: None,
            writing: 0,
            checkpoints: BTreeMap::new(),
            checkpoint_bytes: 0,
            parked: Parked::default(),
            status: None,
            told_at: None,
            seek: None,
            counts_due: false,
        }
    }

    pub(super) fn state(&self) -> MappingState {
        match (self.transition, self.record.mode) {
            _ if self.record.deleting => MappingState::Deleting,
            (Some(transition), _) => transition.state(),
            (None, MappingMode::Enabled) => MappingState::Enabled,
            (None, MappingMode::Disabled) => MappingState::Disabled,
            (None, MappingMode::Paused) => MappingState::Paused,
        }
    }

    /// Whether a poller may get it now.
    pub(super) fn is_assignable(&self) -> bool {
        self.transition.is_none()
            && !self.record.deleting
            && self.record.mode != MappingMode::Disabled
            && self.lease.is_none()
            && self.writing == 0
    }
}

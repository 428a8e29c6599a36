//! What of mappings is on disk: rows by number, and one change of them. It does not know how a row is written.

use std::sync::Arc;

use super::mapping::{Definition, MappingId, MappingMode};
use super::status::Counts;
use crate::Millis;

/// A mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingRecord {
    /// Its row.
    pub number: u64,
    /// Its identity.
    pub id: MappingId,
    /// What its user made of it.
    pub definition: Definition,
    /// What its user wants of it.
    pub mode: MappingMode,
    /// It is on its way out; the rows that belong to it go first.
    pub deleting: bool,
    /// When it was made.
    pub created_at: Millis,
    /// When a user changed it last.
    pub modified_at: Millis,
    /// Totals; a crash loses what was counted since they were last written.
    pub counts: Counts,
}

/// How far a shard of a mapping's source has been settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// Its row.
    pub number: u64,
    /// Row of its mapping.
    pub mapping: u64,
    /// The source's name for it.
    pub shard: Arc<str>,
    /// How far.
    pub checkpoint: Checkpoint,
}

/// A place in a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Means something to the adapter.
    pub position: Box<str>,
    /// The shard has ended and everything in it is settled.
    pub ended: bool,
    /// The open tumbling window.
    pub window: Option<Window>,
}

/// An open tumbling window (LS 4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// A JSON text. The only bytes of users that the registry holds: at most a mebibyte, few have one, and every
    /// assignment hands all of them out.
    pub state: Arc<[u8]>,
    /// Its start, milliseconds since the Unix epoch.
    pub start_ms: i64,
}

impl Checkpoint {
    /// What it takes, in bytes, with the shard's name.
    pub(super) fn bytes(&self, shard: &str) -> u64 {
        let window = self.window.as_ref().map_or(0, |window| window.state.len());
        (shard.len() + self.position.len() + window) as u64
    }
}

/// A key whose records are set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKeyRecord {
    /// Its row.
    pub number: u64,
    /// Row of its mapping.
    pub mapping: u64,
    /// The shard in which it was parked.
    pub shard: Arc<str>,
    /// The key.
    pub key: Arc<[u8]>,
    /// Since when.
    pub since: Millis,
    /// What the function answered last.
    pub error: Box<str>,
    /// Its records are being sent again.
    pub unparking: bool,
}

/// A record that is set aside; its bytes are a row of their own under the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkedRecordRow {
    /// Its row. Records of a key are in the order of their numbers.
    pub number: u64,
    /// Row of its key.
    pub key: u64,
    /// What it takes.
    pub bytes: u32,
}

/// A row that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// A mapping.
    Mapping(Box<MappingRecord>),
    /// A checkpoint.
    Checkpoint(CheckpointRecord),
    /// A parked key.
    ParkedKey(ParkedKeyRecord),
    /// A parked record. Its bytes are at hand, in the order of these.
    ParkedRecord(ParkedRecordRow),
}

/// A row that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// A mapping's.
    Mapping(u64),
    /// A checkpoint's.
    Checkpoint(u64),
    /// A parked key's.
    ParkedKey(u64),
    /// A parked record's, with its bytes.
    ParkedRecord(u64),
}

/// Rows that change together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingMutation {
    /// Written.
    pub puts: Vec<Put>,
    /// Gone.
    pub deletes: Vec<Row>,
}

impl MappingMutation {
    pub(super) fn put(put: Put) -> Self {
        Self { puts: vec![put], deletes: Vec::new() }
    }
}

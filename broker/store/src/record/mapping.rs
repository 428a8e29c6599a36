//! The written form of mappings, their checkpoints and what is parked of them. Tags are for ever: a field that goes
//! leaves its tag reserved.
//!
//! A mapping's definition is the edge's document: its own tags are for ever too, in the published contract.

use prost::{Enumeration, Message};
use trine_engine::FunctionName;
use trine_engine::mapping::{
    Checkpoint, CheckpointRecord, Counts, Definition, MappingId, MappingMode, MappingRecord,
    ParkedKeyRecord, ParkedRecordRow, Window,
};

use super::BadField;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Mapping {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(fixed64, tag = "2")]
    id_high: u64,
    #[prost(fixed64, tag = "3")]
    id_low: u64,
    #[prost(string, tag = "4")]
    function: String,
    #[prost(string, tag = "5")]
    qualifier: String,
    #[prost(string, tag = "6")]
    kind: String,
    #[prost(string, tag = "7")]
    source: String,
    #[prost(bytes = "vec", tag = "8")]
    document: Vec<u8>,
    #[prost(enumeration = "Mode", tag = "9")]
    mode: i32,
    #[prost(bool, tag = "10")]
    deleting: bool,
    /// Milliseconds since the Unix epoch.
    #[prost(uint64, tag = "11")]
    created_at: u64,
    #[prost(uint64, tag = "12")]
    modified_at: u64,
    /// In the order of `trine_engine::mapping::Count`.
    #[prost(uint64, repeated, tag = "13")]
    counts: Vec<u64>,
}

/// 0 is never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
enum Mode {
    Unset = 0,
    Enabled = 1,
    Disabled = 2,
    Paused = 3,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeptCheckpoint {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    mapping: u64,
    #[prost(string, tag = "3")]
    shard: String,
    #[prost(string, tag = "4")]
    position: String,
    #[prost(bool, tag = "5")]
    ended: bool,
    #[prost(message, optional, tag = "6")]
    window: Option<KeptWindow>,
}

#[derive(Clone, PartialEq, Message)]
struct KeptWindow {
    #[prost(bytes = "vec", tag = "1")]
    state: Vec<u8>,
    #[prost(int64, tag = "2")]
    start_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ParkedKey {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    mapping: u64,
    #[prost(string, tag = "3")]
    shard: String,
    #[prost(bytes = "vec", tag = "4")]
    key: Vec<u8>,
    #[prost(uint64, tag = "5")]
    since: u64,
    #[prost(string, tag = "6")]
    error: String,
    #[prost(bool, tag = "7")]
    unparking: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ParkedRecord {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    key: u64,
    #[prost(uint32, tag = "3")]
    bytes: u32,
}

impl From<&MappingRecord> for Mapping {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of one number")]
    fn from(record: &MappingRecord) -> Self {
        let Definition { function, qualifier, kind, source, document, reader: _ } =
            &record.definition;
        let mode = match record.mode {
            MappingMode::Enabled => Mode::Enabled,
            MappingMode::Disabled => Mode::Disabled,
            MappingMode::Paused => Mode::Paused,
        };
        Self {
            number: record.number,
            id_high: (record.id.0 >> 64) as u64,
            id_low: record.id.0 as u64,
            function: function.as_str().to_owned(),
            qualifier: qualifier.to_string(),
            kind: kind.to_string(),
            source: source.to_string(),
            document: document.to_vec(),
            mode: mode.into(),
            deleting: record.deleting,
            created_at: record.created_at,
            modified_at: record.modified_at,
            counts: record.counts.list().to_vec(),
        }
    }
}

impl TryFrom<Mapping> for MappingRecord {
    type Error = BadField;

    fn try_from(mapping: Mapping) -> Result<Self, BadField> {
        let mode = match Mode::try_from(mapping.mode) {
            Ok(Mode::Enabled) => MappingMode::Enabled,
            Ok(Mode::Disabled) => MappingMode::Disabled,
            Ok(Mode::Paused) => MappingMode::Paused,
            Ok(Mode::Unset) | Err(_) => return Err(BadField::unknown("mode", mapping.mode)),
        };
        if mapping.kind.is_empty() {
            return Err(BadField::missing("kind"));
        }
        let function = FunctionName::new(&mapping.function);
        Ok(Self {
            number: mapping.number,
            id: MappingId(u128::from(mapping.id_high) << 64 | u128::from(mapping.id_low)),
            definition: Definition {
                function: function.map_err(|bad| BadField::setting("function", bad))?,
                qualifier: mapping.qualifier.into(),
                kind: mapping.kind.into(),
                source: mapping.source.into(),
                // It follows from the document, which this does not read.
                reader: None,
                document: mapping.document.into(),
            },
            mode,
            deleting: mapping.deleting,
            created_at: mapping.created_at,
            modified_at: mapping.modified_at,
            counts: Counts::from_list(&mapping.counts),
        })
    }
}

impl From<&CheckpointRecord> for KeptCheckpoint {
    fn from(record: &CheckpointRecord) -> Self {
        let Checkpoint { position, ended, window } = &record.checkpoint;
        Self {
            number: record.number,
            mapping: record.mapping,
            shard: record.shard.to_string(),
            position: position.to_string(),
            ended: *ended,
            window: window.as_ref().map(|window| KeptWindow {
                state: window.state.to_vec(),
                start_ms: window.start_ms,
            }),
        }
    }
}

impl From<KeptCheckpoint> for CheckpointRecord {
    fn from(kept: KeptCheckpoint) -> Self {
        let window = kept
            .window
            .map(|window| Window { state: window.state.into(), start_ms: window.start_ms });
        Self {
            number: kept.number,
            mapping: kept.mapping,
            shard: kept.shard.into(),
            checkpoint: Checkpoint { position: kept.position.into(), ended: kept.ended, window },
        }
    }
}

impl From<&ParkedKeyRecord> for ParkedKey {
    fn from(record: &ParkedKeyRecord) -> Self {
        Self {
            number: record.number,
            mapping: record.mapping,
            shard: record.shard.to_string(),
            key: record.key.to_vec(),
            since: record.since,
            error: record.error.to_string(),
            unparking: record.unparking,
        }
    }
}

impl From<ParkedKey> for ParkedKeyRecord {
    fn from(parked: ParkedKey) -> Self {
        Self {
            number: parked.number,
            mapping: parked.mapping,
            shard: parked.shard.into(),
            key: parked.key.into(),
            since: parked.since,
            error: parked.error.into(),
            unparking: parked.unparking,
        }
    }
}

impl From<&ParkedRecordRow> for ParkedRecord {
    fn from(row: &ParkedRecordRow) -> Self {
        Self { number: row.number, key: row.key, bytes: row.bytes }
    }
}

impl From<ParkedRecord> for ParkedRecordRow {
    fn from(record: ParkedRecord) -> Self {
        Self { number: record.number, key: record.key, bytes: record.bytes }
    }
}

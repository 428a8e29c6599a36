//! How functions, events and mappings are written down: the engine's records and the blobs beside them, as bytes.
//!
//! Owns the format, its version and what a reader makes of bytes it does not understand. Does not
//! know where the bytes lie, nor whether they are still what was written: the store's checksum does.
//!
//! A record is one version byte and a protobuf message, a blob one version byte, a small
//! length-prefixed message and the raw body behind it. Protobuf because a message may gain fields
//! that an older release skips and a newer one finds unset; fixed layouts and serde formats without
//! tags have neither. The version byte is for the changes that must not be skipped: it goes up when
//! an older release would misread a record, and that release then refuses it by name.
//!
//! Nothing is ever replaced by a default: a value that this release does not know is an error that
//! names its field, because a record that is half understood would be written back half.

mod envelope;
mod event;
mod function;
mod mapping;

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use trine_engine::mapping::{CheckpointRecord, MappingRecord, ParkedKeyRecord, ParkedRecordRow};
use trine_engine::{EventRecord, FunctionRecord, InvalidSetting};

use crate::{Key, Place, StoreError};

pub use envelope::{ParkedEnvelope, PayloadEnvelope, ResponseEnvelope};

/// The version that this release writes, of every kind. It reads this one and all before it.
pub const VERSION: u8 = 1;

/// The bytes of an event.
#[must_use]
pub fn encode_event(record: &EventRecord) -> Bytes {
    frame(&event::Event::from(record))
}

/// The event in `bytes`.
///
/// # Errors
/// If a later release wrote it, or it is not an event; see [`RecordError`].
pub fn decode_event(bytes: &[u8]) -> Result<EventRecord, RecordError> {
    unframe::<event::Event>(Kind::Event, bytes)?.try_into().map_err(|bad| Kind::Event.bad(bad))
}

/// The bytes of a function.
#[must_use]
pub fn encode_function(record: &FunctionRecord) -> Bytes {
    frame(&function::Function::from(record))
}

/// The function in `bytes`.
///
/// # Errors
/// If a later release wrote it, or it is not a function; see [`RecordError`].
pub fn decode_function(bytes: &[u8]) -> Result<FunctionRecord, RecordError> {
    unframe::<function::Function>(Kind::Function, bytes)?
        .try_into()
        .map_err(|bad| Kind::Function.bad(bad))
}

/// The bytes of a payload with what its caller said about it. Copies the payload once.
#[must_use]
pub fn encode_payload(envelope: &PayloadEnvelope) -> Bytes {
    envelope.encode()
}

/// The payload in `bytes`; shares their memory.
///
/// # Errors
/// If a later release wrote it, or it is not a payload; see [`RecordError`].
pub fn decode_payload(bytes: Bytes) -> Result<PayloadEnvelope, RecordError> {
    PayloadEnvelope::decode(bytes)
}

/// The bytes of a response with what it stands for. Copies the body once.
#[must_use]
pub fn encode_response(envelope: &ResponseEnvelope) -> Bytes {
    envelope.encode()
}

/// The response in `bytes`; shares their memory.
///
/// # Errors
/// If a later release wrote it, or it is not a response; see [`RecordError`].
pub fn decode_response(bytes: Bytes) -> Result<ResponseEnvelope, RecordError> {
    ResponseEnvelope::decode(bytes)
}

/// The bytes of a mapping.
#[must_use]
pub fn encode_mapping(record: &MappingRecord) -> Bytes {
    frame(&mapping::Mapping::from(record))
}

/// The mapping in `bytes`.
///
/// # Errors
/// If a later release wrote it, or it is not a mapping; see [`RecordError`].
pub fn decode_mapping(bytes: &[u8]) -> Result<MappingRecord, RecordError> {
    unframe::<mapping::Mapping>(Kind::Mapping, bytes)?
        .try_into()
        .map_err(|bad| Kind::Mapping.bad(bad))
}

/// The bytes of a checkpoint.
#[must_use]
pub fn encode_checkpoint(record: &CheckpointRecord) -> Bytes {
    frame(&mapping::KeptCheckpoint::from(record))
}

/// The checkpoint in `bytes`.
///
/// # Errors
/// If a later release wrote it, or it is not a checkpoint; see [`RecordError`].
pub fn decode_checkpoint(bytes: &[u8]) -> Result<CheckpointRecord, RecordError> {
    unframe::<mapping::KeptCheckpoint>(Kind::Checkpoint, bytes).map(Into::into)
}

/// The bytes of a parked key.
#[must_use]
pub fn encode_parked_key(record: &ParkedKeyRecord) -> Bytes {
    frame(&mapping::ParkedKey::from(record))
}

/// The parked key in `bytes`.
///
/// # Errors
/// If a later release wrote it, or it is not a parked key; see [`RecordError`].
pub fn decode_parked_key(bytes: &[u8]) -> Result<ParkedKeyRecord, RecordError> {
    unframe::<mapping::ParkedKey>(Kind::ParkedKey, bytes).map(Into::into)
}

/// The bytes that say that a record is parked.
#[must_use]
pub fn encode_parked_record(row: &ParkedRecordRow) -> Bytes {
    frame(&mapping::ParkedRecord::from(row))
}

/// What says that a record is parked, in `bytes`.
///
/// # Errors
/// If a later release wrote it, or it is something else; see [`RecordError`].
pub fn decode_parked_record(bytes: &[u8]) -> Result<ParkedRecordRow, RecordError> {
    unframe::<mapping::ParkedRecord>(Kind::ParkedRecord, bytes).map(Into::into)
}

/// The bytes of what a parked record holds. Copies its event once.
#[must_use]
pub fn encode_parked(envelope: &ParkedEnvelope) -> Bytes {
    envelope.encode()
}

/// What a parked record holds, in `bytes`; shares their memory.
///
/// # Errors
/// If a later release wrote it, or it is something else; see [`RecordError`].
pub fn decode_parked(bytes: Bytes) -> Result<ParkedEnvelope, RecordError> {
    ParkedEnvelope::decode(bytes)
}

/// What was expected in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An [`EventRecord`].
    Event,
    /// A [`FunctionRecord`].
    Function,
    /// A [`PayloadEnvelope`].
    Payload,
    /// A [`ResponseEnvelope`].
    Response,
    /// A [`MappingRecord`].
    Mapping,
    /// A [`CheckpointRecord`].
    Checkpoint,
    /// A [`ParkedKeyRecord`].
    ParkedKey,
    /// A [`ParkedRecordRow`].
    ParkedRecord,
    /// A [`ParkedEnvelope`].
    Parked,
}

/// Why bytes were not understood. The bytes themselves are not quoted: they may be a user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There is nothing, where not even the shortest record is empty.
    #[error("the {kind} is empty")]
    Empty {
        /// What was expected.
        kind: Kind,
    },
    /// Another release wrote it.
    #[error(
        "the {kind} has version {found}, this release reads versions 1 to {VERSION}: \
         start a release that knows it"
    )]
    Version {
        /// What was expected.
        kind: Kind,
        /// The version byte.
        found: u8,
    },
    /// It does not even have the form of a record.
    #[error("the {kind} does not decode: {detail}")]
    Malformed {
        /// What was expected.
        kind: Kind,
        /// What the decoder says.
        detail: String,
    },
    /// One field holds what this release does not know, or nothing where something must be.
    #[error("the {kind} has a bad field: {field} {problem}")]
    Field {
        /// What was expected.
        kind: Kind,
        /// Which field, as a path.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl RecordError {
    /// What a recovery answers when the row `key` of `store` (a file, or what a backend has
    /// instead) is not understood.
    ///
    /// A record of a later release is not damage: [`StoreError::Unusable`], with nothing to repair.
    #[must_use]
    pub fn at(&self, store: impl fmt::Display, key: Key) -> StoreError {
        let place = Place::row(store, key);
        match self {
            Self::Version { .. } => StoreError::Unusable { detail: format!("{place}: {self}") },
            Self::Empty { .. } | Self::Malformed { .. } | Self::Field { .. } => {
                StoreError::Corrupt { place, detail: self.to_string() }
            }
        }
    }
}

/// A field that cannot be read, before it is known what it is a field of.
#[derive(Debug)]
struct BadField {
    field: &'static str,
    problem: String,
}

impl BadField {
    fn new(field: &'static str, problem: impl fmt::Display) -> Self {
        Self { field, problem: problem.to_string() }
    }

    fn missing(field: &'static str) -> Self {
        Self::new(field, "is missing, or of a kind that this release does not know")
    }

    fn unknown(field: &'static str, value: i32) -> Self {
        Self::new(field, format_args!("has the value {value}, which this release does not know"))
    }

    fn setting(field: &'static str, bad: InvalidSetting) -> Self {
        Self::new(field, format_args!("must be {}", bad.expected))
    }
}

impl Kind {
    fn bad(self, bad: BadField) -> RecordError {
        RecordError::Field { kind: self, field: bad.field, problem: bad.problem }
    }

    fn malformed(self, error: &prost::DecodeError) -> RecordError {
        RecordError::Malformed { kind: self, detail: error.to_string() }
    }

    /// Whether this release reads what follows the version byte.
    fn check_version(self, first: Option<u8>) -> Result<(), RecordError> {
        match first {
            None => Err(RecordError::Empty { kind: self }),
            Some(1..=VERSION) => Ok(()),
            Some(found) => Err(RecordError::Version { kind: self, found }),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "event record",
            Self::Function => "function record",
            Self::Payload => "payload",
            Self::Response => "response",
            Self::Mapping => "mapping record",
            Self::Checkpoint => "checkpoint record",
            Self::ParkedKey => "parked key",
            Self::ParkedRecord => "row of a parked record",
            Self::Parked => "parked record",
        })
    }
}

fn frame(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + message.encoded_len());
    bytes.put_u8(VERSION);
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

fn unframe<M: Message + Default>(kind: Kind, bytes: &[u8]) -> Result<M, RecordError> {
    kind.check_version(bytes.first().copied())?;
    M::decode(&bytes[1..]).map_err(|error| kind.malformed(&error))
}

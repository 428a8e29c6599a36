//! Event source mappings as the broker keeps them: which there are, who reads them now, how far they got, and what
//! was parked of them.
//!
//! ```text
//! Registry::step(now, MappingInput) -> MappingEffects        next_deadline() -> when to send MappingInput::Tick
//! ```
//!
//! A machine of its own beside the engine of invocations: neither knows the other, and a slow disk under one
//! does not hold up the other. The same rules hold: no clock, no randomness, no I/O; what must be durable is a
//! [`MappingEffect::Persist`], and what depends on it comes out with [`MappingInput::Persisted`].
//!
//! It does not know what a source is, nor what a position or a setting means: it keeps a mapping's definition
//! as the document that the edge made of it.

mod assignment;
mod change;
mod checkpoint;
mod effect;
mod erase;
mod input;
mod invariants;
mod lease;
#[allow(clippy::module_inception, reason = "the noun of the file is the noun of the folder")]
mod mapping;
mod parked;
mod poller;
mod record;
mod registry;
mod restore;
mod seek;
mod status;
#[cfg(test)]
mod tests;
mod unpark;
mod view;

pub use effect::{MappingAnswer, MappingEffect, MappingFact, MappingRefusal, ReportOutcome};
pub use input::{
    CheckpointReport, MappingInput, NewPoller, ParkReport, SeekReport, ShardSeek, Under,
};
pub use lease::PollerId;
pub use mapping::{Definition, MappingId, MappingMode, MappingState};
pub use record::{
    Checkpoint, CheckpointRecord, MappingMutation, MappingRecord, ParkedKeyRecord, ParkedRecordRow,
    Put, Row, Window,
};
pub use registry::{MappingLimits, Moment, Registry};
pub use restore::Orphan;
pub use status::{Count, Counts, ShardStatus, Status};
pub use view::{HolderView, MappingView, ParkedKeyView, PollerView};

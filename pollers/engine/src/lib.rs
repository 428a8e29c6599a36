//! Every decision of polling: when to read, what becomes a batch, when it is sent again, how far the
//! stream has been settled. Pure.
//!
//! [`Shard`] is one ordered stream of records bound to one function. Its surface is two functions:
//! [`Shard::step`] takes one [`Input`] and appends [`Effect`]s, [`Shard::next_deadline`] says when it
//! wants an [`Input::Tick`] at the latest. Time is an argument; so is the one number that spreads
//! waits ([`Settings::salt`]). Payload bytes never enter: a record is its length here.
//!
//! Invariants of absence: this crate has no dependency, reads no clock, does no I/O, draws no random
//! number, logs and counts nothing. What happened it tells as a [`Fact`]; what must be done, as an
//! effect. The numbered invariants of its state are in `invariants.rs`.

#[macro_use]
mod transition;

mod answer;
mod backoff;
mod checkpoint;
mod effect;
mod fact;
mod filter;
mod flight;
mod gather;
mod ids;
mod input;
mod invariants;
mod json;
mod limits;
mod link;
mod parameters;
mod phase;
mod run;
mod settings;
mod shard;
mod source_kind;

/// What a function says of a batch (LS 4.5, 4.6, 4.8).
pub use answer::{BatchAnswer, ItemId, WindowAnswer, WindowState};
pub use backoff::Backoff;
pub use effect::{Effect, Verdict};
pub use fact::{Delay, Fact};
/// Filter criteria (LS 4.4).
pub use filter::{
    FILTER_CHARS_MAX, FILTER_COMBINATIONS_MAX, FILTERS_MAX, Filterable, Filters, InvalidPattern,
};
pub use ids::{BatchId, Millis, Sequence, Span};
pub use input::{Answer, Input, RecordMeta};
pub use limits::{
    BATCH_BYTES_MAX, BATCH_RECORDS_DEFAULT, BATCH_RECORDS_MAX, BATCH_WINDOW_MS_MAX, BatchLimits,
    OutOfRange,
};
/// What a user may set of a mapping, and what is in force (LS 4.2).
pub use parameters::{
    Effective, ExhaustedPolicy, KeyOrder, Name as ParameterName, ParameterError, Parameters, Row,
    SetBy, Start, StartingPosition,
};
pub use phase::Phase;
pub use settings::Settings;
pub use shard::Shard;
/// What a mapping can read.
pub use source_kind::SourceKind;

#[cfg(test)]
mod tests;

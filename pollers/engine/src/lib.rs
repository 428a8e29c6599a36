//! Every decision of polling: when to read, what becomes a batch, when it is sent again, what is settled
//! and how far. Pure.
//!
//! [`Poll`] is one mapping: many shards, one function. Its surface is two functions: [`Poll::step`] takes
//! one [`Input`] and appends [`Effect`]s, [`Poll::next_deadline`] says when it wants an [`Input::Tick`] at
//! the latest. Time is an argument; so is the one number that spreads waits ([`Settings::salt`]). Payload
//! bytes never enter: a record is its length here, a key is a number.
//!
//! Invariants of absence: this crate reads no clock, does no I/O, draws no random number, logs and
//! counts nothing. What happened it tells as a [`Fact`]; what must be done, as an effect. The numbered
//! invariants of its state are in `invariants.rs`.

#[macro_use]
mod transition;

mod answer;
mod backoff;
mod checkpoint;
mod context;
mod effect;
mod ending;
mod fact;
mod failures;
mod filter;
mod flight;
mod gate;
mod gather;
mod ids;
mod input;
mod invariants;
mod json;
mod lanes;
mod lease;
mod ledger;
mod limits;
mod link;
mod outcome;
mod parameters;
mod park;
mod permits;
mod phase;
mod poll;
mod ramp;
mod receive;
mod run;
mod settings;
mod settle;
mod shard;
mod source_kind;
mod turn;
mod window;

/// What a function says of a batch (LS 4.5, 4.6, 4.8).
pub use answer::{BatchAnswer, ItemId, WindowAnswer, WindowState};
pub use backoff::Backoff;
pub use effect::{Condition, Effect, Failure, Origin, Verdict, WindowMark, WindowPart};
pub use fact::{Delay, Fact};
/// Filter criteria (LS 4.4).
pub use filter::{
    FILTER_CHARS_MAX, FILTER_COMBINATIONS_MAX, FILTERS_MAX, Filterable, Filters, InvalidPattern,
};
pub use ids::{BatchId, Key, Millis, Records, Sequence, ShardId, Span, Ticket};
pub use input::{Answer, Input, OpenWindow, ParkedKey, RecordMeta};
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
pub use poll::Poll;
pub use settings::{
    Exhausted, LOOKAHEAD_RECORDS_DEFAULT, LOOKAHEAD_RECORDS_MAX, MAXIMUM_CONCURRENCY_DEFAULT,
    Order, PARK_BYTES_MAX, PARK_RECORDS_MAX, Ramp, RetriedBy, Settings, Settling,
    UNPARK_RECORDS_MAX, WINDOW_IDLE_MS, WINDOW_STATE_BYTES_MAX, WindowStart,
};
/// What a mapping can read.
pub use source_kind::SourceKind;

#[cfg(test)]
mod tests;

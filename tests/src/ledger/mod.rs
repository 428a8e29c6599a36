//! The ledger: what a run offered to a broker, what the broker promised, what workers and destinations
//! saw of it, and a judge who compares them (invariants I1 to I10).
//!
//! ```text
//! load, workers, destinations ──Entry──▶ History (one file, synced) ──Line──▶ judge ──▶ Verdict
//! ```
//!
//! The judge is a pure function over the lines of one history, so that a history can be judged again
//! later and a planted fault is a short list of lines. It knows no broker, no clock and no network.

mod book;
mod entry;
mod history;
mod judge;
mod lost;
#[cfg(test)]
mod tests;
mod verdict;

pub use entry::{Condition, Ending, Entry, EventId, Expect, Line, RunId, Side};
pub use history::{History, Notes, read};
pub use judge::judge;
pub use lost::Lost;
pub use verdict::{Finding, Invariant, Restarts, Verdict};

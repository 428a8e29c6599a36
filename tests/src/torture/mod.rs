//! Torture: a real broker under load is killed again and again; everything that anybody offered, was promised
//! or saw goes into a ledger, and the ledger is judged.
//!
//! ```text
//! load ──events, calls──▶ broker ──attempts──▶ fleet        all of them ──▶ History ──▶ judge ──▶ Verdict
//!                         ▲    └──records──▶ files ──▶ harvest
//! executioner ──kill -9───┘
//! ```
//!
//! It speaks to the broker over its contract only, and knows nothing of its inside.

mod draw;
mod fleet;
mod functions;
mod harvest;
mod load;
mod stage;

pub use draw::Draw;
pub use stage::{Plan, run};

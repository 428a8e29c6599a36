//! Benchmarks against named peers, in one run, as ratios. Not timed tests: nothing fails for being slow.

pub mod backlog;
mod bare_consumer;
mod drain;
pub mod echo;
pub mod nats;
pub mod process;
pub mod report;
pub mod rows;
pub mod stream;
pub mod unary;
pub mod waits;

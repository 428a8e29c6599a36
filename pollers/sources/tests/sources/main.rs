//! Every adapter against the real thing that it reads: the conformance suite, and what is special to its source.

#![cfg(feature = "conformance")]

#[cfg(feature = "file")]
mod file;
#[cfg(feature = "kafka")]
mod kafka;
mod skip;

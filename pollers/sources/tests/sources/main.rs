//! Every adapter against the real thing: the conformance suite, and what is special to each.

#[cfg(feature = "kafka")]
mod kafka;
mod skip;

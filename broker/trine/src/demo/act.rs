//! The acts: each shows one way of invoking and returns what it promised and saw.

pub(crate) mod failure;
pub(crate) mod polling;
pub(crate) mod success;
pub(crate) mod synchronous;

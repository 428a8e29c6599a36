//! Every adapter against the real thing: the conformance suite, and what is special to each.

#![cfg(feature = "conformance")]

#[cfg(any(feature = "nats", feature = "redis"))]
mod by_hand;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "nats")]
mod nats;
#[cfg(any(feature = "nats", feature = "redis"))]
mod proxy;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "nats", feature = "redis"))]
mod skip;

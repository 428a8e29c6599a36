//! The worker's side of `trine.v1.WorkerService`, seen from outside: a scripted peer speaks the
//! published contract with a worker over an in-memory connection, in stopped time.

// All of this is test code; clippy's own exemption covers functions marked as tests only.
#![allow(clippy::unwrap_used)]

mod attempts;
mod liveness;
mod peer;
mod shutdown;
mod socket;

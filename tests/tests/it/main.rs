//! The system as its users see it: every test starts the real broker as a process and speaks to it over
//! gRPC and HTTP. None looks inside, none sleeps; where time matters it is the broker's virtual time.

#![allow(clippy::unwrap_used, reason = "all of this is test code")]
#![allow(clippy::float_cmp, reason = "metrics are counts, written as whole numbers")]

mod admin;
mod concurrency;
mod demo;
mod destinations;
mod disk;
mod events;
mod failed_records;
mod foreign;
mod functions;
mod hostile;
mod mappings;
mod metrics;
mod pollers;
mod polling;
mod redrive;
mod restart;
mod retries;
mod scene;
mod sessions;
mod sources;
mod stream;
mod sync;
mod throttled;
mod torture;
mod wire;
mod workers;

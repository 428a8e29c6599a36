//! The worker SDK of Trine: what a service embeds to serve functions.
//!
//! A worker connects out to a broker and needs no open port. The broker sends attempts only against
//! the worker's free slots; the worker runs their handlers and sends back the outcomes.
//!
//! ```no_run
//! use trine_worker::{Context, Error, RunError, Worker};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), RunError> {
//!     Worker::connect("http://127.0.0.1:7400")
//!         .function("hello", |name: String, _ctx: Context| async move {
//!             Ok::<_, Error>(format!("Hello, {name}!"))
//!         })
//!         .slots(8)
//!         .run()
//!         .await
//! }
//! ```
//!
//! - **Handlers** are async functions of an input and a [`Context`]: typed through serde
//!   ([`Worker::function`]) or raw bytes ([`Worker::function_raw`]). What they must not do is
//!   block their thread: see [`Worker::function`] on blocking.
//! - **Errors** are answers: any Rust error becomes Lambda's error object, see [`Error`]. Panics are
//!   caught and answered the same way.
//! - **Layers** of tower wrap every call: [`Worker::layer`].
//! - **Connections** are kept up for ever. Both sides send heartbeats; a broker that is silent for
//!   two intervals is left for a new connection, and handlers of the lost session are dropped, as
//!   the broker gives their invocations to others. Delivery is at least once: a handler may run
//!   again for the same [`Context::request_id`].
//! - **Shutdown** drains: nothing new is taken, what runs has [`Worker::grace`] to finish. A worker
//!   ends with its process ([`Worker::run`]), with a future of yours ([`Worker::run_until`]), or when
//!   its handle says so ([`Worker::start`]).
//! - **Embedding**: a program that holds its own broker gives the worker that broker's
//!   `Broker::channel()` as [`Worker::with_channel`]; everything else stays as it is. The example
//!   `embedded` of the crate `trine-broker` does it from start to end.
//!
//! Events (connected, session lost, draining) are logged through [`tracing`].
//!
//! This crate speaks the contract `trine.v1.WorkerService` and knows nothing else of the broker.

#![warn(missing_docs)]

mod backoff;
mod book;
mod context;
mod error;
mod function;
mod guarded;
mod handle;
mod handler;
mod intake;
mod link;
mod log_tail;
mod outbox;
mod outcome;
mod panics;
mod run_error;
mod session;
mod setup;
mod shutdown;
mod stop;
mod supervisor;
mod worker;

pub use bytes::Bytes;
pub use tokio_util::sync::CancellationToken;
pub use tonic::transport::{Channel, Endpoint};

pub use crate::context::Context;
pub use crate::error::{BoxError, Error};
pub use crate::handle::WorkerHandle;
pub use crate::handler::{Call, HandlerFuture, HandlerService};
pub use crate::log_tail::LOG_TAIL_BYTES_MAX;
pub use crate::run_error::{RunError, SetupError};
pub use crate::worker::{GRACE_DEFAULT, SLOTS_DEFAULT, Worker};

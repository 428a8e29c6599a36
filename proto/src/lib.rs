//! The published contract of Trine: the messages and services of `trine.v1`, and the one table of
//! refusal reasons.
//!
//! This crate knows the wire and nothing behind it: no engine, no store, no socket.

mod codec;
pub mod notation;
pub mod reason;

/// Messages, clients and servers of the package `trine.v1`, generated from `proto/trine/v1/`.
#[allow(missing_debug_implementations, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("trine.v1");
}

/// The encoded descriptor set of the contract, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The protocol version of worker sessions that this release speaks.
pub const WORKER_PROTOCOL_VERSION: u32 = 1;

/// The protocol version of poller sessions that this release speaks.
pub const POLLER_PROTOCOL_VERSION: u32 = 1;

/// Largest payload of a synchronous request, in bytes (LS 1.4).
pub const SYNC_PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Largest response of a function, in bytes (LS 1.4).
pub const RESPONSE_BYTES_MAX: usize = 6_291_556;

/// Largest payload of an asynchronous request, in bytes (LS 1.4).
pub const ASYNC_PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Largest gRPC message either side decodes, in bytes: a frame of one largest payload and what
/// surrounds it. A frame of many attempts is cut well below this.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Payload bytes after which a sender closes a frame of many, so that no frame comes near
/// [`FRAME_BYTES_MAX`].
pub const FRAME_BYTES_TARGET: usize = 256 * 1024;

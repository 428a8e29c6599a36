//! A client of STOMP 1.2, as much of it as a consumer needs: frames, their bounded decoding, and a connection, with TLS or without,
//! with heart-beats both ways and receipts. It does not know queues or records.

mod client;
mod decoder;
mod frame;
mod socket;

pub(crate) use client::{Client, Trouble};
pub(crate) use frame::{Body, Frame, FrameWriter};
pub(crate) use socket::Tls;

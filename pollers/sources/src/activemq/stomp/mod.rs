//! A client of STOMP 1.2, as much of it as a consumer needs: frames, their bounded decoding, and a connection with heart-beats both
//! ways and receipts. It does not know queues or records.

mod client;
mod decoder;
mod frame;

pub(crate) use client::{Client, Trouble};
pub(crate) use frame::{Body, Frame, FrameWriter};

//! The written form of payloads and responses: a few words about the bytes, then the bytes.
//!
//! The body lies behind its header and not inside it, so that reading one copies nothing.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;

use super::{Kind, RecordError, VERSION};

/// What a caller sent, as it is kept for an accepted event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayloadEnvelope {
    /// As it came.
    pub payload: Bytes,
    /// W3C trace context of the caller; empty: none.
    pub traceparent: String,
    /// Vendor part of the trace context; empty: none.
    pub tracestate: String,
    /// The caller named a qualifier, so the function's own identity is told with one (LS 1.1).
    pub qualified: bool,
}

/// What a function answered, as it is kept until the event is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseEnvelope {
    /// As it came, or the error object.
    pub body: Bytes,
    /// The body is an error object (LS 1.5).
    pub function_error: bool,
}

/// A record of a source that is set aside, as its poller gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParkedEnvelope {
    /// The JSON text of its element of the event.
    pub event: Bytes,
    /// How it is known in batch item failures.
    pub identifier: String,
    /// Its place in the source.
    pub position: String,
    /// When the source got it, milliseconds since the Unix epoch.
    pub arrived_at_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ParkedHeader {
    #[prost(string, tag = "1")]
    identifier: String,
    #[prost(string, tag = "2")]
    position: String,
    #[prost(int64, tag = "3")]
    arrived_at_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct PayloadHeader {
    #[prost(string, tag = "1")]
    traceparent: String,
    #[prost(string, tag = "2")]
    tracestate: String,
    #[prost(bool, tag = "3")]
    qualified: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ResponseHeader {
    #[prost(bool, tag = "1")]
    function_error: bool,
}

impl PayloadEnvelope {
    pub(super) fn encode(&self) -> Bytes {
        let header = PayloadHeader {
            traceparent: self.traceparent.clone(),
            tracestate: self.tracestate.clone(),
            qualified: self.qualified,
        };
        join(&header, &self.payload)
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, RecordError> {
        let (header, payload) = split::<PayloadHeader>(Kind::Payload, bytes)?;
        let PayloadHeader { traceparent, tracestate, qualified } = header;
        Ok(Self { payload, traceparent, tracestate, qualified })
    }
}

impl ResponseEnvelope {
    pub(super) fn encode(&self) -> Bytes {
        join(&ResponseHeader { function_error: self.function_error }, &self.body)
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, RecordError> {
        let (header, body) = split::<ResponseHeader>(Kind::Response, bytes)?;
        Ok(Self { body, function_error: header.function_error })
    }
}

impl ParkedEnvelope {
    pub(super) fn encode(&self) -> Bytes {
        let Self { event, identifier, position, arrived_at_ms } = self;
        let header = ParkedHeader {
            identifier: identifier.clone(),
            position: position.clone(),
            arrived_at_ms: *arrived_at_ms,
        };
        join(&header, event)
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, RecordError> {
        let (header, event) = split::<ParkedHeader>(Kind::Parked, bytes)?;
        let ParkedHeader { identifier, position, arrived_at_ms } = header;
        Ok(Self { event, identifier, position, arrived_at_ms })
    }
}

fn join(header: &impl Message, body: &[u8]) -> Bytes {
    let length = header.encoded_len();
    let prefix = prost::length_delimiter_len(length);
    let mut bytes = BytesMut::with_capacity(1 + prefix + length + body.len());
    bytes.put_u8(VERSION);
    prost::encoding::encode_varint(length as u64, &mut bytes);
    header.encode_raw(&mut bytes);
    bytes.put_slice(body);
    bytes.freeze()
}

fn split<M: Message + Default>(kind: Kind, mut bytes: Bytes) -> Result<(M, Bytes), RecordError> {
    kind.check_version(bytes.first().copied())?;
    bytes.advance(1);
    let header = M::decode_length_delimited(&mut bytes).map_err(|error| kind.malformed(&error))?;
    Ok((header, bytes))
}

//! How messages of the contract get on the wire: as prost writes them, into buffers of the size of a small call.
//!
//! tonic's own codec takes two buffers of 8 KiB a call, whatever is in them: for small calls that is most of the memory
//! they touch. Larger messages say how large they are before they are written, so nothing grows step by step.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// What a buffer holds before it has to grow, in bytes: a small call with its name, payload and ids.
const BUFFER_BYTES: usize = 512;

/// Encoded bytes after which a stream lets go of what it has gathered; tonic's own default.
const YIELD_BYTES: usize = 32 * 1024;

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
}

/// The codec of every service and client of the contract.
#[derive(Debug, Clone)]
pub(crate) struct ContractCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for ContractCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ContractCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ContractEncoder<T>;
    type Decoder = ContractDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ContractEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ContractDecoder(PhantomData)
    }
}

/// Writes messages.
#[derive(Debug)]
pub(crate) struct ContractEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for ContractEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        // It has room for it now; the error is for buffers that cannot grow.
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}

/// Reads messages.
#[derive(Debug)]
pub(crate) struct ContractDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for ContractDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // What the code says is tonic's choice for the same failure.
        U::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}

//! HTTP/2 as bytes: what a client sends that follows no rules. It knows frames and nothing of gRPC libraries.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trine_tests::fixture::LIMIT;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that was opened as HTTP/2 says, and then is the test's.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut opening = PREFACE.to_vec();
        opening.extend(frame(SETTINGS, 0, 0, &[]));
        stream.write_all(&opening).await.unwrap();
        Self { stream }
    }

    /// Sends until everything is sent, or the broker has had enough.
    pub(crate) async fn push(&mut self, bytes: &[u8]) -> bool {
        let pushed = tokio::time::timeout(LIMIT, self.stream.write_all(bytes)).await;
        pushed.is_ok_and(|written| written.is_ok())
    }

    /// Sends `bytes` again and again, reading along, until the broker closes the connection or `times` are
    /// over. Whether it closed it.
    pub(crate) async fn flood(self, bytes: Vec<u8>, times: u32) -> bool {
        let (mut reader, mut writer) = self.stream.into_split();
        let reading = tokio::spawn(async move {
            let mut sink = vec![0; 1 << 16];
            while reader.read(&mut sink).await.is_ok_and(|read| read > 0) {}
        });
        let mut closed = false;
        for _ in 0..times {
            if writer.write_all(&bytes).await.is_err() {
                closed = true;
                break;
            }
        }
        if !closed {
            // The last bytes may be what it takes.
            closed = reading.is_finished();
        }
        reading.abort();
        closed
    }

    /// Whether the broker closes the connection within `limit`.
    pub(crate) async fn closes(mut self, limit: std::time::Duration) -> bool {
        let mut sink = vec![0; 1 << 16];
        let reading =
            async { while self.stream.read(&mut sink).await.is_ok_and(|read| read > 0) {} };
        tokio::time::timeout(limit, reading).await.is_ok()
    }
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a gRPC call to `path`, compressed as little as the format allows.
pub(crate) fn grpc_headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    let text = |block: &mut Vec<u8>, text: &str| {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text.as_bytes());
    };
    // Index 4 is :path, 1 is :authority, 31 is content-type.
    block.push(0x04);
    text(&mut block, path);
    block.push(0x01);
    text(&mut block, "localhost");
    block.extend([0x0f, 0x10]);
    text(&mut block, "application/grpc");
    block.push(0x00);
    text(&mut block, "te");
    text(&mut block, "trailers");
    block
}

/// A gRPC message with a length prefix of the test's choice.
pub(crate) fn message(compressed: u8, length: u32, body: &[u8]) -> Vec<u8> {
    let mut message = vec![compressed];
    message.extend(length.to_be_bytes());
    message.extend(body);
    message
}

//! Publishes over AMQP 0-9-1 what a well-behaved client would not: a property of any bytes.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;

/// The bit of a message's correlation id among its properties.
const CORRELATION_ID: u16 = 1 << 10;

/// Puts a message with this correlation id into a queue; it is there when this returns.
pub(super) async fn publish(server: &str, queue: &str, correlation_id: &[u8]) {
    let mut wire = Wire(TcpStream::connect(server).await.expect("RabbitMQ is there"));
    wire.0.write_all(b"AMQP\0\0\x09\x01").await.expect("it is sent");
    wire.hear().await;
    let login = [&long(b"")[..], &short(b"PLAIN"), &long(b"\0guest\0guest"), &short(b"en_US")];
    wire.method(0, 10, 11, &login.concat()).await;
    wire.hear().await;
    let (channels, frame_bytes, no_heartbeat) = (1_u16, 131_072_u32, 0_u16);
    let tuned =
        [&channels.to_be_bytes()[..], &frame_bytes.to_be_bytes(), &no_heartbeat.to_be_bytes()];
    wire.method(0, 10, 31, &tuned.concat()).await;
    wire.method(0, 10, 40, &[&short(b"/")[..], &short(b""), b"\0"].concat()).await;
    wire.hear().await;
    wire.method(1, 20, 10, &short(b"")).await;
    wire.hear().await;
    let to = [b"\0\0", &short(b"")[..], &short(queue.as_bytes()), b"\0"];
    wire.method(1, 60, 40, &to.concat()).await;
    let body = b"1";
    let length = body.len() as u64;
    let header = [
        &60_u16.to_be_bytes()[..],
        &0_u16.to_be_bytes(),
        &length.to_be_bytes(),
        &CORRELATION_ID.to_be_bytes(),
        &short(correlation_id),
    ];
    wire.frame(HEADER, 1, &header.concat()).await;
    wire.frame(BODY, 1, body).await;
    // Closing the channel is answered after what was published on it.
    let close = [&200_u16.to_be_bytes()[..], &short(b""), &[0; 4]];
    wire.method(1, 20, 40, &close.concat()).await;
    wire.hear().await;
}

struct Wire(TcpStream);

impl Wire {
    async fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.frame(METHOD, channel, &payload).await;
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
        let frame = [&[kind][..], &channel.to_be_bytes(), &length, payload, b"\xce"].concat();
        self.0.write_all(&frame).await.expect("it is sent");
    }

    /// Waits for one frame.
    async fn hear(&mut self) {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).await.expect("RabbitMQ answers");
        let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        self.0.read_exact(&mut vec![0; length + 1]).await.expect("a whole frame");
    }
}

fn short(text: &[u8]) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short");
    [&[length][..], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("small").to_be_bytes();
    [&length[..], text].concat()
}

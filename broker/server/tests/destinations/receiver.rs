//! A receiver of HTTP requests that does as it is told, on a real socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncRead};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What the receiver does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Sends this and waits for the next request.
    Bytes(String),
    /// Says nothing and keeps the connection.
    Nothing,
    /// Cuts the connection off (RST).
    Reset,
    /// A success with a body that never ends.
    Endless,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Bytes(format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 2\r\n\r\nok"))
    }
}

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Request {
    /// Request line and headers, names in lower case.
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ String| line.split_once(": ").filter(|(key, _)| *key == name).is_some();
        self.head
            .iter()
            .find(|line| of(line))
            .and_then(|line| line.split_once(": "))
            .map(|(_, v)| v)
    }
}

/// The receiver's other end.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
    /// Bytes that were sent of endless bodies, once their connection was closed.
    pub(crate) endless: mpsc::UnboundedReceiver<usize>,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let (sent, endless) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, answer.clone(), sender.clone(), sent.clone()));
            }
        });
        Self { address, requests, endless, connections }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connections that were accepted. Everything that connected before this call and completed a
    /// round trip on the same runtime has been counted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    stream: TcpStream,
    answer: Answer,
    requests: mpsc::UnboundedSender<Request>,
    endless: mpsc::UnboundedSender<usize>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        requests.send(request).unwrap();
        match &answer {
            Answer::Bytes(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            Answer::Nothing => {}
            Answer::Reset => return stream.into_inner().set_zero_linger().unwrap(),
            Answer::Endless => {
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head).await.unwrap();
                let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
                let mut sent = 0;
                while stream.write_all(chunk.as_bytes()).await.is_ok() {
                    sent += chunk.len();
                }
                endless.send(sent).unwrap();
                return;
            }
        }
    }
}

/// One request; `None` at the end of the connection.
pub(crate) async fn read(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<Request> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        head.push(match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
            None => line.to_owned(),
        });
    }
    let mut request = Request { head, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

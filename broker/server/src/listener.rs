//! Connections: accepted or opened from within, counted, bounded, and given up if they say nothing. It does not know
//! what is spoken over them.
//!
//! Own accept loop because tonic's has no bound on connections, no deadline for the first bytes, and ends at the
//! first accept error (RUSTSEC-2024-0376 was that).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Sleep;
use tokio_stream::wrappers::ReceiverStream;

use crate::metrics::Metrics;

/// A connection that has not said within this long after it was accepted what it speaks is closed.
const OPENING_WAIT: Duration = Duration::from_secs(10);

/// What HTTP/2 begins with. hyper waits for the rest of it without end, as long as the bytes are these; from the first
/// other byte on a connection is HTTP/1, whose headers have a deadline of their own.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Wait after a failed accept (no descriptors left, for example) before the next one.
const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(100);

/// Buffer of an in-memory connection, in bytes.
const DUPLEX_BYTES: usize = 1 << 20;

/// Where connections come from.
pub(crate) struct Listener {
    pub(crate) connections: ReceiverStream<io::Result<Connection>>,
    pub(crate) inside: Inside,
    /// None: connections come from within only.
    pub(crate) socket: Option<ListeningSocket>,
}

/// A bound address, and the task that accepts there; dropped, it accepts no more.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for ListeningSocket {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Opens connections from within the process.
#[derive(Debug, Clone)]
pub(crate) struct Inside(mpsc::Sender<io::Result<Connection>>);

impl Listener {
    /// One for connections from within only.
    pub(crate) fn inside() -> Self {
        let (accepted, connections) = mpsc::channel(64);
        let connections = ReceiverStream::new(connections);
        Self { connections, inside: Inside(accepted), socket: None }
    }

    /// Binds and starts accepting.
    pub(crate) async fn bind(
        address: SocketAddr,
        connections_max: u32,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let places = Arc::new(Semaphore::new(connections_max as usize));
        let inside = Self::inside();
        let accepting = tokio::spawn(accept(listener, inside.inside.0.clone(), places, metrics));
        Ok(Self { socket: Some(ListeningSocket { address, accepting }), ..inside })
    }
}

async fn accept(
    listener: TcpListener,
    accepted: mpsc::Sender<io::Result<Connection>>,
    places: Arc<Semaphore>,
    metrics: Metrics,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY_WAIT).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            metrics.connection_refused();
            continue;
        };
        // Small frames must not wait for each other; a socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        metrics.connection_opened();
        let counted = Counted { metrics: metrics.clone(), _place: Some(place) };
        let (socket, opening) = (Socket::Tcp(stream), Some(Opening::new()));
        let connection = Connection { socket, opening, _counted: Some(counted) };
        if accepted.send(Ok(connection)).await.is_err() {
            return;
        }
    }
}

impl Inside {
    /// A connection to this broker that touches no network.
    pub(crate) async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
        let connection = Connection { socket: Socket::Inside(ours), opening: None, _counted: None };
        let gone = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "the broker has stopped");
        self.0.send(Ok(connection)).await.map_err(gone)?;
        Ok(theirs)
    }
}

/// A connection that has not said yet what it speaks.
struct Opening {
    /// Bytes of [`PREFACE`] that came.
    came: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Opening {
    fn new() -> Self {
        Self { came: 0, deadline: Box::pin(tokio::time::sleep(OPENING_WAIT)) }
    }

    /// Whether it is still open what the connection speaks once `bytes` came.
    fn goes_on(&mut self, bytes: &[u8]) -> bool {
        let rest = &PREFACE[self.came..];
        self.came += bytes.len();
        // No byte at all is the end of the connection.
        !bytes.is_empty() && bytes.len() < rest.len() && rest.starts_with(bytes)
    }
}

/// One connection, counted for as long as it lives.
pub(crate) struct Connection {
    socket: Socket,
    /// Until it is known what it speaks.
    opening: Option<Opening>,
    _counted: Option<Counted>,
}

impl Connection {
    /// The same connection, woken by the runtime that this is called on.
    pub(crate) fn moved_here(self) -> io::Result<Self> {
        let Self { socket, opening, _counted } = self;
        let socket = match socket {
            Socket::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream.into_std()?)?),
            // Woken by whoever writes to the other end.
            Socket::Inside(stream) => Socket::Inside(stream),
        };
        let opening = opening.map(|_| Opening::new());
        Ok(Self { socket, opening, _counted })
    }
}

enum Socket {
    Tcp(TcpStream),
    Inside(DuplexStream),
}

struct Counted {
    metrics: Metrics,
    _place: Option<OwnedSemaphorePermit>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.connection_closed();
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Self { socket, opening, .. } = &mut *self;
        let read = match socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Inside(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let Some(waiting) = opening else { return read };
        if read.is_ready() {
            if !waiting.goes_on(&buffer.filled()[before..]) {
                *opening = None;
            }
            return read;
        }
        match waiting.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Inside(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Socket::Inside(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Tcp(stream) => stream.is_write_vectored(),
            Socket::Inside(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Socket::Inside(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Inside(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_has_opened_when_it_is_known_what_it_speaks() {
        let cases: [(&[&[u8]], bool); 10] = [
            (&[b"P"], false),
            (&[&PREFACE[..23]], false),
            (&[&PREFACE[..23], b"\n"], true),
            (&[&PREFACE[..23], b"x"], true),
            (&[&PREFACE[..23], b"\n\0\0"], true),
            (&[PREFACE], true),
            (&[b"P", b"R", b"I", b" "], false),
            (&[b"POST"], true),
            (&[b"P", b"OST"], true),
            (&[b"PRI", b""], true),
        ];
        for (pieces, opened) in cases {
            let mut opening = Opening::new();
            let open = pieces.iter().all(|piece| opening.goes_on(piece));
            assert_eq!(!open, opened, "{pieces:?}");
        }
    }
}

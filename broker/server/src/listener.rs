//! Connections: accepted or opened from within, counted, bounded, and given up if they say nothing. It does not know
//! what is spoken over them.
//!
//! Own accept loop because tonic's has no bound on connections, no deadline for the first byte, and ends at the
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

/// A connection that has sent nothing for this long after it was accepted is closed.
const FIRST_BYTE_WAIT: Duration = Duration::from_secs(10);

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
        let silent = Some(first_byte());
        let connection =
            Connection { socket: Socket::Tcp(stream), silent, _counted: Some(counted) };
        if accepted.send(Ok(connection)).await.is_err() {
            return;
        }
    }
}

impl Inside {
    /// A connection to this broker that touches no network.
    pub(crate) async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
        let connection = Connection { socket: Socket::Inside(ours), silent: None, _counted: None };
        let gone = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "the broker has stopped");
        self.0.send(Ok(connection)).await.map_err(gone)?;
        Ok(theirs)
    }
}

/// One connection, counted for as long as it lives.
pub(crate) struct Connection {
    socket: Socket,
    /// Until the first byte came.
    silent: Option<Pin<Box<Sleep>>>,
    _counted: Option<Counted>,
}

impl Connection {
    /// The same connection, woken by the runtime that this is called on.
    pub(crate) fn moved_here(self) -> io::Result<Self> {
        let Self { socket, silent, _counted } = self;
        let socket = match socket {
            Socket::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream.into_std()?)?),
            // Woken by whoever writes to the other end.
            Socket::Inside(stream) => Socket::Inside(stream),
        };
        let silent = silent.map(|_| first_byte());
        Ok(Self { socket, silent, _counted })
    }
}

fn first_byte() -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(FIRST_BYTE_WAIT))
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
        let read = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Inside(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if self.silent.is_none() || read.is_ready() {
            self.silent = None;
            return read;
        }
        match self.silent.as_mut().map(|silent| silent.as_mut().poll(context)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => Poll::Pending,
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

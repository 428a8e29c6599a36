//! A way to a server that can be cut: all of its connections break at once, and none is taken until it is mended.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// How often it was cut, and whether it is now.
    cuts: watch::Sender<Cuts>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cuts {
    count: u64,
    is_cut: bool,
}

impl Proxy {
    /// Listens on a free loopback port for the server at `address`, which may begin with `http://`.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(address: &str) -> io::Result<Self> {
        let server = address.strip_prefix("http://").unwrap_or(address).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let cuts = watch::Sender::new(Cuts::default());
        let accepting = tokio::spawn(accept(listener, server, cuts.subscribe()));
        Ok(Self { address, cuts, accepting })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts = Cuts { count: cuts.count + 1, is_cut: true });
    }

    pub fn mend(&self) {
        self.cuts.send_modify(|cuts| cuts.is_cut = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: String, cuts: watch::Receiver<Cuts>) {
    while let Ok((client, _)) = listener.accept().await {
        let at = *cuts.borrow();
        // Dropped at once while it is cut: the client sees a connection that breaks.
        if !at.is_cut {
            tokio::spawn(carry(client, server.clone(), at.count, cuts.clone()));
        }
    }
}

/// Carries bytes both ways until either side ends or the way is cut.
async fn carry(
    mut client: TcpStream,
    server: String,
    cuts_before: u64,
    mut cuts: watch::Receiver<Cuts>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    // Small messages go back and forth; waiting to fill a packet would only slow them down.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = cuts.wait_for(|cuts| cuts.count > cuts_before) => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_breaks_what_is_there_and_refuses_what_comes() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(&server.local_addr().unwrap().to_string()).await.unwrap();
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut inner, _) = server.accept().await.unwrap();
        client.write_all(b"ask").await.unwrap();
        let mut heard = [0; 3];
        inner.read_exact(&mut heard).await.unwrap();
        proxy.cut();
        assert_eq!(client.read(&mut heard).await.unwrap_or(0), 0);
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(refused.read(&mut heard).await.unwrap_or(0), 0);
        proxy.mend();
        let _client = TcpStream::connect(proxy.address()).await.unwrap();
        server.accept().await.unwrap();
    }
}

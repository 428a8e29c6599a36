//! A TCP proxy that can cut its connections, or freeze them as a machine that is stopped does.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Open,
    Frozen,
    /// Connections made before this one was counted are closed.
    Cut(u32),
}

/// Between the clients of one test and a server.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    flow: watch::Sender<Flow>,
    clients: Arc<watch::Sender<usize>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (flow, _) = watch::channel(Flow::Open);
        let clients = Arc::new(watch::Sender::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server.to_owned(), flow.clone(), Arc::clone(&clients)));
        Self { address, flow, clients, _tasks: tasks }
    }

    /// Closes every connection; new ones work.
    pub(super) fn cut(&self) {
        self.flow.send_modify(|flow| {
            let before = if let Flow::Cut(number) = *flow { number } else { 0 };
            *flow = Flow::Cut(before + 1);
        });
    }

    /// Nothing goes through any more, and nobody is told.
    pub(super) fn freeze(&self) {
        self.flow.send_replace(Flow::Frozen);
    }

    /// Waits until no client is connected.
    pub(super) async fn all_gone(&self) {
        let mut clients = self.clients.subscribe();
        clients.wait_for(|clients| *clients == 0).await.expect("the proxy runs");
    }
}

async fn accept(
    listener: TcpListener,
    server: String,
    flow: watch::Sender<Flow>,
    clients: Arc<watch::Sender<usize>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("it listens");
        let server = TcpStream::connect(&server).await.expect("the server is there");
        clients.send_modify(|clients| *clients += 1);
        let (flow, clients) = (flow.subscribe(), Arc::clone(&clients));
        connections.spawn(async move {
            let (client_in, client_out) = client.into_split();
            let (server_in, server_out) = server.into_split();
            let up = pump(client_in, server_out, flow.clone(), From::Client);
            let down = pump(server_in, client_out, flow, From::Server);
            // Either end closes both.
            tokio::select! { () = up => {}, () = down => {} }
            clients.send_modify(|clients| *clients -= 1);
        });
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut flow: watch::Receiver<Flow>,
    which: From,
) {
    let born = *flow.borrow_and_update();
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let now = *flow.borrow_and_update();
        if matches!(now, Flow::Cut(_)) && now != born {
            return;
        }
        tokio::select! {
            changed = flow.changed() => if changed.is_err() { return },
            read = from.read(&mut bytes) => match read {
                // Only the client's going away is noticed: a frozen server tells nothing.
                Ok(0) | Err(_) if now == Flow::Frozen && which == From::Server => {
                    return std::future::pending().await;
                }
                Ok(0) | Err(_) => return,
                Ok(_) if now == Flow::Frozen => {}
                Ok(read) => if to.write_all(&bytes[..read]).await.is_err() { return },
            },
        }
    }
}

//! One connection to a virtual host of RabbitMQ, whose opening and end take bounded time even if the server says nothing more.

use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::tcp::{AMQPUriTcpExt as _, AsyncTcpStream, TLSConfig};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection as Client, ConnectionProperties, Error, ErrorKind, runtime};
use tokio::time::{sleep, timeout};

use super::connections::Connection;
use super::rabbitmq_target::RabbitMqTarget;
use super::{DeliveryOutcome, Tried};
use crate::credentials::RabbitMqCredential;

/// Longest wait for a connection, its handshake included.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Longest that a server may take to say goodbye.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// A connection is dead that was silent for twice as long, in seconds.
const HEARTBEAT_S: u16 = 10;

/// The user that RabbitMQ makes for itself, and its password.
const USER_DEFAULT: &str = "guest";

/// Reply codes of AMQP 0-9-1.
const ACCESS_REFUSED: u16 = 403;
const NOT_ALLOWED: u16 = 530;

/// A connection. It is closed when it is dropped.
pub(super) struct RabbitMqConnection {
    client: Client,
    socket: Socket,
}

impl RabbitMqConnection {
    /// Connects and logs in.
    ///
    /// # Errors
    /// What the try came to, without the server's own words: whatever listens there may not be RabbitMQ.
    pub(super) async fn open(
        target: &RabbitMqTarget,
        credential: Option<&RabbitMqCredential>,
    ) -> Result<Self, Tried> {
        let uri = uri(target, credential);
        let socket = Socket::default();
        // lapin waits for a silent server in a thread, for as long as the socket is open.
        let cut = CutOnDrop(Some(socket.clone()));
        let opened = timeout(CONNECT_WAIT, open(uri, socket.clone())).await;
        let server = &target.server;
        match opened {
            Ok(Ok(client)) => {
                cut.defuse();
                Ok(Self { client, socket })
            }
            Ok(Err(error)) => Err(explain(target, &error)),
            Err(_) => Err(Tried::Silent(format!("{server}: it did not answer in time"))),
        }
    }

    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        self.client.create_channel().await
    }
}

impl Connection for RabbitMqConnection {
    fn is_lost(&self) -> bool {
        !self.client.status().connected()
    }
}

impl Drop for RabbitMqConnection {
    fn drop(&mut self) {
        // lapin closes politely and waits for the answer, in a thread that would stay with a server that never gives it.
        let socket = self.socket.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                sleep(CLOSE_WAIT).await;
                socket.cut();
            })),
            Err(_) => socket.cut(),
        }
    }
}

impl fmt::Debug for RabbitMqConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RabbitMqConnection")
    }
}

async fn open(uri: AMQPUri, socket: Socket) -> Result<Client, Error> {
    let properties = ConnectionProperties::default().with_connection_name("trine".into());
    Client::connector(
        uri,
        runtime::default_runtime()?,
        async move |uri, runtime| {
            let stream = uri.connect_with_config_async(TLSConfig::default(), &runtime);
            // lapin may go on with it when nobody waits any more.
            let stream = timeout(CONNECT_WAIT, stream).await.map_err(std::io::Error::from)??;
            match &stream {
                AsyncTcpStream::Plain(plain) => socket.hold(plain.get_ref())?,
                AsyncTcpStream::Rustls(tls) => socket.hold(tls.get_ref().0.get_ref())?,
                // No other kind is compiled in.
                _ => {}
            }
            Ok(stream)
        },
        properties,
    )
    .await
}

fn uri(target: &RabbitMqTarget, credential: Option<&RabbitMqCredential>) -> AMQPUri {
    let scheme = if target.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP };
    let (username, password) = match credential {
        Some(login) => (login.user.clone(), login.secret.clone()),
        None => (USER_DEFAULT.to_owned(), USER_DEFAULT.to_owned()),
    };
    // The name of a server has a port always.
    let (host, port) = target.server.rsplit_once(':').unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = port.parse().unwrap_or_default();
    let userinfo = AMQPUserInfo { username, password };
    let authority = AMQPAuthority { userinfo, host, port };
    let query = AMQPQueryString { heartbeat: Some(HEARTBEAT_S), ..AMQPQueryString::default() };
    AMQPUri { scheme, authority, vhost: target.virtual_host.clone(), query }
}

/// The server's reply code, if it was the server who refused.
pub(super) fn code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => Some(refusal.get_id()),
        _ => None,
    }
}

fn explain(target: &RabbitMqTarget, error: &Error) -> Tried {
    let RabbitMqTarget { server, virtual_host, .. } = target;
    let refused =
        |why: String| Tried::Answered(DeliveryOutcome::Failed(format!("{server}: {why}")));
    match code(error) {
        Some(ACCESS_REFUSED) => refused(
            "it refused the login; credentials belong into the broker's configuration \
             (destinations.rabbitmq)"
                .to_owned(),
        ),
        Some(NOT_ALLOWED) => refused(format!(
            "there is no virtual host {virtual_host:?}, or the broker's user may not enter it"
        )),
        Some(code) => refused(format!("RabbitMQ refused the connection ({code})")),
        None => Tried::Silent(format!("{server}: no RabbitMQ server answers there")),
    }
}

/// A second handle of a connection's socket, to end it whatever lapin waits for.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Held>>);

#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    Open(TcpStream),
    /// Nobody wants it any more: one that comes late ends at once.
    Cut,
}

impl Socket {
    fn hold(&self, stream: &impl AsFd) -> std::io::Result<()> {
        let mut held = self.lock();
        if matches!(*held, Held::Cut) {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        *held = Held::Open(stream.as_fd().try_clone_to_owned()?.into());
        Ok(())
    }

    fn cut(&self) {
        if let Held::Open(socket) = std::mem::replace(&mut *self.lock(), Held::Cut) {
            // It fails where the connection has ended already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // No panic is possible between two statements that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a socket off unless it is defused.
struct CutOnDrop(Option<Socket>);

impl CutOnDrop {
    fn defuse(mut self) {
        self.0 = None;
    }
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            socket.cut();
        }
    }
}

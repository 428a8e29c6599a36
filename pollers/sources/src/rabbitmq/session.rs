//! One connection with one channel, whose opening and closing end in bounded time even if the server says nothing more. It does
//! not know consumers.

use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use lapin::options::QueueDeclareOptions;
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, OwnedTLSConfig};
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Error, Event, runtime};
use tokio::time::{sleep, timeout};

use super::config::Config;
use super::trouble::{Doing, told, unreachable};
use crate::SourceError;
use crate::clock::salt;

/// A connection is dead that was silent for twice as long. RabbitMQ recommends 5 to 20 seconds.
const HEARTBEAT_S: u16 = 10;

/// Longest that a server may take from the first packet to an open channel.
const OPEN_MAX: Duration = Duration::from_secs(20);

/// Longest that a server may take to say goodbye.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// What lapin tells of the connection.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// A connection with its channel. It is closed when it is dropped.
pub(crate) struct Session {
    pub(crate) channel: Channel,
    pub(crate) config: Arc<Config>,
    /// A name for this connection that no other one has, of whatever process: tags of another one mean nothing here.
    pub(crate) name: String,
    connection: Connection,
    cut: Cut,
}

impl Session {
    pub(crate) async fn open(config: Arc<Config>) -> Result<(Self, Events), SourceError> {
        let uri = uri(&config)?;
        let trust = OwnedTLSConfig { identity: None, cert_chain: config.ca_file.pem().await? };
        let cut = Cut::default();
        // Unless it is defused below: lapin waits for a silent server in a thread, for as long as the socket is open.
        let uncut = CutOnDrop(Some(cut.clone()));
        let opened = timeout(OPEN_MAX, open(uri, trust, &config, &cut)).await;
        let silent = || unreachable(&config, "does not answer: no open channel within 20 seconds");
        let (connection, channel) = opened
            .map_err(|_| silent())?
            .map_err(|error| told(&config, Doing::LoggingIn, &error))?;
        uncut.defuse();
        let name = format!("{:x}", salt());
        let events = Box::pin(connection.events_listener());
        let session = Self { channel, config, name, connection, cut };
        session.ready().await?;
        Ok((session, events))
    }

    /// Records that are ready in the queue. The server answers it after all that was sent before on this channel.
    ///
    /// # Errors
    /// When there is no such queue, or the connection is broken.
    pub(crate) async fn ready(&self) -> Result<u64, SourceError> {
        let ask = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = self.config.queue.clone();
        let declared = self.channel.queue_declare(queue, ask, FieldTable::default()).await;
        Ok(u64::from(declared.map_err(|error| self.told(&error))?.message_count()))
    }

    pub(crate) fn told(&self, error: &Error) -> SourceError {
        told(&self.config, Doing::Reading, error)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // lapin closes politely and waits for the answer, in a thread that would stay with a server that never gives it.
        let cut = self.cut.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                sleep(CLOSE_MAX).await;
                cut.now();
            });
        } else {
            cut.now();
        }
    }
}

async fn open(
    uri: AMQPUri,
    trust: OwnedTLSConfig,
    config: &Config,
    cut: &Cut,
) -> Result<(Connection, Channel), Error> {
    let name = format!("trine mapping {}", config.mapping_id);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let cut = cut.clone();
    let connection = Connection::connector(
        uri,
        runtime::default_runtime()?,
        async move |uri, runtime| {
            let stream = uri.connect_with_config_async(trust.as_ref(), &runtime);
            let stream = timeout(OPEN_MAX, stream).await.map_err(std::io::Error::from)??;
            match &stream {
                AsyncTcpStream::Plain(plain) => cut.hold(plain.get_ref())?,
                AsyncTcpStream::Rustls(tls) => cut.hold(tls.get_ref().0.get_ref())?,
                // No other kind is compiled in.
                _ => {}
            }
            Ok(stream)
        },
        properties,
    )
    .await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

fn uri(config: &Config) -> Result<AMQPUri, SourceError> {
    let scheme =
        if config.address.scheme == "amqps" { AMQPScheme::AMQPS } else { AMQPScheme::AMQP };
    let query = AMQPQueryString { heartbeat: Some(HEARTBEAT_S), ..AMQPQueryString::default() };
    let userinfo = AMQPUserInfo { username: config.username.clone(), password: config.password()? };
    let (host, port) = (config.address.host.clone(), config.address.port);
    let authority = AMQPAuthority { userinfo, host, port };
    Ok(AMQPUri { scheme, authority, vhost: config.virtual_host.clone(), query })
}

/// The error that ended the connection. Waits for ever while there is none.
pub(crate) async fn end(events: &mut Events) -> Error {
    loop {
        match events.next().await {
            Some(Event::Error(error)) => return error,
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// A second handle of a connection's socket, to end it whatever lapin waits for.
#[derive(Clone, Debug, Default)]
struct Cut(Arc<Mutex<Option<std::net::TcpStream>>>);

impl Cut {
    fn hold(&self, stream: &impl std::os::fd::AsFd) -> std::io::Result<()> {
        let socket = stream.as_fd().try_clone_to_owned()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket.into());
        Ok(())
    }

    fn now(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It fails where the connection has ended already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

struct CutOnDrop(Option<Cut>);

impl CutOnDrop {
    fn defuse(mut self) {
        self.0 = None;
    }
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(cut) = &self.0 {
            cut.now();
        }
    }
}

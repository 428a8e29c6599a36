//! One connection to a NATS server.
//!
//! async-nats reports what a server refuses (a publish without permission) on the side, some time
//! later; [`Seen`] collects that. A connection is never repaired: one that was lost, or on which
//! something timed out, is dropped, and the next delivery opens another. So nothing waits in a
//! buffer for a server that is down while the engine believes that it tries.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{Context, ContextBuilder};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, RequestErrorKind, ServerError};
use bytes::Bytes;
use tokio::sync::watch;

use super::connections::Connection;
use crate::credentials::NatsCredential;

/// Longest wait for a connection, its handshake included.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Longest wait for the server's answer to one request or one publish to a stream.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Subjects of one connection that are known to be allowed; beyond it all are learned anew.
const ALLOWED_MAX: usize = 1_024;

/// Refusals of one connection that are remembered, the last ones: more than there are deliveries to
/// one server at a time.
const REFUSALS_MAX: usize = 64;

/// What a server said on the side.
#[derive(Debug, Default)]
struct Seen {
    refusals: VecDeque<String>,
    closed: bool,
}

impl Seen {
    fn note(&mut self, event: Event) {
        match event {
            Event::Closed => self.closed = true,
            Event::ServerError(ServerError::Other(text)) => {
                if self.refusals.len() == REFUSALS_MAX {
                    self.refusals.pop_front();
                }
                self.refusals.push_back(text);
            }
            _ => {}
        }
    }

    fn refusal(&self, of: &Refused<'_>) -> Option<&String> {
        self.refusals.iter().find(|refusal| of.is_in(refusal))
    }
}

/// What a refusal can be about.
#[derive(Debug, Clone, Copy)]
enum Refused<'a> {
    /// A publish to this subject.
    Publish(&'a str),
    /// A subscription; the only one here is to the inbox for answers.
    Subscription,
}

impl Refused<'_> {
    /// `Permissions Violation for Publish to "subject"` are the server's words.
    fn is_in(self, refusal: &str) -> bool {
        match self {
            Self::Publish(subject) => refusal.contains(&format!("\"{subject}\"")),
            Self::Subscription => refusal.contains("for Subscription to"),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct NatsConnection {
    client: Client,
    pub(super) jetstream: Context,
    seen: watch::Receiver<Seen>,
    allowed: Mutex<HashSet<String>>,
}

impl NatsConnection {
    /// Connects to `server` (`host:port`).
    ///
    /// # Errors
    /// A sentence without the server's own words: whatever listens there may not be a NATS server,
    /// and what it says is not for whoever wrote its address into a destination.
    pub(super) async fn open(
        server: &str,
        credential: Option<&NatsCredential>,
    ) -> Result<Self, String> {
        let (saw, seen) = watch::channel(Seen::default());
        let saw = Arc::new(saw);
        let options = ConnectOptions::new()
            .name("trine")
            .connection_timeout(CONNECT_WAIT)
            .request_timeout(Some(ANSWER_WAIT))
            // Credentials are for the server that was named, not for those that it names.
            .ignore_discovered_servers()
            // Counted from the loss of a connection: one try, then the client ends.
            .max_reconnects(1)
            .event_callback(move |event| {
                saw.send_modify(|seen| seen.note(event));
                std::future::ready(())
            });
        let options = match credential {
            None => options,
            Some(login) if login.user.is_empty() => options.token(login.secret.clone()),
            Some(login) => options.user_and_password(login.user.clone(), login.secret.clone()),
        };
        let connecting = options.connect(format!("nats://{server}"));
        let client = match tokio::time::timeout(CONNECT_WAIT, connecting).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(format!("{server}: {}", explain(error.kind()))),
            Err(_) => return Err(format!("{server}: {}", explain(ConnectErrorKind::TimedOut))),
        };
        let jetstream = ContextBuilder::new().timeout(ANSWER_WAIT).build(client.clone());
        let connection = Self { client, jetstream, seen, allowed: Mutex::default() };
        // A login that may not hear answers is found out before a record is sent, not after.
        connection.round_trip().await.map_err(|why| format!("{server}: {why}"))?;
        Ok(connection)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// What the server said about publishing to `subject`, if it refused it. A refusal is remembered
    /// as long as the connection: one that has seen it is not to be used for later records.
    pub(super) fn refusal(&self, subject: &str) -> Option<String> {
        self.seen.borrow().refusal(&Refused::Publish(subject)).cloned()
    }

    /// Waits for the server to refuse a publish to `subject`; for ever, if it does not.
    pub(super) async fn refused(&self, subject: &str) -> String {
        self.said(Refused::Publish(subject)).await
    }

    async fn said(&self, of: Refused<'_>) -> String {
        let mut seen = self.seen.clone();
        // Its own statement: a borrow held over the wait below would tie the task to its thread.
        let heard = seen.wait_for(|seen| seen.refusal(&of).is_some()).await;
        let heard = heard.ok().and_then(|seen| seen.refusal(&of).cloned());
        match heard {
            Some(refusal) => refusal,
            // The connection has ended and nothing more is said on it.
            None => std::future::pending().await,
        }
    }

    /// Whether a record was published to `subject` on behalf of this connection and allowed.
    pub(super) fn is_allowed(&self, subject: &str) -> bool {
        self.lock_allowed().contains(subject)
    }

    pub(super) fn allow(&self, subject: &str) {
        let mut allowed = self.lock_allowed();
        if allowed.len() >= ALLOWED_MAX {
            allowed.clear();
        }
        allowed.insert(subject.to_owned());
    }

    fn lock_allowed(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the server has worked through all that was sent before, on this connection.
    ///
    /// The client's own flush ends when the bytes are with the operating system. A request to a
    /// subject that nobody listens to is answered by the server itself, in order; if even that
    /// subject is forbidden, so is the answer.
    pub(super) async fn round_trip(&self) -> Result<(), String> {
        let nobody = self.client.new_inbox();
        tokio::select! {
            answer = self.client.request(nobody.clone(), Bytes::new()) => match answer {
                Ok(_) => {}
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {}
                Err(error) => return Err(error.kind().to_string()),
            },
            _ = self.refused(&nobody) => {}
            refusal = self.said(Refused::Subscription) => return Err(refusal),
        }
        if self.is_lost() { Err("the connection was lost".to_owned()) } else { Ok(()) }
    }

    /// Closes the connection; afterwards nothing more can be said on it. What the server said about
    /// `subject`, if it refused it.
    pub(super) async fn close(self, subject: &str) -> Option<String> {
        let Self { client, jetstream, mut seen, .. } = self;
        // The client ends with its last handle, and says so after all that came before.
        drop((client, jetstream));
        let _ = seen.wait_for(|seen| seen.closed).await;
        seen.borrow().refusal(&Refused::Publish(subject)).cloned()
    }
}

impl Connection for NatsConnection {
    /// Or the client has made another one in its place, and what was on its way is gone.
    fn is_lost(&self) -> bool {
        self.client.connection_state() != State::Connected
            || self.client.statistics().connects.load(Ordering::Relaxed) != 1
    }
}

fn explain(kind: ConnectErrorKind) -> &'static str {
    match kind {
        ConnectErrorKind::Dns => "its name could not be resolved",
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            "it refused the login; credentials belong into the broker's configuration \
             (destinations.nats)"
        }
        ConnectErrorKind::TimedOut => "it did not answer in time",
        ConnectErrorKind::Tls => "the TLS handshake failed",
        ConnectErrorKind::ServerParse | ConnectErrorKind::Io | ConnectErrorKind::MaxReconnects => {
            "no NATS server answers there"
        }
    }
}

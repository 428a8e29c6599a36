//! One connection to a NATS server, and requests to its JetStream interface. It does not heal itself: once it broke, it says so and is
//! made anew.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::{self, ErrorCode, context, response::Response};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::config::NatsConfig;
use crate::trust::advised;
use crate::{Problem, SourceError};

/// Oldest server that can do what is needed, and what it could not do before.
const VERSION_MIN: (u64, u64) = (2, 10);
const NEEDED: &str = "consumers with several filter subjects, and creating a consumer without changing one that exists";

const CONNECT_WAIT: Duration = Duration::from_secs(5);
const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// How often a silent connection is asked whether it lives: twice unanswered, it counts as broken.
const PING_EVERY: Duration = Duration::from_secs(10);

/// How long the client library leaves a broken connection alone before it would heal it, which is given up by then.
const HEAL_WAIT: Duration = Duration::from_secs(1);

/// A connection, shared by everything that uses it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) context: jetstream::Context,
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Debug)]
enum State {
    Fine,
    /// The server said that something is not allowed.
    Refused(String),
    Broken(String),
}

impl Link {
    /// A connection to one of the servers, if it is new enough.
    pub(crate) async fn open(config: &NatsConfig) -> Result<Self, SourceError> {
        let state = Arc::new(watch::Sender::new(State::Fine));
        let tell = Arc::clone(&state);
        let connected = Arc::new(AtomicBool::new(false));
        let was_connected = Arc::clone(&connected);
        let mut options = ConnectOptions::new()
            .name(format!("trine {}", config.durable))
            .connection_timeout(CONNECT_WAIT)
            .request_timeout(Some(REQUEST_WAIT))
            .ping_interval(PING_EVERY)
            .skip_subject_validation(true)
            .max_reconnects(config.servers.len())
            .reconnect_delay_callback(move |_| {
                if was_connected.load(Ordering::Relaxed) { HEAL_WAIT } else { Duration::ZERO }
            })
            .event_callback(move |event| {
                let tell = Arc::clone(&tell);
                async move {
                    tell.send_if_modified(|state| state.step(&event));
                }
            });
        if let Some((username, password)) = &config.credentials {
            options = options.user_and_password(username.clone(), password.clone());
        }
        if let (Some(path), Some(_)) = (config.ca_file.path(), config.ca_file.pem().await?) {
            // Whoever names authorities wants no password to leave without.
            options = options.add_root_certificates(path.to_owned()).require_tls(true);
        }
        let connecting = options.connect(config.servers.clone());
        let client = connecting.await.map_err(|error| unconnected(config, &error))?;
        connected.store(true, Ordering::Relaxed);
        let version = client.server_info().version;
        if !is_new_enough(&version) {
            let (major, minor) = VERSION_MIN;
            return Err(SourceError::configuration(format!(
                "the NATS server is version {version}, expected {major}.{minor} or later: older ones lack {NEEDED}; upgrade it"
            )));
        }
        Ok(Self { context: jetstream::new(client.clone()), client, state })
    }

    /// Asks JetStream for something. The inner error is its own.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        subject: String,
        payload: &impl Serialize,
    ) -> Result<Result<T, jetstream::Error>, SourceError> {
        let shown = subject.clone();
        let request = self.context.request::<_, _, Response<T>>(subject, payload);
        let answered = tokio::select! {
            answered = request => answered,
            error = self.trouble() => return Err(error),
        };
        match answered {
            Ok(Response::Ok(answer)) => Ok(Ok(answer)),
            Ok(Response::Err { error }) => Ok(Err(error)),
            Err(error) => Err(match error.kind() {
                context::RequestErrorKind::NoResponders => without_jetstream(),
                _ => SourceError::unreachable(format!(
                    "the NATS server did not answer {shown}: {error}"
                )),
            }),
        }
    }

    /// Whether the connection works, as far as anybody knows.
    pub(crate) fn is_fine(&self) -> bool {
        matches!(*self.state.borrow(), State::Fine)
    }

    /// Gives the connection up, for a reason that the client library does not see.
    pub(crate) fn give_up(&self, error: &SourceError) {
        self.state.send_if_modified(|state| {
            let fine = matches!(state, State::Fine);
            if fine {
                *state = State::Broken(error.to_string());
            }
            fine
        });
    }

    /// Waits until the connection broke or the server refused something on it.
    pub(crate) async fn trouble(&self) -> SourceError {
        let mut state = self.state.subscribe();
        let trouble = state.wait_for(|state| !matches!(state, State::Fine));
        match trouble.await.as_deref() {
            Ok(State::Refused(says)) => SourceError::new(
                Problem::Authorization,
                format!("the NATS server does not allow it: {says}"),
            ),
            Ok(State::Broken(says)) => SourceError::unreachable(says.clone()),
            Ok(State::Fine) | Err(_) => SourceError::unreachable("the NATS client has ended"),
        }
    }
}

impl State {
    /// Whether the event changed it.
    fn step(&mut self, event: &Event) -> bool {
        let next = match event {
            Event::Disconnected | Event::Closed => {
                Self::Broken("the connection to the NATS server broke off".to_owned())
            }
            // What was dropped comes again over the next connection.
            Event::SlowConsumer(_) => {
                Self::Broken("the NATS client could not keep up and dropped messages".to_owned())
            }
            Event::ServerError(ServerError::Other(says)) if is_refusal(says) => {
                Self::Refused(says.clone())
            }
            Event::ServerError(ServerError::AuthorizationViolation) => Self::Broken(
                "the NATS server ended the connection: authorization violation".to_owned(),
            ),
            _ => return false,
        };
        if matches!(self, Self::Broken(_)) {
            return false;
        }
        *self = next;
        true
    }
}

fn is_refusal(says: &str) -> bool {
    says.to_ascii_lowercase().contains("permissions violation")
}

fn unconnected(config: &NatsConfig, error: &async_nats::ConnectError) -> SourceError {
    let mut servers = String::new();
    for server in &config.servers {
        let comma = if servers.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(servers, "{comma}{}:{}", server.host(), server.port());
    }
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            let says = format!(
                "the NATS server at {servers} does not accept the credentials: check username and password_secret"
            );
            SourceError::new(Problem::Authentication, says)
        }
        ConnectErrorKind::ServerParse => {
            SourceError::configuration(format!("no server can be made of {servers}: {error}"))
        }
        _ => {
            let says = format!("no NATS server at {servers} can be reached: {error}");
            SourceError::unreachable(advised(says))
        }
    }
}

/// An error of JetStream, after what it is about.
pub(crate) fn refused(about: impl fmt::Display, error: &jetstream::Error) -> SourceError {
    let says = format!("{about}: {error}");
    let off = [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT];
    if off.contains(&error.error_code()) {
        return without_jetstream();
    }
    // The server's own trouble, for example a cluster without a leader: it passes.
    if error.code() >= 500 {
        SourceError::unreachable(says)
    } else {
        SourceError::configuration(says)
    }
}

fn without_jetstream() -> SourceError {
    SourceError::configuration(
        "the NATS server answers no JetStream requests: switch JetStream on for it and for the account",
    )
}

/// Whether a version, such as 2.10.3-beta.1, is at least the oldest good one. One that cannot be read is taken for new.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split(['.', '-']).map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= VERSION_MIN,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for new in ["2.10.0", "2.15.1", "2.10.0-preview.1", "v3.0.0", "10.0", "unknown"] {
            assert!(is_new_enough(new), "{new}");
        }
        for old in ["2.9.10", "2.2.0", "1.99.0", "v2.9.25-beta"] {
            assert!(!is_new_enough(old), "{old}");
        }
    }

    #[test]
    fn a_broken_connection_stays_broken() {
        let mut state = State::Fine;
        assert!(!state.step(&Event::Connected));
        let refused = ServerError::Other("Permissions Violation for Publish to \"a\"".to_owned());
        assert!(state.step(&Event::ServerError(refused)));
        assert!(state.step(&Event::Disconnected));
        assert!(!state.step(&Event::Connected) && matches!(state, State::Broken(_)));
    }
}

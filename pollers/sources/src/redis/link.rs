//! Two connections to a Redis server, one that blocks while it reads and one that does not, and what its errors mean. They do not
//! heal themselves.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, TlsCertificates, Value,
    cmd,
};
use tokio::time::timeout;

use super::config::RedisConfig;
use crate::trust::advised;
use crate::{Problem, SourceError};

const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Longest wait for an answer, beside what the server was told to wait.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The connections.
#[derive(Clone)]
pub(crate) struct Link {
    /// Blocks: whatever else were sent on it would wait.
    reading: MultiplexedConnection,
    settling: MultiplexedConnection,
}

impl Link {
    pub(crate) async fn open(config: &RedisConfig) -> Result<Self, SourceError> {
        let about = format!("Redis at {}", config.shown);
        let server = config.server.clone();
        let client = match config.ca_file.pem().await? {
            None => Client::open(server),
            Some(pem) => Client::build_with_tls(
                server,
                TlsCertificates { client_tls: None, root_cert: Some(pem.into_bytes()) },
            ),
        };
        let client = client.map_err(|error| trouble(&about, &error))?;
        // The waits are counted here: the longest answer is one that the server was told to wait for.
        let options = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WAIT))
            .set_response_timeout(None);
        let open = async || {
            let opened = client.get_multiplexed_async_connection_with_config(&options);
            let mut connection = opened.await.map_err(|error| trouble(&about, &error))?;
            // For people who look at CLIENT LIST; a user without the right to it reads without a name.
            let named = cmd("CLIENT").arg("SETNAME").arg(&config.group).to_owned();
            let _ = within::<Value>(ANSWER_WAIT, named.query_async(&mut connection)).await;
            Ok(connection)
        };
        Ok(Self { reading: open().await?, settling: open().await? })
    }

    /// Asks something that is answered at once.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value, RedisError> {
        let mut connection = self.settling.clone();
        within(ANSWER_WAIT, command.query_async(&mut connection)).await
    }

    /// Asks several things that are answered at once.
    pub(crate) async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let mut connection = self.settling.clone();
        within(ANSWER_WAIT, commands.query_async(&mut connection)).await
    }

    /// Asks something for which the server may wait so long.
    pub(crate) async fn read(&self, command: &Cmd, wait: Duration) -> Result<Value, RedisError> {
        let mut connection = self.reading.clone();
        within(wait + ANSWER_WAIT, command.query_async(&mut connection)).await
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

async fn within<T>(
    wait: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let silent = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time").into();
    timeout(wait, answer).await.unwrap_or_else(|_| Err(silent()))
}

/// What an error means, after what it is about.
pub(crate) fn trouble(about: &str, error: &RedisError) -> SourceError {
    let says = format!("{about}: {error}");
    let text = error.to_string();
    let code = error.code().unwrap_or_default();
    let has = |part: &str| text.contains(part);
    if error.kind() == ErrorKind::AuthenticationFailed || ["WRONGPASS", "NOAUTH"].contains(&code) {
        let says = format!("{says}; check username and password_secret");
        return SourceError::new(Problem::Authentication, says);
    }
    if code == "NOPERM" {
        let says = format!("{says}; give the user the right to the command and the key");
        return SourceError::new(Problem::Authorization, says);
    }
    if code == "WRONGTYPE" {
        return SourceError::configuration(format!("{says}; name the key of a stream"));
    }
    if has("unknown command") || has("Unknown subcommand") {
        return SourceError::configuration(format!(
            "{says}; Redis 6.2 or later is needed, because older ones lack XAUTOCLAIM"
        ));
    }
    if code == "MOVED" || code == "READONLY" || error.kind() == ErrorKind::InvalidClientConfig {
        return SourceError::configuration(format!(
            "{says}; name a server that is no replica and has the key itself"
        ));
    }
    SourceError::unreachable(advised(says))
}

/// An answer that is not what the command should have brought.
pub(crate) fn strange(command: &str) -> SourceError {
    SourceError::unreachable(format!("the answer to {command} is not what Redis should say"))
}

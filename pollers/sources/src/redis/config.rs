//! What a mapping says of its stream, checked. It asks no server.

use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use trine_proto::v1::RedisSource;

use crate::trust::CaFile;
use crate::{Binding, SourceError, Start};

/// Longest key of a stream and name of a group, in bytes.
const NAME_BYTES_MAX: usize = 512;

/// A stream that can be read.
#[derive(Clone)]
pub(crate) struct RedisConfig {
    pub(crate) server: ConnectionInfo,
    pub(crate) ca_file: CaFile,
    /// Without what is secret.
    pub(crate) shown: String,
    pub(crate) stream: String,
    pub(crate) group: String,
    /// The same in each process that reads for the mapping: its pending entries are the mapping's.
    pub(crate) consumer: String,
    pub(crate) start: Start,
    /// After so long without a sign of life another consumer of the group counts as dead.
    pub(crate) lease: Duration,
}

impl RedisConfig {
    /// The checked form.
    pub(crate) fn new(
        config: &RedisSource,
        binding: &Binding,
        lease: Duration,
    ) -> Result<Self, SourceError> {
        let mut server = server(&config.url)?;
        let shown = match server.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}")
            }
            other => other.to_string(),
        };
        let tls = matches!(server.addr(), ConnectionAddr::TcpTls { .. });
        let ca_file = CaFile::new(&config.ca_file, tls, "TLS: expected a url of rediss://")?;
        let mut login = server.redis_settings().clone();
        if !config.username.is_empty() {
            login = login.set_username(&config.username);
        }
        match binding.secrets.get(&config.password_secret)? {
            Some(password) => login = login.set_password(password),
            None if config.username.is_empty() => {}
            None => {
                return Err(SourceError::configuration(
                    "username is set without password_secret: set both, or the password alone for the default user",
                ));
            }
        }
        server = server.set_redis_settings(login);
        let group = match config.group.as_str() {
            "" => format!("trine-{}", binding.mapping_id),
            named => named.to_owned(),
        };
        Ok(Self {
            server,
            ca_file,
            shown,
            stream: name("stream", &config.stream)?,
            group: name("group", &group)?,
            consumer: binding.mapping_id.to_string(),
            start: binding.start,
            lease,
        })
    }
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("server", &self.shown)
            .field("stream", &self.stream)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

fn server(url: &str) -> Result<ConnectionInfo, SourceError> {
    let known = url.starts_with("redis://") || url.starts_with("rediss://");
    let parsed = known.then(|| url.into_connection_info().ok()).flatten();
    let bare = parsed.filter(|server| {
        server.redis_settings().username().is_none() && server.redis_settings().password().is_none()
    });
    // The url is not shown: it may hold what should not be in it.
    bare.ok_or_else(|| {
        SourceError::configuration(
            "url is not redis://host:port/db or rediss://host:port/db without credentials: name them in username and \
             password_secret",
        )
    })
}

fn name(field: &str, name: &str) -> Result<String, SourceError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(SourceError::configuration(format!(
            "{field} has {} bytes, expected 1 to {NAME_BYTES_MAX}",
            name.len()
        )));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Problem, Secrets};

    fn check(change: fn(&mut RedisSource)) -> Result<RedisConfig, SourceError> {
        let mut source = RedisSource {
            url: "redis://127.0.0.1:6379/2".to_owned(),
            stream: "orders".to_owned(),
            ..RedisSource::default()
        };
        change(&mut source);
        let known = BTreeMap::from([("p".to_owned(), "secret".to_owned())]);
        let binding = Binding {
            mapping_id: "0b6f".into(),
            start: Start::Latest,
            secrets: Secrets::new(known),
        };
        RedisConfig::new(&source, &binding, Duration::from_secs(60))
    }

    #[test]
    fn a_good_configuration_is_taken_and_keeps_its_secret() {
        let config = check(|_| {}).unwrap();
        assert_eq!((config.group.as_str(), config.consumer.as_str()), ("trine-0b6f", "0b6f"));
        assert_eq!(config.server.redis_settings().db(), 2);
        let config = check(|s| {
            s.username = "u".to_owned();
            s.password_secret = "p".to_owned();
            s.group = "mine".to_owned();
        })
        .unwrap();
        assert_eq!(config.server.redis_settings().password(), Some("secret"));
        assert_eq!(config.group, "mine");
        assert!(!format!("{config:?}").contains("secret"));
        check(|s| s.url = "rediss://127.0.0.1:6379".to_owned()).unwrap();
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        for (error, expected) in [
            (check(|s| s.url.clear()), "url is not redis://"),
            (check(|s| s.url = "http://h".to_owned()), "url is not redis://"),
            (check(|s| s.url = "redis://u:p@h".to_owned()), "without credentials"),
            (check(|s| s.stream.clear()), "stream has 0 bytes"),
            (check(|s| s.group = "g".repeat(513)), "group has 513 bytes, expected 1 to 512"),
            (check(|s| s.username = "u".to_owned()), "without password_secret"),
            (check(|s| s.ca_file = "ca.pem".to_owned()), "expected a url of rediss://"),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.problem, Problem::Configuration);
            assert!(error.to_string().contains(expected), "{error}");
        }
        let unknown = check(|s| s.password_secret = "q".to_owned()).unwrap_err();
        assert_eq!(unknown.problem, Problem::Authentication);
    }
}

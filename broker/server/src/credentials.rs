//! How the broker logs in to the servers of destinations: configuration, never part of a destination, never printed.

use std::fmt;
use std::path::PathBuf;

/// How to log in to one NATS server.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsCredential {
    /// `host:port`, or empty for every server without its own entry.
    pub server: String,
    /// User name; empty with a token.
    pub user: String,
    /// Password or token.
    pub secret: String,
}

/// How to log in to one RabbitMQ server.
#[derive(Clone, PartialEq, Eq)]
pub struct RabbitMqCredential {
    /// `host:port`, or empty for every server without its own entry. Without any, the login is RabbitMQ's own `guest`, which
    /// it takes from its own machine only.
    pub server: String,
    /// User name.
    pub user: String,
    /// Password.
    pub secret: String,
}

/// How to reach the servers of one Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaCredential {
    /// `host:port`, one of the bootstrap servers, or empty for every cluster without its own entry.
    pub server: String,
    /// The login; `None`: the cluster asks for none.
    pub login: Option<KafkaLogin>,
    /// Speak TLS, with the system's certificate authorities or those of `ca_file`. Needs a librdkafka that was built with it.
    pub tls: bool,
    /// PEM file of certificate authorities.
    pub ca_file: Option<PathBuf>,
}

/// A user of Kafka.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaLogin {
    /// SASL mechanism.
    pub mechanism: KafkaMechanism,
    /// User name.
    pub user: String,
    /// Password.
    pub secret: String,
}

/// How a Kafka user proves to be one. All but PLAIN need a librdkafka that was built with TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KafkaMechanism {
    /// `PLAIN`.
    #[default]
    Plain,
    /// `SCRAM-SHA-256`.
    ScramSha256,
    /// `SCRAM-SHA-512`.
    ScramSha512,
}

impl KafkaMechanism {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// As Kafka writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Keys for AWS services.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsCredential {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`, which temporary keys come with.
    pub session_token: Option<String>,
}

// Without secrets: options are logged.

impl fmt::Debug for NatsCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, user, .. } = self;
        f.debug_struct("NatsCredential")
            .field("server", server)
            .field("user", user)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RabbitMqCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, user, .. } = self;
        f.debug_struct("RabbitMqCredential")
            .field("server", server)
            .field("user", user)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for KafkaLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, user, .. } = self;
        f.debug_struct("KafkaLogin")
            .field("mechanism", mechanism)
            .field("user", user)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AwsCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredential")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

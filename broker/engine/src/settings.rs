//! What can be set of a function and of the account: values that are within their ranges by
//! construction. It does not know defaults of the configuration file nor the wire.

use std::fmt;
use std::sync::Arc;

use crate::Millis;

/// A function name: 1..=64 of `[a-zA-Z0-9-_]` (LS 1.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionName(Arc<str>);

/// A value outside its range; the text says what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSetting {
    /// Name of the setting as the contract spells it.
    pub setting: &'static str,
    /// What was expected.
    pub expected: &'static str,
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.setting, self.expected)
    }
}

impl std::error::Error for InvalidSetting {}

impl FunctionName {
    /// Checks a name.
    ///
    /// # Errors
    /// If it is empty, longer than 64 characters or holds another character.
    pub fn new(name: &str) -> Result<Self, InvalidSetting> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fine) {
            return Err(InvalidSetting {
                setting: "function",
                expected: "a name of 1 to 64 characters [a-zA-Z0-9-_]",
            });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for FunctionName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Which version of a function a caller asks for (LS 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Qualifier {
    /// The mutable one; also what no qualifier means.
    Latest,
    /// A published number.
    Version(u64),
    /// A movable name.
    Alias(Box<str>),
}

impl Qualifier {
    /// Reads a qualifier; empty means [`Qualifier::Latest`].
    ///
    /// # Errors
    /// If it is longer than 128 characters or holds a character outside `[a-zA-Z0-9-_$]` (LS 1.1).
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        if text.is_empty() || text == "$LATEST" {
            return Ok(Self::Latest);
        }
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.len() > 128 || !text.bytes().all(fine) {
            return Err(InvalidSetting {
                setting: "qualifier",
                expected: "$LATEST, a version number or an alias of 1 to 128 characters [a-zA-Z0-9-_]",
            });
        }
        Ok(text.parse().map_or_else(|_| Self::Alias(text.into()), Self::Version))
    }
}

macro_rules! ranged {
    ($(#[$doc:meta])* $name:ident($inner:ty), $setting:literal, $low:literal ..= $high:literal, $expected:literal, default $default:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name($inner);

        impl $name {
            /// The value in force when nothing is set.
            pub const DEFAULT: Self = Self($default);

            /// Checks the range.
            ///
            /// # Errors
            /// If `value` is outside it.
            pub const fn new(value: $inner) -> Result<Self, InvalidSetting> {
                if !matches!(value, $low..=$high) {
                    return Err(InvalidSetting { setting: $setting, expected: $expected });
                }
                Ok(Self(value))
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }
    };
}

ranged!(
    /// How long an attempt may run, in seconds (LS 2.3).
    TimeoutSeconds(u16), "timeout_seconds", 1..=900, "1 to 900 seconds", default 3
);
ranged!(
    /// Memory told to the worker, in MB (LS 2.3).
    MemoryMb(u16), "memory_mb", 128..=10240, "128 to 10240 MB", default 128
);
ranged!(
    /// Attempts after the first one (LS 3.2).
    MaxRetries(u8), "max_retries", 0..=2, "0 to 2", default 2
);
ranged!(
    /// Age at which an event is given up, in seconds (LS 3.2).
    MaxEventAgeSeconds(u16), "max_event_age_seconds", 60..=21600, "60 to 21600 seconds", default 21600
);

/// Where the record of a finished event goes (LS 3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Another function, invoked asynchronously with the record.
    Function(FunctionName),
    /// POST to this URL.
    Http {
        /// Absolute, http or https.
        url: Box<str>,
    },
    /// A NATS subject.
    Nats {
        /// `nats://host:port`.
        url: Box<str>,
        /// A publishable subject.
        subject: Box<str>,
        /// Wait for a stream's acknowledgement.
        jetstream: bool,
    },
    /// A file of JSON lines in the broker's destination folder.
    File {
        /// A plain file name.
        name: Box<str>,
    },
    /// A standard queue of SQS.
    Sqs {
        /// Its ARN or its URL.
        queue: Box<str>,
        /// Empty: that of ARN or URL.
        region: Box<str>,
        /// Empty: AWS's own, or where the URL is.
        endpoint_url: Box<str>,
    },
    /// POST to this URL what SNS would.
    Sns {
        /// Absolute, http or https.
        url: Box<str>,
        /// What the receiver is told about the topic.
        topic_arn: Box<str>,
    },
    /// A topic of Kafka.
    Kafka {
        /// `host:port` each. Empty: those of the mapping's source.
        bootstrap_servers: Box<[Box<str>]>,
        /// Its name.
        topic: Box<str>,
    },
    /// An exchange of RabbitMQ, or a queue through the default one.
    RabbitMq {
        /// `amqp://host:port` or `amqps://host:port`.
        url: Box<str>,
        /// Empty: `/`.
        virtual_host: Box<str>,
        /// Empty: the default exchange.
        exchange: Box<str>,
        /// Routing key, or queue with the default exchange.
        routing_key: Box<str>,
    },
}

/// Settings of one function, as its user set them: `None` is left to the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FunctionSettings {
    /// For people; at most 256 characters.
    pub description: Option<Box<str>>,
    /// Function timeout.
    pub timeout: Option<TimeoutSeconds>,
    /// Told to the worker.
    pub memory: Option<MemoryMb>,
    /// Guarantee and ceiling; 0 switches off (LS 5).
    pub reserved_concurrency: Option<u32>,
    /// Attempts after the first.
    pub max_retries: Option<MaxRetries>,
    /// Age limit of an event.
    pub max_event_age: Option<MaxEventAgeSeconds>,
    /// Record of a success.
    pub on_success: Option<Destination>,
    /// Record of a failure.
    pub on_failure: Option<Destination>,
}

impl FunctionSettings {
    /// Function timeout in force.
    #[must_use]
    pub fn timeout_ms(&self) -> u32 {
        u32::from(self.timeout.unwrap_or(TimeoutSeconds::DEFAULT).get()) * 1000
    }

    /// Memory in force, in MB.
    #[must_use]
    pub fn memory_mb(&self) -> u32 {
        u32::from(self.memory.unwrap_or(MemoryMb::DEFAULT).get())
    }

    /// Retries in force.
    #[must_use]
    pub fn max_retries(&self) -> u32 {
        u32::from(self.max_retries.unwrap_or(MaxRetries::DEFAULT).get())
    }

    /// Age limit in force, in milliseconds.
    #[must_use]
    pub fn max_event_age_ms(&self) -> Millis {
        u64::from(self.max_event_age.unwrap_or(MaxEventAgeSeconds::DEFAULT).get()) * 1000
    }
}

/// Bounds of the whole engine. Each is a decision about overload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineLimits {
    /// Concurrent executions over all functions (LS 5).
    pub account_concurrency: u32,
    /// What reservations must leave of it (LS 5).
    pub unreserved_concurrency_min: u32,
    /// Events that have not ended, at most.
    pub queue_count_max: u64,
    /// Their payload bytes, at most.
    pub queue_bytes_max: u64,
    /// Ended invocations that are remembered, at most; dead ones are counted apart from the rest.
    pub history_count_max: u64,
    /// How long a success is remembered.
    pub history_age_ms: Millis,
    /// How long a dead invocation can be redriven.
    pub dead_age_ms: Millis,
    /// Functions, at most.
    pub functions_max: u32,
    /// Synchronous invocations waiting for a slot, at most.
    pub sync_waiting_max: u32,
    /// Longest wait of a synchronous invocation for a slot.
    pub placement_wait_ms: Millis,
    /// How long a handler that was told to stop keeps its concurrency.
    pub stop_grace_ms: Millis,
    /// How long a destination is tried.
    pub delivery_age_ms: Millis,
    /// Largest response of a function, in bytes (LS 1.4).
    pub response_bytes_max: u64,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            account_concurrency: 1000,
            unreserved_concurrency_min: 100,
            queue_count_max: 2_000_000,
            queue_bytes_max: 8 << 30,
            history_count_max: 100_000,
            history_age_ms: 24 * 3_600_000,
            dead_age_ms: 14 * 24 * 3_600_000,
            functions_max: 10_000,
            sync_waiting_max: 100_000,
            placement_wait_ms: 5_000,
            stop_grace_ms: 5_000,
            delivery_age_ms: 6 * 3_600_000,
            response_bytes_max: 6_291_556,
        }
    }
}

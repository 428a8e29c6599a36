//! The written form of a function. Tags are for ever: a field that goes leaves its tag reserved.

use prost::{Message, Oneof};
use trine_engine::{
    Destination, FunctionName, FunctionRecord, FunctionSettings, InvalidSetting,
    MaxEventAgeSeconds, MaxRetries, MemoryMb, TimeoutSeconds,
};

use super::BadField;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Function {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    name: String,
    /// Milliseconds since the Unix epoch.
    #[prost(uint64, tag = "3")]
    created_at: u64,
    #[prost(uint64, tag = "4")]
    modified_at: u64,
    #[prost(message, optional, tag = "5")]
    settings: Option<Settings>,
}

/// Unset: left to the default, which may change between releases.
#[derive(Clone, PartialEq, Message)]
struct Settings {
    #[prost(string, optional, tag = "1")]
    description: Option<String>,
    #[prost(uint32, optional, tag = "2")]
    timeout_seconds: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    memory_mb: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    reserved_concurrency: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    max_retries: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    max_event_age_seconds: Option<u32>,
    #[prost(message, optional, tag = "7")]
    on_success: Option<Target>,
    #[prost(message, optional, tag = "8")]
    on_failure: Option<Target>,
}

/// A destination.
#[derive(Clone, PartialEq, Message)]
struct Target {
    #[prost(oneof = "To", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    to: Option<To>,
}

#[derive(Clone, PartialEq, Oneof)]
enum To {
    #[prost(string, tag = "1")]
    Function(String),
    #[prost(string, tag = "2")]
    HttpUrl(String),
    #[prost(message, tag = "3")]
    Nats(NatsTarget),
    #[prost(string, tag = "4")]
    FileName(String),
    #[prost(message, tag = "5")]
    Sqs(SqsTarget),
    #[prost(message, tag = "6")]
    Sns(SnsTarget),
    #[prost(message, tag = "7")]
    Kafka(KafkaTarget),
    #[prost(message, tag = "8")]
    RabbitMq(RabbitMqTarget),
}

#[derive(Clone, PartialEq, Message)]
struct NatsTarget {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(string, tag = "2")]
    subject: String,
    #[prost(bool, tag = "3")]
    jetstream: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SqsTarget {
    #[prost(string, tag = "1")]
    queue: String,
    #[prost(string, tag = "2")]
    region: String,
    #[prost(string, tag = "3")]
    endpoint_url: String,
}

#[derive(Clone, PartialEq, Message)]
struct SnsTarget {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(string, tag = "2")]
    topic_arn: String,
}

#[derive(Clone, PartialEq, Message)]
struct KafkaTarget {
    #[prost(string, repeated, tag = "1")]
    bootstrap_servers: Vec<String>,
    #[prost(string, tag = "2")]
    topic: String,
}

#[derive(Clone, PartialEq, Message)]
struct RabbitMqTarget {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(string, tag = "2")]
    virtual_host: String,
    #[prost(string, tag = "3")]
    exchange: String,
    #[prost(string, tag = "4")]
    routing_key: String,
}

impl From<&FunctionRecord> for Function {
    fn from(record: &FunctionRecord) -> Self {
        Self {
            number: record.number,
            name: record.name.as_str().to_owned(),
            created_at: record.created_at,
            modified_at: record.modified_at,
            settings: Some(Settings::from(&record.settings)),
        }
    }
}

impl TryFrom<Function> for FunctionRecord {
    type Error = BadField;

    fn try_from(function: Function) -> Result<Self, BadField> {
        let settings = function.settings.ok_or_else(|| BadField::missing("settings"))?;
        Ok(Self {
            number: function.number,
            name: FunctionName::new(&function.name)
                .map_err(|bad| BadField::setting("name", bad))?,
            settings: settings.try_into()?,
            created_at: function.created_at,
            modified_at: function.modified_at,
        })
    }
}

impl From<&FunctionSettings> for Settings {
    fn from(settings: &FunctionSettings) -> Self {
        Self {
            description: settings.description.as_deref().map(str::to_owned),
            timeout_seconds: settings.timeout.map(|timeout| timeout.get().into()),
            memory_mb: settings.memory.map(|memory| memory.get().into()),
            reserved_concurrency: settings.reserved_concurrency,
            max_retries: settings.max_retries.map(|retries| retries.get().into()),
            max_event_age_seconds: settings.max_event_age.map(|age| age.get().into()),
            on_success: settings.on_success.as_ref().map(Target::from),
            on_failure: settings.on_failure.as_ref().map(Target::from),
        }
    }
}

impl TryFrom<Settings> for FunctionSettings {
    type Error = BadField;

    fn try_from(settings: Settings) -> Result<Self, BadField> {
        let target = |field: &'static str, target: Option<Target>| {
            target.map(|target| target.read(field)).transpose()
        };
        Ok(Self {
            description: settings.description.map(Into::into),
            timeout: ranged(
                "settings.timeout_seconds",
                settings.timeout_seconds,
                TimeoutSeconds::new,
            )?,
            memory: ranged("settings.memory_mb", settings.memory_mb, MemoryMb::new)?,
            reserved_concurrency: settings.reserved_concurrency,
            max_retries: ranged("settings.max_retries", settings.max_retries, MaxRetries::new)?,
            max_event_age: ranged(
                "settings.max_event_age_seconds",
                settings.max_event_age_seconds,
                MaxEventAgeSeconds::new,
            )?,
            on_success: target("settings.on_success", settings.on_success)?,
            on_failure: target("settings.on_failure", settings.on_failure)?,
        })
    }
}

/// Reads a number into a type that holds only a range of it.
fn ranged<N: TryFrom<u32>, T>(
    field: &'static str,
    value: Option<u32>,
    new: impl Fn(N) -> Result<T, InvalidSetting>,
) -> Result<Option<T>, BadField> {
    let Some(value) = value else { return Ok(None) };
    let narrow = N::try_from(value)
        .map_err(|_| BadField::new(field, format_args!("has the value {value}, out of range")))?;
    new(narrow).map(Some).map_err(|bad| BadField::setting(field, bad))
}

impl From<&Destination> for Target {
    fn from(destination: &Destination) -> Self {
        let to = match destination {
            Destination::Function(name) => To::Function(name.as_str().to_owned()),
            Destination::Http { url } => To::HttpUrl(url.to_string()),
            Destination::Nats { url, subject, jetstream } => To::Nats(NatsTarget {
                url: url.to_string(),
                subject: subject.to_string(),
                jetstream: *jetstream,
            }),
            Destination::File { name } => To::FileName(name.to_string()),
            Destination::Sqs { queue, region, endpoint_url } => To::Sqs(SqsTarget {
                queue: queue.to_string(),
                region: region.to_string(),
                endpoint_url: endpoint_url.to_string(),
            }),
            Destination::Sns { url, topic_arn } => {
                To::Sns(SnsTarget { url: url.to_string(), topic_arn: topic_arn.to_string() })
            }
            Destination::Kafka { bootstrap_servers, topic } => To::Kafka(KafkaTarget {
                bootstrap_servers: bootstrap_servers.iter().map(ToString::to_string).collect(),
                topic: topic.to_string(),
            }),
            Destination::RabbitMq { url, virtual_host, exchange, routing_key } => {
                To::RabbitMq(RabbitMqTarget {
                    url: url.to_string(),
                    virtual_host: virtual_host.to_string(),
                    exchange: exchange.to_string(),
                    routing_key: routing_key.to_string(),
                })
            }
        };
        Self { to: Some(to) }
    }
}

impl Target {
    fn read(self, field: &'static str) -> Result<Destination, BadField> {
        Ok(match self.to.ok_or_else(|| BadField::missing(field))? {
            To::Function(name) => Destination::Function(
                FunctionName::new(&name).map_err(|bad| BadField::setting(field, bad))?,
            ),
            To::HttpUrl(url) => Destination::Http { url: filled(field, url)? },
            To::Nats(NatsTarget { url, subject, jetstream }) => Destination::Nats {
                url: filled(field, url)?,
                subject: filled(field, subject)?,
                jetstream,
            },
            To::FileName(name) => Destination::File { name: filled(field, name)? },
            To::Sqs(SqsTarget { queue, region, endpoint_url }) => Destination::Sqs {
                queue: filled(field, queue)?,
                region: region.into(),
                endpoint_url: endpoint_url.into(),
            },
            To::Sns(SnsTarget { url, topic_arn }) => {
                Destination::Sns { url: filled(field, url)?, topic_arn: filled(field, topic_arn)? }
            }
            To::Kafka(KafkaTarget { bootstrap_servers, topic }) => Destination::Kafka {
                bootstrap_servers: bootstrap_servers
                    .into_iter()
                    .map(|server| filled(field, server))
                    .collect::<Result<_, _>>()?,
                topic: filled(field, topic)?,
            },
            To::RabbitMq(target) => Destination::RabbitMq {
                url: filled(field, target.url)?,
                virtual_host: target.virtual_host.into(),
                exchange: target.exchange.into(),
                routing_key: target.routing_key.into(),
            },
        })
    }
}

/// An empty text is what a text that was not written reads as.
fn filled(field: &'static str, text: String) -> Result<Box<str>, BadField> {
    if text.is_empty() {
        return Err(BadField::missing(field));
    }
    Ok(text.into())
}

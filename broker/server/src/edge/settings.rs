//! `FunctionSettings` between the wire and the engine: every range is checked here, once.

use trine_engine::{
    Change, Destination, FunctionName, FunctionSettings, InvalidSetting, MaxEventAgeSeconds,
    MaxRetries, MemoryMb, SettingsChange, TimeoutSeconds,
};
use trine_proto::notation;
use trine_proto::v1;
use trine_proto::v1::destination::Target;
use trine_proto::v1::{EffectiveSetting, Refusal, SettingOrigin};

use crate::refusal::{invalid, invalid_setting};

const DESCRIPTION_CHARS_MAX: usize = 256;
const URL_BYTES_MAX: usize = 2_048;
const SUBJECT_BYTES_MAX: usize = 255;

/// Names of the settings, as `UpdateFunction.clear` takes them.
const NAMES: [&str; 8] = [
    "description",
    "timeout_seconds",
    "memory_mb",
    "reserved_concurrency",
    "max_retries",
    "max_event_age_seconds",
    "on_success",
    "on_failure",
];

/// What is set in `given`, checked.
pub(crate) fn parse(given: v1::FunctionSettings) -> Result<FunctionSettings, Refusal> {
    if given.description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
        return Err(invalid("description must have at most 256 characters."));
    }
    let checked = |error: InvalidSetting| invalid_setting(&error);
    Ok(FunctionSettings {
        description: given.description.map(Into::into),
        timeout: narrow(given.timeout_seconds, TimeoutSeconds::new).map_err(checked)?,
        memory: narrow(given.memory_mb, MemoryMb::new).map_err(checked)?,
        reserved_concurrency: given.reserved_concurrency,
        max_retries: narrow(given.max_retries, MaxRetries::new).map_err(checked)?,
        max_event_age: narrow(given.max_event_age_seconds, MaxEventAgeSeconds::new)
            .map_err(checked)?,
        on_success: given.on_success.map(|given| destination(given, "on_success")).transpose()?,
        on_failure: given.on_failure.map(|given| destination(given, "on_failure")).transpose()?,
    })
}

/// A wire number that does not even fit the setting's type is outside its range.
fn narrow<N: TryFrom<u32> + Bound, T>(
    given: Option<u32>,
    new: impl Fn(N) -> Result<T, InvalidSetting>,
) -> Result<Option<T>, InvalidSetting> {
    given.map(|value| new(N::try_from(value).unwrap_or(N::HIGHEST))).transpose()
}

/// The highest value of a number type; outside the range of every setting.
trait Bound {
    const HIGHEST: Self;
}

impl Bound for u8 {
    const HIGHEST: Self = Self::MAX;
}

impl Bound for u16 {
    const HIGHEST: Self = Self::MAX;
}

pub(crate) fn destination(given: v1::Destination, setting: &str) -> Result<Destination, Refusal> {
    match given.target {
        Some(Target::Function(name)) => FunctionName::new(&name)
            .map(Destination::Function)
            .map_err(|error| invalid(format!("{setting}: {error}."))),
        Some(Target::Http(http)) => {
            let fine = http.url.starts_with("http://") || http.url.starts_with("https://");
            if !fine || http.url.len() > URL_BYTES_MAX {
                return Err(invalid(format!(
                    "{setting}: url must begin with http:// or https:// and have at most 2048 bytes."
                )));
            }
            Ok(Destination::Http { url: http.url.into() })
        }
        Some(Target::Nats(nats)) => nats_destination(nats, setting),
        Some(Target::File(file)) => Ok(Destination::File { name: file.name.into() }),
        // What these must be is said where they are read, with what this broker allows (destinations/).
        Some(Target::Sqs(sqs)) => Ok(Destination::Sqs {
            queue: sqs.queue.into(),
            region: sqs.region.into(),
            endpoint_url: sqs.endpoint_url.into(),
        }),
        Some(Target::Sns(sns)) => {
            Ok(Destination::Sns { url: sns.url.into(), topic_arn: sns.topic_arn.into() })
        }
        Some(Target::Kafka(kafka)) => Ok(Destination::Kafka {
            bootstrap_servers: kafka.bootstrap_servers.into_iter().map(Into::into).collect(),
            topic: kafka.topic.into(),
        }),
        Some(Target::Rabbitmq(rabbitmq)) => Ok(Destination::RabbitMq {
            url: rabbitmq.url.into(),
            virtual_host: rabbitmq.virtual_host.into(),
            exchange: rabbitmq.exchange.into(),
            routing_key: rabbitmq.routing_key.into(),
        }),
        None => Err(invalid(format!(
            "{setting} must name a function, an HTTP URL, a NATS subject, a file, an SQS queue, an SNS receiver, a Kafka topic or \
             a RabbitMQ queue or exchange; to remove it, put {setting} into clear."
        ))),
    }
}

fn nats_destination(nats: v1::NatsDestination, setting: &str) -> Result<Destination, Refusal> {
    if !nats.url.starts_with("nats://") || nats.url.len() > URL_BYTES_MAX {
        return Err(invalid(format!("{setting}: url must be nats://host:port.")));
    }
    if nats.url.contains('@') {
        return Err(invalid(format!(
            "{setting}: url must not hold credentials; put them into the broker's configuration."
        )));
    }
    let odd = |character: char| character.is_whitespace() || matches!(character, '*' | '>');
    let subject = &nats.subject;
    if subject.is_empty()
        || subject.len() > SUBJECT_BYTES_MAX
        || subject.contains(odd)
        || subject.split('.').any(str::is_empty)
    {
        return Err(invalid(format!(
            "{setting}: subject must be a NATS subject without wildcards, of at most 255 bytes."
        )));
    }
    Ok(Destination::Nats {
        url: nats.url.into(),
        subject: nats.subject.into(),
        jetstream: nats.jetstream,
    })
}

/// What an update sets and clears, checked. What is in force does not come into it: the engine makes the change.
pub(crate) fn change(
    given: v1::FunctionSettings,
    clear: &[String],
) -> Result<SettingsChange, Refusal> {
    let mut change = SettingsChange::from(parse(given)?);
    for name in clear {
        let was_set = match name.as_str() {
            "description" => clears(&mut change.description),
            "timeout_seconds" => clears(&mut change.timeout),
            "memory_mb" => clears(&mut change.memory),
            "reserved_concurrency" => clears(&mut change.reserved_concurrency),
            "max_retries" => clears(&mut change.max_retries),
            "max_event_age_seconds" => clears(&mut change.max_event_age),
            "on_success" => clears(&mut change.on_success),
            "on_failure" => clears(&mut change.on_failure),
            _ => {
                let known = NAMES.join(", ");
                return Err(invalid(format!(
                    "clear names {name:?}, which is no setting; they are {known}."
                )));
            }
        };
        if was_set {
            return Err(invalid(format!("{name} is both in settings and in clear; choose one.")));
        }
    }
    Ok(change)
}

/// Clears a setting; true if the same update sets it.
fn clears<T>(change: &mut Change<T>) -> bool {
    std::mem::replace(change, Change::Clear).set().is_some()
}

/// The settings as the user set them, for the wire.
pub(crate) fn as_set(settings: &FunctionSettings) -> v1::FunctionSettings {
    v1::FunctionSettings {
        description: settings.description.as_ref().map(ToString::to_string),
        timeout_seconds: settings.timeout.map(|timeout| timeout.get().into()),
        memory_mb: settings.memory.map(|memory| memory.get().into()),
        reserved_concurrency: settings.reserved_concurrency,
        max_retries: settings.max_retries.map(|retries| retries.get().into()),
        max_event_age_seconds: settings.max_event_age.map(|age| age.get().into()),
        on_success: settings.on_success.as_ref().map(wire_destination),
        on_failure: settings.on_failure.as_ref().map(wire_destination),
    }
}

fn wire_destination(destination: &Destination) -> v1::Destination {
    let target = match destination {
        Destination::Function(name) => Target::Function(name.to_string()),
        Destination::Http { url } => Target::Http(v1::HttpDestination { url: url.to_string() }),
        Destination::Nats { url, subject, jetstream } => Target::Nats(v1::NatsDestination {
            url: url.to_string(),
            subject: subject.to_string(),
            jetstream: *jetstream,
        }),
        Destination::File { name } => Target::File(v1::FileDestination { name: name.to_string() }),
        Destination::Sqs { queue, region, endpoint_url } => Target::Sqs(v1::SqsDestination {
            queue: queue.to_string(),
            region: region.to_string(),
            endpoint_url: endpoint_url.to_string(),
        }),
        Destination::Sns { url, topic_arn } => Target::Sns(v1::SnsDestination {
            url: url.to_string(),
            topic_arn: topic_arn.to_string(),
        }),
        Destination::Kafka { bootstrap_servers, topic } => Target::Kafka(v1::KafkaDestination {
            bootstrap_servers: bootstrap_servers.iter().map(ToString::to_string).collect(),
            topic: topic.to_string(),
        }),
        Destination::RabbitMq { url, virtual_host, exchange, routing_key } => {
            Target::Rabbitmq(v1::RabbitMqDestination {
                url: url.to_string(),
                virtual_host: virtual_host.to_string(),
                exchange: exchange.to_string(),
                routing_key: routing_key.to_string(),
            })
        }
    };
    v1::Destination { target: Some(target) }
}

/// All settings as they are in force, with where each came from (users.md A15).
pub(crate) fn effective(settings: &FunctionSettings) -> Vec<EffectiveSetting> {
    let none = || "none".to_owned();
    let row = |name: &str, value: String, set: bool| {
        let origin = if set { SettingOrigin::Function } else { SettingOrigin::Default };
        EffectiveSetting { name: name.to_owned(), value, origin: origin.into() }
    };
    let reserved = settings.reserved_concurrency;
    let to = |destination: &Option<Destination>| destination.as_ref().map_or_else(none, spell);
    vec![
        row(
            "description",
            settings.description.as_deref().unwrap_or_default().to_owned(),
            settings.description.is_some(),
        ),
        row(
            "timeout_seconds",
            (settings.timeout_ms() / 1000).to_string(),
            settings.timeout.is_some(),
        ),
        row("memory_mb", settings.memory_mb().to_string(), settings.memory.is_some()),
        row(
            "reserved_concurrency",
            reserved.map_or_else(none, |limit| limit.to_string()),
            reserved.is_some(),
        ),
        row("max_retries", settings.max_retries().to_string(), settings.max_retries.is_some()),
        row(
            "max_event_age_seconds",
            (settings.max_event_age_ms() / 1000).to_string(),
            settings.max_event_age.is_some(),
        ),
        row("on_success", to(&settings.on_success), settings.on_success.is_some()),
        row("on_failure", to(&settings.on_failure), settings.on_failure.is_some()),
    ]
}

/// A destination in the spelling of the command line.
pub(crate) fn spell(destination: &Destination) -> String {
    notation::destination(&wire_destination(destination))
}

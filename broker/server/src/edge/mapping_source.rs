//! `SourceConfig` as a user gives it: whether it can name a source at all. Whether that source exists is the poller's to
//! find out; the broker reaches no source.

use trine_proto::v1::source_config::Source;
use trine_proto::v1::{AwsAccess, KafkaSource, NatsSource, Refusal, SourceConfig};

use crate::refusal::invalid;

const TEXT_BYTES_MAX: usize = 2_048;
const LIST_MAX: usize = 64;
const GROUP_CHARS_MAX: usize = 200;
const CONFIGURATION_BYTES_MAX: usize = 64 << 10;
/// Kinds of our own, which no custom adapter may take over.
const KINDS: [&str; 9] = [
    "kafka",
    "sqs",
    "kinesis",
    "dynamodb_streams",
    "rabbitmq",
    "activemq",
    "nats",
    "redis",
    "file",
];

/// # Errors
/// A refusal that names the field.
pub(crate) fn check(config: &SourceConfig) -> Result<(), Refusal> {
    match config.source.as_ref().ok_or_else(|| {
        invalid("source must name what is read: kafka, sqs, kinesis, dynamodb_streams, rabbitmq, activemq, nats, redis, file or custom.")
    })? {
        Source::Kafka(kafka) => check_kafka(kafka),
        Source::Sqs(sqs) => {
            arn("sqs.queue_arn", &sqs.queue_arn, "sqs")?;
            short("sqs.queue_url", &sqs.queue_url)?;
            access("sqs", sqs.access.as_ref())
        }
        Source::Kinesis(kinesis) => {
            arn("kinesis.stream_arn", &kinesis.stream_arn, "kinesis")?;
            access("kinesis", kinesis.access.as_ref())
        }
        Source::DynamodbStreams(streams) => {
            arn("dynamodb_streams.stream_arn", &streams.stream_arn, "dynamodb")?;
            access("dynamodb_streams", streams.access.as_ref())
        }
        Source::Rabbitmq(rabbit) => {
            url("rabbitmq.url", &rabbit.url, &["amqp://", "amqps://"])?;
            filled("rabbitmq.queue", &rabbit.queue)?;
            short("rabbitmq.virtual_host", &rabbit.virtual_host)?;
            short("rabbitmq.event_source_arn", &rabbit.event_source_arn)?;
            login("rabbitmq.password_secret", &rabbit.username, &rabbit.password_secret)
        }
        Source::Activemq(active) => {
            url("activemq.url", &active.url, &["stomp://"])?;
            filled("activemq.queue", &active.queue)?;
            short("activemq.event_source_arn", &active.event_source_arn)?;
            login("activemq.password_secret", &active.username, &active.password_secret)
        }
        Source::Nats(nats) => check_nats(nats),
        Source::Redis(redis) => {
            url("redis.url", &redis.url, &["redis://", "rediss://"])?;
            filled("redis.stream", &redis.stream)?;
            group("redis.group", &redis.group)?;
            login("redis.password_secret", &redis.username, &redis.password_secret)
        }
        Source::File(file) => filled("file.path", &file.path),
        Source::Custom(custom) => {
            let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if custom.kind.is_empty() || custom.kind.len() > 64 || !custom.kind.bytes().all(fine) {
                return Err(invalid("custom.kind must have 1 to 64 characters [a-z0-9-]."));
            }
            if KINDS.contains(&custom.kind.as_str()) {
                return Err(invalid(format!("custom.kind {:?} is a kind of Trine's own; choose another name, or give that source.", custom.kind)));
            }
            let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&custom.configuration);
            if custom.configuration.len() > CONFIGURATION_BYTES_MAX || object.is_err() {
                return Err(invalid("custom.configuration must be a JSON object of at most 64 KiB."));
            }
            Ok(())
        }
    }
}

fn check_kafka(kafka: &KafkaSource) -> Result<(), Refusal> {
    servers("kafka.bootstrap_servers", &kafka.bootstrap_servers, &[])?;
    filled("kafka.topic", &kafka.topic)?;
    if kafka.topic.len() > 249 {
        return Err(invalid("kafka.topic must have at most 249 characters."));
    }
    group("kafka.consumer_group_id", &kafka.consumer_group_id)?;
    one_of(
        "kafka.security_protocol",
        &kafka.security_protocol,
        &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"],
    )?;
    one_of(
        "kafka.sasl_mechanism",
        &kafka.sasl_mechanism,
        &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
    )?;
    let sasl = kafka.security_protocol.starts_with("sasl");
    if sasl == kafka.sasl_mechanism.is_empty() {
        return Err(invalid(
            "kafka.sasl_mechanism goes with kafka.security_protocol sasl_plaintext or sasl_ssl, and those with it.",
        ));
    }
    login("kafka.sasl_password_secret", &kafka.sasl_username, &kafka.sasl_password_secret)?;
    short("kafka.ca_file", &kafka.ca_file)?;
    short("kafka.event_source_arn", &kafka.event_source_arn)
}

fn check_nats(nats: &NatsSource) -> Result<(), Refusal> {
    servers("nats.urls", &nats.urls, &["nats://", "tls://"])?;
    filled("nats.stream", &nats.stream)?;
    if nats.filter_subjects.len() > LIST_MAX {
        return Err(invalid("nats.filter_subjects must hold at most 64 subjects."));
    }
    nats.filter_subjects.iter().try_for_each(|one| filled("nats.filter_subjects", one))?;
    short("nats.durable", &nats.durable)?;
    if nats.durable.contains(['.', '*', '>', ' ', '/']) {
        return Err(invalid("nats.durable must not hold any of . * > / or a space."));
    }
    login("nats.password_secret", &nats.username, &nats.password_secret)
}

fn short(field: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(invalid(format!(
            "{field} must have at most {TEXT_BYTES_MAX} bytes and no control characters."
        )));
    }
    Ok(())
}

fn filled(field: &str, text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(invalid(format!("{field} must be given; it is empty.")));
    }
    short(field, text)
}

fn group(field: &str, text: &str) -> Result<(), Refusal> {
    if text.chars().count() > GROUP_CHARS_MAX {
        return Err(invalid(format!("{field} must have at most {GROUP_CHARS_MAX} characters.")));
    }
    short(field, text)
}

fn one_of(field: &str, text: &str, allowed: &[&str]) -> Result<(), Refusal> {
    if text.is_empty() || allowed.contains(&text) {
        return Ok(());
    }
    Err(invalid(format!("{field} must be one of {}.", allowed.join(", "))))
}

fn url(field: &str, text: &str, schemes: &[&str]) -> Result<(), Refusal> {
    filled(field, text)?;
    if !schemes.is_empty() && !schemes.iter().any(|scheme| text.starts_with(scheme)) {
        return Err(invalid(format!("{field} must begin with {}.", schemes.join(" or "))));
    }
    if text.contains('@') {
        return Err(invalid(format!(
            "{field} must not hold credentials; give the user and the name of a secret."
        )));
    }
    Ok(())
}

fn servers(field: &str, list: &[String], schemes: &[&str]) -> Result<(), Refusal> {
    if list.is_empty() || list.len() > LIST_MAX {
        return Err(invalid(format!("{field} must name 1 to {LIST_MAX} servers.")));
    }
    list.iter().try_for_each(|one| url(field, one, schemes))
}

/// A secret is named, never given: what does not look like a name is refused, and not repeated.
fn login(field: &str, user: &str, secret: &str) -> Result<(), Refusal> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if secret.len() > 128 || !secret.bytes().all(fine) {
        return Err(invalid(format!(
            "{field} must be the name of a secret, 1 to 128 characters [a-zA-Z0-9_.-], not the secret itself."
        )));
    }
    short("the user name", user)
}

fn arn(field: &str, text: &str, service: &str) -> Result<(), Refusal> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let sound = matches!(&parts[..], ["arn", partition, found, _, _, resource]
        if !partition.is_empty() && *found == service && !resource.is_empty());
    if !sound {
        return Err(invalid(format!(
            "{field} must be an ARN, arn:PARTITION:{service}:REGION:ACCOUNT:NAME."
        )));
    }
    short(field, text)
}

fn access(source: &str, given: Option<&AwsAccess>) -> Result<(), Refusal> {
    let Some(AwsAccess { region, endpoint_url }) = given else { return Ok(()) };
    short("access.region", region)?;
    if endpoint_url.is_empty() {
        return Ok(());
    }
    url(&format!("{source}.access.endpoint_url"), endpoint_url, &["http://", "https://"])
}

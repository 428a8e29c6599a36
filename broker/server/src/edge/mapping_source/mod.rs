//! `SourceConfig` as a user gives it: whether it can name a source at all. Whether that source exists is the poller's to
//! find out; the broker reaches no source.

mod text;

use trine_proto::v1::source_config::Source;
use trine_proto::v1::{
    AwsAccess, CustomSource, DynamoDbStreamsSource, KafkaSource, KinesisSource, NatsSource,
    Refusal, SourceConfig,
};

use self::text::{Form, Path, address, arn, filled, is_region, login, name, one_of, short, url};
use crate::mappings::definition::KINDS;
use crate::refusal::invalid;

const LIST_MAX: usize = 64;
const GROUP_CHARS_MAX: usize = 200;
const TOPIC_CHARS_MAX: usize = 249;
const CONFIGURATION_BYTES_MAX: usize = 64 << 10;

/// Longest names that the protocols and servers take, in bytes.
const AMQP_NAME_BYTES_MAX: usize = 255;
const NATS_NAME_BYTES_MAX: usize = 255;
const ACTIVEMQ_NAME_BYTES_MAX: usize = 512;
const REDIS_NAME_BYTES_MAX: usize = 512;
const PATH_JSON_BYTES_MAX: usize = 3_500;

/// What makes a name of ActiveMQ an option, a list or a pattern of queues.
const NO_ACTIVEMQ_NAME: [char; 4] = ['?', ',', '*', '>'];
/// What a name of a stream or consumer may not hold.
const NO_NATS_NAME: [char; 6] = ['.', '*', '>', '/', '\\', ' '];

const AMQP: Form = Form { schemes: &["amqp", "amqps"], path: Path::None, like: "amqp://host:5672" };
const STOMP: Form =
    Form { schemes: &["stomp", "stomp+ssl"], path: Path::None, like: "stomp://host:61613" };
const NATS: Form = Form { schemes: &["nats", "tls"], path: Path::None, like: "nats://host:4222" };
const REDIS: Form =
    Form { schemes: &["redis", "rediss"], path: Path::Number, like: "redis://host:6379/0" };
const HTTP: Form = Form { schemes: &["http", "https"], path: Path::Any, like: "https://host:443" };

const SQS_LIKE: &str = "arn:PARTITION:sqs:REGION:ACCOUNT:QUEUE";
const KINESIS_LIKE: &str = "arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME";
const DYNAMODB_LIKE: &str = "arn:PARTITION:dynamodb:REGION:ACCOUNT:table/TABLE/stream/LABEL";

/// # Errors
/// A refusal that names the field.
pub(crate) fn check(config: &SourceConfig) -> Result<(), Refusal> {
    match config.source.as_ref().ok_or_else(|| {
        invalid("source must name what is read: kafka, sqs, kinesis, dynamodb_streams, rabbitmq, activemq, nats, redis, file or custom.")
    })? {
        Source::Kafka(kafka) => check_kafka(kafka),
        Source::Sqs(sqs) => {
            let queue = arn("sqs.queue_arn", &sqs.queue_arn, SQS_LIKE)?;
            if queue.contains([':', '/']) {
                return Err(invalid(format!("sqs.queue_arn must be an ARN, {SQS_LIKE}.")));
            }
            if !sqs.queue_url.is_empty() {
                url("sqs.queue_url", &sqs.queue_url, HTTP)?;
            }
            access("sqs", sqs.access.as_ref())
        }
        Source::Kinesis(kinesis) => check_kinesis(kinesis),
        Source::DynamodbStreams(streams) => check_dynamodb(streams),
        Source::Rabbitmq(rabbit) => {
            url("rabbitmq.url", &rabbit.url, AMQP)?;
            name("rabbitmq.queue", &rabbit.queue, AMQP_NAME_BYTES_MAX, &[])?;
            if !rabbit.virtual_host.is_empty() {
                name("rabbitmq.virtual_host", &rabbit.virtual_host, AMQP_NAME_BYTES_MAX, &[])?;
            }
            short("rabbitmq.event_source_arn", &rabbit.event_source_arn)?;
            trusted("rabbitmq", &rabbit.ca_file, &rabbit.url, "amqps://")?;
            pair("rabbitmq", &rabbit.username, &rabbit.password_secret)
        }
        Source::Activemq(active) => {
            url("activemq.url", &active.url, STOMP)?;
            name("activemq.queue", &active.queue, ACTIVEMQ_NAME_BYTES_MAX, &NO_ACTIVEMQ_NAME)?;
            short("activemq.event_source_arn", &active.event_source_arn)?;
            trusted("activemq", &active.ca_file, &active.url, "stomp+ssl://")?;
            pair("activemq", &active.username, &active.password_secret)
        }
        Source::Nats(nats) => check_nats(nats),
        Source::Redis(redis) => {
            url("redis.url", &redis.url, REDIS)?;
            name("redis.stream", &redis.stream, REDIS_NAME_BYTES_MAX, &[])?;
            group("redis.group", &redis.group)?;
            if !redis.group.is_empty() {
                name("redis.group", &redis.group, REDIS_NAME_BYTES_MAX, &[])?;
            }
            trusted("redis", &redis.ca_file, &redis.url, "rediss://")?;
            if !redis.username.is_empty() && redis.password_secret.is_empty() {
                return Err(invalid(
                    "redis.password_secret goes with redis.username; give both, or the secret alone for the default user.",
                ));
            }
            login("redis.password_secret", &redis.username, &redis.password_secret)
        }
        Source::File(file) => {
            filled("file.path", &file.path)?;
            if std::path::Path::new(&file.path).file_name().is_none() {
                return Err(invalid("file.path must be the path of a file."));
            }
            // It is part of every event and of every position.
            if serde_json::Value::from(file.path.as_str()).to_string().len() > PATH_JSON_BYTES_MAX {
                return Err(invalid(format!(
                    "file.path must have at most {PATH_JSON_BYTES_MAX} bytes as JSON."
                )));
            }
            Ok(())
        }
        Source::Custom(custom) => check_custom(custom),
    }
}

fn check_custom(custom: &CustomSource) -> Result<(), Refusal> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if custom.kind.is_empty() || custom.kind.len() > 64 || !custom.kind.bytes().all(fine) {
        return Err(invalid("custom.kind must have 1 to 64 characters [a-z0-9-]."));
    }
    // No custom adapter may take them over.
    if KINDS.contains(&custom.kind.as_str()) {
        return Err(invalid(format!(
            "custom.kind {:?} is a kind of Trine's own; choose another name, or give that source.",
            custom.kind
        )));
    }
    let object =
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&custom.configuration);
    if custom.configuration.len() > CONFIGURATION_BYTES_MAX || object.is_err() {
        return Err(invalid("custom.configuration must be a JSON object of at most 64 KiB."));
    }
    Ok(())
}

fn check_kinesis(kinesis: &KinesisSource) -> Result<(), Refusal> {
    const FIELD: &str = "kinesis.stream_arn";
    let resource = arn(FIELD, &kinesis.stream_arn, KINESIS_LIKE)?;
    if resource.contains("/consumer/") {
        return Err(invalid(format!(
            "{FIELD} must be the stream's own, {KINESIS_LIKE}: Trine reads no enhanced fan-out consumer."
        )));
    }
    match resource.strip_prefix("stream/") {
        Some(name) if !name.is_empty() && !name.contains('/') => {
            access("kinesis", kinesis.access.as_ref())
        }
        _ => Err(invalid(format!("{FIELD} must be an ARN, {KINESIS_LIKE}."))),
    }
}

fn check_dynamodb(streams: &DynamoDbStreamsSource) -> Result<(), Refusal> {
    const FIELD: &str = "dynamodb_streams.stream_arn";
    let resource = arn(FIELD, &streams.stream_arn, DYNAMODB_LIKE)?;
    match resource.splitn(4, '/').collect::<Vec<_>>()[..] {
        ["table", table, "stream", label] if !table.is_empty() && !label.is_empty() => {
            access("dynamodb_streams", streams.access.as_ref())
        }
        _ => Err(invalid(format!(
            "{FIELD} must be an ARN, {DYNAMODB_LIKE} (LatestStreamArn of DescribeTable)."
        ))),
    }
}

fn check_kafka(kafka: &KafkaSource) -> Result<(), Refusal> {
    listed("kafka.bootstrap_servers", "servers", &kafka.bootstrap_servers)?;
    kafka.bootstrap_servers.iter().try_for_each(|one| address("kafka.bootstrap_servers", one))?;
    check_topic(&kafka.topic)?;
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
    let (user, secret) = (&kafka.sasl_username, &kafka.sasl_password_secret);
    if [user, secret].iter().any(|given| given.is_empty() == sasl) {
        return Err(invalid(
            "kafka.sasl_username and kafka.sasl_password_secret go with SASL, both of them, and with nothing else.",
        ));
    }
    if !kafka.ca_file.is_empty() && !kafka.security_protocol.ends_with("ssl") {
        return Err(invalid("kafka.ca_file goes with kafka.security_protocol ssl or sasl_ssl."));
    }
    login("kafka.sasl_password_secret", user, secret)?;
    short("kafka.ca_file", &kafka.ca_file)?;
    short("kafka.event_source_arn", &kafka.event_source_arn)
}

fn check_topic(topic: &str) -> Result<(), Refusal> {
    filled("kafka.topic", topic)?;
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if topic.len() > TOPIC_CHARS_MAX || !topic.bytes().all(fine) || [".", ".."].contains(&topic) {
        return Err(invalid(format!(
            "kafka.topic must have 1 to {TOPIC_CHARS_MAX} characters [a-zA-Z0-9._-]."
        )));
    }
    Ok(())
}

fn check_nats(nats: &NatsSource) -> Result<(), Refusal> {
    listed("nats.urls", "servers", &nats.urls)?;
    nats.urls.iter().try_for_each(|one| url("nats.urls", one, NATS))?;
    name("nats.stream", &nats.stream, NATS_NAME_BYTES_MAX, &NO_NATS_NAME)?;
    if nats.filter_subjects.len() > LIST_MAX {
        return Err(invalid("nats.filter_subjects must hold at most 64 subjects."));
    }
    for subject in &nats.filter_subjects {
        filled("nats.filter_subjects", subject)?;
        let tokens: Vec<_> = subject.split('.').collect();
        let blank = |token: &&str| token.is_empty() || token.contains(char::is_whitespace);
        let (_, before) = tokens.split_last().unwrap_or((&"", &[]));
        if tokens.iter().any(blank) || before.contains(&">") {
            return Err(invalid(format!(
                "nats.filter_subjects has {subject:?}; a subject is tokens with dots between, * for one and > for the rest."
            )));
        }
    }
    if !nats.durable.is_empty() {
        name("nats.durable", &nats.durable, NATS_NAME_BYTES_MAX, &NO_NATS_NAME)?;
    }
    // A server may want TLS whatever the scheme says.
    short("nats.ca_file", &nats.ca_file)?;
    pair("nats", &nats.username, &nats.password_secret)
}

fn group(field: &str, text: &str) -> Result<(), Refusal> {
    if text.chars().count() > GROUP_CHARS_MAX {
        return Err(invalid(format!("{field} must have at most {GROUP_CHARS_MAX} characters.")));
    }
    short(field, text)
}

fn listed(field: &str, what: &str, list: &[String]) -> Result<(), Refusal> {
    if list.is_empty() || list.len() > LIST_MAX {
        return Err(invalid(format!("{field} must name 1 to {LIST_MAX} {what}.")));
    }
    Ok(())
}

/// Authorities are of no use without TLS.
fn trusted(source: &str, ca_file: &str, url: &str, scheme: &str) -> Result<(), Refusal> {
    if !ca_file.is_empty() && !url.starts_with(scheme) {
        return Err(invalid(format!("{source}.ca_file goes with a {source}.url of {scheme}.")));
    }
    short(&format!("{source}.ca_file"), ca_file)
}

/// A secret is of no use without its user.
fn pair(source: &str, user: &str, secret: &str) -> Result<(), Refusal> {
    if user.is_empty() && !secret.is_empty() {
        return Err(invalid(format!(
            "{source}.password_secret goes with {source}.username; give both or neither."
        )));
    }
    login(&format!("{source}.password_secret"), user, secret)
}

fn access(source: &str, given: Option<&AwsAccess>) -> Result<(), Refusal> {
    let Some(AwsAccess { region, endpoint_url }) = given else { return Ok(()) };
    if !region.is_empty() && !is_region(region) {
        return Err(invalid(format!(
            "{source}.access.region must be the name of a region, like eu-west-1."
        )));
    }
    if endpoint_url.is_empty() {
        return Ok(());
    }
    url(&format!("{source}.access.endpoint_url"), endpoint_url, HTTP)
}

#[cfg(test)]
mod tests {
    use trine_proto::v1::{ActiveMqSource, FileSource, RabbitMqSource, RedisSource, SqsSource};

    use super::*;

    fn refused(source: Source) -> String {
        let checked = check(&SourceConfig { source: Some(source) });
        checked.map_or_else(|refusal| refusal.message, |()| "taken".to_owned())
    }

    fn kafka() -> KafkaSource {
        KafkaSource {
            bootstrap_servers: vec!["a:9092".to_owned()],
            topic: "orders".to_owned(),
            ..KafkaSource::default()
        }
    }

    fn nats() -> NatsSource {
        NatsSource {
            urls: vec!["nats://a:4222".to_owned()],
            stream: "ORDERS".to_owned(),
            ..NatsSource::default()
        }
    }

    fn redis() -> RedisSource {
        RedisSource {
            url: "redis://a".to_owned(),
            stream: "orders".to_owned(),
            ..RedisSource::default()
        }
    }

    fn arns(kinesis: &str, dynamodb: &str) -> [String; 2] {
        let kinesis = KinesisSource { stream_arn: kinesis.to_owned(), access: None };
        let dynamodb = DynamoDbStreamsSource { stream_arn: dynamodb.to_owned(), access: None };
        [refused(Source::Kinesis(kinesis)), refused(Source::DynamodbStreams(dynamodb))]
    }

    #[test]
    fn sources_that_can_be_are_taken() {
        let queue_arn = "arn:aws:sqs:eu-west-1:1:q.fifo".to_owned();
        let [kinesis, dynamodb] = arns(
            "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
            "arn:aws:dynamodb:ddblocal:000000000000:table/T/stream/2026-01-01T00:00:00.000",
        );
        let filter_subjects = vec!["a.*.b".to_owned(), "b.>".to_owned()];
        let (url, queue) = ("amqp://a".to_owned(), "orders".to_owned());
        for taken in [
            kinesis,
            dynamodb,
            refused(Source::Kafka(kafka())),
            refused(Source::Kafka(KafkaSource {
                security_protocol: "sasl_ssl".to_owned(),
                sasl_mechanism: "PLAIN".to_owned(),
                sasl_username: "u".to_owned(),
                sasl_password_secret: "p".to_owned(),
                ca_file: "/ca.pem".to_owned(),
                ..kafka()
            })),
            refused(Source::Nats(NatsSource { filter_subjects, ..nats() })),
            refused(Source::Redis(RedisSource { password_secret: "p".to_owned(), ..redis() })),
            refused(Source::Sqs(SqsSource { queue_arn, ..SqsSource::default() })),
            refused(Source::Rabbitmq(RabbitMqSource { url, queue, ..RabbitMqSource::default() })),
            refused(Source::File(FileSource { path: "orders.jsonl".to_owned() })),
        ] {
            assert_eq!(taken, "taken");
        }
    }

    #[test]
    fn what_no_source_can_be_is_refused_by_its_field() {
        let (stomp, list) = ("stomp://a".to_owned(), "a,b".to_owned());
        let active = ActiveMqSource { url: stomp, queue: list, ..ActiveMqSource::default() };
        let [consumer, table] = arns(
            "arn:aws:kinesis:us-east-1:0:stream/orders/consumer/c:1",
            "arn:aws:dynamodb:us-east-1:0:table/T",
        );
        let subjects = |text: &str| NatsSource { filter_subjects: vec![text.to_owned()], ..nats() };
        let path = format!("/{}", "a".repeat(3_500));
        for (says, field) in [
            (
                refused(Source::Kafka(KafkaSource { topic: "^a".to_owned(), ..kafka() })),
                "kafka.topic",
            ),
            (
                refused(Source::Kafka(KafkaSource {
                    security_protocol: "sasl_plaintext".to_owned(),
                    sasl_mechanism: "PLAIN".to_owned(),
                    ..kafka()
                })),
                "kafka.sasl_username",
            ),
            (
                refused(Source::Kafka(KafkaSource { sasl_username: "u".to_owned(), ..kafka() })),
                "kafka.sasl_username",
            ),
            (
                refused(Source::Kafka(KafkaSource { ca_file: "c".to_owned(), ..kafka() })),
                "kafka.ca_file",
            ),
            (
                refused(Source::Nats(NatsSource { stream: "a.b".to_owned(), ..nats() })),
                "nats.stream",
            ),
            (refused(Source::Nats(subjects("a.>.b"))), "nats.filter_subjects"),
            (refused(Source::Nats(subjects("a..b"))), "nats.filter_subjects"),
            (
                refused(Source::Nats(NatsSource { password_secret: "p".to_owned(), ..nats() })),
                "nats.password_secret",
            ),
            (
                refused(Source::Redis(RedisSource { username: "u".to_owned(), ..redis() })),
                "redis.password_secret",
            ),
            (
                refused(Source::Redis(RedisSource { group: "\u{1f980}".repeat(200), ..redis() })),
                "redis.group",
            ),
            (
                refused(Source::Redis(RedisSource { ca_file: "c".to_owned(), ..redis() })),
                "redis.ca_file",
            ),
            (
                refused(Source::Nats(NatsSource { ca_file: "c".repeat(5_000), ..nats() })),
                "nats.ca_file",
            ),
            (refused(Source::Activemq(active)), "activemq.queue"),
            (consumer, "kinesis.stream_arn"),
            (table, "dynamodb_streams.stream_arn"),
            (refused(Source::File(FileSource { path: "..".to_owned() })), "file.path"),
            (refused(Source::File(FileSource { path })), "file.path"),
        ] {
            assert!(says.starts_with(field), "{field}: {says}");
        }
    }
}

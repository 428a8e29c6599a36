//! Destinations as people write them: one line each, as the command line reads and the broker shows them.
//!
//! `function:NAME`, `http://…`, `nats://HOST:PORT/SUBJECT`, `jetstream://HOST:PORT/SUBJECT`, `file:NAME`,
//! `sqs:QUEUE?region=REGION&endpoint_url=URL`, `sns:URL#TOPIC_ARN`, `kafka://HOST:PORT,…/TOPIC`,
//! `rabbitmq://HOST:PORT/QUEUE` or `…/EXCHANGE/ROUTING_KEY`, with `?virtual_host=NAME`.

use crate::v1::destination::Target;
use crate::v1::{Destination, NatsDestination, RabbitMqDestination, SqsDestination};

/// Characters of names that stand for themselves in a path or query; all others are percent-encoded.
const PLAIN: &[u8] = b"-._~:@!$'()*+,;=";

/// One line for `destination`; `none` for one without a target.
#[must_use]
pub fn destination(destination: &Destination) -> String {
    match &destination.target {
        None => "none".to_owned(),
        Some(Target::Function(name)) => format!("function:{name}"),
        Some(Target::Http(http)) => http.url.clone(),
        Some(Target::Nats(nats)) => of_nats(nats),
        Some(Target::File(file)) => format!("file:{}", file.name),
        Some(Target::Sqs(sqs)) => of_sqs(sqs),
        Some(Target::Sns(sns)) => format!("sns:{}#{}", sns.url, sns.topic_arn),
        Some(Target::Kafka(kafka)) if kafka.bootstrap_servers.is_empty() => {
            format!("kafka://{}", kafka.topic)
        }
        Some(Target::Kafka(kafka)) => {
            format!("kafka://{}/{}", kafka.bootstrap_servers.join(","), kafka.topic)
        }
        Some(Target::Rabbitmq(rabbitmq)) => of_rabbitmq(rabbitmq),
    }
}

fn of_nats(nats: &NatsDestination) -> String {
    let server = nats.url.strip_prefix("nats://").unwrap_or(&nats.url);
    let scheme = if nats.jetstream { "jetstream" } else { "nats" };
    format!("{scheme}://{server}/{}", nats.subject)
}

fn of_sqs(sqs: &SqsDestination) -> String {
    let mut text = format!("sqs:{}", sqs.queue);
    let mut separator = '?';
    for (name, value) in [("region", &sqs.region), ("endpoint_url", &sqs.endpoint_url)] {
        if !value.is_empty() {
            text.extend([&*separator.to_string(), name, "=", value]);
            separator = '&';
        }
    }
    text
}

fn of_rabbitmq(rabbitmq: &RabbitMqDestination) -> String {
    let (scheme, server) = match rabbitmq.url.strip_prefix("amqps://") {
        Some(server) => ("rabbitmqs", server),
        None => ("rabbitmq", rabbitmq.url.strip_prefix("amqp://").unwrap_or(&rabbitmq.url)),
    };
    let mut text = format!("{scheme}://{}/", server.trim_end_matches('/'));
    if !rabbitmq.exchange.is_empty() {
        text.extend([&*encode(&rabbitmq.exchange), "/"]);
    }
    text.push_str(&encode(&rabbitmq.routing_key));
    if !rabbitmq.virtual_host.is_empty() {
        text.extend(["?virtual_host=", &encode(&rabbitmq.virtual_host)]);
    }
    text
}

/// `name` as a part of a path or query.
fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The name that was encoded; `None` if it was not.
#[must_use]
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(u8::try_from(digit()? << 4 | digit()?).ok()?);
    }
    String::from_utf8(bytes).ok()
}

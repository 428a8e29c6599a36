//! Sources as they are shown: what is set, under the names of the contract.

use serde_json::{Map, Value, json};
use trine_proto::v1;
use trine_proto::v1::source_config::Source;

/// Only what is set, under the names of the contract.
pub(super) fn filled(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let set = pairs.into_iter().filter(|(_, value)| !empty(value));
    Value::Object(set.map(|(name, value)| (name.to_owned(), value)).collect())
}

pub(super) fn source_json(source: Source) -> Value {
    let aws = |arn: (&'static str, String), access: Option<v1::AwsAccess>, url: String| {
        let access = access.unwrap_or_default();
        filled([
            (arn.0, json!(arn.1)),
            ("region", json!(access.region)),
            ("endpoint_url", json!(access.endpoint_url)),
            ("queue_url", json!(url)),
        ])
    };
    let (kind, value) = match source {
        Source::Kafka(kafka) => (
            "kafka",
            filled([
                ("bootstrap_servers", json!(kafka.bootstrap_servers)),
                ("topic", json!(kafka.topic)),
                ("consumer_group_id", json!(kafka.consumer_group_id)),
                ("event_source_arn", json!(kafka.event_source_arn)),
                ("security_protocol", json!(kafka.security_protocol)),
                ("sasl_mechanism", json!(kafka.sasl_mechanism)),
                ("sasl_username", json!(kafka.sasl_username)),
                ("sasl_password_secret", json!(kafka.sasl_password_secret)),
                ("ca_file", json!(kafka.ca_file)),
            ]),
        ),
        Source::Sqs(sqs) => ("sqs", aws(("queue_arn", sqs.queue_arn), sqs.access, sqs.queue_url)),
        Source::Kinesis(kinesis) => {
            ("kinesis", aws(("stream_arn", kinesis.stream_arn), kinesis.access, String::new()))
        }
        Source::DynamodbStreams(streams) => (
            "dynamodb_streams",
            aws(("stream_arn", streams.stream_arn), streams.access, String::new()),
        ),
        Source::File(file) => ("file", filled([("path", json!(file.path))])),
        Source::Custom(custom) => {
            let configuration = serde_json::from_str::<Value>(&custom.configuration);
            let configuration = configuration.unwrap_or(Value::String(custom.configuration));
            let custom = filled([("kind", json!(custom.kind)), ("configuration", configuration)]);
            ("custom", custom)
        }
        server => server_json(server),
    };
    Value::Object(Map::from_iter([(kind.to_owned(), value)]))
}

/// Of sources that are a URL and a name on a server.
fn server_json(source: Source) -> (&'static str, Value) {
    match source {
        Source::Rabbitmq(rabbit) => (
            "rabbitmq",
            filled([
                ("url", json!(rabbit.url)),
                ("queue", json!(rabbit.queue)),
                ("virtual_host", json!(rabbit.virtual_host)),
                ("username", json!(rabbit.username)),
                ("password_secret", json!(rabbit.password_secret)),
                ("event_source_arn", json!(rabbit.event_source_arn)),
                ("ca_file", json!(rabbit.ca_file)),
            ]),
        ),
        Source::Activemq(active) => (
            "activemq",
            filled([
                ("url", json!(active.url)),
                ("queue", json!(active.queue)),
                ("username", json!(active.username)),
                ("password_secret", json!(active.password_secret)),
                ("event_source_arn", json!(active.event_source_arn)),
                ("ca_file", json!(active.ca_file)),
            ]),
        ),
        Source::Nats(nats) => (
            "nats",
            filled([
                ("urls", json!(nats.urls)),
                ("stream", json!(nats.stream)),
                ("filter_subjects", json!(nats.filter_subjects)),
                ("durable", json!(nats.durable)),
                ("username", json!(nats.username)),
                ("password_secret", json!(nats.password_secret)),
                ("ca_file", json!(nats.ca_file)),
            ]),
        ),
        Source::Redis(redis) => (
            "redis",
            filled([
                ("url", json!(redis.url)),
                ("stream", json!(redis.stream)),
                ("group", json!(redis.group)),
                ("username", json!(redis.username)),
                ("password_secret", json!(redis.password_secret)),
                ("ca_file", json!(redis.ca_file)),
            ]),
        ),
        _ => ("unknown", Value::Null),
    }
}

/// A source in a few words: its kind and what names it best.
pub(super) fn source_words(source: &Value) -> String {
    let Some((kind, value)) = source.as_object().and_then(|object| object.iter().next()) else {
        return "-".to_owned();
    };
    let best = ["topic", "queue_arn", "stream_arn", "queue", "stream", "path", "kind"];
    let name = best.iter().find_map(|field| value[*field].as_str()).unwrap_or("");
    format!("{kind} {name}")
}

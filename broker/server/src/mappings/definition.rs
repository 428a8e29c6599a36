//! What a user made of a mapping, as a document that the registry keeps without reading it: source and settings in the
//! messages of the published contract. Its tags never change their meaning, which is what a stored form asks for; a
//! second form of forty fields would only be one more place to forget one in.

use std::sync::Arc;

use prost::Message;
use trine_engine::mapping::{Definition, MappingId};
use trine_engine::{Destination, FunctionName};
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{MappingSettings, Refusal, SourceConfig};

use url::Url;

use crate::refusal::invalid;

/// Kinds of sources of our own.
pub(crate) const KINDS: [&str; 9] = [
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

/// Source and settings.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Document {
    #[prost(message, optional, tag = "1")]
    pub(crate) source: Option<SourceConfig>,
    #[prost(message, optional, tag = "2")]
    pub(crate) settings: Option<MappingSettings>,
}

/// A definition of what was checked.
pub(crate) fn write(
    function: FunctionName,
    qualifier: &str,
    id: MappingId,
    source: SourceConfig,
    settings: MappingSettings,
) -> Definition {
    let (kind, identity) = identity(&source);
    let reader = reader(&source, id);
    let document = Document { source: Some(source), settings: Some(settings) };
    Definition {
        function,
        qualifier: qualifier.into(),
        kind: kind.into(),
        source: identity.into(),
        reader,
        document: document.encode_to_vec().into(),
    }
}

/// # Errors
/// A sentence, if the document cannot be read.
pub(crate) fn read(definition: &Definition) -> Result<Document, String> {
    let document = Document::decode(&*definition.document);
    let document = document.map_err(|error| format!("the definition does not decode: {error}"))?;
    match document.source.as_ref().and_then(|source| source.source.as_ref()) {
        Some(_) => Ok(document),
        None => Err("the definition has no source that this release knows".to_owned()),
    }
}

/// The name under which the source knows its reader: what the user chose, or what a poller makes of the mapping's id. Two mappings with one
/// name would take each other's records (LS 4.8: a consumer group is one mapping's). One server by two names counts as two.
pub(crate) fn reader(source: &SourceConfig, id: MappingId) -> Option<Arc<str>> {
    let all = |servers: &[String], port| {
        let mut servers: Vec<_> = servers.iter().map(|server| place(server, port)).collect();
        servers.sort_unstable();
        servers.join(",")
    };
    let (chosen, default, place) = match source.source.as_ref()? {
        Source::Kafka(kafka) => {
            (&kafka.consumer_group_id, id.to_string(), all(&kafka.bootstrap_servers, 9092))
        }
        Source::Nats(nats) => {
            let servers = all(&nats.urls, 4222);
            (&nats.durable, format!("trine-{id}"), format!("{} on {servers}", nats.stream))
        }
        Source::Redis(redis) => {
            let server = place(&redis.url, 6379);
            (&redis.group, format!("trine-{id}"), format!("{} on {server}", redis.stream))
        }
        _ => return None,
    };
    let name = if chosen.is_empty() { &default } else { chosen };
    Some(format!("{name} of {place}").into())
}

/// Host, port and path of a server, in one spelling: a scheme says only how it is spoken to.
fn place(server: &str, usual_port: u16) -> String {
    let (_, address) = server.split_once("://").unwrap_or(("", server));
    let Ok(url) = Url::parse(&format!("server://{address}")) else { return address.to_owned() };
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    // Database 0 is the one that Redis takes.
    let path = url.path().trim_matches('/').trim_start_matches('0');
    format!("{host}:{}/{path}", url.port().unwrap_or(usual_port))
}

/// The on-failure destination, if there is one.
///
/// # Errors
/// A sentence, if it cannot be read.
pub(crate) fn on_failure(definition: &Definition) -> Result<Option<Destination>, String> {
    let Document { source, settings } = read(definition)?;
    let target = settings.unwrap_or_default().on_failure;
    let target = target.map(|target| destination(&source.unwrap_or_default(), target));
    target.transpose().map_err(|refusal| refusal.message)
}

/// The on-failure destination of a mapping of `source`. A topic without a cluster is one of the cluster that the mapping reads, and not the one
/// that it reads (LS 4.8).
pub(crate) fn destination(
    source: &SourceConfig,
    given: trine_proto::v1::Destination,
) -> Result<Destination, Refusal> {
    let mut target = crate::edge::settings::destination(given, "on_failure")?;
    let (Destination::Kafka { bootstrap_servers, topic }, Some(Source::Kafka(kafka))) =
        (&mut target, &source.source)
    else {
        return Ok(target);
    };
    if bootstrap_servers.is_empty() {
        let servers = kafka.bootstrap_servers.iter().map(|server| server.as_str().into());
        *bootstrap_servers = servers.collect();
    }
    let own = |server: &str| kafka.bootstrap_servers.iter().any(|own| own == server);
    if **topic == *kafka.topic && bootstrap_servers.iter().any(|server| own(server)) {
        return Err(invalid(format!(
            "on_failure: {topic:?} is the topic that the mapping reads; its failure records would come back to it."
        )));
    }
    Ok(target)
}

/// The kind that a poller must offer, and what tells the source from others of that kind, in words for people.
pub(crate) fn identity(source: &SourceConfig) -> (String, String) {
    let Some(source) = &source.source else { return (String::new(), String::new()) };
    let kind = match source {
        Source::Kafka(_) => "kafka",
        Source::Sqs(_) => "sqs",
        Source::Kinesis(_) => "kinesis",
        Source::DynamodbStreams(_) => "dynamodb_streams",
        Source::Rabbitmq(_) => "rabbitmq",
        Source::Activemq(_) => "activemq",
        Source::Nats(_) => "nats",
        Source::Redis(_) => "redis",
        Source::File(_) => "file",
        Source::Custom(custom) => &custom.kind,
    };
    let at = |arn: &str, access: &Option<trine_proto::v1::AwsAccess>| {
        let endpoint = access.as_ref().map_or("", |access| &access.endpoint_url);
        if endpoint.is_empty() { arn.to_owned() } else { format!("{arn} at {endpoint}") }
    };
    let part = |mark: &str, text: &str| {
        if text.is_empty() { String::new() } else { format!("{mark}{text}") }
    };
    let identity = match source {
        Source::Kafka(kafka) => {
            let mut servers = kafka.bootstrap_servers.clone();
            servers.sort_unstable();
            let group = part(" group ", &kafka.consumer_group_id);
            format!("{} on {}{group}", kafka.topic, servers.join(","))
        }
        Source::Sqs(sqs) => at(&sqs.queue_arn, &sqs.access),
        Source::Kinesis(kinesis) => at(&kinesis.stream_arn, &kinesis.access),
        Source::DynamodbStreams(streams) => at(&streams.stream_arn, &streams.access),
        Source::Rabbitmq(rabbit) => {
            let host = if rabbit.virtual_host.is_empty() { "/" } else { &rabbit.virtual_host };
            format!("{} on {} virtual host {host}", rabbit.queue, rabbit.url)
        }
        Source::Activemq(active) => format!("{} on {}", active.queue, active.url),
        Source::Nats(nats) => {
            let mut servers = nats.urls.clone();
            servers.sort_unstable();
            let durable = part(" durable ", &nats.durable);
            let mut subjects = nats.filter_subjects.clone();
            subjects.sort_unstable();
            let subjects = part(" subjects ", &subjects.join(","));
            format!("{} on {}{durable}{subjects}", nats.stream, servers.join(","))
        }
        Source::Redis(redis) => {
            let group = part(" group ", &redis.group);
            format!("{} on {}{group}", redis.stream, redis.url)
        }
        Source::File(file) => file.path.clone(),
        Source::Custom(custom) => custom.configuration.clone(),
    };
    (kind.to_owned(), identity)
}

#[cfg(test)]
mod tests {
    use trine_proto::v1::{KafkaSource, NatsSource, RedisSource};

    use super::*;

    fn of(source: Source) -> Option<Arc<str>> {
        reader(&SourceConfig { source: Some(source) }, MappingId(7))
    }

    fn redis(url: &str, group: &str) -> Option<Arc<str>> {
        let (url, group, stream) = (url.to_owned(), group.to_owned(), "orders".to_owned());
        of(Source::Redis(RedisSource { url, group, stream, ..RedisSource::default() }))
    }

    #[test]
    fn one_server_in_other_words_is_the_same_reader() {
        let plain = redis("redis://h", "g");
        for same in ["redis://h:6379", "redis://h/0", "redis://H:6379/", "rediss://h:6379/0"] {
            assert_eq!(redis(same, "g"), plain, "{same}");
        }
        for other in ["redis://h:6380", "redis://h/1", "redis://i"] {
            assert_ne!(redis(other, "g"), plain, "{other}");
        }
        assert_ne!(redis("redis://h", "x"), plain);
        let kafka = |servers: &[&str]| {
            let bootstrap_servers = servers.iter().map(|&server| server.to_owned()).collect();
            of(Source::Kafka(KafkaSource { bootstrap_servers, ..KafkaSource::default() }))
        };
        assert_eq!(kafka(&["a:9092", "B:1"]), kafka(&["b:1", "a:9092"]));
        let nats = |url: &str| {
            of(Source::Nats(NatsSource { urls: vec![url.to_owned()], ..NatsSource::default() }))
        };
        assert_eq!(nats("nats://h"), nats("tls://h:4222"));
    }

    #[test]
    fn a_name_that_nobody_chose_is_the_mappings_too() {
        let made = redis("redis://h", "");
        assert_eq!(redis("redis://h", &format!("trine-{}", MappingId(7))), made);
    }
}

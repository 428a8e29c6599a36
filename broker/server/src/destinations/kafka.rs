//! Delivery to a topic of Kafka: one message, acknowledged by all replicas in sync. librdkafka keeps the connections, the order and
//! the sequence numbers of its idempotent producer; how long it may try is bounded here, when to try again is the engine's decision.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;

use super::connections::{Connection as _, Connections};
use super::kafka_connection::{ANSWER_WAIT, KafkaConnection, MESSAGE_BYTES_MAX};
use super::kafka_target::KafkaTarget;
use super::{DeliveryOutcome, DestinationRecord, MessageKey, Tried, cloud_event};
use crate::credentials::KafkaCredential;

/// Clusters that a producer is kept for: each has threads and connections of its own.
const CONNECTIONS_MAX: usize = 8;

/// Producers and how to log in.
#[derive(Debug)]
pub(super) struct Kafka {
    credentials: Vec<KafkaCredential>,
    connections: Connections<KafkaConnection>,
}

impl Kafka {
    pub(super) fn new(credentials: Vec<KafkaCredential>) -> Self {
        Self { credentials, connections: Connections::new(CONNECTIONS_MAX) }
    }

    /// Offers `record` once.
    pub(super) async fn produce(&self, target: &KafkaTarget, record: &DestinationRecord) -> Tried {
        if record.json.len() > MESSAGE_BYTES_MAX {
            return Tried::Answered(DeliveryOutcome::Refused(format!(
                "the record has {} bytes; the most that is sent to Kafka is {MESSAGE_BYTES_MAX}",
                record.json.len()
            )));
        }
        let slot = self.connections.slot(&target.cluster);
        let opened = slot.get_or_try_init(|| async { self.open(&target.cluster) }).await;
        let connection = match opened {
            Ok(connection) => connection,
            Err(why) => return Tried::Answered(DeliveryOutcome::Failed(why)),
        };
        let tried = send(connection, target, record).await;
        if connection.is_lost() || matches!(tried, Tried::Silent(_)) {
            self.connections.forget(&target.cluster, &slot);
        }
        tried
    }

    fn open(&self, cluster: &str) -> Result<KafkaConnection, String> {
        KafkaConnection::open(cluster, self.credential(cluster))
    }

    /// The login for a cluster: that of one of its servers, else the one for any.
    fn credential(&self, cluster: &str) -> Option<&KafkaCredential> {
        let of = |credential: &&KafkaCredential| {
            let server = &credential.server;
            cluster.split(',').any(|name| name.eq_ignore_ascii_case(server))
        };
        let any = || self.credentials.iter().find(|credential| credential.server.is_empty());
        self.credentials.iter().find(of).or_else(any)
    }
}

async fn send(
    connection: &KafkaConnection,
    target: &KafkaTarget,
    record: &DestinationRecord,
) -> Tried {
    let message = FutureRecord {
        // Without one it goes to any partition.
        key: match &record.key {
            MessageKey::Id => Some(record.delivery_id.as_bytes()),
            MessageKey::OfSource(key) => key.as_deref(),
        },
        ..FutureRecord::to(&target.topic).payload(record.json.as_ref()).headers(headers(record))
    };
    // No wait for room: there are never more messages than deliveries to one place.
    match connection.producer().send(message, Duration::ZERO).await {
        Ok(_) => {
            connection.works();
            Tried::Answered(DeliveryOutcome::Taken)
        }
        Err((error, _)) => explain(connection, target, &error),
    }
}

/// CloudEvents' Kafka binding, binary mode: as for HTTP, with an underscore and without a prefix for the content type.
fn headers(record: &DestinationRecord) -> OwnedHeaders {
    let attributes = cloud_event::attributes(record);
    let named = attributes.map(|(name, value)| (name.replacen("ce-", "ce_", 1), value));
    let trace = cloud_event::trace(record).map(|(name, value)| (name.to_owned(), value));
    let content = [("content-type".to_owned(), cloud_event::CONTENT_TYPE)];
    let all = content.into_iter().chain(named).chain(trace);
    all.fold(OwnedHeaders::new(), |headers, (name, value)| {
        headers.insert(Header { key: &name, value: Some(value) })
    })
}

/// Sentences of our own: librdkafka's hold addresses and whatever a server said.
fn explain(connection: &KafkaConnection, target: &KafkaTarget, error: &KafkaError) -> Tried {
    let KafkaTarget { cluster, topic } = target;
    let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
    let failed =
        |what: String| Tried::Answered(DeliveryOutcome::Failed(format!("{cluster}: {what}")));
    match code {
        Code::MessageSizeTooLarge => Tried::Answered(DeliveryOutcome::Refused(format!(
            "{cluster}: the record is larger than the topic {topic:?} takes (max.message.bytes)"
        ))),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            failed(format!("there is no topic {topic:?}; create it, it is not made by writing"))
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            failed(format!("the broker's user may not write to the topic {topic:?}"))
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => failed(format!(
            "the topic {topic:?} has fewer replicas in sync than it asks for (min.insync.replicas)"
        )),
        Code::QueueFull => failed("too many records are on their way to it".to_owned()),
        Code::MessageTimedOut => match connection.trouble() {
            Some(trouble) => Tried::Silent(format!("{cluster}: {trouble}")),
            None => Tried::Silent(format!(
                "{cluster}: nobody acknowledged the record on {topic:?} within {} s",
                ANSWER_WAIT.as_secs()
            )),
        },
        code => Tried::Silent(format!("{cluster}: the record was not written ({code:?})")),
    }
}

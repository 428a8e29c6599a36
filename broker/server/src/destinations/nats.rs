//! Delivery by NATS: to a subject, or into the stream that listens to it.

use std::error::Error as _;

use async_nats::client::PublishErrorKind;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::PublishErrorKind as StreamErrorKind;
use async_nats::{HeaderMap, HeaderValue};

use super::connections::Connections;
use super::nats_connection::{ANSWER_WAIT, NatsConnection};
use super::nats_target::NatsTarget;
use super::{DeliveryOutcome, DestinationRecord, Tried, cloud_event};
use crate::credentials::NatsCredential;

/// JetStream's error code for a message above the stream's own limit.
const MESSAGE_TOO_LARGE: u64 = 10_054;

/// Connections that are kept.
const CONNECTIONS_MAX: usize = 32;

/// Connections and how to log in.
#[derive(Debug)]
pub(super) struct Nats {
    credentials: Vec<NatsCredential>,
    connections: Connections<NatsConnection>,
}

impl Nats {
    pub(super) fn new(credentials: Vec<NatsCredential>) -> Self {
        Self { credentials, connections: Connections::new(CONNECTIONS_MAX) }
    }

    /// Offers `record` once.
    pub(super) async fn publish(
        &self,
        target: &NatsTarget,
        jetstream: bool,
        record: &DestinationRecord,
    ) -> Tried {
        let server = target.server();
        let slot = self.connections.slot(server);
        let opened = slot.get_or_try_init(|| self.open(server)).await;
        let tried = match opened {
            Err(why) => Tried::Silent(why),
            Ok(connection) if jetstream => into_stream(connection, target, record).await,
            Ok(connection) => self.to_subject(connection, target, record).await,
        };
        let refused = slot.get().is_some_and(|open| open.refusal(target.subject()).is_some());
        if refused || matches!(tried, Tried::Silent(_)) {
            self.connections.forget(server, &slot);
        }
        tried
    }

    async fn open(&self, server: &str) -> Result<NatsConnection, String> {
        NatsConnection::open(server, self.credential(server)).await
    }

    /// The login for a server: its own, else the one for any.
    fn credential(&self, server: &str) -> Option<&NatsCredential> {
        let of = |name: &str| {
            self.credentials.iter().find(|login| login.server.eq_ignore_ascii_case(name))
        };
        of(server).or_else(|| of(""))
    }

    /// Core NATS: the record is delivered when the server has it. Who listens is not known.
    ///
    /// A server takes a publish without permission silently and complains on the side, which is
    /// seen for certain only once the connection is closed. The first record to a subject
    /// therefore travels over a connection of its own.
    async fn to_subject(
        &self,
        connection: &NatsConnection,
        target: &NatsTarget,
        record: &DestinationRecord,
    ) -> Tried {
        let (server, subject) = (target.server(), target.subject());
        if connection.is_allowed(subject) {
            let sent = send(connection, target, record).await;
            return sent.unwrap_or_else(|| taken_unless(target, connection.refusal(subject)));
        }
        let once = match self.open(server).await {
            Ok(once) => once,
            Err(why) => return Tried::Silent(why),
        };
        if let Some(not_sent) = send(&once, target, record).await {
            return not_sent;
        }
        let refusal = once.close(subject).await;
        if refusal.is_none() {
            connection.allow(subject);
        }
        taken_unless(target, refusal)
    }
}

/// Sends the record and waits until the server has worked on it; `Some` if that did not happen.
async fn send(
    connection: &NatsConnection,
    target: &NatsTarget,
    record: &DestinationRecord,
) -> Option<Tried> {
    let (server, subject) = (target.server(), target.subject().to_owned());
    let client = connection.client();
    let published =
        client.publish_with_headers(subject, headers(record), record.json.clone()).await;
    if let Err(error) = published {
        return Some(match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => too_large(target, client.max_payload()),
            kind => Tried::Silent(format!("{server}: {kind}")),
        });
    }
    connection.round_trip().await.err().map(|why| Tried::Silent(format!("{server}: {why}")))
}

fn taken_unless(target: &NatsTarget, refusal: Option<String>) -> Tried {
    Tried::Answered(match refusal {
        None => DeliveryOutcome::Taken,
        Some(refusal) => DeliveryOutcome::Failed(format!("{}: {refusal}", target.server())),
    })
}

/// JetStream: the record is delivered when a stream has stored it. The message id lets the stream
/// drop a record that it has already, within its duplicate window.
async fn into_stream(
    connection: &NatsConnection,
    target: &NatsTarget,
    record: &DestinationRecord,
) -> Tried {
    let (server, subject) = (target.server(), target.subject().to_owned());
    let mut headers = headers(record);
    headers.insert(NATS_MESSAGE_ID, record.delivery_id.as_str());
    let publish =
        connection.jetstream.publish_with_headers(subject.clone(), headers, record.json.clone());
    let stored = async { publish.await?.await };
    let stored = tokio::select! {
        stored = stored => stored,
        // Nothing else would come of it.
        refusal = connection.refused(&subject) => return taken_unless(target, Some(refusal)),
    };
    let Err(error) = stored else { return Tried::Answered(DeliveryOutcome::Taken) };
    let failed = |why: String| Tried::Answered(DeliveryOutcome::Failed(why));
    match error.kind() {
        StreamErrorKind::StreamNotFound => failed(format!(
            "{server}: no stream listens to the subject {subject:?}; create one, or use a \
             destination without jetstream"
        )),
        StreamErrorKind::MaxPayloadExceeded => too_large(target, connection.client().max_payload()),
        StreamErrorKind::TimedOut | StreamErrorKind::BrokenPipe => Tried::Silent(format!(
            "{server}: no stream acknowledged the record on {subject:?} within {} s",
            ANSWER_WAIT.as_secs()
        )),
        kind => {
            let said = error
                .source()
                .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
            match said {
                Some(said) if said.error_code().0 == MESSAGE_TOO_LARGE => {
                    Tried::Answered(DeliveryOutcome::Refused(format!("{server}: {said}")))
                }
                Some(said) => failed(format!("{server}: {said}")),
                None => failed(format!("{server}: {kind}")),
            }
        }
    }
}

/// The record will not shrink: there is no use in trying again before somebody raises the limit.
fn too_large(target: &NatsTarget, max: usize) -> Tried {
    Tried::Answered(DeliveryOutcome::Refused(format!(
        "{}: the record is larger than the {max} bytes that the server takes (max_payload)",
        target.server()
    )))
}

/// CloudEvents' NATS binding, binary mode: as for HTTP, but the content type is an attribute like
/// the others.
fn headers(record: &DestinationRecord) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let content_type = [("ce-datacontenttype", cloud_event::CONTENT_TYPE)];
    let all = cloud_event::attributes(record).into_iter().chain(cloud_event::trace(record));
    for (name, value) in all.chain(content_type) {
        headers.insert(name, HeaderValue::from(value));
    }
    headers
}

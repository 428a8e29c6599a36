//! Delivery to RabbitMQ: one persistent message, confirmed by the server and given to a queue, or it was not delivered.

use std::time::Duration;

use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Confirmation, Error};

use super::connections::Connections;
use super::rabbitmq_connection::{RabbitMqConnection, code};
use super::rabbitmq_target::RabbitMqTarget;
use super::{DeliveryOutcome, DestinationRecord, Tried, cloud_event};
use crate::credentials::RabbitMqCredential;

/// Connections that are kept.
const CONNECTIONS_MAX: usize = 32;

/// Longest wait for the server's confirmation. A server that is short of memory or disk reads nothing, and so says nothing.
const ANSWER_WAIT: Duration = Duration::from_secs(4);

/// AMQP's mark of a message that outlives the server.
const PERSISTENT: u8 = 2;

/// Reply codes of AMQP 0-9-1.
const CONTENT_TOO_LARGE: u16 = 311;
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// Connections and how to log in.
#[derive(Debug)]
pub(super) struct RabbitMq {
    credentials: Vec<RabbitMqCredential>,
    connections: Connections<RabbitMqConnection>,
}

impl RabbitMq {
    pub(super) fn new(credentials: Vec<RabbitMqCredential>) -> Self {
        Self { credentials, connections: Connections::new(CONNECTIONS_MAX) }
    }

    /// Offers `record` once.
    pub(super) async fn publish(
        &self,
        target: &RabbitMqTarget,
        record: &DestinationRecord,
    ) -> Tried {
        let name = target.connection();
        let slot = self.connections.slot(&name);
        let opened = slot.get_or_try_init(|| self.open(target)).await;
        let tried = match opened {
            Err(tried) => tried,
            Ok(connection) => {
                let answered = publish(connection, target, record);
                tokio::time::timeout(ANSWER_WAIT, answered).await.unwrap_or_else(|_| {
                    Tried::Silent(format!(
                        "{}: RabbitMQ did not confirm the record within {} s",
                        target.server,
                        ANSWER_WAIT.as_secs()
                    ))
                })
            }
        };
        if matches!(tried, Tried::Silent(_)) {
            self.connections.forget(&name, &slot);
        }
        tried
    }

    async fn open(&self, target: &RabbitMqTarget) -> Result<RabbitMqConnection, Tried> {
        RabbitMqConnection::open(target, self.credential(&target.server)).await
    }

    /// The login for a server: its own, else the one for any.
    fn credential(&self, server: &str) -> Option<&RabbitMqCredential> {
        let of = |name: &str| {
            self.credentials.iter().find(|login| login.server.eq_ignore_ascii_case(name))
        };
        of(server).or_else(|| of(""))
    }
}

/// A channel a message: a server refuses a message by closing its channel, and the others are none of its business.
async fn publish(
    connection: &RabbitMqConnection,
    target: &RabbitMqTarget,
    record: &DestinationRecord,
) -> Tried {
    let confirmed = async {
        let channel = connection.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let exchange = ShortString::from(target.exchange.as_str());
        let routing_key = ShortString::from(target.routing_key.as_str());
        let properties = properties(record);
        let publish =
            channel.basic_publish(exchange, routing_key, options, &record.json, properties);
        // Dropping the channel closes it, and nobody waits for that.
        publish.await?.await
    };
    match confirmed.await {
        Ok(confirmation) => judge(target, confirmation),
        Err(error) => explain(target, &error),
    }
}

/// Persistent, with CloudEvents' attributes in AMQP's binding: a consumer that speaks AMQP 1.0 finds them where they belong.
fn properties(record: &DestinationRecord) -> BasicProperties {
    let mut headers = FieldTable::default();
    let attributes = cloud_event::attributes(record);
    let named = attributes.map(|(name, value)| (name.replacen("ce-", "cloudEvents:", 1), value));
    let trace = cloud_event::trace(record).map(|(name, value)| (name.to_owned(), value));
    for (name, value) in named.into_iter().chain(trace) {
        let value = AMQPValue::LongString(LongString::from(value));
        headers.insert(ShortString::from(name), value);
    }
    BasicProperties::default()
        .with_content_type(cloud_event::CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(ShortString::from(record.delivery_id.as_str()))
        .with_app_id("trine".into())
        .with_headers(headers)
}

fn judge(target: &RabbitMqTarget, confirmation: Confirmation) -> Tried {
    let RabbitMqTarget { server, exchange, routing_key, .. } = target;
    let failed = |why: String| Tried::Answered(DeliveryOutcome::Failed(format!("{server}: {why}")));
    match confirmation {
        Confirmation::Ack(None) => Tried::Answered(DeliveryOutcome::Taken),
        // The server confirms what it has thrown away, too.
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
            failed(unroutable(target, &returned))
        }
        Confirmation::Nack(None) if exchange.is_empty() => failed(format!(
            "RabbitMQ did not take the record for the queue {routing_key:?}: it is full, or cannot \
             be written now"
        )),
        Confirmation::Nack(None) => failed(format!(
            "RabbitMQ did not take the record: a queue of the exchange {exchange:?} is full, or \
             cannot be written now"
        )),
        Confirmation::NotRequested => failed("RabbitMQ was not asked to confirm".to_owned()),
    }
}

fn unroutable(target: &RabbitMqTarget, returned: &BasicReturnMessage) -> String {
    let RabbitMqTarget { virtual_host, exchange, routing_key, .. } = target;
    if exchange.is_empty() {
        return format!(
            "there is no queue {routing_key:?} in the virtual host {virtual_host:?}; declare it, it is \
             not made by publishing ({})",
            returned.reply_code
        );
    }
    format!(
        "no queue gets what the exchange {exchange:?} is given with the routing key {routing_key:?}; \
         bind one ({})",
        returned.reply_code
    )
}

/// What the server said of the message, in words of our own.
fn explain(target: &RabbitMqTarget, error: &Error) -> Tried {
    let RabbitMqTarget { server, virtual_host, exchange, .. } = target;
    let answered = |outcome: fn(String) -> DeliveryOutcome, why: String| {
        Tried::Answered(outcome(format!("{server}: {why}")))
    };
    match code(error) {
        Some(NOT_FOUND) => answered(
            DeliveryOutcome::Failed,
            format!(
                "there is no exchange {exchange:?} in the virtual host {virtual_host:?}; declare it"
            ),
        ),
        Some(ACCESS_REFUSED) => answered(
            DeliveryOutcome::Failed,
            format!(
                "the broker's user may not publish to the exchange {exchange:?} of the virtual host \
                 {virtual_host:?}; grant it write"
            ),
        ),
        Some(CONTENT_TOO_LARGE | PRECONDITION_FAILED) => answered(
            DeliveryOutcome::Refused,
            "the record is larger than RabbitMQ takes (max_message_size)".to_owned(),
        ),
        Some(code) => {
            answered(DeliveryOutcome::Failed, format!("RabbitMQ did not take the record ({code})"))
        }
        None => Tried::Silent(format!("{server}: the connection to RabbitMQ was lost")),
    }
}

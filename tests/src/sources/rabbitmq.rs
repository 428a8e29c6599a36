//! A durable queue of RabbitMQ, with publisher confirms.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{MappingSettings, RabbitMqSource};

use super::Record;
use super::field::{Field, Order, Producer, Reading, Trouble, trouble};

const QUEUE: &str = "records";
const USER: &str = "guest";

/// The secret of the mapping, and where the poller finds it.
const SECRET: &str = "RABBITMQ";
const SECRET_VARIABLE: &str = "TRINE_SECRET_RABBITMQ";

/// Written to the disk before it is confirmed.
const PERSISTENT: u8 = 2;

#[derive(Debug)]
pub(super) struct RabbitMqField {
    address: String,
}

struct Publisher {
    channel: Channel,
    /// Ends with the last who holds it.
    _connection: Connection,
}

impl RabbitMqField {
    pub(super) async fn open(address: &str) -> Result<Self, Trouble> {
        let field = Self { address: address.to_owned() };
        let publisher = field.publisher().await?;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let made = publisher.channel.queue_declare(QUEUE.into(), durable, FieldTable::default());
        made.await.map_err(|error| trouble("declare the queue")(&error))?;
        Ok(field)
    }

    async fn publisher(&self) -> Result<Publisher, Trouble> {
        let uri = format!("amqp://{USER}:{USER}@{}/%2f", self.address);
        let connected = Connection::connect(&uri, ConnectionProperties::default()).await;
        let connection = connected.map_err(|error| trouble("connect")(&error))?;
        let channel = connection.create_channel().await.map_err(|e| trouble("channel")(&e))?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default()).await;
        confirming.map_err(|error| trouble("confirm")(&error))?;
        Ok(Publisher { channel, _connection: connection })
    }
}

impl Field for RabbitMqField {
    fn source(&self) -> Source {
        Source::Rabbitmq(RabbitMqSource {
            url: format!("amqp://{}", self.address),
            queue: QUEUE.to_owned(),
            username: USER.to_owned(),
            password_secret: SECRET.to_owned(),
            ..RabbitMqSource::default()
        })
    }

    fn settings(&self) -> MappingSettings {
        MappingSettings { batching_window_ms: Some(0), ..MappingSettings::default() }
    }

    fn environment(&self) -> &'static [(&'static str, &'static str)] {
        &[(SECRET_VARIABLE, USER)]
    }

    fn order(&self) -> Order {
        Order::None
    }

    fn reading(&self) -> Reading {
        Reading::Queue
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, Trouble>> {
        async { Ok(Box::new(self.publisher().await?) as Box<dyn Producer>) }.boxed()
    }
}

impl Producer for Publisher {
    fn send<'a>(&'a mut self, records: &'a [Record]) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let mut confirmations = Vec::new();
            for record in records {
                let text = record.text();
                let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
                let options = BasicPublishOptions::default();
                let sent = self.channel.basic_publish(
                    "".into(),
                    QUEUE.into(),
                    options,
                    text.as_bytes(),
                    properties,
                );
                confirmations.push(sent.await.map_err(|error| trouble("publish")(&error))?);
            }
            let confirmed = try_join_all(confirmations).await;
            let confirmed = confirmed.map_err(|error| trouble("publish")(&error))?;
            match confirmed.iter().all(lapin::Confirmation::is_ack) {
                true => Ok(()),
                false => Err("RabbitMQ did not take a message".to_owned()),
            }
        }
        .boxed()
    }
}

//! A stream of JetStream.

use async_nats::jetstream::{self, stream};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{MappingSettings, NatsSource, StartingPosition};

use super::Record;
use super::field::{Field, Order, Producer, Reading, Trouble, trouble};

const STREAM: &str = "RECORDS";
const SUBJECT: &str = "records";

#[derive(Debug)]
pub(super) struct NatsField {
    url: String,
}

struct Publisher(jetstream::Context);

impl NatsField {
    pub(super) async fn open(address: &str) -> Result<Self, Trouble> {
        let field = Self { url: format!("nats://{address}") };
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![format!("{SUBJECT}.*")],
            ..stream::Config::default()
        };
        let made = field.connect().await?.create_stream(config).await;
        made.map_err(|error| trouble("create the stream")(&error))?;
        Ok(field)
    }

    async fn connect(&self) -> Result<jetstream::Context, Trouble> {
        let client = async_nats::connect(&self.url).await.map_err(|e| trouble("connect")(&e))?;
        Ok(jetstream::new(client))
    }
}

impl Field for NatsField {
    fn source(&self) -> Source {
        Source::Nats(NatsSource {
            urls: vec![self.url.clone()],
            stream: STREAM.to_owned(),
            ..NatsSource::default()
        })
    }

    fn settings(&self) -> MappingSettings {
        let start = StartingPosition::TrimHorizon.into();
        MappingSettings { starting_position: Some(start), ..MappingSettings::default() }
    }

    fn order(&self) -> Order {
        Order::All
    }

    fn reading(&self) -> Reading {
        Reading::Shards(1)
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, Trouble>> {
        async { Ok(Box::new(Publisher(self.connect().await?)) as Box<dyn Producer>) }.boxed()
    }
}

impl Producer for Publisher {
    fn send<'a>(&'a mut self, records: &'a [Record]) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let mut confirmations = Vec::new();
            for record in records {
                let subject = format!("{SUBJECT}.{}", record.key_text());
                let sent = self.0.publish(subject, record.text().into()).await;
                let confirmation = sent.map_err(|error| trouble("publish")(&error))?;
                confirmations.push(confirmation.into_future());
            }
            try_join_all(confirmations).await.map(drop).map_err(|e| trouble("publish")(&e))
        }
        .boxed()
    }
}

//! The `rabbitmq` source to the runner: connections of one mapping, and the one shard of each. How the shard is read is in `reader`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::config::Config;
use super::event::envelope;
use super::reader::QueueReader;
use super::session::{Events, Session, end};
use super::trouble::unreachable;
use crate::timestamp::rfc3339;
use crate::{
    Change, Connect, Descriptor, Opened, Ordering, Places, Record, Redelivery, Settling, ShardName,
    Sought, Source, SourceError, Target, Unit,
};

/// What a RabbitMQ queue can do.
pub const DESCRIPTOR: Descriptor = Descriptor {
    kind: "rabbitmq",
    // A record that comes again comes after others that were behind it.
    ordering: Ordering::None,
    settling: Settling::PerRecord,
    redelivery: Redelivery::Poller,
    outlives_connection: false,
    // Records are pushed: a longer wait costs nothing.
    receive_wait: Duration::from_secs(5),
    shard_concurrency_max: None,
};

/// Makes the connections of one mapping.
#[derive(Debug)]
pub(crate) struct RabbitMq {
    config: Arc<Config>,
}

impl RabbitMq {
    pub(crate) fn new(config: Config) -> Self {
        Self { config: Arc::new(config) }
    }

    async fn open(&self) -> Result<Arc<dyn Source>, SourceError> {
        let (session, events) = Session::open(Arc::clone(&self.config)).await?;
        let state = State { events, opened: false };
        Ok(Arc::new(QueueSource { session: Arc::new(session), state: Mutex::new(state) }))
    }
}

impl Connect for RabbitMq {
    fn descriptor(&self) -> Descriptor {
        DESCRIPTOR
    }

    fn connect(&self, _: Places) -> Unit<'_, Arc<dyn Source>> {
        Box::pin(self.open())
    }

    fn seek(&self, _: Places, _: Target, _: bool) -> Unit<'_, Vec<Sought>> {
        let says = "a RabbitMQ queue has no positions to seek: a record is gone once it is acknowledged, and what is there comes \
                    from the head";
        Box::pin(std::future::ready(Err(SourceError::configuration(says))))
    }

    fn batch_member(&self, _: &ShardName, given_up: &[&Record]) -> (&'static str, Value) {
        let time = |record: Option<&&Record>| record?.arrived_at_ms.map(rfc3339);
        let identifier =
            |record: Option<&&Record>| record.map(|record| record.identifier.to_string());
        let (first, last) = (given_up.first(), given_up.last());
        let member = json!({
            "queue": self.config.queue.as_str(),
            "virtualHost": self.config.virtual_host,
            "startMessageId": identifier(first),
            "endMessageId": identifier(last),
            "approximateArrivalOfFirstRecord": time(first),
            "approximateArrivalOfLastRecord": time(last),
            "batchSize": given_up.len(),
            "eventSourceArn": self.config.event_source_arn,
        });
        ("RabbitMqBatchInfo", member)
    }
}

/// One connection.
struct QueueSource {
    session: Arc<Session>,
    state: Mutex<State>,
}

struct State {
    events: Events,
    opened: bool,
}

impl QueueSource {
    async fn change(&self) -> Result<Change, SourceError> {
        let mut state = self.state.lock().await;
        if !state.opened {
            state.opened = true;
            let config = &self.session.config;
            return Ok(Change::Opened(Opened {
                shard: config.shard.clone(),
                reader: Arc::new(QueueReader::new(Arc::clone(&self.session))),
                envelope: envelope(config),
                lease: None,
            }));
        }
        if !self.session.is_open() {
            return Err(unreachable(&self.session.config, "has closed the connection"));
        }
        Err(self.session.told(&end(&mut state.events).await))
    }
}

impl Source for QueueSource {
    fn next_change(&self) -> Unit<'_, Change> {
        Box::pin(self.change())
    }
}

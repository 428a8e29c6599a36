//! The `activemq` source to the runner: connections of one mapping, and the one shard of each. How the shard is read is in `reader`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::time::Duration;

use serde_json::{Value, json};

use super::config::Config;
use super::event::envelope;
use super::reader::QueueReader;
use crate::timestamp::rfc3339;
use crate::{
    Change, Connect, Descriptor, Opened, Ordering, Places, Record, Redelivery, Settling, ShardName,
    Sought, Source, SourceError, Target, Unit,
};

/// What an ActiveMQ queue can do.
pub const DESCRIPTOR: Descriptor = Descriptor {
    kind: "activemq",
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
pub(crate) struct ActiveMq {
    config: Arc<Config>,
}

impl ActiveMq {
    pub(crate) fn new(config: Config) -> Self {
        Self { config: Arc::new(config) }
    }

    async fn open(&self) -> Result<Arc<dyn Source>, SourceError> {
        let reader = Arc::new(QueueReader::connect(Arc::clone(&self.config)).await?);
        Ok(Arc::new(QueueSource { reader, opened: AtomicBool::new(false) }))
    }
}

impl Connect for ActiveMq {
    fn descriptor(&self) -> Descriptor {
        DESCRIPTOR
    }

    fn connect(&self, _: Places) -> Unit<'_, Arc<dyn Source>> {
        Box::pin(self.open())
    }

    fn seek(&self, _: Places, _: Target, _: bool) -> Unit<'_, Vec<Sought>> {
        let says = "an ActiveMQ queue has no positions to seek: a record is gone once it is acknowledged, and what is there comes \
                    from the head";
        Box::pin(std::future::ready(Err(SourceError::configuration(says))))
    }

    fn batch_member(&self, _: &ShardName, given_up: &[&Record]) -> (&'static str, Value) {
        let time = |record: Option<&&Record>| record?.arrived_at_ms.map(rfc3339);
        let identifier =
            |record: Option<&&Record>| record.map(|record| record.identifier.to_string());
        let (first, last) = (given_up.first(), given_up.last());
        let member = json!({
            "queue": self.config.queue,
            "startMessageId": identifier(first),
            "endMessageId": identifier(last),
            "approximateArrivalOfFirstRecord": time(first),
            "approximateArrivalOfLastRecord": time(last),
            "batchSize": given_up.len(),
            "eventSourceArn": self.config.event_source_arn,
        });
        ("ActiveMqBatchInfo", member)
    }
}

/// One connection.
struct QueueSource {
    reader: Arc<QueueReader>,
    opened: AtomicBool,
}

impl QueueSource {
    async fn change(&self) -> Result<Change, SourceError> {
        if !self.opened.swap(true, Atomic::Relaxed) {
            let reader = Arc::clone(&self.reader);
            let config = &reader.config;
            let (shard, envelope) = (config.shard.clone(), envelope(config));
            return Ok(Change::Opened(Opened { shard, reader, envelope, lease: None }));
        }
        Err(self.reader.ended().await)
    }
}

impl Source for QueueSource {
    fn next_change(&self) -> Unit<'_, Change> {
        Box::pin(self.change())
    }
}

//! A JetStream stream to the runner: what it can do, its connections, its only shard.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::config::NatsConfig;
use super::link::Link;
use super::reader::ConsumerReader;
use crate::clock::Clock;
use crate::in_hand::InHand;
use crate::timestamp::rfc3339;
use crate::{
    Change, Connect, Descriptor, Envelope, Opened, Ordering, Places, Record, Redelivery, Settling,
    ShardName, Sought, Source, SourceError, Target, Unit,
};

/// What a JetStream source can do.
const DESCRIPTOR: Descriptor = Descriptor {
    kind: "nats",
    // The server redelivers out of order; but what the runner holds is told from what is new, and what nobody holds any
    // more is asked for again, in order, before anything new.
    ordering: Ordering::Shard,
    settling: Settling::PerRecord,
    redelivery: Redelivery::Poller,
    // A message is acknowledged by its sequence, over whatever connection.
    outlives_connection: true,
    receive_wait: Duration::from_secs(5),
    shard_concurrency_max: None,
};

/// Makes the connections to one stream.
#[derive(Debug)]
pub(crate) struct NatsConnector {
    config: NatsConfig,
    in_hand: Arc<InHand<u64>>,
    clock: Clock,
}

impl NatsConnector {
    pub(crate) fn new(config: NatsConfig) -> Self {
        Self { config, in_hand: Arc::new(InHand::new()), clock: Clock::start() }
    }

    fn shard(&self) -> ShardName {
        ShardName::new(&self.config.stream)
    }

    async fn open(&self) -> Result<Connection, SourceError> {
        let link = Link::open(&self.config).await?;
        let consumer = link.consumer(&self.config, self.in_hand.read_through()).await?;
        self.in_hand.connected(self.clock.now_ms(), consumer.lease);
        let in_hand = Arc::clone(&self.in_hand);
        let reader = ConsumerReader::open(link, &consumer, in_hand, self.clock).await?;
        // Once more: opening may wait for others to go, and nothing could be extended meanwhile.
        self.in_hand.connected(self.clock.now_ms(), consumer.lease);
        let reader = Arc::new(reader);
        let opened = Opened {
            shard: self.shard(),
            reader: Arc::<ConsumerReader>::clone(&reader),
            envelope: Envelope::records(),
            lease: Some(consumer.lease),
        };
        let mut changes: VecDeque<_> = consumer.notices.into_iter().map(Change::Notice).collect();
        changes.push_back(Change::Opened(opened));
        Ok(Connection { reader, changes: Mutex::new(changes) })
    }
}

impl Connect for NatsConnector {
    fn descriptor(&self) -> Descriptor {
        DESCRIPTOR
    }

    fn connect(&self, _places: Places) -> Unit<'_, Arc<dyn Source>> {
        Box::pin(async {
            let connection: Arc<dyn Source> = Arc::new(self.open().await?);
            Ok(connection)
        })
    }

    fn seek(&self, _places: Places, target: Target, preview: bool) -> Unit<'_, Vec<Sought>> {
        Box::pin(async move {
            if let Some(other) = target.shard.filter(|named| *named != self.shard()) {
                return Err(SourceError::configuration(format!(
                    "there is no shard {other}: the only one is {}",
                    self.shard()
                )));
            }
            let link = Link::open(&self.config).await?;
            let sought = link.seek(&self.config, &target.to, preview).await?;
            if !preview {
                self.in_hand.forget();
            }
            Ok(vec![sought])
        })
    }

    fn batch_member(&self, _shard: &ShardName, given_up: &[&Record]) -> (&'static str, Value) {
        let (first, last) = (given_up.first(), given_up.last());
        let sequence =
            |record: Option<&&Record>| record.map(|record| record.identifier.to_string());
        let stored = |record: Option<&&Record>| record?.arrived_at_ms.map(rfc3339);
        let member = json!({
            "stream": self.config.stream,
            "consumer": self.config.durable,
            "startSequenceNumber": sequence(first),
            "endSequenceNumber": sequence(last),
            "approximateArrivalOfFirstRecord": stored(first),
            "approximateArrivalOfLastRecord": stored(last),
            "batchSize": given_up.len(),
        });
        ("NatsBatchInfo", member)
    }
}

/// One connection.
struct Connection {
    reader: Arc<ConsumerReader>,
    changes: Mutex<VecDeque<Change>>,
}

impl Source for Connection {
    fn next_change(&self) -> Unit<'_, Change> {
        Box::pin(async {
            let next = self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match next {
                Some(change) => Ok(change),
                None => Err(self.reader.broken().await),
            }
        })
    }
}

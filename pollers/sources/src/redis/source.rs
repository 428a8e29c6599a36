//! A Redis stream to the runner: what it can do, its connections, its only shard.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering as Atomically};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::config::RedisConfig;
use super::entry::EntryId;
use super::group::Before;
use super::link::Link;
use super::reader::StreamReader;
use crate::clock::Clock;
use crate::in_hand::InHand;
use crate::timestamp::rfc3339;
use crate::{
    Change, Connect, Descriptor, Envelope, Opened, Ordering, Places, Problem, Record, Redelivery,
    Settling, ShardName, Sought, Source, SourceError, Target, Unit,
};

/// What a Redis source can do.
const DESCRIPTOR: Descriptor = Descriptor {
    kind: "redis",
    // As long as the mapping has the group for itself: each connection first reads what is pending and not in hand.
    ordering: Ordering::Shard,
    settling: Settling::PerRecord,
    redelivery: Redelivery::Poller,
    // An entry is acknowledged by its id, over whatever connection.
    outlives_connection: true,
    // What is given back meanwhile waits for the end of it.
    receive_wait: Duration::from_secs(2),
    shard_concurrency_max: None,
};

/// Makes the connections to one stream.
#[derive(Debug)]
pub(crate) struct RedisConnector {
    config: RedisConfig,
    in_hand: Arc<InHand<EntryId>>,
    /// The stream was looked for and was not there.
    was_absent: AtomicBool,
    clock: Clock,
}

impl RedisConnector {
    pub(crate) fn new(config: RedisConfig) -> Self {
        Self {
            config,
            in_hand: Arc::new(InHand::new()),
            was_absent: AtomicBool::new(false),
            clock: Clock::start(),
        }
    }

    fn shard(&self) -> ShardName {
        ShardName::new(&self.config.stream)
    }

    async fn open(&self) -> Result<Connection, SourceError> {
        let link = Link::open(&self.config).await?;
        let before = Before {
            read_through: self.in_hand.read_through(),
            was_absent: self.was_absent.load(Atomically::Relaxed),
        };
        let found = link.group(&self.config, before).await;
        if found.as_ref().is_err_and(|error| error.problem == Problem::Configuration) {
            self.was_absent.store(true, Atomically::Relaxed);
        }
        let notices = found?;
        self.in_hand.connected(self.clock.now_ms(), self.config.lease);
        let in_hand = Arc::clone(&self.in_hand);
        let reader = Arc::new(StreamReader::new(self.config.clone(), link, in_hand, self.clock));
        let opened = Opened {
            shard: self.shard(),
            reader: Arc::<StreamReader>::clone(&reader),
            envelope: Envelope::records(),
            lease: Some(self.config.lease),
        };
        let mut changes: VecDeque<_> = notices.into_iter().map(Change::Notice).collect();
        changes.push_back(Change::Opened(opened));
        Ok(Connection { reader, changes: Mutex::new(changes) })
    }
}

impl Connect for RedisConnector {
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
        let id = |record: Option<&&Record>| record.map(|record| record.identifier.to_string());
        let added = |record: Option<&&Record>| record?.arrived_at_ms.map(rfc3339);
        let member = json!({
            "stream": self.config.stream,
            "group": self.config.group,
            "startId": id(first),
            "endId": id(last),
            "approximateArrivalOfFirstRecord": added(first),
            "approximateArrivalOfLastRecord": added(last),
            "batchSize": given_up.len(),
        });
        ("RedisBatchInfo", member)
    }
}

/// One connection.
struct Connection {
    reader: Arc<StreamReader>,
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

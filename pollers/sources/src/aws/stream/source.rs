//! One connection to a stream: opens shards as they may be read, and looks for new ones.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::reader::ShardReader;
use super::topology::Topology;
use super::{Api, Cursor, Refusal};
use crate::clock::Clock;
use crate::{Change, Envelope, Notice, Opened, Reader, ShardName, Source, SourceError, Unit};

/// How often the stream is asked for its shards, beside each time that one ends.
const LIST_EVERY_MS: u64 = 60_000;

/// One connection.
pub(crate) struct StreamSource<A: Api> {
    api: Arc<A>,
    shards: Arc<Shards>,
    ready: Mutex<VecDeque<Change>>,
    clock: Clock,
    /// By this clock.
    list_next_ms: AtomicU64,
}

/// What a connection and its readers share.
pub(crate) struct Shards {
    topology: Mutex<Topology>,
    ended: Notify,
    told: Arc<Told>,
}

/// What people were told by earlier connections of a mapping, so that the same loss is not counted again by each.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<BTreeSet<String>>);

impl Shards {
    pub(crate) fn new(topology: Topology, told: Arc<Told>) -> Self {
        Self { topology: Mutex::new(topology), ended: Notify::new(), told }
    }

    pub(crate) fn topology(&self) -> MutexGuard<'_, Topology> {
        self.topology.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard has ended and everything in it is settled.
    pub(crate) fn finish(&self, shard: &ShardName) {
        self.topology().finish(shard);
        self.ended.notify_one();
    }

    /// Whether nobody was told of this loss.
    pub(crate) fn is_new(&self, loss: &str) -> bool {
        let mut told = self.told.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(loss.to_owned())
    }
}

impl<A: Api> StreamSource<A> {
    /// With the shards of `ready` opened: each with its cursor, and its iterator if there is one.
    pub(crate) fn new(
        api: Arc<A>,
        shards: Arc<Shards>,
        ready: Vec<(ShardName, Cursor, Option<String>)>,
    ) -> Self {
        let clock = Clock::start();
        let list_next_ms = AtomicU64::new(clock.now_ms() + LIST_EVERY_MS);
        let source = Self { api, shards, ready: Mutex::default(), clock, list_next_ms };
        let opened = ready
            .into_iter()
            .map(|(shard, cursor, iterator)| Change::Opened(source.open(shard, cursor, iterator)));
        let mut changes: VecDeque<_> = source.vanished().map(Change::Notice).collect();
        changes.extend(opened);
        *source.ready() = changes;
        source
    }

    fn vanished(&self) -> impl Iterator<Item = Notice> {
        let vanished = self.shards.topology().vanished();
        let new = vanished.into_iter().filter(|(shard, _)| self.shards.is_new(shard.as_str()));
        new.map(|(_, notice)| notice)
    }

    fn open(&self, shard: ShardName, cursor: Cursor, iterator: Option<String>) -> Opened {
        let (api, shards) = (Arc::clone(&self.api), Arc::clone(&self.shards));
        let reader = ShardReader::new(api, shards, shard.clone(), cursor, iterator);
        let reader: Arc<dyn Reader> = Arc::new(reader);
        Opened { shard, reader, envelope: Envelope::records(), lease: None }
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> Result<Change, SourceError> {
        loop {
            if let Some(change) = self.ready().pop_front() {
                return Ok(change);
            }
            let next = self.shards.topology().next()?;
            if let Some((shard, cursor)) = next {
                return Ok(Change::Opened(self.open(shard, cursor, None)));
            }
            let list_next_ms = self.list_next_ms.load(Ordering::Relaxed);
            if self.clock.now_ms() >= list_next_ms {
                self.list().await?;
                continue;
            }
            tokio::select! {
                // Its children may not be known yet.
                () = self.shards.ended.notified() => self.list_next_ms.store(0, Ordering::Relaxed),
                () = sleep_until(self.clock.at(list_next_ms)) => {}
            }
        }
    }

    async fn list(&self) -> Result<(), SourceError> {
        let listed = match self.api.shards().await {
            Ok(listed) => Some(listed),
            // What is read is read on; the shards are asked for another time.
            Err(Refusal::Throttled) => None,
            Err(refusal) => return Err(refusal.into_error("the list of shards")),
        };
        self.list_next_ms.store(self.clock.now_ms() + LIST_EVERY_MS, Ordering::Relaxed);
        if let Some(listed) = listed {
            let mut topology = self.shards.topology();
            topology.list(listed);
            self.ready().extend(topology.take_forgotten().into_iter().map(Change::Forgotten));
        }
        Ok(())
    }
}

impl<A: Api> Source for StreamSource<A> {
    fn next_change(&self) -> Unit<'_, Change> {
        Box::pin(self.next())
    }
}

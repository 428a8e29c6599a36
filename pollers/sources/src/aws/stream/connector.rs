//! From a mapping to a connection with its first shards.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::seek::seek;
use super::source::{Shards, StreamSource, Told};
use super::topology::{Begin, Topology};
use super::{Api, Cursor};
use crate::clock::Clock;
use crate::{
    Connect, Descriptor, Keeper, Ordering, Places, Record, Redelivery, Settling, ShardName, Sought,
    Source, SourceError, Start, Target, Unit,
};

/// Longest wait of one receive: waiting is done here, so a longer one would save nothing and delay a stop.
const RECEIVE_WAIT: Duration = Duration::from_secs(5);
/// Iterators that are asked for at a time.
const CALLS_MAX: usize = 16;
/// How far this machine's clock may be ahead of the service's without records being left out.
pub(super) const SKEW_MAX_MS: i64 = 5_000;

/// Makes connections to one stream.
#[derive(Debug)]
pub(crate) struct StreamConnector<A: Api> {
    config: A::Config,
    start: Start,
    clock: Clock,
    /// When the first connection was made, milliseconds since the Unix epoch.
    first_connected: OnceLock<i64>,
    told: Arc<Told>,
}

/// A shard to open, from where, and the iterator of that if there is one already.
type Ready = (ShardName, Cursor, Option<String>);

impl<A: Api> StreamConnector<A> {
    pub(crate) fn new(config: A::Config, start: Start) -> Self {
        let (first_connected, told) = (OnceLock::new(), Arc::default());
        Self { config, start, clock: Clock::start(), first_connected, told }
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX)
    }

    /// Latest is the end of the shard when the mapping was first connected, not when it is connected again: what came in between was
    /// perhaps read, but is not settled as long as a shard has no place.
    fn begin(&self) -> Begin {
        match (self.start, self.first_connected.get()) {
            (Start::TrimHorizon, _) => Begin::TrimHorizon,
            (Start::AtTimestamp(time), _) => Begin::AtTimestamp(time),
            (Start::Latest, None) => Begin::Latest,
            (Start::Latest, Some(first)) => Begin::LatestSince(first - SKEW_MAX_MS),
        }
    }

    async fn open(&self, places: Places) -> Result<StreamSource<A>, SourceError> {
        let api = A::connect(&self.config).await?;
        let now = self.now_ms();
        let mut topology = Topology::new(self.begin(), places);
        let listed = api.shards().await;
        topology.list(listed.map_err(|refusal| refusal.into_error("the list of shards"))?);
        let mut shards = Vec::new();
        while let Some(next) = topology.next()? {
            shards.push(next);
        }
        let made = futures_util::stream::iter(shards);
        let made = made.map(|(shard, cursor)| ready(&api, shard, cursor, now)).buffered(CALLS_MAX);
        let made: Vec<Ready> = made.try_collect().await?;
        self.first_connected.get_or_init(|| now);
        let shards = Arc::new(Shards::new(topology, Arc::clone(&self.told)));
        Ok(StreamSource::new(Arc::new(api), shards, made))
    }
}

/// The end of a shard is where it is now, and not where it is when somebody reads; should its iterator expire, the time says where that was.
async fn ready<A: Api>(
    api: &A,
    shard: ShardName,
    cursor: Cursor,
    now_ms: i64,
) -> Result<Ready, SourceError> {
    if cursor != Cursor::Latest {
        return Ok((shard, cursor, None));
    }
    let iterator = api.iterator(&shard, &cursor).await;
    let iterator = iterator.map_err(|refusal| refusal.into_error("GetShardIterator"))?;
    Ok((shard, Cursor::AtTimestamp(now_ms - SKEW_MAX_MS), Some(iterator)))
}

impl<A: Api + std::fmt::Debug> Connect for StreamConnector<A> {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            kind: A::KIND,
            ordering: Ordering::Shard,
            settling: Settling::LowWater(Keeper::Broker),
            redelivery: Redelivery::Poller,
            outlives_connection: true,
            receive_wait: RECEIVE_WAIT,
            shard_concurrency_max: None,
        }
    }

    fn connect(&self, places: Places) -> Unit<'_, Arc<dyn Source>> {
        Box::pin(async move { Ok(Arc::new(self.open(places).await?) as Arc<dyn Source>) })
    }

    fn seek(&self, places: Places, target: Target, _: bool) -> Unit<'_, Vec<Sought>> {
        // Nothing is kept here: what a seek moves are the places that the broker keeps.
        Box::pin(async move {
            let api = A::connect(&self.config).await?;
            seek(&api, self.begin(), &places, &target, self.now_ms()).await
        })
    }

    fn batch_member(&self, shard: &ShardName, given_up: &[&Record]) -> (&'static str, Value) {
        A::batch_member(&self.config, shard, given_up)
    }
}

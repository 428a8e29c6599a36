//! One process that reads the subject's source: a connection, its shards, and the places that a broker would keep for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::{
    Change, Connect, Content, Descriptor, Keeper, Opened, Place, Places, Received, Record, Settled,
    Settling, ShardName, Source, Verdict, Want,
};

/// Longest that something may take which has nothing to wait for, on a busy machine and with a cold server.
pub(super) const PROMPT: Duration = Duration::from_secs(60);

/// How long a new connection is listened to for further shards, once it has opened one.
const MORE_SHARDS: Duration = Duration::from_millis(300);

/// As much as there is, soon.
pub(super) const EVERYTHING: Want =
    Want { records_max: 10, bytes_max: u64::MAX, wait: Duration::from_millis(500) };

/// A record and the shard that it came from.
#[derive(Clone, Debug)]
pub struct Read {
    pub(super) shard: ShardName,
    pub(super) record: Record,
}

/// A connection of one process.
pub struct Reading {
    pub(super) connector: Arc<dyn Connect>,
    pub(super) descriptor: Descriptor,
    pub(super) source: Arc<dyn Source>,
    pub(super) shards: BTreeMap<ShardName, Opened>,
    /// What a broker would have been told.
    pub(super) kept: Places,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("shards", &self.shards)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl Reading {
    /// Connects and opens what there is.
    pub async fn start(connector: Arc<dyn Connect>, kept: Places) -> Self {
        let descriptor = connector.descriptor();
        let connected = timeout(PROMPT, connector.connect(kept.clone())).await;
        let source = connected.expect("connect ends").expect("the source is there");
        let mut reading = Self { connector, descriptor, source, shards: BTreeMap::new(), kept };
        reading.open_more(PROMPT).await;
        reading
    }

    /// Takes changes until none comes for a moment; waits up to `first` for the first one.
    pub(super) async fn open_more(&mut self, first: Duration) {
        let mut wait = first;
        while let Ok(change) = timeout(wait, self.source.next_change()).await {
            match change.expect("the source works") {
                Change::Opened(opened) => drop(self.shards.insert(opened.shard.clone(), opened)),
                Change::Revoked { shard, .. } => drop(self.shards.remove(&shard)),
                Change::Forgotten(_) | Change::Notice(_) => {}
            }
            wait = MORE_SHARDS;
        }
    }

    /// One receive on the first shard.
    pub(super) async fn receive_once(&self, want: Want) -> Received {
        let (_, opened) = self.shards.first_key_value().expect("a shard is open");
        opened.reader.receive(want).await.expect("the source works")
    }

    /// The next `count` records of all shards, in as many receives as it takes.
    pub async fn receive(&mut self, count: usize) -> Vec<Read> {
        let mut came = Vec::new();
        let until = Instant::now() + PROMPT;
        while came.len() < count {
            assert!(Instant::now() < until, "{} of {count} records came", came.len());
            for (shard, opened) in &self.shards {
                let left = u32::try_from(count - came.len()).expect("small");
                if left == 0 {
                    break;
                }
                let want = Want { records_max: left.min(EVERYTHING.records_max), ..EVERYTHING };
                let received = opened.reader.receive(want).await.expect("the source works");
                came.extend(
                    received
                        .records
                        .into_iter()
                        .map(|record| Read { shard: shard.clone(), record }),
                );
            }
            self.open_more(Duration::from_millis(1)).await;
        }
        came
    }

    /// Settles records with `verdict`, the way this source is settled. For low-water sources only `Done` means something, and the
    /// records are the first of their shards that are not settled.
    pub async fn settle(&mut self, records: &[Read], verdict: Verdict) {
        for (shard, opened) in &self.shards {
            let of_shard = || records.iter().filter(|read| read.shard == *shard);
            let Some(last) = of_shard().last() else { continue };
            let position = last.record.position.clone();
            match self.descriptor.settling {
                Settling::PerRecord => {
                    let settled =
                        |read: &Read| Settled { position: read.record.position.clone(), verdict };
                    let verdicts = of_shard().map(settled).collect();
                    timeout(PROMPT, opened.reader.settle(verdicts))
                        .await
                        .expect("settle ends")
                        .expect("the source works");
                }
                Settling::LowWater(Keeper::Source) => {
                    timeout(PROMPT, opened.reader.commit(position))
                        .await
                        .expect("commit ends")
                        .expect("the source works");
                }
                Settling::LowWater(Keeper::Broker) => {
                    self.kept.insert(shard.clone(), Place::After(position));
                }
            }
        }
    }

    /// Ends the process: the connection goes, and what a broker keeps remains.
    pub async fn stop(self) -> Places {
        let Self { source, shards, kept, .. } = self;
        drop(shards);
        drop(source);
        kept
    }
}

/// The texts of records, in order.
pub(super) fn texts<S: super::Subject>(subject: &S, records: &[Read]) -> Vec<String> {
    let text = |read: &Read| match &read.record.content {
        Content::Event(event) => subject.text(event),
        Content::TooLarge(bytes) => format!("too large: {bytes}"),
    };
    records.iter().map(text).collect()
}

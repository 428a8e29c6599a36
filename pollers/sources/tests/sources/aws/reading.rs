//! Reads all shards of a stream at once, as the runner would: a shard that has ended is finished when its records are here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use trine_pollers::{
    Change, Connect, Notice, Opened, Place, Places, Received, Record, ShardName, Source,
    SourceError,
};

use super::{PROMPT, want};

/// A connection, and all that it brought.
pub(crate) struct Reading {
    source: Arc<dyn Source>,
    received: mpsc::Receiver<(ShardName, Received)>,
    tell: mpsc::Sender<(ShardName, Received)>,
    readers: JoinSet<()>,
    shards: BTreeMap<ShardName, Opened>,
    /// In the order in which they came.
    pub(crate) records: Vec<(ShardName, Record)>,
    /// In the order in which they opened and ended.
    pub(crate) changes: Vec<String>,
    pub(crate) notices: Vec<Notice>,
    /// What a broker would keep.
    pub(crate) places: Places,
}

impl Reading {
    pub(crate) async fn start(
        connector: &Arc<dyn Connect>,
        places: Places,
    ) -> Result<Self, SourceError> {
        let source = connector.connect(places.clone()).await?;
        let (tell, received) = mpsc::channel(16);
        Ok(Self {
            source,
            received,
            tell,
            readers: JoinSet::new(),
            shards: BTreeMap::new(),
            records: Vec::new(),
            changes: Vec::new(),
            notices: Vec::new(),
            places,
        })
    }

    /// Reads on until `enough`.
    pub(crate) async fn until(&mut self, mut enough: impl FnMut(&Self) -> bool) {
        let all = async {
            while !enough(self) {
                self.step().await;
            }
        };
        if timeout(PROMPT, all).await.is_err() {
            panic!("{} records, {:?}, {:?}", self.records.len(), self.changes, self.notices);
        }
    }

    /// Reads on for a moment, in which nothing is expected.
    pub(crate) async fn for_a_moment(&mut self, moment: Duration) {
        let on = async {
            loop {
                self.step().await;
            }
        };
        let _: Result<(), _> = timeout(moment, on).await;
    }

    async fn step(&mut self) {
        tokio::select! {
            change = self.source.next_change() => self.change(change.expect("the source works")),
            received = self.received.recv() => {
                let (shard, received) = received.expect("this one is a sender too");
                self.take(shard, received);
            }
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Opened(opened) => {
                self.changes.push(format!("{} opened", opened.shard));
                let (shard, reader) = (opened.shard.clone(), Arc::clone(&opened.reader));
                let tell = self.tell.clone();
                self.shards.insert(shard.clone(), opened);
                self.readers.spawn(async move {
                    loop {
                        let received = reader.receive(want(1000, Duration::from_secs(1))).await;
                        let received = received.expect("the source works");
                        let ended = received.ended;
                        if tell.send((shard.clone(), received)).await.is_err() || ended {
                            break;
                        }
                    }
                });
            }
            Change::Revoked { shard, .. } => panic!("{shard} was revoked"),
            Change::Notice(notice) => self.notices.push(notice),
            Change::Forgotten(_) => {}
        }
    }

    fn take(&mut self, shard: ShardName, received: Received) {
        if let Some(last) = received.records.last() {
            self.places.insert(shard.clone(), Place::After(last.position.clone()));
        }
        self.notices.extend(received.notices);
        let with_shard = |record| (shard.clone(), record);
        self.records.extend(received.records.into_iter().map(with_shard));
        if received.ended {
            self.changes.push(format!("{shard} ended"));
            self.shards[&shard].reader.finish();
            self.places.insert(shard, Place::Ended);
        }
    }

    /// The bodies of all records, in order.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let body = |(_, record): &(ShardName, Record)| {
            String::from_utf8(record.body.to_vec()).expect("UTF-8")
        };
        self.records.iter().map(body).collect()
    }
}

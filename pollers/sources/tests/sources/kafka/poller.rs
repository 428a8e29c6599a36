//! A poller of one mapping, driven by a test: opens what is assigned, reads, commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use trine_pollers::{
    Change, Connect, Notice, Opened, Place, Places, Received, Record, ShardName, Source,
    SourceError, Want,
};

use super::topic::{PATIENCE, text};

pub(super) struct Poller {
    pub(super) source: Arc<dyn Source>,
    pub(super) open: BTreeMap<ShardName, Opened>,
    pub(super) revoked: BTreeMap<ShardName, oneshot::Sender<()>>,
    pub(super) notices: Vec<Notice>,
}

pub(super) const SOON: Want =
    Want { records_max: 100, bytes_max: u64::MAX, wait: Duration::from_millis(200) };

impl Poller {
    /// Connects, and opens `shards` of them.
    pub(super) async fn start(connector: &Arc<dyn Connect>, places: Places, shards: usize) -> Self {
        let source = connector.connect(places).await.expect("the source is there");
        let (open, revoked, notices) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut poller = Self { source, open, revoked, notices };
        poller.until(|poller| poller.open.len() == shards).await;
        poller
    }

    /// Follows changes until `done`.
    pub(super) async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let change = timeout(PATIENCE, self.source.next_change()).await;
            self.follow(change.expect("something changes").expect("the source works"));
        }
    }

    fn follow(&mut self, change: Change) {
        match change {
            Change::Opened(opened) => drop(self.open.insert(opened.shard.clone(), opened)),
            Change::Revoked { shard, released } => {
                self.open.remove(&shard).expect("it was open");
                self.revoked.insert(shard, released);
            }
            Change::Notice(notice) => self.notices.push(notice),
            Change::Forgotten(_) => {}
        }
    }

    /// Why the connection broke.
    pub(super) async fn breaks(&mut self) -> SourceError {
        loop {
            match timeout(PATIENCE, self.source.next_change()).await.expect("it breaks") {
                Ok(change) => self.follow(change),
                Err(error) => return error,
            }
        }
    }

    pub(super) fn only(&self) -> &Opened {
        assert_eq!(self.open.len(), 1, "{:?}", self.open.keys());
        self.open.first_key_value().expect("one").1
    }

    /// The next `count` records of a shard; notices on the way are kept.
    pub(super) async fn read(&mut self, shard: &ShardName, count: usize) -> Vec<Record> {
        let reader = Arc::clone(&self.open[shard].reader);
        let mut records = Vec::new();
        while records.len() < count {
            let left = u32::try_from(count - records.len()).expect("few");
            let want = Want { records_max: left.min(SOON.records_max), wait: PATIENCE, ..SOON };
            let received = reader.receive(want).await.expect("the source works");
            assert!(
                !received.records.is_empty() || !received.notices.is_empty(),
                "{}",
                records.len()
            );
            self.notices.extend(received.notices);
            records.extend(received.records);
        }
        records
    }

    pub(super) async fn receive(&self, shard: &ShardName, want: Want) -> Received {
        self.open[shard].reader.receive(want).await.expect("the source works")
    }

    pub(super) async fn commit(&self, shard: &ShardName, through: &Record) {
        let committed = self.open[shard].reader.commit(through.position.clone()).await;
        committed.expect("it is committed");
    }
}

/// The places after the last of `records` of one shard.
pub(super) fn places(shard: &ShardName, records: &[Record]) -> Places {
    let last = records.last().expect("there is one");
    [(shard.clone(), Place::After(last.position.clone()))].into()
}

/// The numbers that `Topic::fill` wrote.
pub(super) fn numbers(records: &[Record]) -> Vec<i32> {
    let number = |record: &Record| {
        let trine_pollers::Content::Event(event) = &record.content else { panic!("{record:?}") };
        text(event).trim_matches('"').parse().expect("a number")
    };
    records.iter().map(number).collect()
}

//! Drives one connection of an adapter by hand, as the runner would.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, interval, timeout};
use trine_pollers::{
    Binding, Change, Connect, Content, Notice, Opened, Places, Received, Record, Secrets, Settled,
    Source, SourceError, Start, Verdict, Want,
};

/// Longest that something may take which has nothing to wait for.
pub(crate) const PROMPT: Duration = Duration::from_secs(20);

pub(crate) const WANT: Want =
    Want { records_max: 1_000, bytes_max: u64::MAX, wait: Duration::from_millis(500) };

/// A mapping that begins at `start`, with the password `right` under the name `password`.
pub(crate) fn binding(mapping_id: &str, start: Start) -> Binding {
    let known = ["right", "wrong"].map(|secret| (secret.to_owned(), secret.to_owned()));
    Binding { mapping_id: mapping_id.into(), start, secrets: Secrets::new(BTreeMap::from(known)) }
}

/// A connection with one shard.
pub(crate) struct Hand {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) opened: Opened,
    pub(crate) notices: Vec<Notice>,
}

impl Hand {
    /// Connects and opens the shard.
    pub(crate) async fn open(connector: &Arc<dyn Connect>) -> Self {
        Self::try_open(connector).await.expect("the source is there")
    }

    pub(crate) async fn try_open(connector: &Arc<dyn Connect>) -> Result<Self, SourceError> {
        let connected = timeout(PROMPT, connector.connect(Places::new())).await;
        let source = connected.expect("connect ends")?;
        let mut notices = Vec::new();
        loop {
            match source.next_change().await? {
                Change::Notice(notice) => notices.push(notice),
                Change::Forgotten(_) => {}
                Change::Opened(opened) => return Ok(Self { source, opened, notices }),
                other @ Change::Revoked { .. } => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn once(&self) -> Received {
        self.opened.reader.receive(WANT).await.expect("the source works")
    }

    /// The next records.
    pub(crate) async fn receive(&self, count: usize) -> Vec<Record> {
        let mut came = Vec::new();
        let until = Instant::now() + PROMPT;
        while came.len() < count {
            assert!(Instant::now() < until, "{} of {count} records came", came.len());
            let left = u32::try_from(count - came.len()).expect("small");
            let want = Want { records_max: left, ..WANT };
            came.extend(self.opened.reader.receive(want).await.expect("the source works").records);
        }
        came
    }

    pub(crate) async fn settle(&self, records: &[Record], verdict: Verdict) {
        self.try_settle(records, verdict).await.expect("the source works");
    }

    pub(crate) async fn try_settle(
        &self,
        records: &[Record],
        verdict: Verdict,
    ) -> Result<(), SourceError> {
        let settled = |record: &Record| Settled { position: record.position.clone(), verdict };
        self.opened.reader.settle(records.iter().map(settled).collect()).await
    }
}

/// The event of a record.
pub(crate) fn event(record: &Record) -> Value {
    match &record.content {
        Content::Event(event) => serde_json::from_slice(event).expect("an event is JSON"),
        Content::TooLarge(bytes) => panic!("{bytes} bytes are too large"),
    }
}

/// What records carry, as text.
pub(crate) fn bodies(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(&record.body).expect("UTF-8")).collect()
}

/// Looks again and again, where nothing tells when it is there.
pub(crate) async fn until(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    let mut look = interval(Duration::from_millis(5));
    loop {
        look.tick().await;
        if seen().await {
            return;
        }
        assert!(begun.elapsed() < PROMPT, "waited for {what}");
    }
}

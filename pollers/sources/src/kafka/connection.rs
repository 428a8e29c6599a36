//! What the parts of one connection share: the runner's side ([`Source`], readers) and the member's thread. Whatever breaks it, breaks
//! it for all of them.

use std::collections::BTreeSet;
use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Guarded, PoisonError};

use tokio::sync::{Mutex, mpsc, watch};

use super::commits::Commits;
use super::config::Config;
use crate::{Change, Source, SourceError, Unit};

/// Shared by everything that belongs to one connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) config: Arc<Config>,
    pub(super) commits: Arc<Commits>,
    broken: watch::Sender<Option<SourceError>>,
    dropped: AtomicBool,
    /// Partitions whose position the brokers do not have.
    out_of_range: Guarded<BTreeSet<i32>>,
}

impl Connection {
    pub(super) fn new(config: Arc<Config>) -> Self {
        let commits = Arc::new(Commits::new(Arc::clone(&config)));
        Self {
            config,
            commits,
            broken: watch::Sender::new(None),
            dropped: AtomicBool::new(false),
            out_of_range: Guarded::default(),
        }
    }

    /// It cannot be used from now on. The first reason stays.
    pub(super) fn break_with(&self, error: SourceError) {
        self.broken.send_if_modified(|broken| {
            let first = broken.is_none();
            broken.get_or_insert(error);
            first
        });
    }

    /// Why it is broken, if it is.
    pub(super) fn broken(&self) -> Result<(), SourceError> {
        self.broken.borrow().clone().map_or(Ok(()), Err)
    }

    /// Waits until it is broken, and says why.
    pub(super) async fn breaks(&self) -> SourceError {
        let mut broken = self.broken.subscribe();
        let broken = broken.wait_for(Option::is_some).await;
        let error = broken.ok().and_then(|error| error.clone());
        error.unwrap_or_else(|| SourceError::unreachable("the connection is closed"))
    }

    /// Nobody wants it any more.
    pub(super) fn drop_it(&self) {
        self.dropped.store(true, Ordering::SeqCst);
    }

    /// Whether nobody wants it any more.
    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }

    /// The brokers do not have the position of a partition.
    pub(super) fn tell_out_of_range(&self, partition: i32) {
        let mut all = self.out_of_range.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(partition);
    }

    /// Partitions of which that was told since this was asked last.
    pub(super) fn take_out_of_range(&self) -> BTreeSet<i32> {
        take(&mut *self.out_of_range.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The connection as the runner has it. Dropping it ends the member's thread, which leaves its place in the group to the next
/// connection of the mapping.
#[derive(Debug)]
pub(super) struct KafkaConnection {
    connection: Arc<Connection>,
    changes: Mutex<mpsc::UnboundedReceiver<Change>>,
}

impl KafkaConnection {
    /// `changes` are few: at most one of each kind for each partition and assignment.
    pub(super) fn new(
        connection: Arc<Connection>,
        changes: mpsc::UnboundedReceiver<Change>,
    ) -> Self {
        Self { connection, changes: Mutex::new(changes) }
    }
}

impl Source for KafkaConnection {
    fn next_change(&self) -> Unit<'_, Change> {
        Box::pin(async {
            let mut changes = self.changes.lock().await;
            self.connection.broken()?;
            tokio::select! {
                biased;
                Some(change) = changes.recv() => Ok(change),
                error = self.connection.breaks() => Err(error),
            }
        })
    }
}

impl Drop for KafkaConnection {
    fn drop(&mut self) {
        self.connection.drop_it();
    }
}

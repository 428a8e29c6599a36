//! The store of one broker: opened, shared, and seen to be closed. It does not know what lies in it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use trine_proto::v1::Durability;
use trine_store::{
    Batch, Embedded, Fence, Key, Memory, Options, Seq, Shard, Store, StoreError, Table, Visit,
};

use crate::options::StoreOption;

/// Held by all who read or write; the last one closes it.
pub(crate) type SharedStore = Arc<dyn Store>;

/// A store that was just opened.
pub(crate) struct OpenStore {
    pub(crate) shared: SharedStore,
    pub(crate) durability: Durability,
    pub(crate) closed: Closed,
}

/// Comes to an end, with an error, when the store is closed: from then on its folder can be opened again.
pub(crate) type Closed = oneshot::Receiver<Infallible>;

pub(crate) fn open(option: &StoreOption) -> Result<OpenStore, StoreError> {
    Ok(match option {
        StoreOption::Memory => OpenStore::new(Memory::new(), Durability::Memory),
        StoreOption::Embedded { dir } => {
            OpenStore::new(Embedded::open(dir, Options::default())?, Durability::LocalDisk)
        }
    })
}

impl OpenStore {
    fn new(store: impl Store, durability: Durability) -> Self {
        let (closing, closed) = oneshot::channel();
        Self { shared: Arc::new(Watched { store, _closing: closing }), durability, closed }
    }
}

/// The fields go in their order: the store is closed when the channel tells.
struct Watched<S> {
    store: S,
    _closing: oneshot::Sender<Infallible>,
}

impl<S: Store> Store for Watched<S> {
    fn acquire(&self, shard: Shard) -> Result<Fence, StoreError> {
        self.store.acquire(shard)
    }

    fn commit(&self, shard: Shard, fence: Fence, batch: &Batch) -> Result<Seq, StoreError> {
        self.store.commit(shard, fence, batch)
    }

    fn scan(&self, shard: Shard, visit: Visit<'_>) -> Result<Seq, StoreError> {
        self.store.scan(shard, visit)
    }

    fn count(&self, shard: Shard, table: Table) -> Result<u64, StoreError> {
        self.store.count(shard, table)
    }

    fn get(&self, shard: Shard, key: Key) -> Result<Option<Bytes>, StoreError> {
        self.store.get(shard, key)
    }
}

//! What a storage engine has to do for one shard's file.
//!
//! Does not know about directories, locks, fences or what was acknowledged; [`Directory`] does.
//!
//! [`Directory`]: super::Directory

use std::path::Path;

use bytes::Bytes;

use super::{Options, ShardReport};
use crate::{Fence, Key, Op, Seq, Shard, StoreError, Table, Visit};

/// What a shard's file says about itself; replaced by every commit, in the same transaction.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct State {
    pub fence: Fence,
    pub seq: Seq,
}

/// One shard's rows in one file (and whatever the engine keeps beside it).
pub trait Engine: Sized + Send + Sync + 'static {
    /// The name in the manifest. Never change one: stored data carries it.
    const NAME: &'static str;

    /// Writes a file without rows and makes it durable, its name excepted.
    fn create(path: &Path, shard: Shard) -> Result<(), StoreError>;

    /// Opens an existing file and recovers what a crash left, without throwing anything away:
    /// the caller may yet find that too little is there.
    fn open(path: &Path, shard: Shard, options: &Options) -> Result<Self, StoreError>;

    /// What the file says now.
    fn state(&self) -> Result<State, StoreError>;

    /// The caller has found everything it looked for. The engine may tidy up.
    fn accept(&self) -> Result<(), StoreError>;

    /// Writes everything or nothing; durable on `Ok`. Keys are distinct and rise. After
    /// [`Unknown`](StoreError::Unknown) it is not called again.
    fn apply(&self, writes: &[&Op], next: State) -> Result<(), StoreError>;

    /// See [`Store::scan`](crate::Store::scan).
    fn scan(&self, visit: Visit<'_>) -> Result<Seq, StoreError>;

    /// See [`Store::count`](crate::Store::count).
    fn count(&self, table: Table) -> Result<u64, StoreError>;

    /// See [`Store::get`](crate::Store::get).
    fn get(&self, key: Key) -> Result<Option<Bytes>, StoreError>;

    /// Reads everything there is, and adds what it found.
    fn check(&mut self, report: &mut ShardReport);
}

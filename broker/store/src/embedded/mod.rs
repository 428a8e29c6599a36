//! The embedded backend: a directory on a local disk, one file per shard.
//!
//! Owns what holds for any storage engine: who may open the directory, which files must be there,
//! who owns a shard, and what was acknowledged. Does not know how a file keeps rows; that is an
//! [`Engine`].
//!
//! ```text
//! LOCK              held while a process has the directory open
//! MANIFEST          format version, engine, the shards that exist
//! shard-00000.db    rows of shard 0
//! shard-00000.mark  the newest commit that shard 0 acknowledged
//! ```

mod check;
mod directory;
mod durable;
mod engine;
mod lock;
mod manifest;
mod mark;
#[cfg(feature = "redb")]
mod redb;

mod sqlite;

pub use check::{Report, ShardReport};
pub use directory::Directory;
use engine::Engine;

#[cfg(feature = "redb")]
pub use redb::RedbFile;
pub use sqlite::SqliteFile;

/// The embedded store of this release. The choice is recorded in `docs/adr/0001-embedded-store.md`.
pub type Embedded = Directory<SqliteFile>;

/// What may be chosen when a store is opened. None of it changes what is stored.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory for pages of one shard's file, in bytes; a second cache of the same size serves
    /// [`get`](crate::Store::get).
    pub cache_bytes: usize,
    /// Size above which a shard's file may not grow, in bytes. Commits that would need more are
    /// [`Rejected`](crate::StoreError::Rejected) as if the disk were full.
    pub file_bytes_max: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 32 << 20, file_bytes_max: None }
    }
}

//! Durability behind one small trait.
//!
//! Owns: what "durable" means ([`Store`]), how many small batches become one fsync ([`Committer`])
//! and the backends. Does not know: what the bytes mean, who asked for them, or what time it is.

mod batch;
mod checksum;
mod committer;
#[cfg(feature = "conformance")]
pub mod conformance;
mod embedded;
mod error;
mod key;
mod memory;
pub mod record;
mod store;

pub use batch::{Batch, Op, VALUE_BYTES_MAX};
pub use committer::{Backlog, COMMIT_BYTES_MAX, COMMIT_OPS_MAX, Committed, Committer};
pub use embedded::{Directory, Embedded, Options, Report, ShardReport, SqliteFile};

#[cfg(feature = "redb")]
pub use embedded::RedbFile;
pub use error::{Place, Rejection, StoreError, Verdict};
pub use key::{Fence, Key, Seq, Shard, Table};
pub use memory::{Fault, Memory};
pub use store::{Store, Visit};

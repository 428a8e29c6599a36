//! The contract of durability.
//!
//! Does not know where the bytes go. No local-disk assumption may enter here: a replicated log with
//! an elected owner per shard has to be able to keep this contract word for word.

use bytes::Bytes;

use crate::{Batch, Fence, Key, Seq, Shard, StoreError, Table};

/// Sees the rows of a scan one by one; the bytes are only lent.
pub type Visit<'v> = &'v mut (dyn FnMut(Key, &[u8]) -> Result<(), StoreError> + 'v);

/// Where a shard's rows live. Every method blocks its thread; none may be called from an async
/// task that others wait for.
pub trait Store: Send + Sync + 'static {
    /// Makes the caller the owner of the shard, creating the shard if there is none.
    ///
    /// Durable when it returns: commits under an older fence are refused from then on, also after
    /// a restart.
    fn acquire(&self, shard: Shard) -> Result<Fence, StoreError>;

    /// Writes the whole batch or none of it; durable on `Ok`.
    ///
    /// `fence` is what [`acquire`](Self::acquire) returned; any other than the newest is a
    /// [`Conflict`](StoreError::Conflict). After [`Unknown`](StoreError::Unknown) every later
    /// commit of the shard is refused until the store is opened anew: an fsync that failed is
    /// never tried again, because the kernel may have dropped what it could not write.
    fn commit(&self, shard: Shard, fence: Fence, batch: &Batch) -> Result<Seq, StoreError>;

    /// Shows every row of the scanned tables (see [`Table::scanned`](crate::Table::scanned)) in
    /// key order, as of one commit, and returns that commit's number. A shard that was never
    /// acquired has no rows and `Seq(0)`.
    ///
    /// Ends at the first error, of the store or of `visit`. Rows are never skipped: one that
    /// cannot be read is [`Corrupt`](StoreError::Corrupt), and so is one that is missing.
    fn scan(&self, shard: Shard, visit: Visit<'_>) -> Result<Seq, StoreError>;

    /// How many rows a table has, as of the newest commit, without reading them: a scan's caller makes room by it.
    fn count(&self, shard: Shard, table: Table) -> Result<u64, StoreError>;

    /// One row of any table, as of the newest commit. Never waits for a commit's fsync.
    fn get(&self, shard: Shard, key: Key) -> Result<Option<Bytes>, StoreError>;
}

//! What can go wrong with a store, told as the caller's next step.
//!
//! Does not know which backend spoke: a local disk and a remote log answer with the same five.

use std::fmt;

use crate::{Fence, Key, Shard, Table};

/// Why an operation did not succeed.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody acquired the shard after this owner did. Nothing was written.
    #[error(
        "shard {shard} has another owner: fence {offered} was offered, fence {newest} holds the shard"
    )]
    Conflict { shard: Shard, offered: Fence, newest: Fence },

    /// Nothing was written, and the store is as usable as before.
    #[error("nothing was written, {cause}: {detail}")]
    Rejected { cause: Rejection, detail: String },

    /// The batch may or may not be durable. The store refuses every later commit; only a restart,
    /// which reads what is there, can tell.
    #[error("the commit may or may not be on disk: {detail}")]
    Unknown { detail: String },

    /// What was read is not what was written. Never answered by "there is nothing here".
    #[error("damaged: {place}: {detail}")]
    Corrupt { place: Place, detail: String },

    /// The store cannot be used by this process. Nothing was written; the sentence says what to do.
    #[error("{detail}")]
    Unusable { detail: String },
}

/// Why a store wrote nothing.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Rejection {
    /// No space left. Works again once there is some.
    DiskFull,
    /// A value above [`VALUE_BYTES_MAX`](crate::VALUE_BYTES_MAX). Would be refused again.
    TooLarge,
    /// A fault switch of [`Memory`](crate::Memory).
    Injected,
}

/// What the caller should make of an error.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Verdict {
    /// Nothing was written; the same batch may succeed later.
    Retry,
    /// Nothing was written, and trying again will not help.
    GiveUp,
    /// It may have been written. Stop, answer nobody, start again from what is stored.
    Unknown,
}

/// Where damage was found, as exactly as the backend can say.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Place {
    /// The file, or the backend's name for whatever it has instead of one.
    pub file: String,
    pub table: Option<Table>,
    /// Id of the row within the table.
    pub id: Option<u64>,
    /// Byte offset in the file.
    pub offset: Option<u64>,
}

impl StoreError {
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Rejected { cause: Rejection::DiskFull | Rejection::Injected, .. } => {
                Verdict::Retry
            }
            Self::Rejected { cause: Rejection::TooLarge, .. }
            | Self::Conflict { .. }
            | Self::Corrupt { .. }
            | Self::Unusable { .. } => Verdict::GiveUp,
            Self::Unknown { .. } => Verdict::Unknown,
        }
    }

    /// True if the store will take no further commit from this owner after this answer.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Rejected { .. })
    }
}

impl Place {
    pub(crate) fn file(file: impl fmt::Display) -> Self {
        Self { file: file.to_string(), table: None, id: None, offset: None }
    }

    pub(crate) fn table(file: impl fmt::Display, table: Table) -> Self {
        Self { table: Some(table), ..Self::file(file) }
    }

    /// A row of a store.
    pub fn row(file: impl fmt::Display, key: Key) -> Self {
        Self { id: Some(key.id), ..Self::table(file, key.table) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(table) = self.table {
            write!(f, ", table {table}")?;
        }
        if let Some(id) = self.id {
            write!(f, ", id {id}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", offset {offset}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "disk full",
            Self::TooLarge => "value too large",
            Self::Injected => "injected fault",
        })
    }
}

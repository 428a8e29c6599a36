//! File operations that survive a power cut, and what their errors mean.
//!
//! A file's name lives in its directory: creating or renaming is durable only once the directory
//! itself has been fsynced. Does not know which files these are.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::{Rejection, StoreError};

/// Replaces the file's content: afterwards it is the old one or the new one, never a mixture.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    rename(&fresh, path)
}

/// Gives a finished, fsynced file its name.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_parent(to)
}

pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    // A path without a parent is the root, which nothing renames.
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// For a failure while preparing: nothing has been acknowledged yet, so nothing is unknown.
pub(super) fn refused(what: &str, path: &Path, error: &io::Error) -> StoreError {
    let detail = format!("cannot {what} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Rejected { cause: Rejection::DiskFull, detail }
        }
        _ => StoreError::Unusable { detail },
    }
}

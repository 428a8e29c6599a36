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

/// Creates the directory and those above it, each of them durably.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    create_dir(parent(dir))?;
    fs::create_dir(dir)?;
    sync_parent(dir)
}

pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

/// The directory that holds the name, which for a bare name is the current one.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_bare_name_is_the_current_directory() {
        assert_eq!(parent(Path::new("trine-data")), Path::new("."));
        assert_eq!(parent(Path::new("a/b")), Path::new("a"));
        assert_eq!(parent(Path::new("/a")), Path::new("/"));
        assert_eq!(parent(Path::new("/")), Path::new("/"));
        sync_parent(Path::new("trine-data")).unwrap();
    }
}

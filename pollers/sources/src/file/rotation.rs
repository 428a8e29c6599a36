//! Where the content of a path went when it was moved away: the file that was being read, under another
//! name, and the file that came after it. It reads names and metadata, never content.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::position::FileIdentity;
use crate::{Problem, SourceError};

/// Entries of a folder that are looked at.
const FOLDER_ENTRIES_MAX: usize = 100_000;

/// The file with this identity: at `path`, or in the same folder under another name.
pub(crate) fn find(
    path: &Path,
    wanted: FileIdentity,
) -> Result<Option<(File, Metadata)>, SourceError> {
    let is_it = |found: &(File, Metadata)| FileIdentity::of(&found.1) == wanted;
    if let Some(found) = open(path).ok().filter(is_it) {
        return Ok(Some(found));
    }
    let mut entries = entries(path)?;
    let same = entries.find(|entry| entry.ino() == wanted.inode);
    Ok(same.and_then(|entry| open(&entry.path()).ok()).filter(is_it))
}

/// The file to read once the one that was last written at `finished_at` is finished: the oldest that
/// was moved away after it, or the one at `path`.
///
/// A function that fails for hours outlasts more than one rotation; without this the files in between
/// would be skipped.
pub(crate) fn successor(
    path: &Path,
    finished: FileIdentity,
    finished_at: SystemTime,
) -> Result<PathBuf, SourceError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(path.to_owned());
    };
    let moved = entries(path)?.filter_map(|entry| {
        let suffix = entry.file_name().to_str()?.strip_prefix(name)?.to_owned();
        let metadata = entry.metadata().ok()?;
        let modified = metadata.modified().ok()?;
        // Of files that were written within what the file system tells apart, the inode decides: any order, but always the same.
        let later = (modified, metadata.ino()) > (finished_at, finished.inode);
        (metadata.is_file() && later && is_rotation(&suffix)).then(|| (modified, entry.path()))
    });
    Ok(moved.min().map_or_else(|| path.to_owned(), |(_, path)| path))
}

/// A counter or a date after a separator: `.1`, `-20240131`, `.2024-01-31`. Not `.1.gz`: compressed
/// files are not read. Not `.bak`: that is a copy made by a person.
fn is_rotation(suffix: &str) -> bool {
    let separated = suffix.strip_prefix(['.', '-', '_']);
    separated.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.chars().all(|c| c.is_ascii_digit() || "-_.:T".contains(c))
    })
}

/// The regular file at `path`.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata), SourceError> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        let says = format!("{} is not a regular file; name one that is", path.display());
        return Err(SourceError::configuration(says));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    Ok((file, metadata))
}

/// What to tell people about a path that cannot be read.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            SourceError::configuration(format!("{path} does not exist yet: waiting for it"))
        }
        io::ErrorKind::PermissionDenied => {
            let says = format!(
                "{path} may not be read by this process: give it the right to; tried again until then"
            );
            SourceError::new(Problem::Authorization, says)
        }
        _ => SourceError::unreachable(format!("cannot read {path}: {error}; tried again")),
    }
}

fn entries(path: &Path) -> Result<impl Iterator<Item = fs::DirEntry>, SourceError> {
    let folder = path.parent().unwrap_or(path);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(folder, &error)),
    };
    Ok(entries.into_iter().flatten().take(FOLDER_ENTRIES_MAX).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_of_rotations_are_told_from_others() {
        for suffix in
            [".1", ".10", "-20240131", ".2024-01-31", "_2024-01-31T10:00", "-20240131-1706"]
        {
            assert!(is_rotation(suffix), "{suffix}");
        }
        for suffix in ["", "1", ".", ".gz", ".1.gz", ".bak", ".old", "-1a", ".T1"] {
            assert!(!is_rotation(suffix), "{suffix}");
        }
    }
}

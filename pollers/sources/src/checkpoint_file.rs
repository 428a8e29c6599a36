//! One checkpoint on disk: a small text that is replaced whole and never read when it is damaged. It
//! does not know what the text says.
//!
//! ```text
//! trine checkpoint 1
//! {"offset":123, …}
//! crc32 0a1b2c3d
//! ```
//!
//! A new one is written beside the old one, synced, moved over it, and the folder is synced. A failed
//! store leaves the old one, or the new one not yet durable; both are safe, because the worst that an
//! old checkpoint does is to bring records again. That is also why a store may be tried again after a
//! failed sync: each time it writes and syncs a new file, it never trusts the one that failed.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// First line of the file; the number is that of the format.
const HEADING: &str = "trine checkpoint 1";

/// More than any checkpoint has, so that a wrong file is not read into memory, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a checkpoint could not be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is damaged or not a checkpoint. It is never taken for "none": that would run every
    /// record again.
    #[error(
        "the checkpoint {} is damaged: {what}; put back a good copy, or remove it to begin from the \
         start of the source", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The checkpoint is that of another source.
    #[error(
        "the checkpoint {} belongs to {found}, not to {expected}; use another name or another state \
         folder, or remove it to begin from the start of the source", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it belongs to.
        found: String,
        /// What it should belong to.
        expected: String,
    },
    /// Another poller with the same name runs on the same state folder.
    #[error("another poller uses {}; give this one another name or another state folder", path.display())]
    Busy {
        /// The file that it holds locked.
        path: PathBuf,
    },
    /// The disk did not do what was asked.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was asked.
        action: &'static str,
        /// Of which file.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
}

/// The file, held by this process alone.
#[derive(Debug)]
pub(crate) struct CheckpointFile {
    path: PathBuf,
    folder: PathBuf,
    /// Stores that were asked for so far.
    asked: AtomicU64,
    /// The newest store that was carried out. Guards the temporary file too.
    stored: Mutex<u64>,
    /// Locked as long as this value lives.
    _lock: File,
}

/// The right to store once, in the order in which it was given out.
#[derive(Debug)]
pub(crate) struct Turn(u64);

impl CheckpointFile {
    /// The checkpoint `name` in `folder`, which is made if it does not exist.
    pub(crate) fn open(folder: &Path, name: &str) -> Result<Self, CheckpointError> {
        fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
        let lock_path = folder.join(format!("{name}.lock"));
        let lock = File::create(&lock_path).map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CheckpointError::Busy { path: lock_path }),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &lock_path)(error)),
        }
        Ok(Self {
            path: folder.join(format!("{name}.checkpoint")),
            folder: folder.to_owned(),
            asked: AtomicU64::new(0),
            stored: Mutex::new(0),
            _lock: lock,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text that was stored last; `None` if there never was one.
    pub(crate) fn load(&self) -> Result<Option<String>, CheckpointError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &self.path)(error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(failed("read", &self.path))?;
        let corrupt = |what| CheckpointError::Corrupt { path: self.path.clone(), what };
        decode(&bytes).map(Some).map_err(corrupt)
    }

    /// The next turn to store.
    pub(crate) fn turn(&self) -> Turn {
        Turn(self.asked.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Makes `text`, one line, the checkpoint, durably. Blocks.
    ///
    /// A store that comes after one with a later turn does nothing: it was given up, and the runner has
    /// gone on.
    pub(crate) fn store(&self, turn: &Turn, text: &str) -> Result<(), CheckpointError> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.0 < *stored {
            return Ok(());
        }
        let temporary = self.path.with_extension("checkpoint.new");
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(&encode(text)).and_then(|()| file.sync_all()));
        written.map_err(failed("write", &temporary))?;
        fs::rename(&temporary, &self.path).map_err(failed("replace", &self.path))?;
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed("sync the folder", &self.folder))?;
        *stored = turn.0;
        Ok(())
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::Io { action, path, source }
}

fn encode(text: &str) -> Vec<u8> {
    let body = format!("{HEADING}\n{text}\n");
    let checksum = crc32fast::hash(body.as_bytes());
    format!("{body}crc32 {checksum:08x}\n").into_bytes()
}

fn decode(bytes: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let Some(rest) = text.strip_prefix(HEADING).and_then(|rest| rest.strip_prefix('\n')) else {
        return Err("it does not begin with the line \"trine checkpoint 1\"");
    };
    let (line, _) = rest.split_once('\n').ok_or("it ends too early")?;
    if encode(line) == bytes { Ok(line.to_owned()) } else { Err("its checksum does not match") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(file: &CheckpointFile, text: &str) {
        file.store(&file.turn(), text).unwrap();
    }

    #[test]
    fn what_was_stored_is_loaded_by_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        let file = CheckpointFile::open(&deep, "orders").unwrap();
        assert_eq!(file.load().unwrap(), None);
        store(&file, "{\"offset\":1}");
        store(&file, "{\"offset\":2}");
        drop(file);
        let file = CheckpointFile::open(&deep, "orders").unwrap();
        assert_eq!(file.load().unwrap().as_deref(), Some("{\"offset\":2}"));
    }

    #[test]
    fn a_damaged_checkpoint_is_refused_with_its_name_wherever_the_damage_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::open(folder.path(), "orders").unwrap();
        store(&file, "{\"offset\":2}");
        let good = fs::read(file.path()).unwrap();
        let mut damages: Vec<Vec<u8>> = (0..good.len()).map(|end| good[..end].to_vec()).collect();
        for at in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            damages.push(flipped);
        }
        damages.push([good.as_slice(), b"x"].concat());
        damages.push(vec![b'x'; 100_000]);
        for damage in damages {
            fs::write(file.path(), &damage).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, CheckpointError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains("orders.checkpoint"), "{error}");
        }
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = CheckpointFile::open(folder.path(), "orders").unwrap();
        let error = CheckpointFile::open(folder.path(), "orders").unwrap_err();
        assert!(matches!(error, CheckpointError::Busy { .. }), "{error}");
        let _other = CheckpointFile::open(folder.path(), "returns").unwrap();
        drop(first);
        CheckpointFile::open(folder.path(), "orders").unwrap();
    }

    #[test]
    fn a_store_that_comes_too_late_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::open(folder.path(), "orders").unwrap();
        let late = file.turn();
        store(&file, "newer");
        file.store(&late, "older").unwrap();
        assert_eq!(file.load().unwrap().as_deref(), Some("newer"));
    }

    #[test]
    fn a_store_that_fails_says_so_and_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::open(folder.path(), "orders").unwrap();
        store(&file, "old");
        // A folder in the way of the temporary file is refused to everybody, root too.
        let in_the_way = folder.path().join("orders.checkpoint.new");
        fs::create_dir(&in_the_way).unwrap();
        let error = file.store(&file.turn(), "new").unwrap_err();
        assert!(error.to_string().contains("orders.checkpoint.new"), "{error}");
        assert_eq!(file.load().unwrap().as_deref(), Some("old"));
        fs::remove_dir(&in_the_way).unwrap();
        store(&file, "new");
        assert_eq!(file.load().unwrap().as_deref(), Some("new"));
    }
}

//! The exclusive right to a store directory.
//!
//! The lock belongs to the open file, so the kernel drops it with the process however it ends: a
//! lock that outlives its owner cannot exist. A child that the process is about to start shares
//! the open file until it runs its program, so the end of a [`Lock`] is said and not left to the
//! closing of the file. Does not know what is in the directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::durable;
use crate::StoreError;

const FILE: &str = "LOCK";

/// Held for as long as this lives.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| durable::refused("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(dir, &mut file)),
            Err(TryLockError::Error(error)) => {
                return Err(durable::refused("lock", &path, &error));
            }
        }
        // Only a courtesy to whoever is refused; the lock holds without it.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If the kernel refuses, the file is closed right after: the lock ends with its last holder.
        let _ = self.0.unlock();
    }
}

fn taken(dir: &Path, file: &mut File) -> StoreError {
    let mut holder = String::new();
    let named = file.rewind().and_then(|()| file.read_to_string(&mut holder));
    let holder = match named {
        Ok(1..) => format!("process {}", holder.trim()),
        Ok(0) | Err(_) => "another process".to_owned(),
    };
    StoreError::Unusable {
        detail: format!(
            "{} is in use by {holder}: stop that broker first, or give this one a directory of \
             its own",
            dir.display()
        ),
    }
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

    use super::Lock;
    use crate::conformance::Scratch;

    #[test]
    fn a_directory_is_free_while_a_child_that_starts_still_has_its_file() {
        let scratch = Scratch::new();
        let lock = Lock::take(scratch.path()).unwrap();
        Lock::take(scratch.path()).unwrap_err();
        // What fork does: a second descriptor of the same open file.
        let child = lock.0.try_clone().unwrap();
        drop(lock);
        Lock::take(scratch.path()).unwrap();
        drop(child);
    }
}

//! Tests of how a file is read, on real files: growth, truncation and rotation under it.

mod tail;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a file to read.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With an empty file in it.
    fn with_file() -> Self {
        let folder = Self::new();
        folder.append("");
        folder
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.log")
    }

    fn rotated(&self, number: u32) -> PathBuf {
        self.folder.path().join(format!("app.log.{number}"))
    }

    fn append(&self, text: impl AsRef<[u8]>) {
        append(&self.path(), text.as_ref());
    }

    /// Moves the file away and the older ones one number further, as logrotate does.
    fn rotate(&self) {
        for number in (1..9).rev() {
            if self.rotated(number).exists() {
                fs::rename(self.rotated(number), self.rotated(number + 1)).unwrap();
            }
        }
        fs::rename(self.path(), self.rotated(1)).unwrap();
    }
}

fn append(path: &Path, text: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text).unwrap();
}

/// The `line` of an event.
fn line(event: &[u8]) -> Value {
    serde_json::from_slice::<Value>(event).unwrap()["line"].take()
}

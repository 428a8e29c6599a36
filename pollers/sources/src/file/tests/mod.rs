//! Tests of the file source on real files: growth, truncation, rotation and restarts under it.

mod poller;
mod tail;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::config::FileConfig;
use super::{FileConnector, FilePollerOptions};
use crate::conformance::Subject;

/// A folder with a file to read and one for the state.
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

    fn options(&self) -> FilePollerOptions {
        FilePollerOptions {
            name: "app".to_owned(),
            path: self.path(),
            function: "sink".to_owned(),
            qualifier: None,
            batch_size: 100,
            batch_window: Duration::ZERO,
            state_dir: self.folder.path().join("state"),
        }
    }

    fn config(&self) -> FileConfig {
        self.options().check().unwrap()
    }

    fn checkpoint(&self) -> PathBuf {
        self.folder.path().join("state/app.checkpoint")
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

impl Subject for Folder {
    type Connect = FileConnector;

    fn start(&mut self) -> FileConnector {
        FileConnector::open(&self.config()).unwrap()
    }

    fn produce(&mut self, text: &str) {
        self.append(format!("{text}\n"));
    }

    fn text(&self, event: &[u8]) -> String {
        line(event).to_string()
    }
}

crate::conformance_suite!(
    #[tokio::test(start_paused = true)]
    Folder::with_file()
);

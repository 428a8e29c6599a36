//! A file of lines.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use trine_proto::v1::FileSource;
use trine_proto::v1::source_config::Source;

use super::Record;
use super::field::{Field, Order, Producer, Reading, Trouble, trouble};

#[derive(Debug)]
pub struct FileField(PathBuf);

#[derive(Debug)]
struct Lines(PathBuf);

/// Where the field in `folder` is.
pub(super) fn path_in(folder: &Path) -> PathBuf {
    folder.join("records.log")
}

/// Moves the file to the next free number behind its name.
pub(super) fn rotate(path: &Path) -> io::Result<()> {
    let moved = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    let free = (1..).map(moved).find(|moved| !moved.exists());
    fs::rename(path, free.unwrap_or_else(|| moved(0)))?;
    File::create_new(path).map(drop)
}

impl FileField {
    /// The field in `folder`, which is there.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(path_in(folder))
    }
}

impl Field for FileField {
    fn source(&self) -> Source {
        Source::File(FileSource { path: self.0.display().to_string() })
    }

    fn order(&self) -> Order {
        Order::All
    }

    fn reading(&self) -> Reading {
        Reading::Shards(1)
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, Trouble>> {
        let producer: Box<dyn Producer> = Box::new(Lines(self.0.clone()));
        ready(Ok(producer)).boxed()
    }
}

impl Producer for Lines {
    fn send<'a>(&'a mut self, records: &'a [Record]) -> BoxFuture<'a, Result<(), Trouble>> {
        let lines: String = records.iter().map(|record| record.text() + "\n").collect();
        let file = File::options().create(true).append(true).open(&self.0);
        let written = file.and_then(|mut file| file.write_all(lines.as_bytes()));
        ready(written.map_err(|error| trouble("append")(&error))).boxed()
    }
}

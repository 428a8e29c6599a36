//! The file that a history lies in: append-only, synced, written by a thread of its own.
//!
//! Whoever notes does not wait for the disk, only for a place in a bounded queue: the broker under test
//! is killed, this process is not. The judge reads the file, not what was meant to be in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use super::{Entry, Line};

/// Lines that wait for the disk, at most; then those who note wait.
const WAITING_MAX: usize = 65_536;

/// Lines in one sync, at most.
const BATCH_MAX: usize = 8_192;

/// A history that is being written.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    begun: Instant,
    lines: SyncSender<Line>,
    writer: JoinHandle<io::Result<()>>,
}

/// Notes into a history; as many as there are sources of entries.
#[derive(Debug, Clone)]
pub struct Notes {
    begun: Instant,
    lines: SyncSender<Line>,
}

impl History {
    /// Begins a history in the file `path`, which must not exist.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let writer = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || write(file, &waiting))?;
        Ok(Self { path: path.to_owned(), begun: Instant::now(), lines, writer })
    }

    #[must_use]
    pub fn notes(&self) -> Notes {
        Notes { begun: self.begun, lines: self.lines.clone() }
    }

    /// Waits until everything noted is on disk, and reads it back. Whoever still has notes must have
    /// dropped them.
    ///
    /// # Errors
    /// If the file could not be written, or holds a line that is none.
    ///
    /// # Panics
    /// If the writing thread did.
    pub fn close(self) -> io::Result<Vec<Line>> {
        drop(self.lines);
        self.writer.join().expect("the ledger's thread does not panic")?;
        read(&self.path)
    }
}

impl Notes {
    /// Notes `entry` with the present time.
    ///
    /// # Panics
    /// If the disk does not take the history: then nothing that this run shows is worth anything.
    pub fn note(&self, entry: Entry) {
        let at_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.lines.send(Line { at_ms, entry }).expect("the history can be written");
    }
}

fn write(mut file: File, waiting: &Receiver<Line>) -> io::Result<()> {
    let mut text = Vec::new();
    while let Ok(first) = waiting.recv() {
        text.clear();
        for line in std::iter::once(first).chain(waiting.try_iter().take(BATCH_MAX)) {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        file.write_all(&text)?;
        file.sync_data()?;
    }
    Ok(())
}

/// The lines of the history in `path`.
///
/// # Errors
/// If the file cannot be read, or holds a line that is none.
pub fn read(path: &Path) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (number, text) in BufReader::new(File::open(path)?).lines().enumerate() {
        let line = serde_json::from_str(&text?).map_err(|error| {
            let says = format!("{} line {}: {error}", path.display(), number + 1);
            io::Error::new(io::ErrorKind::InvalidData, says)
        })?;
        lines.push(line);
    }
    Ok(lines)
}

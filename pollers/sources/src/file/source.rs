//! The `file` source to the runner: waits, off the runtime's threads whatever blocks, and keeps the
//! checkpoint. How a file is read is in `tail`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use super::config::FileConfig;
use super::event::EventWriter;
use super::position::FilePosition;
use super::tail::Tail;
use crate::checkpoint_file::{CheckpointError, CheckpointFile};
use crate::clock::Clock;
use crate::{
    Connect, Descriptor, Envelope, Ordering, Received, Redelivery, Settled, Settling, Source,
    SourceError, Want,
};

/// How often a file is looked at that has nothing new. Asking the file system for changes instead was
/// rejected: it is silent on network mounts, and one call ten times a second costs nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a file source can do.
pub const DESCRIPTOR: Descriptor = Descriptor {
    kind: "file",
    ordering: Ordering::Total,
    settling: Settling::LowWater,
    redelivery: Redelivery::FromMark,
    envelope: Envelope::RECORDS,
    // The longest that a stop waits for a quiet file.
    receive_wait: Duration::from_millis(500),
    // One file is one batch at a time: trying again soon costs little, and people watch files.
    not_reached_wait_max: Some(Duration::from_secs(10)),
    reconnect_wait_max: Some(Duration::from_secs(1)),
};

/// Makes the sources of one file, one after the other, on one checkpoint.
#[derive(Debug)]
pub struct FileConnector {
    file: Arc<Watched>,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    path_text: String,
    events: EventWriter,
    checkpoint: CheckpointFile,
    clock: Clock,
}

impl FileConnector {
    /// Takes the checkpoint for this process and makes sure that it can be used. Blocks for a moment.
    pub(crate) fn open(config: &FileConfig) -> Result<Self, CheckpointError> {
        let file = Watched {
            path: config.path.clone(),
            path_text: config.path_text.clone(),
            events: EventWriter::new(&config.name, &config.path_text),
            checkpoint: CheckpointFile::open(&config.state_dir, &config.name)?,
            clock: Clock::start(),
        };
        file.settled()?;
        Ok(Self { file: Arc::new(file) })
    }
}

impl Watched {
    /// How far the file is settled; `None` if it never was.
    fn settled(&self) -> Result<Option<FilePosition>, CheckpointError> {
        let Some(line) = self.checkpoint.load()? else { return Ok(None) };
        let path = || self.checkpoint.path().to_owned();
        let Some((found, position)) = FilePosition::from_line(&line) else {
            let what = "it does not say a place in a file that this version understands";
            return Err(CheckpointError::Corrupt { path: path(), what });
        };
        if found != self.path_text {
            let expected = self.path_text.clone();
            return Err(CheckpointError::Foreign { path: path(), found, expected });
        }
        Ok(Some(position))
    }

    fn open(&self, after: Option<FilePosition>) -> Result<Tail, SourceError> {
        let after = match after {
            Some(after) => Some(after),
            None => self.settled().map_err(|error| SourceError::new(error.to_string()))?,
        };
        Tail::open(&self.path, self.events.clone(), after.as_ref())
    }
}

impl Connect for FileConnector {
    type Source = FileSource;

    async fn connect(&self, after: Option<FilePosition>) -> Result<FileSource, SourceError> {
        let file = Arc::clone(&self.file);
        let tail = spawn_blocking(move || file.open(after)).await.map_err(broken)??;
        Ok(FileSource { file: Arc::clone(&self.file), tail: Mutex::new(Some(tail)) })
    }
}

/// One open file.
#[derive(Debug)]
pub struct FileSource {
    file: Arc<Watched>,
    /// Held by the one receive that runs; empty once a receive was given up halfway.
    tail: Mutex<Option<Tail>>,
}

impl Source for FileSource {
    type Position = FilePosition;

    fn descriptor(&self) -> Descriptor {
        DESCRIPTOR
    }

    async fn receive(&self, want: Want) -> Result<Received<FilePosition>, SourceError> {
        let mut place = self.tail.lock().await;
        let clock = self.file.clock;
        let wait_ms = u64::try_from(want.wait.as_millis()).unwrap_or(u64::MAX);
        let until = clock.now().saturating_add(wait_ms);
        loop {
            let mut tail = place.take().ok_or_else(given_up)?;
            let now = clock.now();
            let read = move || {
                let pass = tail.read(now, want);
                (tail, pass)
            };
            let (tail, pass) = spawn_blocking(read).await.map_err(broken)?;
            *place = Some(tail);
            let pass = pass?;
            let now = clock.now();
            if !pass.received.records.is_empty() || now >= until {
                return Ok(pass.received);
            }
            if !pass.received.notices.is_empty() {
                return Ok(pass.received);
            }
            if !pass.cut_short {
                sleep(LOOK_EVERY.min(Duration::from_millis(until - now))).await;
            }
        }
    }

    async fn settle(&self, verdicts: Vec<Settled<FilePosition>>) -> Result<(), SourceError> {
        // A file is settled up to a place: skipped records are behind it like those that were taken.
        let Some(last) = verdicts.last() else { return Ok(()) };
        let line = last.position.to_line(&self.file.path_text);
        let turn = self.file.checkpoint.turn();
        let file = Arc::clone(&self.file);
        let stored = spawn_blocking(move || file.checkpoint.store(&turn, &line));
        let failed = |error: CheckpointError| SourceError::new(error.to_string());
        stored.await.map_err(broken)?.map_err(failed)
    }
}

fn broken(error: JoinError) -> SourceError {
    SourceError::new(format!("a defect of the file source: {error}"))
}

fn given_up() -> SourceError {
    SourceError::new("an earlier read of the file did not end in time")
}

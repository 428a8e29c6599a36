//! Blocks for the log before the log needs them.
//!
//! An fsync of blocks that exist costs a tenth of one that also has to record a longer file
//! (measured: 6257 against 484 a second). The log is written over from its beginning ever after,
//! so this matters once per start; without it the first seconds of every process would be its
//! slowest. Does not know what is in the log: SQLite writes at the end of what it knows to be
//! there, and zeros beyond are no part of that, also for a recovery.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use super::checkpoint::LOG_PAGES_MAX;
use super::schema::{File, PAGE_BYTES};
use crate::StoreError;
use crate::embedded::durable;

/// How far the blocks are ahead of the log, in pages: more than most commits need.
const PAGES_AHEAD: u32 = 256;
/// How many are added at a time, in pages.
const PAGES_STEP: u32 = 256;
/// How many are written in one call, in pages.
const PAGES_CALL: u32 = 16;
/// A page in the log with the header before it.
const FRAME_BYTES: u32 = PAGE_BYTES + 24;

/// The log's file, opened beside SQLite, which locks the database and the log's index but never
/// the log: closing this handle drops no lock.
#[derive(Debug)]
pub(super) struct LogRoom {
    path: PathBuf,
    log: fs::File,
    /// How many pages fit into the file.
    pages: u32,
}

impl LogRoom {
    /// For a log that has just been emptied.
    pub(super) fn open(file: &File) -> Result<Self, StoreError> {
        let mut name = file.path.as_os_str().to_owned();
        name.push("-wal");
        let path = PathBuf::from(name);
        // SQLite has created it; created here it would be one more empty log.
        let log = OpenOptions::new().append(true).create(true).open(&path);
        let log = log.map_err(|error| durable::refused("open", &path, &error))?;
        let length = log.metadata().map_err(|error| durable::refused("measure", &path, &error))?;
        let pages = u32::try_from(length.len() / u64::from(FRAME_BYTES)).unwrap_or(u32::MAX);
        Ok(Self { path, log, pages })
    }

    /// Called before a commit, whose own fsync covers what is added here.
    pub(super) fn keep_ahead(&mut self, used: u32) -> Result<(), StoreError> {
        let wanted = used.min(LOG_PAGES_MAX) + PAGES_AHEAD;
        while self.pages < wanted {
            match self.step() {
                Ok(()) => self.pages += PAGES_STEP,
                // A disk this full has its own worries; the commit finds out for itself.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(durable::refused("extend", &self.path, &error)),
            }
        }
        Ok(())
    }

    fn step(&mut self) -> io::Result<()> {
        let length = self.log.metadata()?.len();
        let zeros = vec![0; (PAGES_CALL * FRAME_BYTES) as usize];
        let mut calls = 0..PAGES_STEP / PAGES_CALL;
        let written = calls.try_for_each(|_| self.log.write_all(&zeros));
        written.or_else(|error| self.log.set_len(length).and(Err(error)))
    }
}

//! The SQLite engine: one shard in one database file.
//!
//! Owns the connections and what they promise: write-ahead log, an fsync of the log per commit,
//! one writer, and readers that never wait for it. Does not know about owners or other shards.

mod checkpoint;
mod error;
mod log_room;
mod open;
mod read;
mod schema;
mod write;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rusqlite::Connection;

use self::read::Reader;
use self::write::Writer;
use super::engine::{Engine, State};
use super::{Options, ShardReport};
use crate::{Key, Op, Seq, Shard, StoreError, Table, Visit};

/// One shard's rows in a SQLite database.
#[derive(Debug)]
pub struct SqliteFile {
    // Closed in this order: the writer is last, because the last connection to close moves the
    // log into the file.
    reader: Mutex<Reader>,
    writer: Mutex<Writer>,
    place: schema::File,
}

impl Engine for SqliteFile {
    const NAME: &'static str = "sqlite";

    fn create(path: &Path, shard: Shard) -> Result<(), StoreError> {
        open::create(path, shard)
    }

    fn open(path: &Path, shard: Shard, options: &Options) -> Result<Self, StoreError> {
        let place = schema::File::new(path, shard);
        let connection = open::writer(&place, options)?;
        let writer = Writer::new(connection, place.clone())?;
        let reader = Reader::new(open::reader(&place)?, place.clone());
        Ok(Self { reader: Mutex::new(reader), writer: Mutex::new(writer), place })
    }

    fn state(&self) -> Result<State, StoreError> {
        Ok(self.writer().row().state)
    }

    fn accept(&self) -> Result<(), StoreError> {
        self.writer().accept()
    }

    fn apply(&self, writes: &[&Op], next: State) -> Result<(), StoreError> {
        self.writer().apply(writes, next)
    }

    fn scan(&self, visit: Visit<'_>) -> Result<Seq, StoreError> {
        // A connection of its own: a scan takes seconds, and `get` must not wait for it.
        Reader::new(open::reader(&self.place)?, self.place.clone()).scan(visit)
    }

    fn count(&self, table: Table) -> Result<u64, StoreError> {
        Ok(self.writer().row().counts.of(table))
    }

    fn get(&self, key: Key) -> Result<Option<Bytes>, StoreError> {
        // A reader that panicked has changed nothing.
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    fn check(&mut self, report: &mut ShardReport) {
        match open::reader(&self.place) {
            Ok(connection) => Reader::new(connection, self.place.clone()).check(report),
            Err(error) => report.problems.push(error),
        }
    }
}

impl SqliteFile {
    // The directory refuses to write after a panic, so a poisoned writer is only ever read.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs pragmas whose answers do not matter.
fn pragmas(connection: &Connection, pragmas: &[(&str, i64)]) -> rusqlite::Result<()> {
    pragmas.iter().try_for_each(|(name, value)| {
        connection.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| {
            match error {
                // Most pragmas answer with a row, some with none.
                rusqlite::Error::QueryReturnedNoRows => Ok(()),
                error => Err(error),
            }
        })
    })
}

//! What a shard's database looks like, and the state row in it.
//!
//! Does not know how a connection is set up.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::error;
use crate::embedded::engine::State;
use crate::{Fence, Key, Place, Seq, Shard, StoreError, Table, checksum};

/// "TRNE": tells a shard from any other database.
pub(super) const APPLICATION_ID: u32 = 0x5452_4e45;
/// Version of the layout below.
pub(super) const LAYOUT: u32 = 1;
pub(super) const PAGE_BYTES: u32 = 8192;

const TABLES: usize = Table::ALL.len();

/// The file a message names, and the shard that checksums cover.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) shard: Shard,
}

/// The only row of the table `state`.
///
/// It counts the rows of every table: a damaged page can make rows disappear without any read
/// failing, and then only their number tells.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) struct StateRow {
    pub(super) state: State,
    pub(super) counts: Counts,
}

/// Rows per table, in the order of [`Table::ALL`].
#[derive(Copy, Clone, Default, Eq, PartialEq, Debug)]
pub(super) struct Counts([u64; TABLES]);

impl File {
    pub(super) fn new(path: &Path, shard: Shard) -> Self {
        Self { path: path.to_owned(), shard }
    }

    pub(super) fn corrupt(&self, detail: impl Into<String>) -> StoreError {
        StoreError::Corrupt { place: Place::file(self.path.display()), detail: detail.into() }
    }

    pub(super) fn corrupt_table(&self, table: Table, detail: impl Into<String>) -> StoreError {
        let place = Place::table(self.path.display(), table);
        StoreError::Corrupt { place, detail: detail.into() }
    }

    pub(super) fn corrupt_row(&self, key: Key, detail: impl Into<String>) -> StoreError {
        let place = Place::row(self.path.display(), key);
        StoreError::Corrupt { place, detail: detail.into() }
    }
}

impl Counts {
    pub(super) fn of(&self, table: Table) -> u64 {
        self.0[Self::at(table)]
    }

    pub(super) fn of_mut(&mut self, table: Table) -> &mut u64 {
        &mut self.0[Self::at(table)]
    }

    const fn at(table: Table) -> usize {
        match table {
            Table::Meta => 0,
            Table::Function => 1,
            Table::Event => 2,
            Table::Payload => 3,
            Table::Response => 4,
        }
    }
}

impl StateRow {
    pub(super) const EMPTY: Self =
        Self { state: State { fence: Fence(0), seq: Seq(0) }, counts: Counts([0; TABLES]) };

    pub(super) fn read(connection: &Connection, file: &File) -> Result<Self, StoreError> {
        let mut statement = connection
            .prepare_cached(
                "SELECT fence, seq, meta, function, event, payload, response, sum FROM state",
            )
            .map_err(|error| error::read(file, &error))?;
        let found = statement
            .query_row([], |row| {
                let mut numbers = [0; 2 + TABLES];
                for (at, number) in numbers.iter_mut().enumerate() {
                    *number = row.get::<_, i64>(at)?.cast_unsigned();
                }
                Ok((numbers, row.get::<_, u32>(numbers.len())?))
            })
            .optional()
            .map_err(|error| error::read(file, &error))?;
        let Some((numbers, sum)) = found else {
            return Err(file.corrupt("the state row is missing"));
        };
        if checksum::numbers(file.shard, &numbers) != sum {
            return Err(file.corrupt("the state row does not match its checksum"));
        }
        let [fence, seq, counts @ ..] = numbers;
        Ok(Self { state: State { fence: Fence(fence), seq: Seq(seq) }, counts: Counts(counts) })
    }

    pub(super) fn write(&self, connection: &Connection, shard: Shard) -> rusqlite::Result<()> {
        let numbers = self.numbers();
        let sum = checksum::numbers(shard, &numbers);
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO state VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let values = numbers.iter().map(|number| number.cast_signed());
        statement.execute(rusqlite::params_from_iter(values.chain([i64::from(sum)])))?;
        Ok(())
    }

    fn numbers(&self) -> [u64; 2 + TABLES] {
        let mut numbers = [0; 2 + TABLES];
        numbers[0] = self.state.fence.0;
        numbers[1] = self.state.seq.0;
        numbers[2..].copy_from_slice(&self.counts.0);
        numbers
    }
}

/// One table per [`Table`], keyed by the rowid: the shortest path SQLite has to a row, and rows
/// written in rising id order are appended to the last page. Ids are stored by their bits, so the
/// upper half of them is negative there and comes after the lower half in a scan.
pub(super) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), fence INTEGER NOT NULL,
             seq INTEGER NOT NULL, meta INTEGER NOT NULL, function INTEGER NOT NULL,
             event INTEGER NOT NULL, payload INTEGER NOT NULL, response INTEGER NOT NULL,
             sum INTEGER NOT NULL) STRICT;",
    )?;
    for table in Table::ALL {
        connection.execute_batch(&format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, sum INTEGER NOT NULL,
                 body BLOB NOT NULL) STRICT;"
        ))?;
    }
    Ok(())
}

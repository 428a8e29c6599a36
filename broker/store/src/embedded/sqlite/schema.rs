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
/// Version of the layout below. 1 had the first five tables only.
pub(super) const LAYOUT: u32 = 2;
pub(super) const PAGE_BYTES: u32 = 8192;

const TABLES: usize = Table::ALL.len();
/// Those of layout 1, which come first.
const TABLES_1: usize = 5;

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
            Table::Mapping => 5,
            Table::Checkpoint => 6,
            Table::ParkedKey => 7,
            Table::ParkedRecord => 8,
            Table::ParkedPayload => 9,
        }
    }
}

impl StateRow {
    pub(super) const EMPTY: Self =
        Self { state: State { fence: Fence(0), seq: Seq(0) }, counts: Counts([0; TABLES]) };

    pub(super) fn read(connection: &Connection, file: &File) -> Result<Self, StoreError> {
        let tables = match layout(connection).map_err(|error| error::read(file, &error))? {
            1 => TABLES_1,
            _ => TABLES,
        };
        let mut statement = connection
            .prepare_cached(&format!("SELECT {}, sum FROM state", columns(tables)))
            .map_err(|error| error::read(file, &error))?;
        let found = statement
            .query_row([], |row| {
                let mut numbers = [0; 2 + TABLES];
                for (at, number) in numbers.iter_mut().enumerate().take(2 + tables) {
                    *number = row.get::<_, i64>(at)?.cast_unsigned();
                }
                Ok((numbers, row.get::<_, u32>(2 + tables)?))
            })
            .optional()
            .map_err(|error| error::read(file, &error))?;
        let Some((numbers, sum)) = found else {
            return Err(file.corrupt("the state row is missing"));
        };
        if checksum::numbers(file.shard, &numbers[..2 + tables]) != sum {
            return Err(file.corrupt("the state row does not match its checksum"));
        }
        let [fence, seq, counts @ ..] = numbers;
        Ok(Self { state: State { fence: Fence(fence), seq: Seq(seq) }, counts: Counts(counts) })
    }

    pub(super) fn write(&self, connection: &Connection, shard: Shard) -> rusqlite::Result<()> {
        let numbers = self.numbers();
        let sum = checksum::numbers(shard, &numbers);
        let mut statement = connection.prepare_cached(concat!(
            "INSERT OR REPLACE INTO state (one, fence, seq, meta, function, event, payload, ",
            "response, mapping, checkpoint, parked_key, parked_record, parked_payload, sum) ",
            "VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        ))?;
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

/// The numbers of the state row, in order.
fn columns(tables: usize) -> String {
    let counts = Table::ALL[..tables].iter().map(|table| format!(", {table}"));
    ["fence, seq".to_owned()].into_iter().chain(counts).collect()
}

fn layout(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// One table per [`Table`], keyed by the rowid: the shortest path SQLite has to a row, and rows
/// written in rising id order are appended to the last page. Ids are stored by their bits, so the
/// upper half of them is negative there and comes after the lower half in a scan.
pub(super) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    let counts = Table::ALL.map(|table| format!("{table} INTEGER NOT NULL, "));
    connection.execute_batch(&format!(
        "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), fence INTEGER NOT NULL,
             seq INTEGER NOT NULL, {} sum INTEGER NOT NULL) STRICT;",
        counts.concat()
    ))?;
    Table::ALL.into_iter().try_for_each(|table| create_table(connection, table))
}

fn create_table(connection: &Connection, table: Table) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "CREATE TABLE {table} (id INTEGER PRIMARY KEY, sum INTEGER NOT NULL,
             body BLOB NOT NULL) STRICT;"
    ))
}

/// Brings a sound database of layout 1 to this one, all of it or nothing. An older release then refuses it by name.
pub(super) fn upgrade(
    connection: &mut Connection,
    file: &File,
    row: &StateRow,
) -> Result<(), StoreError> {
    let mut run = || {
        if layout(connection)? >= LAYOUT {
            return Ok(());
        }
        let transaction = connection.transaction()?;
        for table in &Table::ALL[TABLES_1..] {
            let column = format!("ALTER TABLE state ADD COLUMN {table} INTEGER NOT NULL DEFAULT 0");
            transaction.execute_batch(&column)?;
            create_table(&transaction, *table)?;
        }
        row.write(&transaction, file.shard)?;
        super::pragmas(&transaction, &[("user_version", i64::from(LAYOUT))])?;
        transaction.commit()
    };
    run().map_err(|error| error::prepare(file, &error))
}

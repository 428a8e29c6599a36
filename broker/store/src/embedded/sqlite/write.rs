//! The one connection that writes.
//!
//! Does not know who may write or what a row means.

use rusqlite::{CachedStatement, Connection, TransactionBehavior, params};

use super::checkpoint::{self, LogPages};
use super::log_room::LogRoom;
use super::schema::{Counts, File, StateRow};
use super::{error, open, schema};
use crate::embedded::engine::State;
use crate::{Op, Shard, StoreError, Table, checksum};

#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    file: File,
    log_pages: LogPages,
    /// `None` until the log of an earlier process has been accepted and emptied.
    log_room: Option<LogRoom>,
    row: StateRow,
}

/// The statements for one table, prepared once per connection.
struct Rows<'c> {
    insert: CachedStatement<'c>,
    update: CachedStatement<'c>,
    delete: CachedStatement<'c>,
}

impl Writer {
    pub(super) fn new(mut connection: Connection, file: File) -> Result<Self, StoreError> {
        connection.set_prepared_statement_cache_capacity(3 * Table::ALL.len() + 2);
        let log_pages =
            LogPages::watch(&mut connection).map_err(|error| error::prepare(&file, &error))?;
        let row = StateRow::read(&connection, &file)?;
        Ok(Self { connection, file, log_pages, log_room: None, row })
    }

    pub(super) fn row(&self) -> StateRow {
        self.row
    }

    pub(super) fn accept(&mut self) -> Result<(), StoreError> {
        schema::upgrade(&mut self.connection, &self.file, &self.row)?;
        checkpoint::all(&self.connection, &self.file)?;
        self.log_room = Some(LogRoom::open(&self.file)?);
        open::keep_log_on_close(&self.connection, false)
            .map_err(|error| error::prepare(&self.file, &error))
    }

    pub(super) fn apply(&mut self, writes: &[&Op], next: State) -> Result<(), StoreError> {
        let applied = self.checkpoint_and_commit(writes, next);
        if applied.as_ref().is_err_and(StoreError::is_final) {
            // Closing must not touch a disk that has failed. If even this is refused, closing
            // does what any start would do.
            let _ = open::keep_log_on_close(&self.connection, true);
        }
        applied
    }

    fn checkpoint_and_commit(&mut self, writes: &[&Op], next: State) -> Result<(), StoreError> {
        checkpoint::if_due(&self.connection, &self.log_pages, &self.file)?;
        if let Some(room) = &mut self.log_room {
            room.keep_ahead(self.log_pages.count())?;
        }
        let mut row = StateRow { state: next, ..self.row };
        match self.commit(writes, &mut row) {
            Ok(()) => {
                self.row = row;
                Ok(())
            }
            Err(error) if self.connection.is_autocommit() => Err(error::write(&self.file, &error)),
            Err(error) => Err(StoreError::Unknown {
                detail: format!("{}: not rolled back: {error}", self.file.path.display()),
            }),
        }
    }

    /// Rolls back by itself when it fails.
    fn commit(&mut self, writes: &[&Op], row: &mut StateRow) -> rusqlite::Result<()> {
        let shard = self.file.shard;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for table in writes.chunk_by(|a, b| a.key().table == b.key().table) {
            write_table(&transaction, shard, table, &mut row.counts)?;
        }
        row.write(&transaction, shard)?;
        transaction.commit()
    }
}

/// All writes of one table.
fn write_table(
    connection: &Connection,
    shard: Shard,
    writes: &[&Op],
    counts: &mut Counts,
) -> rusqlite::Result<()> {
    let Some(first) = writes.first() else { return Ok(()) };
    let table = first.key().table;
    let mut rows = Rows::prepare(connection, table)?;
    let count = counts.of_mut(table);
    for op in writes {
        match op {
            Op::Put(key, value) => {
                let id = key.id.cast_signed();
                let sum = checksum::row(shard, *key, value);
                // Most rows are new. An upsert would need one statement less, but could not say
                // whether the row was.
                match rows.insert.execute(params![id, sum, &**value])? {
                    0 => _ = rows.update.execute(params![id, sum, &**value])?,
                    _ => *count += 1,
                }
            }
            Op::Delete(key) => {
                let deleted = rows.delete.execute([key.id.cast_signed()])?;
                // More deleted than counted means that the count is wrong, which a scan reports.
                *count = count.saturating_sub(deleted as u64);
            }
        }
    }
    Ok(())
}

impl<'c> Rows<'c> {
    fn prepare(connection: &'c Connection, table: Table) -> rusqlite::Result<Self> {
        let [insert, update, delete] = sql(table);
        Ok(Self {
            insert: connection.prepare_cached(insert)?,
            update: connection.prepare_cached(update)?,
            delete: connection.prepare_cached(delete)?,
        })
    }
}

/// Insert, update, delete.
const fn sql(table: Table) -> [&'static str; 3] {
    macro_rules! of {
        ($table:literal) => {
            [
                concat!("INSERT OR IGNORE INTO ", $table, " VALUES (?1, ?2, ?3)"),
                concat!("UPDATE ", $table, " SET sum = ?2, body = ?3 WHERE id = ?1"),
                concat!("DELETE FROM ", $table, " WHERE id = ?1"),
            ]
        };
    }
    match table {
        Table::Meta => of!("meta"),
        Table::Function => of!("function"),
        Table::Event => of!("event"),
        Table::Payload => of!("payload"),
        Table::Response => of!("response"),
        Table::Mapping => of!("mapping"),
        Table::Checkpoint => of!("checkpoint"),
        Table::ParkedKey => of!("parked_key"),
        Table::ParkedRecord => of!("parked_record"),
        Table::ParkedPayload => of!("parked_payload"),
    }
}

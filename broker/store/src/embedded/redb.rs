//! The redb engine: one shard in one copy-on-write file.
//!
//! The candidate that was measured against SQLite; see `docs/adr/0001-embedded-store.md`. Does not
//! know about owners or other shards.

use std::path::{Path, PathBuf};
use std::{fs, io};

use bytes::Bytes;
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata as _,
    TableDefinition, WriteTransaction,
};

use super::engine::{Engine, State};
use super::{Options, ShardReport, durable};
use crate::{Fence, Key, Op, Place, Seq, Shard, StoreError, Table, Visit, checksum};

/// Fence, commit number and their checksum, under the key 0.
const STATE: TableDefinition<'_, u64, (u64, u64, u32)> = TableDefinition::new("state");

type Rows = TableDefinition<'static, u64, (u32, &'static [u8])>;

/// One shard's rows in a redb database.
#[derive(Debug)]
pub struct RedbFile {
    path: PathBuf,
    shard: Shard,
    database: Database,
}

const fn rows(table: Table) -> Rows {
    TableDefinition::new(table.name())
}

impl Engine for RedbFile {
    const NAME: &'static str = "redb";

    fn create(path: &Path, shard: Shard) -> Result<(), StoreError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(durable::refused("remove", path, &error));
            }
            _ => {}
        }
        let database = Builder::new().create(path).map_err(|error| failed(path, error.into()))?;
        let file = Self { path: path.to_owned(), shard, database };
        let empty = State { fence: Fence(0), seq: Seq(0) };
        file.write(|transaction| {
            for table in Table::ALL {
                transaction.open_table(rows(table))?;
            }
            file.write_state(transaction, empty)
        })
    }

    fn open(path: &Path, shard: Shard, options: &Options) -> Result<Self, StoreError> {
        let length = fs::metadata(path).map_err(|error| durable::refused("open", path, &error))?;
        if length.len() == 0 {
            return Err(corrupt(Place::file(path.display()), "the file is empty"));
        }
        let database = Builder::new()
            .set_cache_size(options.cache_bytes)
            .open(path)
            .map_err(|error| failed(path, error.into()))?;
        Ok(Self { path: path.to_owned(), shard, database })
    }

    fn state(&self) -> Result<State, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(STATE)?;
            Ok(table.get(0)?.map(|row| row.value()))
        };
        match read().map_err(|error| self.failed(error))? {
            Some((fence, seq, sum)) if checksum::numbers(self.shard, &[fence, seq]) == sum => {
                Ok(State { fence: Fence(fence), seq: Seq(seq) })
            }
            _ => {
                Err(corrupt(Place::file(self.path.display()), "the state row is missing or wrong"))
            }
        }
    }

    fn accept(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn apply(&self, writes: &[&Op], next: State) -> Result<(), StoreError> {
        self.write(|transaction| {
            for writes in writes.chunk_by(|a, b| a.key().table == b.key().table) {
                self.write_table(transaction, writes)?;
            }
            self.write_state(transaction, next)
        })
    }

    fn scan(&self, visit: Visit<'_>) -> Result<Seq, StoreError> {
        let transaction = self.database.begin_read().map_err(|error| self.failed(error.into()))?;
        let seq = self.state()?.seq;
        for table in Table::ALL.into_iter().filter(|table| table.scanned()) {
            let rows =
                transaction.open_table(rows(table)).map_err(|error| self.failed(error.into()))?;
            for row in rows.iter().map_err(|error| self.failed(error.into()))? {
                let (id, row) = row.map_err(|error| self.failed(error.into()))?;
                let key = Key { table, id: id.value() };
                visit(key, self.verified(key, row.value())?)?;
            }
        }
        Ok(seq)
    }

    fn count(&self, table: Table) -> Result<u64, StoreError> {
        let transaction = self.database.begin_read().map_err(|error| self.failed(error.into()))?;
        let rows =
            transaction.open_table(rows(table)).map_err(|error| self.failed(error.into()))?;
        rows.len().map_err(|error| self.failed(error.into()))
    }

    fn get(&self, key: Key) -> Result<Option<Bytes>, StoreError> {
        // Named, so that it outlives the row: the row alone does not keep its page from being
        // reused by a writer.
        let transaction = self.database.begin_read().map_err(|error| self.failed(error.into()))?;
        let rows =
            transaction.open_table(rows(key.table)).map_err(|error| self.failed(error.into()))?;
        match rows.get(key.id).map_err(|error| self.failed(error.into()))? {
            None => Ok(None),
            Some(row) => Ok(Some(Bytes::copy_from_slice(self.verified(key, row.value())?))),
        }
    }

    fn check(&mut self, report: &mut ShardReport) {
        match self.database.check_integrity() {
            Ok(true) => {}
            Ok(false) => report.problems.push(
                self.failed(redb::Error::Corrupted("the check of its structure failed".to_owned())),
            ),
            Err(error) => report.problems.push(self.failed(error.into())),
        }
        let mut visit = |_: Key, body: &[u8]| {
            report.rows += 1;
            report.bytes += body.len() as u64;
            Ok(())
        };
        match self.scan(&mut visit) {
            Ok(seq) => report.seq = seq,
            Err(error) => report.problems.push(error),
        }
    }
}

impl RedbFile {
    fn write(
        &self,
        fill: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let write = || -> Result<_, redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            // Saves the allocator with each commit: without it the first open after a crash reads
            // the whole file.
            transaction.set_quick_repair(true);
            fill(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|error| match self.failed(error) {
            // redb refuses everything after an I/O error, a full disk included, until it is opened
            // anew: nothing may be called rejected.
            StoreError::Unusable { detail } => StoreError::Unknown { detail },
            error => error,
        })
    }

    fn write_table(
        &self,
        transaction: &WriteTransaction,
        writes: &[&Op],
    ) -> Result<(), redb::Error> {
        let Some(first) = writes.first() else { return Ok(()) };
        let mut table = transaction.open_table(rows(first.key().table))?;
        for op in writes {
            match op {
                Op::Put(key, value) => {
                    let sum = checksum::row(self.shard, *key, value);
                    table.insert(key.id, (sum, &**value))?;
                }
                Op::Delete(key) => {
                    table.remove(key.id)?;
                }
            }
        }
        Ok(())
    }

    fn write_state(&self, transaction: &WriteTransaction, state: State) -> Result<(), redb::Error> {
        let (fence, seq) = (state.fence.0, state.seq.0);
        let sum = checksum::numbers(self.shard, &[fence, seq]);
        transaction.open_table(STATE)?.insert(0, (fence, seq, sum))?;
        Ok(())
    }

    fn verified<'r>(&self, key: Key, (sum, body): (u32, &'r [u8])) -> Result<&'r [u8], StoreError> {
        if checksum::row(self.shard, key, body) == sum {
            return Ok(body);
        }
        Err(corrupt(Place::row(self.path.display(), key), "the row does not match its checksum"))
    }

    fn failed(&self, error: redb::Error) -> StoreError {
        failed(&self.path, error)
    }
}

fn failed(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Corrupted(_) | redb::Error::TableDoesNotExist(_) => {
            corrupt(Place::file(path.display()), &error.to_string())
        }
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            corrupt(Place::file(path.display()), &error.to_string())
        }
        error => StoreError::Unusable { detail: format!("{}: {error}", path.display()) },
    }
}

fn corrupt(place: Place, detail: &str) -> StoreError {
    StoreError::Corrupt { place, detail: detail.to_owned() }
}

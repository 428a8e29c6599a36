//! A connection that reads.
//!
//! Every row is checked against its checksum before anybody sees it, and every scan against the
//! number of rows that were written. Does not know what a row means.

use bytes::Bytes;
use rusqlite::{Connection, Row};

use super::error;
use super::schema::{File, StateRow};
use crate::embedded::ShardReport;
use crate::{Key, Seq, StoreError, Table, Visit, checksum};

/// Ids are stored by their bits: these two ranges in this order are all ids in rising order.
const RANGES: [(i64, i64); 2] = [(0, i64::MAX), (i64::MIN, -1)];

/// Damage that a check lists before it stops counting.
const PROBLEMS_MAX: usize = 100;

#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    file: File,
}

impl Reader {
    pub(super) fn new(connection: Connection, file: File) -> Self {
        Self { connection, file }
    }

    pub(super) fn get(&self, key: Key) -> Result<Option<Bytes>, StoreError> {
        let failed = |error| error::read(&self.file, &error);
        let mut statement = self.connection.prepare_cached(select(key.table)).map_err(failed)?;
        let mut rows =
            statement.query([key.id.cast_signed(), key.id.cast_signed()]).map_err(failed)?;
        match rows.next().map_err(|error| self.row_error(key, &error))? {
            None => Ok(None),
            Some(row) => {
                let (_, body) = self.verified(key.table, row)?;
                Ok(Some(Bytes::copy_from_slice(body)))
            }
        }
    }

    pub(super) fn scan(&self, visit: Visit<'_>) -> Result<Seq, StoreError> {
        let snapshot = self
            .connection
            .unchecked_transaction()
            .map_err(|error| error::read(&self.file, &error))?;
        let row = StateRow::read(&snapshot, &self.file)?;
        for table in Table::ALL.into_iter().filter(|table| table.scanned()) {
            self.scan_table(table, &row, visit)?;
        }
        Ok(row.state.seq)
    }

    /// Everything that can be wrong, in one reading.
    pub(super) fn check(&self, report: &mut ShardReport) {
        if let Err(error) = self.check_pages(report) {
            report.problems.push(error);
        }
        let row = match StateRow::read(&self.connection, &self.file) {
            Ok(row) => row,
            Err(error) => return report.problems.push(error),
        };
        (report.fence, report.seq) = (row.state.fence, row.state.seq);
        for table in Table::ALL {
            let mut visit = |_: Key, body: &[u8]| {
                report.rows += 1;
                report.bytes += body.len() as u64;
                Ok(())
            };
            if let Err(error) = self.scan_table(table, &row, &mut visit) {
                report.problems.push(error);
            }
        }
    }

    fn check_pages(&self, report: &mut ShardReport) -> Result<(), StoreError> {
        let failed = |error| error::read(&self.file, &error);
        let sql = format!("PRAGMA integrity_check({PROBLEMS_MAX})");
        let mut statement = self.connection.prepare(&sql).map_err(failed)?;
        let mut lines = statement.query([]).map_err(failed)?;
        while let Some(line) = lines.next().map_err(failed)? {
            let line: String = line.get(0).map_err(failed)?;
            if line != "ok" {
                report.problems.push(self.file.corrupt(line));
            }
        }
        Ok(())
    }

    fn scan_table(
        &self,
        table: Table,
        state: &StateRow,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(select(table))
            .map_err(|error| error::read(&self.file, &error))?;
        let (mut count, mut last) = (0, None);
        for (from, to) in RANGES {
            let mut rows =
                statement.query([from, to]).map_err(|error| error::read(&self.file, &error))?;
            loop {
                let row = rows.next().map_err(|error| self.after(table, last, &error))?;
                let Some(row) = row else { break };
                let (key, body) = self.verified(table, row)?;
                if last.is_some_and(|last| last >= key.id) {
                    return Err(self.file.corrupt_row(key, "the row is out of order"));
                }
                visit(key, body)?;
                (count, last) = (count + 1, Some(key.id));
            }
        }
        self.expect_count(table, state, count)
    }

    fn expect_count(&self, table: Table, state: &StateRow, found: u64) -> Result<(), StoreError> {
        let expected = state.counts.of(table);
        if found == expected {
            return Ok(());
        }
        let detail = format!("{found} rows were found and {expected} were written");
        Err(self.file.corrupt_table(table, detail))
    }

    fn verified<'r>(&self, table: Table, row: &'r Row<'_>) -> Result<(Key, &'r [u8]), StoreError> {
        let id: i64 = row.get(0).map_err(|error| error::read(&self.file, &error))?;
        let key = Key { table, id: id.cast_unsigned() };
        let sum: u32 = row.get(1).map_err(|error| self.row_error(key, &error))?;
        let body = row
            .get_ref(2)
            .and_then(|body| body.as_blob().map_err(rusqlite::Error::from))
            .map_err(|error| self.row_error(key, &error))?;
        if checksum::row(self.file.shard, key, body) != sum {
            return Err(self.file.corrupt_row(key, "the row does not match its checksum"));
        }
        Ok((key, body))
    }

    fn row_error(&self, key: Key, error: &rusqlite::Error) -> StoreError {
        match error::read(&self.file, error) {
            StoreError::Corrupt { detail, .. } => self.file.corrupt_row(key, detail),
            error => error,
        }
    }

    /// Damage between two rows: SQLite cannot say where, but we know the row before it.
    fn after(&self, table: Table, last: Option<u64>, error: &rusqlite::Error) -> StoreError {
        match error::read(&self.file, error) {
            StoreError::Corrupt { detail, .. } => {
                let after = last.map_or_else(
                    || "before the first row".to_owned(),
                    |id| format!("after id {id}"),
                );
                self.file.corrupt_table(table, format!("{detail} ({after})"))
            }
            error => error,
        }
    }
}

/// One range of a table in the order of the stored ids.
const fn select(table: Table) -> &'static str {
    macro_rules! of {
        ($table:literal) => {
            concat!("SELECT id, sum, body FROM ", $table, " WHERE id BETWEEN ?1 AND ?2 ORDER BY id")
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

//! Moving the log into the database file.
//!
//! Owns when, and what a failure means. SQLite can do it by itself after a commit, but then it
//! drops the error: an fsync that failed would be tried again as if nothing had happened. Does not
//! know what is in the log.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

use super::error;
use super::schema::{File, PAGE_BYTES};
use crate::StoreError;
use crate::embedded::durable;

/// Pages in the log above which the next commit first moves it into the file.
///
/// With the largest commit on top it is below 4062, where SQLite needs a second piece of its log index: growing that on
/// a full disk fails after the commit is in the log, which would turn a refusal into an unknown outcome. Values of
/// `COMMIT_BYTES_MAX` fill 1024 pages, or 2048 if each is just too large to share its page.
pub(super) const LOG_PAGES_MAX: u32 = 1900;

/// Pages in the log as of the newest commit.
#[derive(Clone, Debug, Default)]
pub(super) struct LogPages(Arc<AtomicU32>);

impl LogPages {
    pub(super) fn watch(connection: &mut Connection) -> rusqlite::Result<Self> {
        let pages = Self::default();
        let newest = Arc::clone(&pages.0);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: i32| {
            newest.store(u32::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(pages)
    }

    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Called before a commit, not after one: what is durable should be acknowledged first.
pub(super) fn if_due(
    connection: &Connection,
    pages: &LogPages,
    file: &File,
) -> Result<(), StoreError> {
    if pages.count() < LOG_PAGES_MAX {
        return Ok(());
    }
    // On a full disk the commit is refused, also if the log itself still had room: it would grow past the bound.
    run(connection, "PASSIVE").map_err(|error| failed(file, &error))
}

/// Empties the log of an earlier process and checks that the file is as long as it says.
pub(super) fn all(connection: &Connection, file: &File) -> Result<(), StoreError> {
    match run(connection, "TRUNCATE") {
        Ok(()) => expect_length(connection, file),
        Err(error) if error::is_disk_full(&error) => Ok(()),
        Err(error) => Err(failed(file, &error)),
    }
}

pub(super) fn run(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    // The answer says whether a reader held it back, which the next one makes up for.
    connection.pragma_update_and_check(None, "wal_checkpoint", mode, |_| Ok(()))
}

fn expect_length(connection: &Connection, file: &File) -> Result<(), StoreError> {
    let pages: i64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .map_err(|error| error::read(file, &error))?;
    let expected = pages.cast_unsigned() * u64::from(PAGE_BYTES);
    // By name: opening and closing the file would drop the locks SQLite holds on it.
    let found = fs::metadata(&file.path)
        .map_err(|error| durable::refused("measure", &file.path, &error))?
        .len();
    if found < expected {
        return Err(file.corrupt(format!("it is {found} bytes long and should be {expected}")));
    }
    Ok(())
}

/// Nothing of the coming commit has been written, and everything before it is safe in the log; but
/// a disk that failed once is not trusted again.
fn failed(file: &File, error: &rusqlite::Error) -> StoreError {
    match error::write(file, error) {
        StoreError::Unknown { detail } => StoreError::Unusable {
            detail: format!("the log could not be moved into the file: {detail}"),
        },
        error => error,
    }
}

//! Creating and opening a shard's database, and the settings each connection runs with.
//!
//! Does not know what the rows are.

use std::fs::{self, File as FsFile};
use std::io::{self, Read};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::schema::{self, APPLICATION_ID, File, LAYOUT, PAGE_BYTES, StateRow};
use super::{checkpoint, error, pragmas};
use crate::embedded::{Options, durable};
use crate::{Shard, StoreError};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Offset of how the file is written and read; both are 2 for a write-ahead log.
const JOURNAL_MODES_AT: usize = 18;
/// Offset of the layout version in the header, in bytes; big-endian.
const USER_VERSION_AT: usize = 60;
/// Offset of the application id in the header, in bytes; big-endian.
const APPLICATION_ID_AT: usize = 68;
const HEADER_BYTES: usize = 100;

/// The log keeps this much of its file after it was moved into the database, in bytes: rewriting
/// blocks that exist is cheaper than asking the file system for new ones.
const LOG_BYTES_KEPT: i64 = 64 << 20;
/// Pages kept by a connection that reads, in KiB. Each commit empties the cache, so more is waste.
const READER_CACHE_KIB: i64 = 2048;

pub(super) fn create(path: &Path, shard: Shard) -> Result<(), StoreError> {
    let file = File::new(path, shard);
    // What an interrupted attempt left. It was never given its name.
    remove_leftovers(path).map_err(|error| durable::refused("remove", path, &error))?;
    create_database(&file).map_err(|error| error::prepare(&file, &error))?;
    FsFile::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| durable::refused("fsync", path, &error))?;
    expect_header(&file)
}

fn create_database(file: &File) -> rusqlite::Result<()> {
    let mut connection = Connection::open(&file.path)?;
    pragmas(
        &connection,
        &[("page_size", i64::from(PAGE_BYTES)), ("application_id", i64::from(APPLICATION_ID))],
    )?;
    // A switch that fails leaves another mode behind and no error; opening looks at the header.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    pragmas(&connection, &[("synchronous", 2)])?;
    let transaction = connection.transaction()?;
    schema::create_tables(&transaction)?;
    StateRow::EMPTY.write(&transaction, file.shard)?;
    pragmas(&transaction, &[("user_version", i64::from(LAYOUT))])?;
    transaction.commit()?;
    // The file has to be complete by itself. Closing would see to that, but keeps failures quiet.
    checkpoint::run(&connection, "TRUNCATE")?;
    connection.close().map_err(|(_, error)| error)
}

fn remove_leftovers(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The connection that writes. It does not touch the log on close until
/// [`keep_log_on_close`] is lifted: the caller may find that the log is damaged, and then it is
/// evidence.
pub(super) fn writer(file: &File, options: &Options) -> Result<Connection, StoreError> {
    expect_header(file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&file.path, flags)
        .map_err(|error| error::prepare(file, &error))?;
    keep_log_on_close(&connection, true)
        .and_then(|()| configure_writer(&connection, options))
        .map_err(|error| error::prepare(file, &error))?;
    Ok(connection)
}

pub(super) fn reader(file: &File) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&file.path, flags)
        .map_err(|error| error::prepare(file, &error))?;
    pragmas(
        &connection,
        &[("mmap_size", 0), ("cell_size_check", 1), ("cache_size", -READER_CACHE_KIB)],
    )
    .map_err(|error| error::prepare(file, &error))?;
    Ok(connection)
}

pub(super) fn keep_log_on_close(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(|_| ())
}

fn configure_writer(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    let cache_kib = i64::try_from(options.cache_bytes >> 10).unwrap_or(i64::MAX);
    pragmas(
        connection,
        &[
            // FULL: the log is fsynced before a commit returns. EXTRA adds an fsync of the
            // directory after a rollback journal is deleted, which a write-ahead log never does.
            ("synchronous", 2),
            // On macOS fsync alone leaves data in the drive's cache; no effect elsewhere.
            ("fullfsync", 1),
            ("checkpoint_fullfsync", 1),
            // A read through a mapping turns an I/O error into SIGBUS and a stray write into
            // damage.
            ("mmap_size", 0),
            ("cell_size_check", 1),
            ("cache_size", -cache_kib),
            // Pages that overflow the cache must not enter the log before the commit does.
            ("cache_spill", 0),
            // `checkpoint.rs` decides when, and sees the errors.
            ("wal_autocheckpoint", 0),
            ("journal_size_limit", LOG_BYTES_KEPT),
        ],
    )?;
    if let Some(bytes) = options.file_bytes_max {
        let pages = i64::try_from(bytes / u64::from(PAGE_BYTES)).unwrap_or(i64::MAX);
        pragmas(connection, &[("max_page_count", pages)])?;
    }
    Ok(())
}

/// Refuses what SQLite would take for a new database, or for one of ours when it is not.
fn expect_header(file: &File) -> Result<(), StoreError> {
    let mut header = [0; HEADER_BYTES];
    FsFile::open(&file.path).and_then(|mut file| file.read_exact(&mut header)).map_err(
        |error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                file.corrupt(format!("the file is shorter than its header of {HEADER_BYTES} bytes"))
            }
            _ => durable::refused("read", &file.path, &error),
        },
    )?;
    if !header.starts_with(MAGIC) || big_endian(&header, APPLICATION_ID_AT) != APPLICATION_ID {
        return Err(file.corrupt("the header is not that of a shard"));
    }
    if header[JOURNAL_MODES_AT..][..2] != [2, 2] {
        return Err(file.corrupt("the header does not ask for a write-ahead log"));
    }
    let layout = big_endian(&header, USER_VERSION_AT);
    if layout > LAYOUT {
        return Err(StoreError::Unusable {
            detail: format!(
                "{} has layout {layout} and this release knows {LAYOUT}: start the newer release \
                 that wrote it, or restore the backup taken before the upgrade",
                file.path.display()
            ),
        });
    }
    Ok(())
}

fn big_endian(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    // Both offsets are constants that leave four bytes before the end.
    let mut number = [0; 4];
    number.copy_from_slice(&header[at..at + 4]);
    u32::from_be_bytes(number)
}

//! SQLite's errors as a store's errors.
//!
//! Does not know what was being written, only whether it was reading or writing.

use rusqlite::{Error, ErrorCode};

use super::schema::File;
use crate::{Rejection, StoreError};

/// What a failed write means once it has been rolled back.
///
/// A full disk is the one failure SQLite reports before anything counts: the frames that hold the
/// commit could not be appended to the log. Everything else that is not plainly about the content
/// may have happened after that, so nobody can say.
pub(super) fn write(file: &File, error: &Error) -> StoreError {
    let detail = format!("{}: {error}", file.path.display());
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Rejected { cause: Rejection::DiskFull, detail },
        Some(ErrorCode::TooBig) => StoreError::Rejected { cause: Rejection::TooLarge, detail },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            file.corrupt(error.to_string())
        }
        _ => StoreError::Unknown { detail },
    }
}

/// What a failed read means.
pub(super) fn read(file: &File, error: &Error) -> StoreError {
    match error {
        // A value of another type than the layout says: the database is sound, our rows are not.
        Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::FromSqlConversionFailure(..) => file.corrupt(error.to_string()),
        _ if is_damage(error) => file.corrupt(error.to_string()),
        _ => unusable(file, "read", error),
    }
}

/// What a failure means while nothing has been acknowledged yet.
pub(super) fn prepare(file: &File, error: &Error) -> StoreError {
    if is_damage(error) {
        return file.corrupt(error.to_string());
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Rejected {
            cause: Rejection::DiskFull,
            detail: format!("{}: {error}", file.path.display()),
        },
        _ => unusable(file, "open", error),
    }
}

pub(super) fn is_disk_full(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(error, Error::SqliteFailure(_, Some(message)) if message.contains("no such table"))
}

fn unusable(file: &File, what: &str, error: &Error) -> StoreError {
    StoreError::Unusable { detail: format!("cannot {what} {}: {error}", file.path.display()) }
}

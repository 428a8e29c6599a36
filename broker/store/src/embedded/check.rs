//! Looking for damage while no broker runs.
//!
//! Reads every byte of every shard, which a start does not. Changes nothing that a start would not
//! change. Does not know how to repair: damage is answered by a backup.

use std::path::Path;

use super::lock::Lock;
use super::manifest::Manifest;
use super::{Directory, Engine, Options};
use crate::{Fence, Seq, Shard, StoreError};

/// What was found in a store directory.
#[derive(Clone, Debug)]
pub struct Report {
    pub shards: Vec<ShardReport>,
}

/// What was found in one shard.
#[derive(Clone, Debug)]
pub struct ShardReport {
    pub shard: Shard,
    pub fence: Fence,
    pub seq: Seq,
    /// Rows of all tables that could be read.
    pub rows: u64,
    /// Length of their values together, in bytes.
    pub bytes: u64,
    /// Each names its place. Empty means that every row is what was written.
    pub problems: Vec<StoreError>,
}

impl Report {
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.shards.iter().all(|shard| shard.problems.is_empty())
    }
}

impl<E: Engine> Directory<E> {
    /// Reads and verifies everything in the directory, which must exist and be closed.
    ///
    /// # Errors
    /// If the directory as a whole cannot be read. Damage within a shard is in the report.
    pub fn check(dir: &Path) -> Result<Report, StoreError> {
        if !dir.is_dir() {
            return Err(StoreError::Unusable {
                detail: format!("{} is not a store directory", dir.display()),
            });
        }
        let _lock = Lock::take(dir)?;
        let manifest = Manifest::load(dir, E::NAME)?;
        let shards = manifest.shards().map(|shard| Self::check_shard(dir, shard)).collect();
        Ok(Report { shards })
    }

    fn check_shard(dir: &Path, shard: Shard) -> ShardReport {
        let mut report = ShardReport {
            shard,
            fence: Fence(0),
            seq: Seq(0),
            rows: 0,
            bytes: 0,
            problems: Vec::new(),
        };
        match Self::open_files(dir, shard, &Options::default()) {
            Ok((mut file, _, _)) => file.check(&mut report),
            Err(error) => report.problems.push(error),
        }
        report
    }
}

//! The newest commit that a shard acknowledged, kept apart from the rows.
//!
//! A log that lost its tail, and a log that was deleted, look exactly like shorter logs: an engine
//! reads them and reports nothing. The mark tells them apart. It is written after every commit but
//! never fsynced, which costs a microsecond and is enough: it can lag behind the rows after a power
//! cut, and then only detects less, but it can never be ahead of what was durable. Does not know
//! what was committed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::durable;
use super::engine::State;
use crate::{Fence, Place, Seq, Shard, StoreError, checksum};

const BYTES: usize = 20;

/// The open mark of one shard.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    shard: Shard,
    file: File,
}

impl Mark {
    /// Writes the first mark of `file`, which does not exist, durably: from here on the absence of
    /// either is damage.
    pub(super) fn create(path: &Path, shard: Shard, file: &Path) -> Result<(), StoreError> {
        let zero = State { fence: Fence(0), seq: Seq(0) };
        if path.exists() {
            Self::open(path, shard)?.verify(zero, file)?;
        }
        let zero = encode(shard, zero);
        durable::replace(path, &zero).map_err(|error| durable::refused("write", path, &error))
    }

    pub(super) fn open(path: &Path, shard: Shard) -> Result<Self, StoreError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => corrupt(path, "the file is missing"),
            _ => durable::refused("open", path, &error),
        })?;
        Ok(Self { path: path.to_owned(), shard, file })
    }

    /// Refuses a shard that holds less than it once acknowledged.
    pub(super) fn verify(&self, found: State, file: &Path) -> Result<(), StoreError> {
        let acknowledged = self.read()?;
        if found.seq < acknowledged.seq || found.fence < acknowledged.fence {
            return Err(StoreError::Corrupt {
                place: Place::file(file.display()),
                detail: format!(
                    "it ends at commit {} of fence {}, but commit {} of fence {} was \
                     acknowledged: a part of it, or of the log beside it, is gone",
                    found.seq, found.fence, acknowledged.seq, acknowledged.fence
                ),
            });
        }
        Ok(())
    }

    /// Called when the commit is durable and before anybody hears of it.
    ///
    /// A failure is ignored: the commit is durable whatever the mark says, and an older mark is a
    /// true one.
    pub(super) fn advance(&self, state: State) {
        let _ = self.file.write_all_at(&encode(self.shard, state), 0);
    }

    fn read(&self) -> Result<State, StoreError> {
        let mut bytes = [0; BYTES];
        self.file.read_exact_at(&mut bytes, 0).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => corrupt(&self.path, "the file is too short"),
            _ => durable::refused("read", &self.path, &error),
        })?;
        decode(self.shard, &bytes)
            .ok_or_else(|| corrupt(&self.path, "it does not match its checksum"))
    }
}

fn encode(shard: Shard, state: State) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&state.fence.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&state.seq.0.to_le_bytes());
    let sum = checksum::numbers(shard, &[state.fence.0, state.seq.0]);
    bytes[16..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn decode(shard: Shard, bytes: &[u8; BYTES]) -> Option<State> {
    let (fence, rest) = bytes.split_first_chunk()?;
    let (seq, rest) = rest.split_first_chunk()?;
    let (sum, _) = rest.split_first_chunk()?;
    let state =
        State { fence: Fence(u64::from_le_bytes(*fence)), seq: Seq(u64::from_le_bytes(*seq)) };
    let expected = checksum::numbers(shard, &[state.fence.0, state.seq.0]);
    (u32::from_le_bytes(*sum) == expected).then_some(state)
}

fn corrupt(path: &Path, detail: &str) -> StoreError {
    StoreError::Corrupt { place: Place::file(path.display()), detail: detail.to_owned() }
}

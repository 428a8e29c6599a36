//! The reference backend: a map, with switches that make it fail.
//!
//! It says what a store must do in the fewest words, and lets tests of everything above it see
//! each answer a store can give. Does not know about disks; nothing survives the last handle.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::{
    Batch, Fence, Key, Op, Place, Rejection, Seq, Shard, Store, StoreError, Table, Visit, checksum,
};

/// A store in memory. [`reopen`](Self::reopen) is to it what a restart is to a disk.
#[derive(Debug, Default)]
pub struct Memory {
    durable: Arc<Mutex<BTreeMap<Shard, Rows>>>,
    switches: Mutex<Switches>,
}

/// How a commit fails on demand.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Fault {
    /// Nothing is written, and the store says so.
    Rejected,
    /// Nothing is written, but the store cannot say.
    UnknownLost,
    /// Everything is written, but the store cannot say.
    UnknownWritten,
}

#[derive(Debug, Default)]
struct Switches {
    /// Answers for the coming commits, in order; `None` lets one pass.
    faults: VecDeque<Option<Fault>>,
    /// Set by an unknown outcome: what every later commit is told.
    stopped: Option<StoreError>,
}

#[derive(Debug)]
struct Rows {
    fence: Fence,
    seq: Seq,
    rows: BTreeMap<Key, (u32, Bytes)>,
}

impl Memory {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next commit that no earlier switch waits for fails like this.
    pub fn fail_next(&self, fault: Fault) {
        self.switches().faults.push_back(Some(fault));
    }

    /// The next commit that no earlier switch waits for passes: for "the third one fails".
    pub fn pass_next(&self) {
        self.switches().faults.push_back(None);
    }

    /// Flips one bit of a stored row. Returns false if there is no such row or it is empty.
    pub fn damage(&self, shard: Shard, key: Key) -> bool {
        let mut durable = self.durable();
        let row = durable.get_mut(&shard).and_then(|rows| rows.rows.get_mut(&key));
        let Some((_, bytes)) = row.filter(|(_, bytes)| !bytes.is_empty()) else { return false };
        let mut damaged = bytes.to_vec();
        damaged[0] ^= 1;
        *bytes = damaged.into();
        true
    }

    /// What a restart finds: the same rows, no switches, no memory of an unknown outcome.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self { durable: Arc::clone(&self.durable), switches: Mutex::default() }
    }

    fn refuse_if_stopped(&self) -> Result<(), StoreError> {
        match &self.switches().stopped {
            None => Ok(()),
            Some(error) => Err(StoreError::Unusable {
                detail: format!("restart to read what is stored; earlier: {error}"),
            }),
        }
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut switches = self.switches();
        let fault = switches.faults.pop_front().flatten();
        if matches!(fault, Some(Fault::UnknownLost | Fault::UnknownWritten)) {
            switches.stopped = Some(unknown());
        }
        fault
    }

    // A panic while a lock was held cannot have left a half-written map: every change is one call.
    fn durable(&self) -> MutexGuard<'_, BTreeMap<Shard, Rows>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn acquire(&self, shard: Shard) -> Result<Fence, StoreError> {
        self.refuse_if_stopped()?;
        let mut durable = self.durable();
        let rows = durable.entry(shard).or_insert_with(|| Rows {
            fence: Fence(0),
            seq: Seq(0),
            rows: BTreeMap::new(),
        });
        rows.fence.0 += 1;
        Ok(rows.fence)
    }

    fn commit(&self, shard: Shard, fence: Fence, batch: &Batch) -> Result<Seq, StoreError> {
        batch.validate()?;
        let mut durable = self.durable();
        let newest = durable.get(&shard).map_or(Fence(0), |rows| rows.fence);
        let Some(rows) = durable.get_mut(&shard).filter(|_| newest == fence) else {
            return Err(StoreError::Conflict { shard, offered: fence, newest });
        };
        self.refuse_if_stopped()?;
        match self.next_fault() {
            None => {
                rows.apply(shard, batch);
                Ok(rows.seq)
            }
            Some(Fault::Rejected) => Err(StoreError::Rejected {
                cause: Rejection::Injected,
                detail: "fault switch".to_owned(),
            }),
            Some(Fault::UnknownLost) => Err(unknown()),
            Some(Fault::UnknownWritten) => {
                rows.apply(shard, batch);
                Err(unknown())
            }
        }
    }

    fn scan(&self, shard: Shard, visit: Visit<'_>) -> Result<Seq, StoreError> {
        // A snapshot, so that `visit` may use the store: values are shared, not copied.
        let (seq, rows) = match self.durable().get(&shard) {
            None => return Ok(Seq(0)),
            Some(rows) => (rows.seq, rows.scanned()),
        };
        for (key, row) in rows {
            visit(key, &verified(shard, key, &row)?)?;
        }
        Ok(seq)
    }

    fn count(&self, shard: Shard, table: Table) -> Result<u64, StoreError> {
        let durable = self.durable();
        let in_table = |rows: &Rows| rows.rows.keys().filter(|key| key.table == table).count();
        Ok(durable.get(&shard).map_or(0, in_table) as u64)
    }

    fn get(&self, shard: Shard, key: Key) -> Result<Option<Bytes>, StoreError> {
        let durable = self.durable();
        let row = durable.get(&shard).and_then(|rows| rows.rows.get(&key));
        row.map(|row| verified(shard, key, row)).transpose()
    }
}

impl Rows {
    fn apply(&mut self, shard: Shard, batch: &Batch) {
        for op in &batch.ops {
            match op {
                Op::Put(key, value) => {
                    let sum = checksum::row(shard, *key, value);
                    self.rows.insert(*key, (sum, value.clone()));
                }
                Op::Delete(key) => {
                    self.rows.remove(key);
                }
            }
        }
        self.seq.0 += 1;
    }

    fn scanned(&self) -> Vec<(Key, (u32, Bytes))> {
        let scanned = self.rows.iter().filter(|(key, _)| Table::scanned(key.table));
        scanned.map(|(key, row)| (*key, row.clone())).collect()
    }
}

fn verified(shard: Shard, key: Key, row: &(u32, Bytes)) -> Result<Bytes, StoreError> {
    let (sum, bytes) = row;
    if checksum::row(shard, key, bytes) == *sum {
        return Ok(bytes.clone());
    }
    Err(StoreError::Corrupt {
        place: Place::row("memory", key),
        detail: "the row does not match its checksum".to_owned(),
    })
}

fn unknown() -> StoreError {
    StoreError::Unknown { detail: "fault switch".to_owned() }
}

//! What is written, and what must be there afterwards.
//!
//! Each commit is a function of the seed and its number, so whoever knows how many commits were
//! acknowledged knows every row. Does not know how the writer came to its end.

use std::collections::BTreeMap;
use std::ops::Range;

use trine_store::conformance::Draw;
use trine_store::{Batch, Fence, Key, Op, Seq, Shard, Store, Table};

use crate::Outcome;

pub(crate) const SHARD: Shard = Shard(0);
/// A commit finishes what the one this many before it accepted.
const LAG: u64 = 40;
/// Ids of one commit start at its number times this.
const IDS: u64 = 256;

/// What commit `number` writes: some events accepted, some tried again, some finished.
pub(crate) fn batch(seed: u64, number: u64) -> Outcome<Batch> {
    let mut draw = Draw::new(seed ^ number.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut batch = Batch::default();
    for id in accepted(seed, number) {
        // Now and then a payload of many pages.
        let longest = if draw.below(400) == 0 { 400_000 } else { 1200 };
        let payload = usize::try_from(draw.below(longest))?;
        batch.put(Key { table: Table::Event, id }, draw.bytes(100));
        batch.put(Key { table: Table::Payload, id }, draw.bytes(payload));
    }
    for id in accepted(seed, number.saturating_sub(LAG / 2)).step_by(3) {
        batch.put(Key { table: Table::Event, id }, draw.bytes(110));
    }
    for id in accepted(seed, number.saturating_sub(LAG)) {
        batch.delete(Key { table: Table::Event, id });
        batch.delete(Key { table: Table::Payload, id });
    }
    Ok(batch)
}

/// The ids that commit `number` accepts; there is no commit 0.
fn accepted(seed: u64, number: u64) -> Range<u64> {
    let count = if number == 0 { 0 } else { 1 + Draw::new(seed.wrapping_add(number)).below(64) };
    let first = number * IDS;
    first..first + count
}

/// What has been promised so far.
pub(crate) struct Promised {
    pub(crate) seed: u64,
    /// The newest commit that was acknowledged or found.
    pub(crate) seq: u64,
    /// The newest fence that was given out.
    pub(crate) fence: u64,
    /// Rows as of commit `at`, which trails until the next comparison.
    rows: BTreeMap<Key, Vec<u8>>,
    at: u64,
}

/// What a comparison saw.
pub(crate) struct Kept {
    /// A commit that was durable and not yet acknowledged.
    pub(crate) unacknowledged: u64,
    pub(crate) rows: u64,
}

impl Promised {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, seq: 0, fence: 0, rows: BTreeMap::new(), at: 0 }
    }

    /// Compares every row with what must be there. At most one commit can be there without having
    /// been acknowledged, and no part of another.
    pub(crate) fn verify(&mut self, store: &dyn Store) -> Outcome<Kept> {
        let mut found = Vec::new();
        let Seq(seq) = store.scan(SHARD, &mut |key, bytes| {
            found.push((key, bytes.to_vec()));
            Ok(())
        })?;
        if seq < self.seq {
            return Err(
                format!("LOST: commit {} was acknowledged, {seq} is there", self.seq).into()
            );
        }
        if seq > self.seq + 1 {
            return Err(format!("commit {seq} is there, {} was the last asked", self.seq).into());
        }
        let unacknowledged = seq - self.seq;
        self.replay(seq)?;
        let records = self.rows.iter().filter(|(key, _)| key.table.scanned());
        if !records.map(|(key, value)| (*key, value.clone())).eq(found) {
            return Err(format!("TORN: the records are not those of commit {seq}").into());
        }
        self.compare_blobs(store)?;
        let Fence(fence) = store.acquire(SHARD)?;
        if fence <= self.fence {
            return Err(format!("fence {fence} after fence {}", self.fence).into());
        }
        Ok(Kept { unacknowledged, rows: self.rows.len() as u64 })
    }

    fn replay(&mut self, to: u64) -> Outcome<()> {
        if to < self.at {
            self.rows.clear();
            self.at = 0;
        }
        for number in self.at + 1..=to {
            for op in batch(self.seed, number)?.ops {
                match op {
                    Op::Put(key, value) => _ = self.rows.insert(key, value.to_vec()),
                    Op::Delete(key) => _ = self.rows.remove(&key),
                }
            }
        }
        (self.at, self.seq) = (to, to);
        Ok(())
    }

    fn compare_blobs(&self, store: &dyn Store) -> Outcome<()> {
        for (key, value) in self.rows.iter().filter(|(key, _)| !key.table.scanned()) {
            if store.get(SHARD, *key)?.as_deref() != Some(value) {
                return Err(format!("TORN: blob {key} is not that of commit {}", self.seq).into());
            }
        }
        // Those that were deleted last are the ones that might come back.
        for number in self.seq.saturating_sub(2 * LAG)..=self.seq.saturating_sub(LAG) {
            for id in accepted(self.seed, number) {
                let key = Key { table: Table::Payload, id };
                if store.get(SHARD, key)?.is_some() {
                    return Err(format!("TORN: blob {key} was deleted and is back").into());
                }
            }
        }
        Ok(())
    }
}

//! Any history of commits, refusals and restarts, against a map.
//!
//! A failure prints its seed; `TRINE_SEED=n` runs that one alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Draw, Home, SHARD, scanned};
use crate::{Batch, Fence, Key, Op, Seq, Store, Table};

const SEEDS: u64 = 6;
const STEPS: u64 = 100;

pub fn any_history_matches_a_map(home: &dyn Home) {
    let one = std::env::var("TRINE_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = one.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let (mut seq, mut rows) = (Seq(0), BTreeMap::new());
    for seed in seeds {
        // Said first: a failure inside the store panics before any message here could.
        println!("seed {seed}: repeat with TRINE_SEED={seed}");
        let mut history = History::open(home, seed, seq, rows);
        (0..STEPS).for_each(|_| history.step(home));
        (seq, rows) = (history.seq, history.rows);
    }
}

struct History {
    draw: Draw,
    store: Arc<dyn Store>,
    fence: Fence,
    seq: Seq,
    rows: BTreeMap<Key, Vec<u8>>,
}

impl History {
    /// Goes on from what an earlier seed left in the same home.
    fn open(home: &dyn Home, seed: u64, seq: Seq, rows: BTreeMap<Key, Vec<u8>>) -> Self {
        let store = home.open().unwrap();
        let fence = store.acquire(SHARD).unwrap();
        Self { draw: Draw::new(seed), store, fence, seq, rows }
    }

    fn step(&mut self, home: &dyn Home) {
        match self.draw.below(20) {
            0 => self.restart(home),
            1 => self.change_owner(),
            2 => self.compare(),
            _ => self.commit(),
        }
        let key = self.key();
        let found = self.store.get(SHARD, key).unwrap();
        assert_eq!(found.as_deref(), self.rows.get(&key).map(Vec::as_slice), "{key}");
    }

    fn commit(&mut self) {
        let mut batch = Batch::default();
        for _ in 0..self.draw.below(40) {
            let key = self.key();
            if self.draw.below(3) == 0 {
                batch.delete(key);
            } else {
                // Mostly small, sometimes over several pages.
                let longest = if self.draw.below(10) == 0 { 20_000 } else { 120 };
                let length = usize::try_from(self.draw.below(longest)).unwrap();
                batch.put(key, self.draw.bytes(length));
            }
        }
        self.seq.0 += 1;
        assert_eq!(self.store.commit(SHARD, self.fence, &batch).unwrap(), self.seq);
        for op in batch.ops {
            match op {
                Op::Put(key, value) => _ = self.rows.insert(key, value.to_vec()),
                Op::Delete(key) => _ = self.rows.remove(&key),
            }
        }
    }

    fn change_owner(&mut self) {
        let old = self.fence;
        self.fence = self.store.acquire(SHARD).unwrap();
        assert!(self.fence > old);
        assert!(self.store.commit(SHARD, old, &Batch::default()).is_err());
    }

    fn restart(&mut self, home: &dyn Home) {
        // The old handle first: two at a time are refused. Memory stands in until it is gone.
        self.store = Arc::new(crate::Memory::new());
        self.store = home.open().unwrap();
        self.compare();
        self.change_owner();
    }

    fn compare(&self) {
        let (seq, found) = scanned(self.store.as_ref(), SHARD);
        assert_eq!(seq, self.seq);
        let records = self.rows.iter().filter(|(key, _)| key.table.scanned());
        let expected: Vec<_> = records.map(|(key, value)| (*key, value.clone())).collect();
        assert!(found == expected, "the scan shows other rows than were written");
    }

    fn key(&mut self) -> Key {
        // Few ids, so that rows meet again.
        let tables = Table::ALL.len() as u64;
        let table = Table::ALL[usize::try_from(self.draw.below(tables)).unwrap()];
        Key { table, id: self.draw.below(60) }
    }
}

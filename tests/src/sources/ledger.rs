//! What was produced and what the function saw, by key; from it follows what is lost, what came out of order and what came twice. It
//! knows neither sources nor faults.

use std::collections::BTreeSet;

use super::Record;

/// Of one run.
#[derive(Debug, Clone)]
pub struct Ledger {
    keys: Vec<Key>,
    /// Records seen for the first time.
    first: u64,
    duplicates: u64,
    disordered: u64,
    /// Records seen that nobody had begun to produce.
    strange: u64,
    /// Largest distance, within a key, from the newest record seen to one that came again.
    longest_step_back: u64,
}

/// Sequences of one key.
#[derive(Debug, Clone, Default)]
struct Key {
    /// Production of all before this one has begun.
    offered: u64,
    /// All before this one are in the source for sure.
    produced: u64,
    /// All before this one were seen.
    next: u64,
    /// Seen before one that comes earlier.
    early: BTreeSet<u64>,
}

impl Ledger {
    #[must_use]
    pub fn new(keys: u32) -> Self {
        let keys = vec![Key::default(); keys as usize];
        Self { keys, first: 0, duplicates: 0, disordered: 0, strange: 0, longest_step_back: 0 }
    }

    /// The next record of `key`, which is on its way into the source from now on.
    ///
    /// # Panics
    /// If there is no such key.
    pub fn offer(&mut self, key: u32) -> Record {
        let row = &mut self.keys[key as usize];
        row.offered += 1;
        Record { key, sequence: row.offered - 1 }
    }

    /// The source has confirmed it.
    ///
    /// # Panics
    /// If it was never offered.
    pub fn produced(&mut self, record: Record) {
        let row = &mut self.keys[record.key as usize];
        assert!(record.sequence < row.offered, "{record:?} was not offered");
        row.produced = row.produced.max(record.sequence + 1);
    }

    /// The function has it. True if that was the first time.
    pub fn seen(&mut self, record: Record) -> bool {
        let Some(row) = self.keys.get_mut(record.key as usize) else {
            self.strange += 1;
            return false;
        };
        let sequence = record.sequence;
        if sequence >= row.offered {
            self.strange += 1;
            return false;
        }
        if sequence < row.next || row.early.contains(&sequence) {
            let newest = row.early.last().copied().unwrap_or_else(|| row.next.saturating_sub(1));
            self.longest_step_back = self.longest_step_back.max(newest.saturating_sub(sequence));
            self.duplicates += 1;
            return false;
        }
        self.first += 1;
        if sequence > row.next || !row.early.is_empty() {
            self.disordered += 1;
        }
        row.early.insert(sequence);
        while row.early.remove(&row.next) {
            row.next += 1;
        }
        true
    }

    /// In the source, and never seen.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let lost = |row: &Key| {
            let unseen = row.produced.saturating_sub(row.next);
            unseen - row.early.range(..row.produced).count() as u64
        };
        self.keys.iter().map(lost).sum()
    }

    /// The first records that are lost, for people.
    #[must_use]
    pub fn examples_lost(&self, count: usize) -> Vec<Record> {
        let of = |(key, row): (usize, &Key)| {
            let unseen = (row.next..row.produced).filter(|sequence| !row.early.contains(sequence));
            let key = u32::try_from(key).unwrap_or(u32::MAX);
            unseen.map(|sequence| Record { key, sequence }).take(count).collect::<Vec<_>>()
        };
        self.keys.iter().enumerate().flat_map(of).take(count).collect()
    }

    #[must_use]
    pub fn produced_count(&self) -> u64 {
        self.keys.iter().map(|row| row.produced).sum()
    }

    /// Records seen at least once.
    #[must_use]
    pub fn seen_count(&self) -> u64 {
        self.first
    }

    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// All records of `key` before this one were seen.
    ///
    /// # Panics
    /// If there is no such key.
    #[must_use]
    pub fn next_of(&self, key: u32) -> u64 {
        self.keys[key as usize].next
    }

    /// Records that were not the next new one of their key when they were seen for the first time.
    #[must_use]
    pub fn disordered(&self) -> u64 {
        self.disordered
    }

    #[must_use]
    pub fn strange(&self) -> u64 {
        self.strange
    }

    #[must_use]
    pub fn longest_step_back(&self) -> u64 {
        self.longest_step_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(produced: u64, seen: &[u64]) -> Ledger {
        let mut ledger = Ledger::new(2);
        for _ in 0..produced {
            let record = ledger.offer(1);
            ledger.produced(record);
        }
        for sequence in seen {
            ledger.seen(Record { key: 1, sequence: *sequence });
        }
        ledger
    }

    #[test]
    fn what_comes_once_and_in_order_is_fine() {
        let ledger = of(3, &[0, 1, 2]);
        assert_eq!((ledger.lost(), ledger.disordered(), ledger.duplicates()), (0, 0, 0));
        assert_eq!((ledger.seen_count(), ledger.produced_count(), ledger.strange()), (3, 3, 0));
    }

    #[test]
    fn what_does_not_come_is_lost_wherever_it_is() {
        assert_eq!(of(3, &[]).lost(), 3);
        assert_eq!(of(3, &[0, 2]).lost(), 1);
        assert_eq!(of(3, &[0, 2]).examples_lost(9), [Record { key: 1, sequence: 1 }]);
        assert_eq!(of(3, &[0, 1]).examples_lost(9), [Record { key: 1, sequence: 2 }]);
    }

    #[test]
    fn a_gap_is_disorder_even_if_it_is_filled_later() {
        let ledger = of(3, &[0, 2, 1]);
        assert_eq!((ledger.lost(), ledger.disordered()), (0, 2));
    }

    #[test]
    fn what_comes_again_is_a_duplicate_and_no_disorder() {
        let ledger = of(4, &[0, 1, 2, 0, 1, 2, 3]);
        assert_eq!((ledger.lost(), ledger.disordered(), ledger.duplicates()), (0, 0, 3));
        assert_eq!(ledger.longest_step_back(), 2);
        // Going on with anything but the next new one is disorder.
        assert_eq!(of(5, &[0, 1, 0, 3]).disordered(), 1);
    }

    #[test]
    fn what_nobody_has_produced_is_strange() {
        assert_eq!(of(1, &[1]).strange(), 1);
        assert!(!Ledger::new(1).seen(Record { key: 7, sequence: 0 }));
    }
}

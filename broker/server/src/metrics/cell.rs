//! Numbers with one writer, the shard, and any number of readers, the scrapes.
//!
//! A plain load and store, not a locked add: there are two to five of them in every invocation. That there
//! is one writer is not this file's knowledge; [`FactSink`](super::FactSink) is the only one that has
//! `&mut` and it cannot be cloned.

use std::sync::atomic::{AtomicU64, Ordering};

use trine_engine::Millis;

/// One number. A reader may see it a moment late, never torn.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram over whole milliseconds. Its count is the sum of its buckets, so it cannot disagree with
/// them; only its sum may be one observation ahead of or behind them in a scrape.
#[derive(Debug)]
pub(super) struct Buckets<const N: usize> {
    bounds_ms: [Millis; N],
    within: [Cell; N],
    above: Cell,
    sum_ms: Cell,
}

/// A histogram as it was read.
#[derive(Debug)]
pub(super) struct Reading {
    /// Upper bound in milliseconds, and the observations at or below it.
    pub(super) cumulative: Vec<(Millis, u64)>,
    pub(super) count: u64,
    pub(super) sum_ms: u64,
}

impl<const N: usize> Buckets<N> {
    /// `bounds_ms` rise.
    pub(super) fn new(bounds_ms: [Millis; N]) -> Self {
        Self {
            bounds_ms,
            within: [const { Cell(AtomicU64::new(0)) }; N],
            above: Cell::default(),
            sum_ms: Cell::default(),
        }
    }

    pub(super) fn observe(&self, millis: Millis) {
        // Most observations are near the front, where a walk beats a search by halves.
        let bucket = self.bounds_ms.iter().position(|bound| millis <= *bound);
        bucket.map_or(&self.above, |at| &self.within[at]).add(1);
        self.sum_ms.add(millis);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.within.iter().all(|cell| cell.get() == 0) && self.above.get() == 0
    }

    pub(super) fn read(&self) -> Reading {
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(N);
        for (bound, cell) in self.bounds_ms.iter().zip(&self.within) {
            count += cell.get();
            cumulative.push((*bound, count));
        }
        Reading { cumulative, count: count + self.above.get(), sum_ms: self.sum_ms.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_at_a_bound_is_within_it() {
        let buckets = Buckets::new([1, 10, 100]);
        for millis in [0, 1, 10, 11, 100, 101] {
            buckets.observe(millis);
        }
        let reading = buckets.read();
        assert_eq!(reading.cumulative, [(1, 2), (10, 3), (100, 5)]);
        assert_eq!((reading.count, reading.sum_ms), (6, 223));
    }
}

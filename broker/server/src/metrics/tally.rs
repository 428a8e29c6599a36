//! What is kept of one function and of the account, and the table that a scrape reads.
//!
//! It does not know what is counted when; `facts.rs` and `gauges.rs` do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cell::{Buckets, Cell};
use super::names::{
    COUNT_FAMILIES, COUNTS, Count, DURATION_BOUNDS, DURATION_BOUNDS_MS, EVENT_AGE_BOUNDS,
    EVENT_AGE_BOUNDS_MS, FUNCTION_GAUGES, FunctionGauge, Group,
};

/// One cell for each [`Count`].
#[derive(Debug, Default)]
pub(super) struct Tally([Cell; COUNTS]);

impl Tally {
    pub(super) fn add(&self, count: Count) {
        self.0[count as usize].add(1);
    }

    pub(super) fn get(&self, count: Count) -> u64 {
        self.0[count as usize].get()
    }
}

/// Everything that is kept of one function.
#[derive(Debug)]
pub(super) struct FunctionCells {
    pub(super) name: Box<str>,
    pub(super) tally: Tally,
    pub(super) duration: Buckets<DURATION_BOUNDS>,
    pub(super) event_age: Buckets<EVENT_AGE_BOUNDS>,
    gauges: [Cell; FUNCTION_GAUGES],
}

/// A gauge that is not shown.
const UNSET: u64 = u64::MAX;

impl FunctionCells {
    pub(super) fn new(name: &str) -> Self {
        let cells = Self {
            name: name.into(),
            tally: Tally::default(),
            duration: Buckets::new(DURATION_BOUNDS_MS),
            event_age: Buckets::new(EVENT_AGE_BOUNDS_MS),
            gauges: Default::default(),
        };
        cells.set(FunctionGauge::Reserved, None);
        cells
    }

    pub(super) fn set(&self, gauge: FunctionGauge, value: Option<u64>) {
        self.gauges[gauge as usize].set(value.unwrap_or(UNSET));
    }

    pub(super) fn gauge(&self, gauge: FunctionGauge) -> Option<u64> {
        Some(self.gauges[gauge as usize].get()).filter(|value| *value != UNSET)
    }

    /// Whether the families of `group` are shown.
    pub(super) fn shows(&self, group: Group) -> bool {
        let counted = || {
            let families = COUNT_FAMILIES.iter().filter(|family| family.group == group);
            families.flat_map(|family| family.counts).any(|(count, _)| self.tally.get(*count) > 0)
        };
        match group {
            Group::Invocations => true,
            Group::Events => !self.event_age.is_empty() || counted(),
            Group::Throttles | Group::Destinations | Group::Faults => counted(),
        }
    }
}

/// The account, and the functions that exist by name. The lock is taken when a function comes or goes and
/// once a scrape, never to count.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) account: Tally,
    functions: Mutex<BTreeMap<Box<str>, Arc<FunctionCells>>>,
}

impl Table {
    /// A new function; one of the same name that was not removed before gives way.
    pub(super) fn insert(&self, name: &str) -> Arc<FunctionCells> {
        let cells = Arc::new(FunctionCells::new(name));
        self.lock().insert(name.into(), Arc::clone(&cells));
        cells
    }

    /// Removes these cells, but not those of a later function of the same name.
    pub(super) fn remove(&self, cells: &Arc<FunctionCells>) {
        let mut functions = self.lock();
        if functions.get(&cells.name).is_some_and(|held| Arc::ptr_eq(held, cells)) {
            functions.remove(&cells.name);
        }
    }

    /// All functions, by name.
    pub(super) fn functions(&self) -> Vec<Arc<FunctionCells>> {
        self.lock().values().cloned().collect()
    }

    /// Every change under the lock is complete before anything that can panic.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Arc<FunctionCells>>> {
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

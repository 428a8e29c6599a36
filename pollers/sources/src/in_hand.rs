//! The records of a mapping that the runner holds: given to it and not settled yet. They outlive a connection, so that a server that
//! delivers one of them again is told from one that has something new. It does not know what a record is.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ids of records, in the order of their source.
#[derive(Debug)]
pub(crate) struct InHand<I> {
    state: Mutex<State<I>>,
}

#[derive(Debug)]
struct State<I> {
    held: BTreeSet<I>,
    /// The last one that was ever given.
    read_through: Option<I>,
}

impl<I: Ord + Copy> InHand<I> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { held: BTreeSet::new(), read_through: None }) }
    }

    /// Takes note that a record is given to the runner. False if it has it already.
    pub(crate) fn give(&self, id: I) -> bool {
        let mut state = self.state();
        state.read_through = state.read_through.max(Some(id));
        state.held.insert(id)
    }

    /// Takes note that records are the runner's no more.
    pub(crate) fn take_back(&self, ids: impl IntoIterator<Item = I>) {
        let mut state = self.state();
        for id in ids {
            state.held.remove(&id);
        }
    }

    pub(crate) fn holds(&self, id: I) -> bool {
        self.state().held.contains(&id)
    }

    pub(crate) fn count(&self) -> usize {
        self.state().held.len()
    }

    /// The last one that was ever given.
    pub(crate) fn read_through(&self) -> Option<I> {
        self.state().read_through
    }

    /// Nothing was given yet: reading was moved to elsewhere.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        state.held.clear();
        state.read_through = None;
    }

    fn state(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_given_once_until_it_is_taken_back() {
        let hand = InHand::new();
        assert!(hand.give(7) && hand.give(3));
        assert!(!hand.give(7), "the runner has it");
        hand.take_back([7, 9]);
        assert!(!hand.holds(7) && hand.holds(3));
        assert!(hand.give(7));
        assert_eq!((hand.count(), hand.read_through()), (2, Some(7)));
        hand.forget();
        assert_eq!((hand.count(), hand.read_through()), (0, None));
    }
}

//! The records of a mapping that the runner holds: given to it and not settled yet. They outlive a connection, so that a server that
//! delivers one of them again is told from one that has something new. It does not know what a record is.
//!
//! The runner extends the lease of whatever it holds, long before it is over. So a record whose lease was not extended for its whole
//! length, although there was a connection to do it over, was forgotten: it may be given again. Without this rule, a record that got lost
//! between an adapter and the runner would never come again while the process lives.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Ids of records, in the order of their source. Times are milliseconds since the Unix epoch.
#[derive(Debug)]
pub(crate) struct InHand<I> {
    state: Mutex<State<I>>,
}

#[derive(Debug)]
struct State<I> {
    /// When each was given or its lease extended.
    held: BTreeMap<I, u64>,
    /// The last one that was ever given.
    read_through: Option<I>,
    connected_at_ms: u64,
    lease_ms: u64,
}

impl<I: Ord + Copy> InHand<I> {
    pub(crate) fn new() -> Self {
        let state =
            State { held: BTreeMap::new(), read_through: None, connected_at_ms: 0, lease_ms: 0 };
        Self { state: Mutex::new(state) }
    }

    /// A connection begins: from now on leases can be extended again.
    pub(crate) fn connected(&self, now_ms: u64, lease: Duration) {
        let mut state = self.state();
        state.connected_at_ms = now_ms;
        state.lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    }

    /// Takes note that a record is given to the runner. False if it has it already.
    pub(crate) fn give(&self, id: I, now_ms: u64) -> bool {
        let mut state = self.state();
        if state.holds(id, now_ms) {
            return false;
        }
        state.read_through = state.read_through.max(Some(id));
        state.held.insert(id, now_ms);
        true
    }

    /// Takes note that leases were extended.
    pub(crate) fn extended(&self, ids: impl IntoIterator<Item = I>, now_ms: u64) {
        let mut state = self.state();
        for id in ids {
            state.held.entry(id).and_modify(|at_ms| *at_ms = now_ms);
        }
    }

    /// Takes note that records are the runner's no more.
    pub(crate) fn take_back(&self, ids: impl IntoIterator<Item = I>) {
        let mut state = self.state();
        for id in ids {
            state.held.remove(&id);
        }
    }

    pub(crate) fn holds(&self, id: I, now_ms: u64) -> bool {
        self.state().holds(id, now_ms)
    }

    #[cfg(any(test, feature = "nats"))]
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

impl<I: Ord> State<I> {
    fn holds(&self, id: I, now_ms: u64) -> bool {
        let since = self.held.get(&id).map(|at_ms| (*at_ms).max(self.connected_at_ms));
        since.is_some_and(|since_ms| now_ms < since_ms.saturating_add(self.lease_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(100);

    fn connected_at(now_ms: u64) -> InHand<u64> {
        let hand = InHand::new();
        hand.connected(now_ms, LEASE);
        hand
    }

    #[test]
    fn a_record_is_given_once_until_it_is_taken_back() {
        let hand = connected_at(0);
        assert!(hand.give(7, 1) && hand.give(3, 1));
        assert!(!hand.give(7, 2), "the runner has it");
        hand.take_back([7, 9]);
        assert!(!hand.holds(7, 2) && hand.holds(3, 2));
        assert!(hand.give(7, 2));
        assert_eq!((hand.count(), hand.read_through()), (2, Some(7)));
        hand.forget();
        assert_eq!((hand.count(), hand.read_through()), (0, None));
    }

    #[test]
    fn a_record_whose_lease_is_not_extended_was_forgotten() {
        let hand = connected_at(0);
        assert!(hand.give(1, 10) && hand.give(2, 10));
        hand.extended([1, 9], 60);
        assert!(hand.holds(2, 109) && !hand.holds(2, 110));
        assert!(hand.holds(1, 159) && !hand.holds(9, 60), "it was never given");
        assert!(hand.give(2, 110), "it comes again");
        assert!(!hand.give(2, 111));
    }

    #[test]
    fn nothing_is_forgotten_while_there_is_no_connection() {
        let hand = connected_at(0);
        assert!(hand.give(1, 10));
        hand.connected(5_000, LEASE);
        assert!(hand.holds(1, 5_099) && !hand.holds(1, 5_100));
    }
}

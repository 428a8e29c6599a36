//! Connections by the name of what they lead to, a bounded number of them. A connection is never repaired: one that is lost, or that
//! somebody let go of, is dropped, and the next delivery opens another. It does not know what a connection is, nor how one is opened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// What can be kept here.
pub(super) trait Connection {
    /// Whether it is not the connection any more that was opened.
    fn is_lost(&self) -> bool;
}

/// All connections of one kind.
#[derive(Debug)]
pub(super) struct Connections<C> {
    /// Beyond it the one that was used longest ago goes.
    max: usize,
    cache: Mutex<Cache<C>>,
}

#[derive(Debug)]
struct Cache<C> {
    by_name: HashMap<String, Cached<C>>,
    uses: u64,
}

#[derive(Debug)]
struct Cached<C> {
    slot: Slot<C>,
    last_use: u64,
}

/// A connection, or the place for one.
pub(super) type Slot<C> = Arc<OnceCell<C>>;

impl<C: Connection> Connections<C> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, cache: Mutex::new(Cache { by_name: HashMap::new(), uses: 0 }) }
    }

    /// The place for the connection to `name`. Of several deliveries that find it empty one connects, the others wait for it.
    pub(super) fn slot(&self, name: &str) -> Slot<C> {
        // What is thrown out ends after the lock is given back: an end may take its time.
        let mut out = Vec::new();
        let mut cache = self.lock();
        cache.uses += 1;
        let last_use = cache.uses;
        if let Some(cached) = cache.by_name.get_mut(name) {
            if !cached.slot.get().is_some_and(C::is_lost) {
                cached.last_use = last_use;
                return cached.slot.clone();
            }
            out.extend(cache.by_name.remove(name));
        }
        if cache.by_name.len() >= self.max {
            let oldest = cache.by_name.iter().min_by_key(|(_, cached)| cached.last_use);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                out.extend(cache.by_name.remove(&oldest));
            }
        }
        let slot = Slot::default();
        let cached = Cached { slot: slot.clone(), last_use };
        cache.by_name.insert(name.to_owned(), cached);
        drop(cache);
        drop(out);
        slot
    }

    /// Lets go of a connection that is not to be used again.
    pub(super) fn forget(&self, name: &str, slot: &Slot<C>) {
        let mut cache = self.lock();
        let same = |cached: &Cached<C>| Arc::ptr_eq(&cached.slot, slot);
        if cache.by_name.get(name).is_some_and(same) {
            let out = cache.by_name.remove(name);
            drop(cache);
            drop(out);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cache<C>> {
        // No panic is possible between two statements that belong together.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Line(AtomicBool);

    impl Connection for Line {
        fn is_lost(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn open(connections: &Connections<Line>, name: &str) -> Slot<Line> {
        let slot = connections.slot(name);
        slot.set(Line::default()).unwrap();
        slot
    }

    #[test]
    fn a_connection_is_shared_until_it_is_lost_or_let_go() {
        let connections = Connections::new(2);
        let first = open(&connections, "a");
        assert!(Arc::ptr_eq(&connections.slot("a"), &first));
        first.get().unwrap().0.store(true, Ordering::Relaxed);
        let second = open(&connections, "a");
        // Whoever used the first one does not throw out the second.
        connections.forget("a", &first);
        assert!(Arc::ptr_eq(&connections.slot("a"), &second));
        connections.forget("a", &second);
        assert!(connections.slot("a").get().is_none());
    }

    #[test]
    fn beyond_the_bound_the_one_used_longest_ago_goes() {
        let connections = Connections::new(2);
        let (a, b) = (open(&connections, "a"), open(&connections, "b"));
        assert!(Arc::ptr_eq(&connections.slot("a"), &a));
        open(&connections, "c");
        assert!(Arc::ptr_eq(&connections.slot("a"), &a));
        assert!(!Arc::ptr_eq(&connections.slot("b"), &b));
    }
}

//! A function as the worker serves it: its name, its handler, and what its handler costs to start.
//!
//! It does not know which sessions serve it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::handler::HandlerService;

/// Cost of a first poll up to which a handler runs in the session's own task. A task of its own
/// costs about a microsecond and a wake-up of another thread; below this ceiling, in order, is faster.
const INLINE_POLL_MAX: Duration = Duration::from_micros(20);

/// What one new sample weighs in the moving average: one part in this many.
const COST_SAMPLES: u32 = 8;

/// One function of a worker.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    pub(crate) handler: HandlerService,
    pub(crate) cost: PollCost,
}

/// Moving average of what a handler's first poll costs, over all sessions of the worker.
///
/// A handler that mostly waits or mostly returns at once is polled where its attempt was read. One
/// that computes would hold up every attempt behind it, so it goes to the runtime's threads at
/// once. Measured rather than declared: a user does not know, and it changes with the payload.
#[derive(Debug, Default)]
pub(crate) struct PollCost {
    // Updated without a compare-and-swap: a lost sample is one of many.
    average_ns: AtomicU32,
}

impl PollCost {
    /// Whether to poll the handler first in the session's own task.
    pub(crate) fn is_inline(&self) -> bool {
        u128::from(self.average_ns.load(Ordering::Relaxed)) <= INLINE_POLL_MAX.as_nanos()
    }

    /// Notes what a first poll took.
    pub(crate) fn record(&self, took: Duration) {
        let sample = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX);
        let average = self.average_ns.load(Ordering::Relaxed);
        let updated = average - average / COST_SAMPLES + sample / COST_SAMPLES;
        if updated != average {
            self.average_ns.store(updated, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_poll_moves_a_handler_out_and_short_ones_bring_it_back() {
        let cost = PollCost::default();
        assert!(cost.is_inline());
        cost.record(Duration::from_millis(10));
        assert!(!cost.is_inline());
        let short = (1..).find(|_| {
            cost.record(Duration::from_micros(1));
            cost.is_inline()
        });
        assert!(short.is_some_and(|polls| (20..80).contains(&polls)), "{short:?}");
    }

    #[test]
    fn the_average_stays_within_its_range() {
        let cost = PollCost::default();
        for _ in 0..1000 {
            cost.record(Duration::from_secs(900));
        }
        assert!(!cost.is_inline());
    }
}

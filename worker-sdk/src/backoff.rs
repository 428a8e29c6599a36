//! How long to wait before the next try to reach the broker: exponential with full jitter.
//!
//! It does not sleep and does not know why a try failed.

use std::time::Duration;

/// Ceiling of the first wait.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// Ceiling of every later wait: a broker that comes back is found within this time.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Failures in a row, as a waiting time. Full jitter rather than a fixed share: after a restart of
/// the broker a thousand workers must not come back in the same millisecond.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: uniform between nothing and the ceiling, which doubles with every failure.
    pub(crate) fn next(&mut self, random: &mut fastrand::Rng) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(random.f64())
    }

    /// Forgets the failures: the broker was reached and stayed.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    fn ceiling(&self) -> Duration {
        // Beyond 2^16 the ceiling has long been reached; the bound keeps the shift defined.
        BACKOFF_FIRST.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_its_maximum() {
        let mut backoff = Backoff::default();
        let mut random = fastrand::Rng::with_seed(1);
        let ceilings: Vec<u128> = (0..9)
            .map(|_| {
                let ceiling = backoff.ceiling();
                assert!(backoff.next(&mut random) <= ceiling);
                ceiling.as_millis()
            })
            .collect();
        assert_eq!(ceilings, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn a_reset_starts_from_the_first_ceiling() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert_eq!(backoff.ceiling(), BACKOFF_MAX);
        backoff.reset();
        assert_eq!(backoff.ceiling(), BACKOFF_FIRST);
    }

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let mut random = fastrand::Rng::with_seed(7);
        let waits: Vec<Duration> =
            (0..1000).map(|_| Backoff { failures: 20 }.next(&mut random)).collect();
        let below_half = waits.iter().filter(|wait| **wait < BACKOFF_MAX / 2).count();
        assert!((400..600).contains(&below_half), "{below_half} of 1000 below half of the range");
    }
}

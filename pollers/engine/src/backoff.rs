//! How long to wait before trying again. It does not know what is tried.

use crate::Millis;

/// Waits that double from the first to the longest.
///
/// Each is spread upwards by up to a quarter, by a number that the caller gives, so that many shards
/// that failed at once do not come back at once; never downwards, so that a promised shortest wait is
/// kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first_ms: Millis,
    max_ms: Millis,
}

impl Backoff {
    /// After a function error. The curve of Lambda's stream retries is not published; the one recorded
    /// figure, eight attempts within a minute (LS 12), is what doubling from a quarter of a second gives.
    pub const FUNCTION_ERRORS: Self = Self::new(250, 60_000);

    /// Of the probe while the function is not reached: as for asynchronous events (LS 3.1).
    pub const NOT_REACHED: Self = Self::new(1_000, 300_000);

    /// After the source went away.
    pub const RECONNECT: Self = Self::new(100, 30_000);

    /// After a checkpoint or verdicts that could not be stored. Short: what may be sent meanwhile is bounded.
    pub const CHECKPOINT: Self = Self::new(100, 10_000);

    /// After an on-failure destination, or the park, that did not take something.
    pub const DELIVERY: Self = Self::new(1_000, 60_000);

    /// Waits from `first_ms`, at least 1, doubling up to `max_ms`, at least `first_ms`.
    #[must_use]
    pub const fn new(first_ms: Millis, max_ms: Millis) -> Self {
        let first_ms = if first_ms == 0 { 1 } else { first_ms };
        Self { first_ms, max_ms: if max_ms < first_ms { first_ms } else { max_ms } }
    }

    /// The same, but never longer than `max_ms`, nor than it was.
    #[must_use]
    pub const fn capped(self, max_ms: Millis) -> Self {
        if max_ms < self.max_ms { Self::new(self.first_ms, max_ms) } else { self }
    }

    /// The wait after `failures` in a row (1 for the first), in milliseconds.
    #[must_use]
    pub fn wait_ms(&self, failures: u32, salt: u64) -> Millis {
        let doublings = failures.saturating_sub(1).min(63);
        let factor = 1_u64 << doublings;
        let nominal = self.first_ms.saturating_mul(factor).min(self.max_ms);
        let spread = mix(salt ^ u64::from(failures)) % (nominal / 4 + 1);
        nominal.saturating_add(spread).min(self.max_ms)
    }
}

/// Spreads a number over all 64 bits (the finalizer of SplitMix64).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_and_are_never_shorter_than_promised() {
        for salt in 0..200 {
            for failures in 1..80 {
                let wait = Backoff::NOT_REACHED.wait_ms(failures, salt);
                let nominal = 1_000_u64.saturating_mul(1 << (failures - 1).min(50)).min(300_000);
                assert!(wait >= nominal, "salt {salt}, failure {failures}: {wait}");
                assert!(wait <= (nominal + nominal / 4).min(300_000));
            }
        }
    }

    #[test]
    fn shards_are_spread() {
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|salt| Backoff::NOT_REACHED.wait_ms(4, salt)).collect();
        assert!(waits.len() > 80, "{waits:?}");
    }

    #[test]
    fn eight_attempts_fit_into_a_minute() {
        let unspread = |failures| Backoff::FUNCTION_ERRORS.first_ms << (failures - 1);
        let until_attempt = |n: u32| (1..n).map(unspread).sum::<u64>();
        assert!(until_attempt(8) < 60_000 && until_attempt(9) > 60_000);
    }

    #[test]
    fn limits_are_made_sensible() {
        assert_eq!(Backoff::new(0, 0).wait_ms(5, 0), 1);
        assert_eq!(Backoff::NOT_REACHED.capped(10_000).wait_ms(60, 3), 10_000);
        assert_eq!(Backoff::CHECKPOINT.capped(60_000), Backoff::CHECKPOINT);
        assert_eq!(Backoff::NOT_REACHED.capped(10).wait_ms(1, 3), 1_000, "the first stays");
    }
}

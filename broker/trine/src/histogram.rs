//! Counts of durations in buckets that grow with the duration, for percentiles.
//!
//! A bucket is at most 1/64 wide: a percentile is right to 1.6 %. The memory is fixed, whatever
//! is recorded.

use std::time::Duration;

/// Buckets for each doubling, as a power of two.
const PRECISION_BITS: u32 = 6;

/// 2^6 exact buckets, and 2^6 for each of the 58 doublings above.
const BUCKETS: usize = (64 - PRECISION_BITS as usize + 1) << PRECISION_BITS;

/// How long many things took.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: Duration::ZERO }
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        self.counts[bucket(nanos(duration))] += 1;
        self.total += 1;
        self.max = self.max.max(duration);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    pub(crate) const fn max(&self) -> Duration {
        self.max
    }

    /// The duration that `thousandths` of 1000 do not exceed; zero if nothing was recorded.
    pub(crate) fn quantile(&self, thousandths: u64) -> Duration {
        let rank = (self.total * thousandths).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper_bound(index)).min(self.max);
            }
        }
        self.max
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Small values have a bucket each; above, the bucket is the position of the highest bit and the
/// bits that follow it.
#[expect(clippy::cast_possible_truncation, reason = "at most 7 bits are left after the shift")]
fn bucket(nanos: u64) -> usize {
    let doubling = (64 - nanos.leading_zeros()).saturating_sub(PRECISION_BITS + 1);
    ((doubling as usize) << PRECISION_BITS) + (nanos >> doubling) as usize
}

/// The largest value of a bucket.
fn upper_bound(index: usize) -> u64 {
    let doubling = (index >> PRECISION_BITS).saturating_sub(1);
    let significant = (index - (doubling << PRECISION_BITS)) as u64;
    (significant << doubling) | ((1 << doubling) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_is_narrow() {
        for exponent in 0..64 {
            for quarters in 0..4 {
                let power = 1_u64 << exponent;
                let nanos = power + power / 4 * quarters;
                let index = bucket(nanos);
                assert!(index < BUCKETS, "{nanos}");
                let upper = upper_bound(index);
                assert!(upper >= nanos, "{nanos}: {upper}");
                assert!(upper - nanos <= nanos / 64, "{nanos}: {upper}");
            }
        }
        assert!(bucket(u64::MAX) < BUCKETS);
        assert_eq!(upper_bound(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn percentiles_of_a_known_set() {
        let mut left = Histogram::new();
        let mut right = Histogram::new();
        for ms in 1..=1000 {
            let half = if ms % 2 == 0 { &mut left } else { &mut right };
            half.record(Duration::from_millis(ms));
        }
        left.merge(&right);
        assert_eq!(left.total(), 1000);
        assert_eq!(left.max(), Duration::from_secs(1));
        for (thousandths, ms) in [(500, 500), (900, 900), (990, 990)] {
            let quantile = left.quantile(thousandths).as_secs_f64() * 1000.0;
            let exact = f64::from(ms);
            assert!((exact..exact * 1.017).contains(&quantile), "{quantile} for {ms}");
        }
        assert_eq!(left.quantile(1000), Duration::from_secs(1));
    }

    #[test]
    fn nothing_recorded_is_zero() {
        assert_eq!(Histogram::new().quantile(990), Duration::ZERO);
    }
}

//! When an event is tried again, and when not (LS 3.1). Pure arithmetic; it knows no queue.

use crate::record::Death;
use crate::{FunctionSettings, Millis};

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// Another attempt at this time.
    RetryAt(Millis),
    /// No other.
    Dead(Death),
}

/// First wait between capacity checks, and its ceiling (LS 3.1).
const BACKOFF_FIRST_MS: Millis = 1_000;
const BACKOFF_LAST_MS: Millis = 300_000;

/// Decides after attempt number `attempts` failed. The age test looks ahead: an attempt that could only start
/// at or after the age limit is not scheduled (LS 3.1).
pub(crate) fn after_failure(
    settings: &FunctionSettings,
    now: Millis,
    age_from: Millis,
    attempts: u32,
) -> AfterFailure {
    if attempts > settings.max_retries() {
        return AfterFailure::Dead(Death::RetriesExhausted);
    }
    let due_at = now + retry_delay_ms(attempts);
    if due_at >= age_limit(settings, age_from) {
        return AfterFailure::Dead(Death::EventAgeExceeded);
    }
    AfterFailure::RetryAt(due_at)
}

/// When an event is too old to be started.
pub(crate) fn age_limit(settings: &FunctionSettings, age_from: Millis) -> Millis {
    age_from.saturating_add(settings.max_event_age_ms())
}

/// The `n`-th wait (from 0) for capacity or for a destination: 1 s, doubling, at most 5 min.
pub(crate) fn backoff_ms(n: u32) -> Millis {
    BACKOFF_FIRST_MS.checked_shl(n.min(16)).unwrap_or(BACKOFF_LAST_MS).min(BACKOFF_LAST_MS)
}

/// One minute before attempt 2, two before attempt 3.
pub(crate) fn retry_delay_ms(attempts: u32) -> Millis {
    60_000 * Millis::from(attempts.clamp(1, 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MaxEventAgeSeconds, MaxRetries};

    fn settings(retries: u8, age_seconds: u16) -> FunctionSettings {
        FunctionSettings {
            max_retries: Some(MaxRetries::new(retries).unwrap()),
            max_event_age: Some(MaxEventAgeSeconds::new(age_seconds).unwrap()),
            ..FunctionSettings::default()
        }
    }

    #[test]
    fn the_schedule_is_lambdas() {
        use AfterFailure::{Dead, RetryAt};
        let cases = [
            // retries, age, now, attempts, expected
            (2, 21600, 0, 1, RetryAt(60_000)),
            (2, 21600, 60_000, 2, RetryAt(180_000)),
            (2, 21600, 180_000, 3, Dead(Death::RetriesExhausted)),
            (0, 21600, 0, 1, Dead(Death::RetriesExhausted)),
            (1, 21600, 60_000, 2, Dead(Death::RetriesExhausted)),
            // Recorded at AWS: age 60 s gives one attempt at once, 90 s exactly one retry (LS 3.1).
            (2, 60, 0, 1, Dead(Death::EventAgeExceeded)),
            (2, 90, 0, 1, RetryAt(60_000)),
            (2, 90, 60_000, 2, Dead(Death::EventAgeExceeded)),
            // Both at once: the retries were used up, whatever the age.
            (0, 60, 0, 1, Dead(Death::RetriesExhausted)),
        ];
        for (retries, age, now, attempts, expected) in cases {
            let decided = after_failure(&settings(retries, age), now, 0, attempts);
            assert_eq!(decided, expected, "retries {retries}, age {age}, attempt {attempts}");
        }
    }

    #[test]
    fn backoff_doubles_from_one_second_to_five_minutes() {
        let waits: Vec<_> = (0..11).map(backoff_ms).collect();
        assert_eq!(waits[..4], [1_000, 2_000, 4_000, 8_000]);
        assert_eq!(waits[8..], [256_000, 300_000, 300_000]);
        assert_eq!(backoff_ms(u32::MAX), 300_000);
    }
}

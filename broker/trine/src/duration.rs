//! Lengths of time as people write and read them: `500ms`, `3s`, `5m`, `1h`.
//!
//! It knows the notation, not what a duration is for.

use std::time::Duration;

/// What is accepted, for messages.
pub(crate) const EXPECTED: &str = "a whole number with a unit: 500ms, 3s, 5m, 1h";

/// Units, the longest first.
const UNITS_MS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum DurationError {
    #[error("expected {EXPECTED}")]
    Notation,
    #[error("too long")]
    TooLong,
    #[error("expected whole seconds, and {EXPECTED}")]
    NotWholeSeconds,
}

/// Reads one duration. A number without a unit is refused: whoever writes 5 means milliseconds
/// as often as seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError::Notation)?;
    let (number, unit) = text.split_at(split);
    let (_, unit_ms) =
        UNITS_MS.iter().find(|(name, _)| *name == unit).ok_or(DurationError::Notation)?;
    if number.is_empty() {
        return Err(DurationError::Notation);
    }
    let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
    number.checked_mul(*unit_ms).map(Duration::from_millis).ok_or(DurationError::TooLong)
}

/// Reads a duration of whole seconds, for settings that are counted in them.
pub(crate) fn parse_seconds(text: &str) -> Result<u32, DurationError> {
    let duration = parse(text)?;
    if duration.subsec_nanos() != 0 {
        return Err(DurationError::NotWholeSeconds);
    }
    u32::try_from(duration.as_secs()).map_err(|_| DurationError::TooLong)
}

/// Exactly, in the notation that [`parse`] reads, in the longest unit that divides it.
pub(crate) fn show(duration: Duration) -> String {
    let ms = millis(duration);
    let (unit, unit_ms) = UNITS_MS
        .iter()
        .find(|(_, unit_ms)| ms != 0 && ms.is_multiple_of(*unit_ms))
        .unwrap_or(&("s", 1000));
    format!("{}{unit}", ms / unit_ms)
}

/// For people: at most two units, the rest cut off, as in `2h 5m` and `1.25s`.
pub(crate) fn rough(duration: Duration) -> String {
    let (ms, seconds) = (millis(duration), duration.as_secs());
    match seconds {
        0 if ms == 0 => "0s".to_owned(),
        0 => format!("{ms}ms"),
        1..=9 if !ms.is_multiple_of(1000) => {
            let hundredths = format!("{}.{:02}", seconds, (ms % 1000) / 10);
            format!("{}s", hundredths.trim_end_matches('0').trim_end_matches('.'))
        }
        1..=59 => format!("{seconds}s"),
        60..=3599 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..=86_399 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// Whole milliseconds; a duration that does not fit is cut to the longest that does.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit} {small}{small_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows() {
        for (text, ms) in [
            ("500ms", 500),
            ("3s", 3000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("0s", 0),
            ("1500ms", 1500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(show(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "5", "ms", "s", "-1s", "1.5s", "1 s", "1d", "1h30m", "+1s", "1S"] {
            assert_eq!(parse(text), Err(DurationError::Notation), "{text:?}");
        }
        assert_eq!(parse("99999999999999999h"), Err(DurationError::TooLong));
        assert_eq!(parse("99999999999999999999999s"), Err(DurationError::TooLong));
        assert_eq!(parse_seconds("500ms"), Err(DurationError::NotWholeSeconds));
        assert_eq!(parse_seconds("3000ms"), Ok(3));
    }

    #[test]
    fn is_short_for_people() {
        for (ms, text) in [
            (0, "0s"),
            (7, "7ms"),
            (1250, "1.25s"),
            (1500, "1.5s"),
            (1001, "1s"),
            (59_900, "59s"),
            (65_000, "1m 5s"),
            (7_500_000, "2h 5m"),
            (86_400_000, "1d"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(rough(Duration::from_millis(ms)), text);
        }
    }
}

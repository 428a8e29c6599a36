//! Points in time as RFC 3339 text in UTC with milliseconds, as records carry them (LS 3.3).

use time::OffsetDateTime;
use trine_engine::Millis;

/// The end of the calendar that the format can write. Later times, which no clock of ours shows,
/// are written as it.
const LAST: &str = "9999-12-31T23:59:59.999Z";

/// `2019-11-14T18:16:05.568Z`.
pub(crate) fn rfc3339(at: Millis) -> String {
    let seconds = i64::try_from(at / 1000).unwrap_or(i64::MAX);
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(seconds) else { return LAST.to_owned() };
    let (date, time, millis) = (moment.date(), moment.time(), at % 1000);
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (hour, minute, second) = time.as_hms();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (at, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_573_755_365_568, "2019-11-14T18:16:05.568Z"),
            (2_147_483_648_000, "2038-01-19T03:14:08.000Z"),
            (253_402_300_799_999, LAST),
            (253_402_300_800_000, LAST),
            (u64::MAX, LAST),
        ] {
            assert_eq!(rfc3339(at), expected);
        }
    }
}

//! Points in time as RFC 3339 text in UTC with milliseconds, as on-failure records carry them (LS 4.6).

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;

const DAY_MS: i64 = 86_400_000;

/// `2019-11-14T00:38:04.835Z`, of milliseconds since the Unix epoch.
pub(crate) fn rfc3339(at_ms: i64) -> String {
    let (year, month, day) = date(at_ms.div_euclid(DAY_MS));
    let in_day = at_ms.rem_euclid(DAY_MS);
    let (seconds, millis) = (in_day / 1000, in_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a day since the Unix epoch. Years are counted from March here, so that a leap day is the last of its year.
fn date(since_epoch: i64) -> (i64, i64, i64) {
    let days = since_epoch + EPOCH_DAYS;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March on have 153 days, again and again.
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (at_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_573_691_884_835, "2019-11-14T00:38:04.835Z"),
            (2_147_483_648_000, "2038-01-19T03:14:08.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(at_ms), expected);
        }
    }
}

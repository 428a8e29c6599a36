//! Points in time: milliseconds since the Unix epoch as UTC text, and back.
//!
//! It knows the calendar, nothing else. A crate for it would bring time zones that are not wanted.

const DAY_MS: i64 = 86_400_000;

/// RFC 3339 in UTC with milliseconds: `2026-01-31T23:59:59.000Z`.
pub(crate) fn show(ms: i64) -> String {
    let (year, month, day) = date(ms.div_euclid(DAY_MS));
    let of_day = ms.rem_euclid(DAY_MS);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// What is accepted, for messages.
const EXPECTED: &str = "a time in UTC, 2026-01-31T23:59:59Z, or milliseconds since the Unix epoch";

/// Reads what [`show`] shows, with or without milliseconds, or their number.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| format!("too late; expected {EXPECTED}"));
    }
    parse_utc(text).ok_or_else(|| format!("expected {EXPECTED}"))
}

fn parse_utc(text: &str) -> Option<i64> {
    let (day, of_day) = text.strip_suffix('Z')?.split_once('T')?;
    let (of_day, millis) = of_day.split_once('.').unwrap_or((of_day, "000"));
    let numbers = |text: &str, mark| -> Option<Vec<i64>> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        text.split(mark).map(|part| part.parse().ok().filter(|_| digits(part))).collect()
    };
    let (day, of_day) = (numbers(day, '-')?, numbers(of_day, ':')?);
    let (&[year, month, day], &[hour, minute, second]) = (&day[..], &of_day[..]) else {
        return None;
    };
    let millis: i64 = (millis.len() == 3).then(|| millis.parse().ok())??;
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 || year > 9999 {
        return None;
    }
    // The day that has this date is at most a day from where a year of 365.2425 days puts it.
    let about = (year * 146_097).div_euclid(400) + (month - 1) * 30 + day - 719_528;
    let found = (about - 40..=about + 40).find(|number| date(*number) == (year, month, day))?;
    Some(found * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar extended to
/// all years. Years are counted from March, so that the leap day is the last day of its year.
fn date(day: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097; // 400 years
    let since_march = day + 719_468; // days from 0000-03-01
    let era = since_march.div_euclid(ERA_DAYS);
    let of_era = since_march.rem_euclid(ERA_DAYS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_known_moments() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_573_755_365_568, "2019-11-14T18:16:05.568Z"),
            (2_147_483_648_000, "2038-01-19T03:14:08.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(show(ms), text);
        }
    }

    #[test]
    fn reads_what_it_shows() {
        let mut at = -2_208_988_800_000;
        while at < 4_107_542_400_000 {
            assert_eq!(parse_utc(&show(at)), Some(at), "{}", show(at));
            at += 7 * DAY_MS + 12_345_678;
        }
        assert_eq!(parse("951782400000"), Ok(951_782_400_000));
        assert_eq!(parse("2000-02-29T00:00:00Z"), Ok(951_782_400_000));
        for bad in ["", "now", "2001-02-29T00:00:00Z", "2000-02-29", "2000-02-29T24:00:00Z", "-1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = date(-800_000);
        for day in -799_999..800_000 {
            let this = date(day);
            let next_day = (before.0, before.1, before.2 + 1);
            let next_month = (before.0, before.1 + 1, 1);
            let next_year = (before.0 + 1, 1, 1);
            assert!(this == next_day || this == next_month || this == next_year, "{day}: {this:?}");
            before = this;
        }
    }
}

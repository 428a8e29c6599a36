//! Times of arrival as the events and records of AWS write them. It reads no clock.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// When something arrived, milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrival(pub(crate) i64);

// Each source writes it in its own way, and a build may have one of them only.
#[cfg_attr(
    not(all(feature = "sqs", feature = "kinesis", feature = "dynamodb-streams")),
    allow(dead_code)
)]
impl Arrival {
    pub(crate) fn of(time: &DateTime) -> Option<Self> {
        time.to_millis().ok().map(Self)
    }

    /// `1545084650.987`: seconds, as the JSON number that a double is written as.
    pub(crate) fn seconds(self) -> String {
        let (seconds, millis) = (self.0.div_euclid(1000), self.0.rem_euclid(1000));
        let text = format!("{seconds}.{millis:03}");
        let shortest = text.trim_end_matches('0');
        if shortest.ends_with('.') { format!("{shortest}0") } else { shortest.to_owned() }
    }

    /// `2019-11-14T00:38:04.835Z`.
    pub(crate) fn text_with_millis(self) -> String {
        let millis = self.0.rem_euclid(1000);
        format!("{}.{millis:03}Z", self.without_zone())
    }

    /// `2019-11-14T00:38:04Z`.
    pub(crate) fn text(self) -> String {
        format!("{}Z", self.without_zone())
    }

    fn without_zone(self) -> String {
        let seconds = DateTime::from_secs(self.0.div_euclid(1000));
        // Only years beyond 9999 cannot be written so.
        let text = seconds.fmt(Format::DateTime).unwrap_or_else(|_| seconds.secs().to_string());
        text.trim_end_matches('Z').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_as_a_double_is() {
        for (millis, text) in [
            (1_545_084_650_987, "1545084650.987"),
            (1_545_084_650_980, "1545084650.98"),
            (1_545_084_650_007, "1545084650.007"),
            (1_545_084_650_000, "1545084650.0"),
        ] {
            assert_eq!(Arrival(millis).seconds(), text);
            let number: f64 = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&number).unwrap(), text);
        }
    }

    #[test]
    fn times_are_written_with_and_without_milliseconds() {
        let arrival = Arrival(1_573_691_884_830);
        assert_eq!(arrival.text_with_millis(), "2019-11-14T00:38:04.830Z");
        assert_eq!(arrival.text(), "2019-11-14T00:38:04Z");
    }
}

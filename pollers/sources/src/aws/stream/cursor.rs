//! A place in a shard, before or between records, and its text in a checkpoint. It does not know how it is read from there.

use std::cmp::Ordering;

use crate::{Position, SourceError};

/// Where a shard is read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// With the oldest record.
    TrimHorizon,
    /// With the next one that comes. Never in a checkpoint: it would be another place each time.
    Latest,
    /// With the first at or after this time, milliseconds since the Unix epoch.
    AtTimestamp(i64),
    /// With the record of this sequence number.
    At(String),
    /// With the one behind it.
    After(String),
}

const TRIM_HORIZON: &str = "trim-horizon";
const LATEST: &str = "latest";
const AT_TIMESTAMP: &str = "at-timestamp ";
const AT: &str = "at ";

impl Cursor {
    /// What follows `position`: the position of a record, or one that a seek has made.
    ///
    /// # Errors
    /// When it is neither.
    pub(crate) fn parse(position: &Position) -> Result<Self, SourceError> {
        let text = position.as_str();
        let cursor = if text == TRIM_HORIZON {
            Some(Self::TrimHorizon)
        } else if let Some(millis) = text.strip_prefix(AT_TIMESTAMP) {
            millis.parse().ok().map(Self::AtTimestamp)
        } else if let Some(number) = text.strip_prefix(AT) {
            is_sequence_number(number).then(|| Self::At(number.to_owned()))
        } else {
            is_sequence_number(text).then(|| Self::After(text.to_owned()))
        };
        cursor.ok_or_else(|| {
            SourceError::configuration(format!(
                "the checkpoint \"{text}\" is not one of this source; expected a sequence number: seek to start, end, a time or a sequence number"
            ))
        })
    }

    /// Its text: that of a checkpoint, and for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::TrimHorizon => TRIM_HORIZON.to_owned(),
            Self::Latest => LATEST.to_owned(),
            Self::AtTimestamp(millis) => format!("{AT_TIMESTAMP}{millis}"),
            Self::At(number) => format!("{AT}{number}"),
            Self::After(number) => number.clone(),
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position::new(&self.text())
    }
}

/// Digits only: other texts would be taken for other cursors.
pub(crate) fn is_sequence_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Sequence numbers as the numbers that they are; they do not fit into any integer.
pub(crate) fn compare(one: &str, other: &str) -> Ordering {
    let digits = |text| str::trim_start_matches(text, '0');
    let (one, other) = (digits(one), digits(other));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

//! How large a batch may become: by count, by bytes, by time (LS 4.2, 4.3). It does not know what is
//! in one.

use std::fmt;

use crate::Millis;

/// Most records of a batch that can be asked for (LS 4.2).
pub const BATCH_RECORDS_MAX: u32 = 10_000;

/// Records of a batch if nothing is asked for; the default of stream sources (LS 4.2).
pub const BATCH_RECORDS_DEFAULT: u32 = 100;

/// Bytes at which a batch is closed, metadata included (LS 4.3).
pub const BATCH_BYTES_MAX: u64 = 6 * 1024 * 1024;

/// Longest batching window that can be asked for, in milliseconds (LS 4.2).
pub const BATCH_WINDOW_MS_MAX: Millis = 300_000;

/// The limits of a batch. Whatever is reached first closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    records_max: u32,
    bytes_max: u64,
    window_ms: Millis,
    envelope_bytes: u64,
}

impl BatchLimits {
    /// `records_max` is 1..=[`BATCH_RECORDS_MAX`], `window_ms` 0..=[`BATCH_WINDOW_MS_MAX`].
    ///
    /// # Errors
    /// One [`OutOfRange`] for each that is not.
    pub fn new(records_max: u32, window_ms: Millis) -> Result<Self, Vec<OutOfRange>> {
        let mut wrong = Vec::new();
        let mut within = |name, value, min, max| {
            if value < min || value > max {
                wrong.push(OutOfRange { name, value, min, max });
            }
        };
        within("batch_records_max", records_max.into(), 1, BATCH_RECORDS_MAX.into());
        within("batch_window_ms", window_ms, 0, BATCH_WINDOW_MS_MAX);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self { records_max, bytes_max: BATCH_BYTES_MAX, window_ms, envelope_bytes: 0 })
    }

    /// The same with `envelope_bytes` of each payload that belong to no record.
    #[must_use]
    pub const fn with_envelope(self, envelope_bytes: u64) -> Self {
        Self { envelope_bytes, ..self }
    }

    /// The same with room in each payload for something of this length beside envelope and records.
    pub(crate) const fn with_room_for(self, bytes: u64) -> Self {
        Self { envelope_bytes: self.envelope_bytes.saturating_add(bytes), ..self }
    }

    /// The same with a payload of at most `bytes_max`, never above [`BATCH_BYTES_MAX`].
    #[must_use]
    pub fn with_bytes_max(self, bytes_max: u64) -> Self {
        Self { bytes_max: bytes_max.min(BATCH_BYTES_MAX), ..self }
    }

    /// Most records of a batch.
    #[must_use]
    pub const fn records_max(&self) -> u32 {
        self.records_max
    }

    /// Time from the first record of a batch to its closing, in milliseconds. 0: a batch is what one
    /// read gave.
    #[must_use]
    pub const fn window_ms(&self) -> Millis {
        self.window_ms
    }

    /// Bytes that all records of a batch and the separators between them may have.
    #[must_use]
    pub const fn records_bytes_max(&self) -> u64 {
        self.bytes_max.saturating_sub(self.envelope_bytes)
    }
}

/// A setting outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// The setting.
    pub name: &'static str,
    /// What was asked for.
    pub value: u64,
    /// The smallest that is allowed.
    pub min: u64,
    /// The largest that is allowed.
    pub max: u64,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, min, max } = self;
        write!(f, "{name} is {value}, expected {min}..={max}")
    }
}

impl std::error::Error for OutOfRange {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_are_lambdas() {
        for (records, window_ms) in [(1, 0), (10_000, 300_000)] {
            BatchLimits::new(records, window_ms).unwrap();
        }
        let wrong = BatchLimits::new(0, 300_001).unwrap_err();
        let says: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        assert_eq!(
            says,
            [
                "batch_records_max is 0, expected 1..=10000",
                "batch_window_ms is 300001, expected 0..=300000"
            ]
        );
        assert_eq!(BatchLimits::new(10_001, 0).unwrap_err().len(), 1);
    }

    #[test]
    fn no_payload_is_larger_than_a_synchronous_invocation_takes() {
        let limits = BatchLimits::new(1, 0).unwrap().with_bytes_max(u64::MAX).with_envelope(14);
        assert_eq!(limits.records_bytes_max(), 6 * 1024 * 1024 - 14);
    }
}

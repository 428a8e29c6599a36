//! Records that were read and not sent yet, and when they become a batch (LS 4.3). It does not know
//! whether one may be sent now.
//!
//! ```text
//! Empty      --read-->      Gathering
//! Gathering  --read-->      Gathering
//! Gathering  --count-->     cut         as many records as a batch may have
//! Gathering  --bytes-->     cut         the next record would make the payload too large
//! Gathering  --window-->    cut         the window of its first record is over
//! Gathering  --oversize-->  rejected    the first record is too large for any batch
//! ```
//!
//! The window starts with the first record of the batch. For streams Lambda starts it when the previous
//! invocation ends (LS 4.3), which makes a record of a quiet stream wait for any part of a window; for
//! one shard with one batch in flight the later start differs only by being predictable.

use std::collections::VecDeque;

use crate::{BatchLimits, Millis, RecordMeta, Sequence, Span};

/// What stands between two records in a payload, in bytes: a comma.
const SEPARATOR_BYTES: u64 = 1;

#[derive(Clone, Debug)]
pub(crate) struct Gather {
    limits: BatchLimits,
    records: VecDeque<Gathered>,
    first: Sequence,
    /// The records at the front that the next batch will hold, kept up to date with every read so
    /// that no step looks at all of them.
    prefix: Prefix,
    /// Bytes of all records.
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Gathered {
    bytes: u64,
    age_ms: u64,
    read_at: Millis,
}

#[derive(Clone, Copy, Debug, Default)]
struct Prefix {
    records: usize,
    bytes: u64,
    full: Option<Full>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Count,
    Bytes,
    Oversize,
}

/// The first records, which are a batch now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) records: Span,
    pub(crate) last_read_at: Millis,
    pub(crate) last_age_ms: u64,
}

impl Gather {
    pub(crate) const fn new(limits: BatchLimits) -> Self {
        let prefix = Prefix { records: 0, bytes: 0, full: None };
        Self { limits, records: VecDeque::new(), first: Sequence(0), prefix, bytes: 0 }
    }

    pub(crate) fn read(&mut self, now: Millis, records: &[RecordMeta]) {
        if records.is_empty() {
            return;
        }
        if self.records.is_empty() {
            transition!("Empty --read--> Gathering");
        } else {
            transition!("Gathering --read--> Gathering");
        }
        self.records.extend(records.iter().map(|&RecordMeta { bytes, age_ms }| Gathered {
            bytes,
            age_ms,
            read_at: now,
        }));
        let added = records.iter().fold(0, |sum: u64, record| sum.saturating_add(record.bytes));
        self.bytes = self.bytes.saturating_add(added);
        self.extend_prefix();
    }

    /// Takes the first record, with its length, if no batch can hold it.
    pub(crate) fn reject(&mut self) -> Option<(Sequence, u64)> {
        if self.prefix.full != Some(Full::Oversize) {
            return None;
        }
        transition!("Gathering --oversize--> rejected");
        let record = self.first;
        self.take(1).map(|gathered| (record, gathered.bytes))
    }

    /// Takes the next batch, if it is time.
    pub(crate) fn cut(&mut self, now: Millis) -> Option<Cut> {
        match self.prefix.full {
            Some(Full::Count) => transition!("Gathering --count--> cut"),
            Some(Full::Bytes) => transition!("Gathering --bytes--> cut"),
            None if self.window_end().is_some_and(|end| end <= now) => {
                transition!("Gathering --window--> cut");
            }
            Some(Full::Oversize) | None => return None,
        }
        let first = self.first;
        let last = self.take(self.prefix.records)?;
        let records = Span { first, end: self.first };
        Some(Cut { records, last_read_at: last.read_at, last_age_ms: last.age_ms })
    }

    /// When a batch will be cut that is not full until then.
    pub(crate) fn window_end(&self) -> Option<Millis> {
        let first = self.records.front()?;
        self.prefix.full.is_none().then(|| first.read_at.saturating_add(self.limits.window_ms()))
    }

    /// How many records, and how many bytes, the batch still has room for. At least one of each.
    pub(crate) fn room(&self) -> (u32, u64) {
        let gathered = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        let records = self.limits.records_max().saturating_sub(gathered).max(1);
        let separators = SEPARATOR_BYTES * u64::from(gathered);
        let used = self.bytes.saturating_add(separators);
        (records, self.limits.records_bytes_max().saturating_sub(used).max(1))
    }

    /// Forgets everything, because the shard stops.
    pub(crate) fn clear(&mut self) -> u64 {
        let count = self.count();
        *self = Self { first: self.end(), ..Self::new(self.limits) };
        count
    }

    pub(crate) fn count(&self) -> u64 {
        self.records.len() as u64
    }

    /// The first record that was not sent.
    pub(crate) const fn first(&self) -> Sequence {
        self.first
    }

    /// The place of the record that will be read next.
    pub(crate) fn end(&self) -> Sequence {
        self.first.plus(self.count())
    }

    /// Takes the first `count` records and returns the last of them.
    fn take(&mut self, count: usize) -> Option<Gathered> {
        let taken = self.records.drain(..count.min(self.records.len()));
        let (mut number, mut bytes, mut last) = (0, 0_u64, None);
        for record in taken {
            number += 1;
            bytes = bytes.saturating_add(record.bytes);
            last = Some(record);
        }
        self.first = self.first.plus(number);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.prefix = Prefix::default();
        self.extend_prefix();
        last
    }

    /// Puts records into the prefix until it is full or there are no more.
    fn extend_prefix(&mut self) {
        let bytes_max = self.limits.records_bytes_max();
        while self.prefix.full.is_none()
            && let Some(record) = self.records.get(self.prefix.records)
        {
            let separator = if self.prefix.records == 0 { 0 } else { SEPARATOR_BYTES };
            let bytes = self.prefix.bytes.saturating_add(separator).saturating_add(record.bytes);
            if bytes > bytes_max {
                let alone = self.prefix.records == 0;
                self.prefix.full = Some(if alone { Full::Oversize } else { Full::Bytes });
                return;
            }
            self.prefix.records += 1;
            self.prefix.bytes = bytes;
            if self.prefix.records as u64 >= u64::from(self.limits.records_max()) {
                self.prefix.full = Some(Full::Count);
            } else if bytes == bytes_max {
                self.prefix.full = Some(Full::Bytes);
            }
        }
    }
}

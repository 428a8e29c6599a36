//! What a poller tells of a mapping: what it waits for, its shards, and counts. Nothing is decided by it.

use crate::Millis;

/// Something of a mapping that is counted (LS 7). The order is that of the stored counts: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Records read.
    PolledEvents,
    /// Records that no filter let pass.
    FilteredOutEvents,
    /// Records sent to the function, each time again.
    InvokedEvents,
    /// Records sent that failed.
    FailedInvokeEvents,
    /// Records given up without a destination that has them.
    DroppedEvents,
    /// Records given up whose failure record a destination has.
    OnFailureDeliveredEvents,
    /// Records deleted in the source.
    DeletedEvents,
    /// Records whose place was committed.
    CommittedEvents,
    /// Reads that failed.
    PollingErrors,
    /// Invocations that failed.
    InvokeErrors,
    /// Checkpoints or acknowledgements that failed.
    CommitErrors,
    /// Tries to deliver a failure record that failed.
    OnFailureDeliveryErrors,
    /// Invocations put off for lack of concurrency or workers.
    Throttles,
    /// Records set aside behind their key.
    ParkedEvents,
    /// Times that the source was connected to anew.
    Reconnects,
    /// Times that records may have been lost in the source or come twice.
    SourceGaps,
}

/// Number of [`Count`]s.
const COUNTS: usize = Count::SourceGaps as usize + 1;

/// One number for each [`Count`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; COUNTS]);

impl Counts {
    /// In the order of [`Count`]; numbers that are missing are 0, and those of a later release are left out.
    #[must_use]
    pub fn from_list(list: &[u64]) -> Self {
        let mut counts = Self::default();
        counts.0.iter_mut().zip(list).for_each(|(count, value)| *count = *value);
        counts
    }

    /// In the order of [`Count`].
    #[must_use]
    pub fn list(&self) -> &[u64] {
        &self.0
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize]
    }

    /// Sets one of them.
    pub fn set(&mut self, count: Count, value: u64) {
        self.0[count as usize] = value;
    }

    /// Adds all of them; a poller that counts nonsense ends at the largest number.
    pub fn add(&mut self, added: &Self) {
        for (total, added) in self.0.iter_mut().zip(added.0) {
            *total = total.saturating_add(added);
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == [0; COUNTS]
    }
}

/// What a poller tells of a mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// A sentence.
    pub waiting_for: Box<str>,
    /// A code if the source cannot be used (LS 4.1), else empty.
    pub problem: Box<str>,
    /// What is wrong, or empty.
    pub error: Box<str>,
    /// `OK` and the like (LS 4.1).
    pub last_processing_result: Box<str>,
    /// All shards that are read now.
    pub shards: Vec<ShardStatus>,
    /// When it is tried again.
    pub until: Option<Millis>,
    /// The mapping reads its source.
    pub live: bool,
}

/// What a poller tells of a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardStatus {
    /// The source's name for it.
    pub shard: Box<str>,
    /// What was settled last, as the poller knows it.
    pub checkpoint: Box<str>,
    /// Records beyond it, if the source can tell.
    pub lag_records: Option<u64>,
    /// Age of the last record of the newest batch.
    pub iterator_age_ms: Option<u64>,
    /// What it does.
    pub phase: Box<str>,
}

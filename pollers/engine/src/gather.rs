//! When records that wait become a batch (LS 4.3). It does not know which ones, nor whether a batch may
//! be sent now.
//!
//! ```text
//! Gathering  --count-->   Due        as many records as a batch may have
//! Gathering  --bytes-->   Due        more would make the payload too large
//! Gathering  --window-->  Due        the window is over
//! Gathering  --flush-->   Due        nothing follows: the shard has ended
//! Due        --cut-->     Gathering  what is left waits for its own turn
//! Due        --part-->    Due        the batch had to leave records to others that are due with it
//! ```

use crate::{BatchLimits, Millis, Settings, WindowStart};

#[derive(Debug)]
pub(crate) struct Gather {
    start: WindowStart,
    /// Several batches of the shard may run at a time.
    side_by_side: bool,
    /// When the last batch of the shard ended, or the shard was opened.
    last_end: Millis,
    /// Records that are due and could not go into the last batch.
    due: u64,
}

/// What waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) records: u64,
    /// In a payload, separators included.
    pub(crate) bytes: u64,
    /// When the oldest of them was read.
    pub(crate) read_at: Millis,
    /// No more records follow on these in the same batch.
    pub(crate) is_last: bool,
}

impl Gather {
    pub(crate) const fn new(now: Millis, settings: &Settings) -> Self {
        let side_by_side = settings.batches_per_shard_max > 1;
        Self { start: settings.window_start, side_by_side, last_end: now, due: 0 }
    }

    /// Whether a batch is to be cut now.
    pub(crate) fn is_due(&mut self, now: Millis, limits: &BatchLimits, waiting: Waiting) -> bool {
        if waiting.records == 0 {
            self.due = 0;
            return false;
        }
        if self.due > 0 {
            return true;
        }
        if waiting.records >= u64::from(limits.records_max()) {
            transition!("Gathering --count--> Due");
            self.due = limits.records_max().into();
        } else if waiting.bytes >= limits.records_bytes_max() {
            transition!("Gathering --bytes--> Due");
            self.due = waiting.records;
        } else if self.window_end(limits, waiting.read_at) <= now {
            transition!("Gathering --window--> Due");
            self.due = waiting.records;
        } else if waiting.is_last {
            transition!("Gathering --flush--> Due");
            self.due = waiting.records;
        }
        self.due > 0
    }

    /// A batch of this many records was cut; `part` if it had to leave lanes to other batches.
    pub(crate) fn cut(&mut self, records: u64, part: bool) {
        if part && self.due > records {
            transition!("Due --part--> Due");
            self.due -= records;
        } else {
            transition!("Due --cut--> Gathering");
            self.due = 0;
        }
    }

    /// A batch of the shard has ended.
    pub(crate) const fn batch_ended(&mut self, now: Millis) {
        self.last_end = now;
    }

    /// When a batch is cut at the latest whose first record was read at `read_at`.
    pub(crate) fn window_end(&self, limits: &BatchLimits, read_at: Millis) -> Millis {
        let start = match self.start {
            WindowStart::FirstRecord => read_at,
            WindowStart::PreviousBatchEnd if self.side_by_side => self.last_end.min(read_at),
            WindowStart::PreviousBatchEnd => self.last_end,
        };
        start.saturating_add(limits.window_ms())
    }
}

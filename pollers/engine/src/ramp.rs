//! How concurrency grows while there is backlog, and falls with function errors (LS 4.5). It does not
//! know what runs.
//!
//! ```text
//! Level  --grow-->   Level  all permits are taken: 300 a minute more
//! Level  --error-->  Level  a tenth less; never with partial answers
//! Level  --idle-->   Level  as at the start
//! ```

use crate::{Millis, Ramp};

/// After so long without a batch the mapping begins again with few.
const IDLE_MS: Millis = 60_000;

/// Function errors lower concurrency to no less than this (LS 4.5: as low as 2).
const FLOOR: u32 = 2;

const MINUTE_MS: u64 = 60_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Climb {
    ramp: Ramp,
    level: u32,
    /// When the present step of growth began. `None`: permits are free, nothing grows.
    since: Option<Millis>,
    last_busy: Millis,
}

impl Climb {
    pub(crate) const fn new(ramp: Ramp) -> Self {
        let start = if ramp.start == 0 { 1 } else { ramp.start };
        let ceiling = if ramp.ceiling < start { start } else { ramp.ceiling };
        let ramp = Ramp { start, ceiling, ..ramp };
        Self { ramp, level: start, since: None, last_busy: 0 }
    }

    pub(crate) const fn level(&self) -> u32 {
        self.level
    }

    const fn step_ms(&self) -> Millis {
        let per_minute = if self.ramp.per_minute == 0 { 1 } else { self.ramp.per_minute as u64 };
        let step_ms = MINUTE_MS / per_minute;
        if step_ms == 0 { 1 } else { step_ms }
    }

    /// Looks at what is in flight. Whether the level changed.
    pub(crate) fn look(&mut self, now: Millis, in_flight: u32) -> bool {
        let before = self.level;
        if in_flight > 0 {
            self.last_busy = now;
        } else if now.saturating_sub(self.last_busy) >= IDLE_MS && self.level != self.ramp.start {
            transition!("Level --idle--> Level");
            self.level = self.ramp.start;
        }
        let is_full = in_flight >= self.level && self.level < self.ramp.ceiling;
        self.since = if is_full { self.grow(now) } else { None };
        self.level != before
    }

    fn grow(&mut self, now: Millis) -> Option<Millis> {
        let since = self.since.unwrap_or(now);
        let steps = now.saturating_sub(since) / self.step_ms();
        if steps > 0 {
            transition!("Level --grow--> Level");
            // Permits were all taken when the step began; how many more would have been taken is not known.
            self.level = self.level.saturating_add(1).min(self.ramp.ceiling);
            return Some(now);
        }
        Some(since)
    }

    /// The function failed.
    pub(crate) fn failed(&mut self) {
        let floor = FLOOR.min(self.ramp.start);
        let lower = self.level.saturating_sub((self.level / 10).max(1)).max(floor);
        if lower != self.level {
            transition!("Level --error--> Level");
            self.level = lower;
        }
    }

    pub(crate) fn until(&self) -> Option<Millis> {
        self.since.map(|since| since.saturating_add(self.step_ms()))
    }
}

//! Whether the function can be reached, and how many batches may try (LS 4.3: what does not reach it spends
//! no retry). It does not know batches.
//!
//! ```text
//! Open     --refused-->  Narrow   others run: as many as those may run
//! Narrow   --refused-->  Narrow
//! Narrow   --reached-->  Narrow   one more may run
//! Narrow   --wide-->     Open     as many as the mapping may have
//! Open     --blocked-->  Shut     nothing runs: wait
//! Narrow   --blocked-->  Shut
//! Shut     --due-->      Probing  one batch may try
//! Probing  --blocked-->  Shut     wait longer
//! Probing  --reached-->  Narrow   two may run, then more
//! ```
//!
//! Opening at once to the full width was rejected: a function with room for five would be asked a thousand
//! times for every batch that ends.

use crate::{Backoff, Millis};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    state: State,
    backoff: Backoff,
    salt: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Narrow { width: u32 },
    Shut { until: Millis, failures: u32 },
    Probing { failures: u32 },
}

impl Gate {
    pub(crate) const fn new(backoff: Backoff, salt: u64) -> Self {
        Self { state: State::Open, backoff, salt }
    }

    /// A batch reached the function, `others` run. Whether it had not been reached before.
    pub(crate) fn reached(&mut self, others: u32, full: u32) -> bool {
        let (width, opened) = match self.state {
            State::Open => return false,
            State::Narrow { width } => {
                transition!("Narrow --reached--> Narrow");
                (width.saturating_add(1), false)
            }
            State::Probing { .. } | State::Shut { .. } => {
                transition!("Probing --reached--> Narrow");
                (others.saturating_add(2), true)
            }
        };
        self.state = State::Narrow { width };
        if width >= full {
            transition!("Narrow --wide--> Open");
            self.state = State::Open;
        }
        opened
    }

    /// A batch did not reach it, `others` run. When the next one tries, if nothing runs.
    pub(crate) fn not_reached(&mut self, now: Millis, others: u32) -> Option<Millis> {
        let failures = match self.state {
            State::Probing { failures } | State::Shut { failures, .. } => failures,
            State::Open | State::Narrow { .. } => 0,
        };
        if others > 0 {
            let width = match self.state {
                State::Narrow { width } => {
                    transition!("Narrow --refused--> Narrow");
                    width.min(others)
                }
                State::Open => {
                    transition!("Open --refused--> Narrow");
                    others
                }
                State::Shut { .. } | State::Probing { .. } => return None,
            };
            self.state = State::Narrow { width };
            return None;
        }
        match self.state {
            State::Open => transition!("Open --blocked--> Shut"),
            State::Narrow { .. } => transition!("Narrow --blocked--> Shut"),
            State::Shut { .. } | State::Probing { .. } => transition!("Probing --blocked--> Shut"),
        }
        let failures = failures.saturating_add(1);
        let until = now.saturating_add(self.backoff.wait_ms(failures, self.salt));
        self.state = State::Shut { until, failures };
        Some(until)
    }

    /// Whether one batch may try from now on.
    pub(crate) fn due(&mut self, now: Millis) -> bool {
        match self.state {
            State::Shut { until, failures } if until <= now => {
                transition!("Shut --due--> Probing");
                self.state = State::Probing { failures };
                true
            }
            _ => false,
        }
    }

    pub(crate) const fn width(&self) -> u32 {
        match self.state {
            State::Open => u32::MAX,
            State::Narrow { width } => width,
            State::Shut { .. } => 0,
            State::Probing { .. } => 1,
        }
    }

    pub(crate) const fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    pub(crate) const fn until(&self) -> Option<Millis> {
        match self.state {
            State::Shut { until, .. } => Some(until),
            _ => None,
        }
    }
}

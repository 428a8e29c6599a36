//! The connection to the source. It does not know shards or records.
//!
//! ```text
//! Down        --due-->   Connecting  effect Connect
//! Connecting  --back-->  Up
//! Connecting  --gone-->  Down        tried again after a wait that grows
//! Up          --gone-->  Down
//! ```

use crate::{Backoff, Millis};

#[derive(Debug)]
pub(crate) struct Link {
    state: State,
    failures: u32,
    backoff: Backoff,
    salt: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down { until: Millis },
    Connecting,
    Up,
}

impl Link {
    pub(crate) const fn new(backoff: Backoff, salt: u64) -> Self {
        Self { state: State::Down { until: 0 }, failures: 0, backoff, salt }
    }

    /// Whether the wait of a source that is down is over; the caller connects then.
    pub(crate) fn due(&mut self, now: Millis) -> bool {
        let due = matches!(self.state, State::Down { until } if until <= now);
        if due {
            transition!("Down --due--> Connecting");
            self.state = State::Connecting;
        }
        due
    }

    /// Whether this was waited for.
    pub(crate) fn back(&mut self) -> bool {
        if self.state != State::Connecting {
            return false;
        }
        transition!("Connecting --back--> Up");
        self.state = State::Up;
        true
    }

    /// When it is tried again. `None`: it is gone already.
    pub(crate) fn gone(&mut self, now: Millis) -> Option<Millis> {
        match self.state {
            State::Down { .. } => return None,
            State::Connecting => transition!("Connecting --gone--> Down"),
            State::Up => transition!("Up --gone--> Down"),
        }
        self.failures = self.failures.saturating_add(1);
        let until = now.saturating_add(self.backoff.wait_ms(self.failures, self.salt));
        self.state = State::Down { until };
        Some(until)
    }

    /// A read succeeded: only that proves that the source works, a connection alone does not.
    pub(crate) const fn works(&mut self) {
        self.failures = 0;
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    pub(crate) const fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting)
    }

    pub(crate) const fn until(&self) -> Option<Millis> {
        match self.state {
            State::Down { until } => Some(until),
            _ => None,
        }
    }
}

//! The source as the shard sees it: connected or not, asked or not. It does not know what was read.
//!
//! ```text
//! Down        --due-->         Connecting   effect Connect
//! Connecting  --back-->        Ready
//! Connecting  --gone-->        Down         for a wait that grows
//! Ready       --ask-->         Asked        effect Receive
//! Ready       --gone-->        Down
//! Asked       --read-->        Ready
//! Asked       --read early-->  Resting      nothing, although the wait was not over
//! Asked       --gone-->        Down
//! Resting     --due-->         Ready
//! Resting     --gone-->        Down
//! ```
//!
//! The waits grow until a read succeeds, not until a connection does: a source that connects and
//! breaks at once is not hammered.

use crate::{Backoff, Millis};

/// Shortest time between two reads that find nothing, in milliseconds, whatever the source does: one
/// that returns at once instead of waiting must not make the shard spin.
const REST_MS: Millis = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    state: State,
    failures: u32,
    reconnect: Backoff,
    salt: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down { until: Millis },
    Connecting,
    Ready,
    Asked { at: Millis, wait_ms: Millis },
    Resting { until: Millis },
}

/// What a `gone` or `back` that nobody expected does: nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfTurn;

impl Link {
    pub(crate) const fn new(reconnect: Backoff, salt: u64) -> Self {
        Self { state: State::Down { until: 0 }, failures: 0, reconnect, salt }
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

    pub(crate) fn back(&mut self) -> Result<(), OutOfTurn> {
        if self.state != State::Connecting {
            return Err(OutOfTurn);
        }
        transition!("Connecting --back--> Ready");
        self.state = State::Ready;
        Ok(())
    }

    /// When it is tried again.
    pub(crate) fn gone(&mut self, now: Millis) -> Result<Millis, OutOfTurn> {
        match self.state {
            State::Down { .. } => return Err(OutOfTurn),
            State::Connecting => transition!("Connecting --gone--> Down"),
            State::Ready => transition!("Ready --gone--> Down"),
            State::Asked { .. } => transition!("Asked --gone--> Down"),
            State::Resting { .. } => transition!("Resting --gone--> Down"),
        }
        self.failures = self.failures.saturating_add(1);
        let until = now + self.reconnect.wait_ms(self.failures, self.salt);
        self.state = State::Down { until };
        Ok(until)
    }

    /// Whether the source may be asked now.
    pub(crate) fn ready(&mut self, now: Millis) -> bool {
        if matches!(self.state, State::Resting { until } if until <= now) {
            transition!("Resting --due--> Ready");
            self.state = State::Ready;
        }
        self.state == State::Ready
    }

    /// Notes that a ready source was asked.
    pub(crate) fn asked(&mut self, now: Millis, wait_ms: Millis) {
        debug_assert_eq!(self.state, State::Ready);
        transition!("Ready --ask--> Asked");
        self.state = State::Asked { at: now, wait_ms };
    }

    /// Notes the answer.
    pub(crate) fn read(&mut self, now: Millis, nothing: bool) -> Result<(), OutOfTurn> {
        let State::Asked { at, wait_ms } = self.state else { return Err(OutOfTurn) };
        self.failures = 0;
        let until = at + wait_ms.min(REST_MS);
        self.state = if nothing && now < until {
            transition!("Asked --read early--> Resting");
            State::Resting { until }
        } else {
            transition!("Asked --read--> Ready");
            State::Ready
        };
        Ok(())
    }

    /// Whether the shell owes an answer.
    pub(crate) const fn awaits_answer(&self) -> bool {
        matches!(self.state, State::Connecting | State::Asked { .. })
    }

    pub(crate) const fn connecting(&self) -> bool {
        matches!(self.state, State::Connecting)
    }

    pub(crate) const fn down_until(&self) -> Option<Millis> {
        match self.state {
            State::Down { until } => Some(until),
            _ => None,
        }
    }

    pub(crate) const fn resting_until(&self) -> Option<Millis> {
        match self.state {
            State::Resting { until } => Some(until),
            _ => None,
        }
    }
}

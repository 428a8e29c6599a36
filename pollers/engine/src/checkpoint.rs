//! How far a shard is durably settled, where its source is told by checkpoints. It does not know why
//! records have ended.
//!
//! ```text
//! Idle     --store-->   Storing  effect StoreCheckpoint, as far as records have ended now
//! Storing  --stored-->  Idle
//! Storing  --failed-->  Waiting
//! Waiting  --due-->     Idle     stored again, as far as records have ended then
//! Waiting  --end-->     Idle     given up: the shard ends, and these records come again
//! ```
//!
//! Nothing waits for it: while one checkpoint is under way batches end, and the next one takes all of
//! them. How much may come again after a crash is bounded by the lookahead, not by this machine.

use crate::{Backoff, Millis, Sequence, Ticket};

#[derive(Debug)]
pub(crate) struct Checkpoint {
    state: State,
    /// Everything before this record is durable.
    stored: Sequence,
    /// Storing as far as this was given up.
    given_up: Sequence,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Storing { ticket: Ticket, end: Sequence },
    Waiting { until: Millis },
}

impl Checkpoint {
    pub(crate) const fn new() -> Self {
        Self { state: State::Idle, stored: Sequence(0), given_up: Sequence(0), failures: 0 }
    }

    /// Whether something is to be stored now.
    pub(crate) fn is_due(&mut self, now: Millis, mark: Sequence, changed: bool) -> bool {
        if matches!(self.state, State::Waiting { until } if until <= now) {
            transition!("Waiting --due--> Idle");
            self.state = State::Idle;
        }
        self.state == State::Idle && (mark > self.stored.max(self.given_up) || changed)
    }

    /// Everything before `mark` is being stored.
    pub(crate) fn store(&mut self, ticket: Ticket, mark: Sequence) {
        debug_assert_eq!(self.state, State::Idle);
        transition!("Idle --store--> Storing");
        self.state = State::Storing { ticket, end: mark.max(self.stored) };
    }

    /// What is durable now, and how much that adds. `None`: nobody waits for this.
    pub(crate) fn stored(&mut self, answered: Ticket) -> Option<(Sequence, u64)> {
        let State::Storing { ticket, end } = self.state else { return None };
        if ticket != answered {
            return None;
        }
        transition!("Storing --stored--> Idle");
        let end = end.max(self.stored);
        let added = end.0 - self.stored.0;
        (self.state, self.stored, self.failures) = (State::Idle, end, 0);
        Some((end, added))
    }

    /// When it is tried again. `None`: nobody waits for this.
    pub(crate) fn failed(
        &mut self,
        now: Millis,
        answered: Ticket,
        backoff: Backoff,
        salt: u64,
    ) -> Option<Millis> {
        if !matches!(self.state, State::Storing { ticket, .. } if ticket == answered) {
            return None;
        }
        transition!("Storing --failed--> Waiting");
        self.failures = self.failures.saturating_add(1);
        let until = now.saturating_add(backoff.wait_ms(self.failures, salt));
        self.state = State::Waiting { until };
        Some(until)
    }

    /// Gives up what waits to be stored again. Whether there was anything.
    pub(crate) fn give_up(&mut self, mark: Sequence) -> bool {
        let waits = matches!(self.state, State::Waiting { .. });
        if waits {
            transition!("Waiting --end--> Idle");
            (self.state, self.given_up) = (State::Idle, mark);
        }
        waits
    }

    /// Everything before `mark` that is not durable comes again, under other sequences.
    pub(crate) fn void(&mut self, mark: Sequence) {
        self.stored = mark;
    }

    pub(crate) const fn is_storing(&self) -> bool {
        matches!(self.state, State::Storing { .. })
    }

    pub(crate) const fn until(&self) -> Option<Millis> {
        match self.state {
            State::Waiting { until } => Some(until),
            _ => None,
        }
    }

    /// Everything before this record is durable or being stored.
    pub(crate) const fn asked(&self) -> Sequence {
        match self.state {
            State::Storing { end, .. } => end,
            _ => self.stored,
        }
    }
}

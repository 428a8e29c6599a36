//! How far the stream has ended, and how far that is durable. It does not know batches.
//!
//! ```text
//! Clean    --ended-->   Storing     effect StoreCheckpoint
//! Storing  --stored-->  Clean
//! Storing  --failed-->  Waiting
//! Waiting  --due-->     Storing     effect StoreCheckpoint
//! Waiting  --stop-->    Abandoned   these records come again after the next start
//! ```
//!
//! Nothing is sent unless this machine is clean, so that never more than one batch is sent again
//! after a crash. Sending the next batch while the checkpoint is being stored was rejected: it wins one
//! fsync a batch and costs a second batch of duplicates for every crash.

use crate::{Backoff, Millis, Sequence, Span, Verdict};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoint {
    state: State,
    /// Records before this one have ended and are durably so.
    stored: Sequence,
    failures: u32,
    backoff: Backoff,
    salt: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Clean,
    Storing(Ended),
    Waiting { ended: Ended, until: Millis },
    Abandoned(Ended),
}

/// Records that ended, all in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) records: Span,
    pub(crate) verdict: Verdict,
}

/// An answer that nobody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfTurn;

impl Checkpoint {
    pub(crate) const fn new(backoff: Backoff, salt: u64) -> Self {
        Self { state: State::Clean, stored: Sequence(0), failures: 0, backoff, salt }
    }

    /// Notes that the records right after the stored ones have ended; the caller has them stored.
    pub(crate) fn ended(&mut self, ended: Ended) {
        debug_assert!(self.is_clean() && ended.records.first == self.stored);
        transition!("Clean --ended--> Storing");
        self.state = State::Storing(ended);
    }

    /// The records that are durable now.
    pub(crate) fn stored(&mut self) -> Result<Span, OutOfTurn> {
        let State::Storing(Ended { records, .. }) = self.state else { return Err(OutOfTurn) };
        transition!("Storing --stored--> Clean");
        self.state = State::Clean;
        self.stored = records.end;
        self.failures = 0;
        Ok(records)
    }

    /// When it is tried again.
    pub(crate) fn failed(&mut self, now: Millis) -> Result<Millis, OutOfTurn> {
        let State::Storing(ended) = self.state else { return Err(OutOfTurn) };
        self.failures = self.failures.saturating_add(1);
        let until = now + self.backoff.wait_ms(self.failures, self.salt);
        transition!("Storing --failed--> Waiting");
        self.state = State::Waiting { ended, until };
        Ok(until)
    }

    /// What is to be stored again, if its wait is over.
    pub(crate) fn due(&mut self, now: Millis) -> Option<Ended> {
        match self.state {
            State::Waiting { ended, until } if until <= now => {
                transition!("Waiting --due--> Storing");
                self.state = State::Storing(ended);
                Some(ended)
            }
            _ => None,
        }
    }

    /// Gives up what waits to be stored, because the shard stops.
    pub(crate) fn give_up(&mut self) -> Option<Span> {
        let State::Waiting { ended, .. } = self.state else { return None };
        transition!("Waiting --stop--> Abandoned");
        self.state = State::Abandoned(ended);
        Some(ended.records)
    }

    pub(crate) const fn is_clean(&self) -> bool {
        matches!(self.state, State::Clean)
    }

    pub(crate) const fn is_storing(&self) -> bool {
        matches!(self.state, State::Storing(_))
    }

    pub(crate) const fn waiting_until(&self) -> Option<Millis> {
        match self.state {
            State::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Records before this one have ended and are durably so.
    pub(crate) const fn stored_end(&self) -> Sequence {
        self.stored
    }

    /// Records before this one have ended.
    pub(crate) const fn ended_end(&self) -> Sequence {
        match self.state {
            State::Clean => self.stored,
            State::Storing(ended) | State::Waiting { ended, .. } | State::Abandoned(ended) => {
                ended.records.end
            }
        }
    }
}

//! The one batch that is being invoked or waits to be invoked again. It does not know how it became a
//! batch, nor what its end means for the checkpoint.
//!
//! ```text
//! Idle     --start-->        Running   effect Invoke, attempt 1
//! Running  --succeeded-->    Idle      its records have ended
//! Running  --failed-->       Waiting   the attempt is spent
//! Running  --not reached-->  Waiting   the attempt is not spent
//! Waiting  --due-->          Running   effect Invoke
//! Waiting  --stop-->         Idle      given up: read again after the next start
//! ```

use crate::{Answer, BatchId, Delay, Millis, Settings, Span};

/// A batch on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) records: Span,
    /// When its last record was read, and how old that was then: its age at any later time.
    pub(crate) last_read_at: Millis,
    pub(crate) last_age_ms: u64,
}

impl Batch {
    pub(crate) const fn age_ms(&self, now: Millis) -> u64 {
        self.last_age_ms.saturating_add(now.saturating_sub(self.last_read_at))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    state: State,
    next_id: BatchId,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Running(Tries),
    Waiting { tries: Tries, until: Millis },
}

/// A batch and what became of its attempts so far.
#[derive(Clone, Copy, Debug)]
struct Tries {
    batch: Batch,
    /// The number of the attempt that runs or comes next: 1 + function errors so far.
    attempt: u32,
    /// Times in a row that the function was not reached.
    delays: u32,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ended(Batch),
    Failed {
        batch: Batch,
        attempt: u32,
        retry_at: Millis,
    },
    Delayed {
        batch: Batch,
        delay: Delay,
        retry_at: Millis,
    },
    /// No such batch is running.
    OutOfTurn,
}

impl Flight {
    pub(crate) const fn new() -> Self {
        Self { state: State::Idle, next_id: BatchId(0) }
    }

    /// Makes these records the batch that is running.
    pub(crate) fn start(&mut self, records: Span, last_read_at: Millis, last_age_ms: u64) -> Batch {
        debug_assert!(self.is_idle());
        let batch = Batch { id: self.next_id, records, last_read_at, last_age_ms };
        self.next_id = BatchId(batch.id.0 + 1);
        transition!("Idle --start--> Running");
        self.state = State::Running(Tries { batch, attempt: 1, delays: 0 });
        batch
    }

    pub(crate) fn answered(
        &mut self,
        now: Millis,
        id: BatchId,
        answer: Answer,
        settings: &Settings,
    ) -> Outcome {
        let State::Running(tries) = self.state else { return Outcome::OutOfTurn };
        if tries.batch.id != id {
            return Outcome::OutOfTurn;
        }
        let delay = match answer {
            Answer::Succeeded => {
                transition!("Running --succeeded--> Idle");
                self.state = State::Idle;
                return Outcome::Ended(tries.batch);
            }
            Answer::FunctionFailed => return self.failed(now, tries, settings),
            Answer::Throttled => Delay::Throttled,
            Answer::NoCapacity => Delay::NoCapacity,
            Answer::Refused => Delay::Refused,
            Answer::Lost => Delay::Lost,
        };
        self.delayed(now, tries, delay, settings)
    }

    fn failed(&mut self, now: Millis, tries: Tries, settings: &Settings) -> Outcome {
        let Tries { batch, attempt, .. } = tries;
        let until = now + settings.function_errors.wait_ms(attempt, settings.salt);
        transition!("Running --failed--> Waiting");
        let tries = Tries { batch, attempt: attempt.saturating_add(1), delays: 0 };
        self.state = State::Waiting { tries, until };
        Outcome::Failed { batch, attempt, retry_at: until }
    }

    fn delayed(&mut self, now: Millis, tries: Tries, delay: Delay, settings: &Settings) -> Outcome {
        let delays = tries.delays.saturating_add(1);
        let until = now + settings.not_reached.wait_ms(delays, settings.salt);
        transition!("Running --not reached--> Waiting");
        self.state = State::Waiting { tries: Tries { delays, ..tries }, until };
        Outcome::Delayed { batch: tries.batch, delay, retry_at: until }
    }

    /// The batch whose wait is over and which attempt comes now; it is running from here on.
    pub(crate) fn due(&mut self, now: Millis) -> Option<(Batch, u32)> {
        match self.state {
            State::Waiting { tries, until } if until <= now => {
                transition!("Waiting --due--> Running");
                self.state = State::Running(tries);
                Some((tries.batch, tries.attempt))
            }
            _ => None,
        }
    }

    /// Gives up a batch that waits, because the shard stops.
    pub(crate) fn give_up(&mut self) -> Option<Batch> {
        let State::Waiting { tries, .. } = self.state else { return None };
        transition!("Waiting --stop--> Idle");
        self.state = State::Idle;
        Some(tries.batch)
    }

    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// The batch that is running, and its attempt.
    pub(crate) const fn running(&self) -> Option<(Batch, u32)> {
        match self.state {
            State::Running(tries) => Some((tries.batch, tries.attempt)),
            _ => None,
        }
    }

    /// The batch that waits, the attempt that comes next, and when.
    pub(crate) const fn waiting(&self) -> Option<(Batch, u32, Millis)> {
        match self.state {
            State::Waiting { tries, until } => Some((tries.batch, tries.attempt, until)),
            _ => None,
        }
    }
}

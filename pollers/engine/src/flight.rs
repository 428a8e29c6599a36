//! One batch, the pieces it was split into, and what an answer means for them (LS 4.3, 4.5, 4.6, 4.8). It
//! does not know where its records come from nor who is told of their end.
//!
//! ```text
//! Waiting  --send-->         Running  effect Invoke
//! Running  --succeeded-->    Waiting  the piece has ended; the next one, if there is one, is due at once
//! Running  --advanced-->     Waiting  the piece has ended up to the first record that was not taken; the retries start again
//! Running  --split-->        Waiting  in two; no retry is spent
//! Running  --failed-->       Waiting  a retry is spent
//! Running  --exhausted-->    Waiting  no retry is left; the next piece is due at once
//! Running  --given back-->   Waiting  the source sends its records again
//! Running  --not reached-->  Waiting  no retry is spent
//! ```
//!
//! The pieces of a batch run one after the other, first half first. Where no order is kept they could run side by
//! side; then one poisoned batch would take many permits of a function that fails.

use std::collections::HashSet;

use crate::{BatchId, Millis, Origin, RetriedBy, Sequence, Settings, Settling};

#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) origin: Origin,
    pub(crate) kind: Kind,
    /// The one that runs or comes next is the last. Empty: the batch is over.
    pieces: Vec<Vec<Sequence>>,
    /// The number of the attempt that runs or comes next.
    attempt: u32,
    pub(crate) state: State,
    /// The last answer was that the function was not reached.
    pub(crate) is_held: bool,
    /// The source will give its records again: what becomes of them cannot be told to anyone.
    pub(crate) is_void: bool,
}

/// What a batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Records,
    /// The end of a tumbling window, without records; when it was asked for.
    WindowEnd {
        since: Millis,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Waiting { until: Millis },
}

/// What the function said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said<'a> {
    Succeeded,
    Partial(&'a [Sequence]),
    Failed,
}

/// What an answer means for the records of the piece that ran.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The function took them.
    pub(crate) done: Vec<Sequence>,
    /// The source is to send them again.
    pub(crate) given_back: Vec<Sequence>,
    /// Their retries are used up.
    pub(crate) exhausted: Option<Exhaustion>,
    /// The attempt that failed and how many records it failed on.
    pub(crate) failed: Option<(u32, u64)>,
    /// Sizes of the halves.
    pub(crate) split: Option<(u64, u64)>,
}

#[derive(Debug)]
pub(crate) struct Exhaustion {
    pub(crate) records: Vec<Sequence>,
    /// Those that the function named, if it named any: a part of the records.
    pub(crate) named: Option<HashSet<Sequence>>,
    pub(crate) invoke_count: u32,
    pub(crate) function_error: bool,
}

impl Batch {
    pub(crate) fn new(id: BatchId, origin: Origin, kind: Kind, records: Vec<Sequence>) -> Self {
        let state = State::Waiting { until: 0 };
        let (is_held, is_void) = (false, false);
        Self { id, origin, kind, pieces: vec![records], attempt: 1, state, is_held, is_void }
    }

    /// The records that run or come next.
    pub(crate) fn piece(&self) -> &[Sequence] {
        self.pieces.last().map_or(&[], Vec::as_slice)
    }

    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn is_over(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Nothing of it has ever reached the function.
    pub(crate) fn is_untouched(&self) -> bool {
        self.attempt == 1 && self.pieces.len() == 1
    }

    pub(crate) fn send(&mut self) {
        transition!("Waiting --send--> Running");
        self.state = State::Running;
        self.is_held = false;
    }

    /// The function was not reached.
    pub(crate) fn not_reached(&mut self) {
        transition!("Running --not reached--> Waiting");
        self.state = State::Waiting { until: 0 };
        self.is_held = true;
    }

    pub(crate) fn reached(&mut self, now: Millis, said: Said<'_>, rules: &Settings) -> Outcome {
        let mut outcome = Outcome::default();
        self.state = State::Waiting { until: now };
        let Some(piece) = self.pieces.pop() else { return outcome };
        let (done, rest, named) = match said {
            Said::Succeeded => {
                transition!("Running --succeeded--> Waiting");
                self.attempt = 1;
                outcome.done = piece;
                return outcome;
            }
            Said::Failed => (Vec::new(), piece, None),
            Said::Partial(failed) => self.part(piece, failed, rules),
        };
        let low_water = self.is_low_water(rules);
        let (advanced, shrank) = (!done.is_empty() && low_water, !done.is_empty());
        outcome.done = done;
        let failed = named.as_ref().map_or(rest.len(), HashSet::len);
        outcome.failed = Some((self.attempt, failed as u64));
        if self.origin == Origin::Source && rules.retried_by == RetriedBy::Source {
            transition!("Running --given back--> Waiting");
            outcome.given_back = rest;
            self.attempt = 1;
        } else if advanced {
            transition!("Running --advanced--> Waiting");
            self.wait(now, 1, rules);
            self.attempt = 1;
            self.pieces.push(rest);
        } else if rules.bisect && !shrank && rest.len() > 1 {
            outcome.split = Some(self.split(now, rest, rules));
        } else if rules.retries_max.is_some_and(|most| self.attempt > most) {
            transition!("Running --exhausted--> Waiting");
            let (invoke_count, function_error) = (self.attempt, named.is_none());
            self.attempt = 1;
            let records = rest;
            outcome.exhausted = Some(Exhaustion { records, named, invoke_count, function_error });
        } else {
            transition!("Running --failed--> Waiting");
            self.wait(now, self.attempt, rules);
            self.attempt = self.attempt.saturating_add(1);
            self.pieces.push(rest);
        }
        outcome
    }

    /// What a partial answer took and what it left: by low water everything from the lowest record that it
    /// names (LS 4.6), otherwise just those that it names (LS 4.5).
    fn part(
        &self,
        mut piece: Vec<Sequence>,
        failed: &[Sequence],
        rules: &Settings,
    ) -> (Vec<Sequence>, Vec<Sequence>, Option<HashSet<Sequence>>) {
        let known = |record: &Sequence| piece.binary_search(record).is_ok();
        if failed.is_empty() || !failed.iter().all(known) {
            return (Vec::new(), piece, None);
        }
        let named: HashSet<_> = failed.iter().copied().collect();
        if self.is_low_water(rules) {
            let lowest = failed.iter().min().and_then(|lowest| piece.binary_search(lowest).ok());
            let rest = piece.split_off(lowest.unwrap_or(0));
            return (piece, rest, Some(named));
        }
        let (rest, done) = piece.into_iter().partition(|record| named.contains(record));
        (done, rest, Some(named))
    }

    fn is_low_water(&self, rules: &Settings) -> bool {
        rules.settling == Settling::LowWater || self.origin != Origin::Source
    }

    pub(crate) fn split(
        &mut self,
        now: Millis,
        mut first: Vec<Sequence>,
        rules: &Settings,
    ) -> (u64, u64) {
        transition!("Running --split--> Waiting");
        let second = first.split_off(first.len().div_ceil(2));
        let sizes = (first.len() as u64, second.len() as u64);
        self.pieces.push(second);
        self.pieces.push(first);
        self.attempt = 1;
        self.wait(now, 1, rules);
        sizes
    }

    fn wait(&mut self, now: Millis, failures: u32, rules: &Settings) {
        let wait_ms = rules.function_errors.wait_ms(failures, rules.salt ^ self.id.0);
        self.state = State::Waiting { until: now.saturating_add(wait_ms) };
    }

    /// Takes records off the front of the piece as long as they are `too_old`, and how often they were
    /// sent. An empty piece makes room for the next one.
    pub(crate) fn expire(
        &mut self,
        too_old: impl Fn(Sequence) -> bool,
        rules: &Settings,
    ) -> (Vec<Sequence>, u32) {
        let invoke_count = self.attempt - 1;
        let Some(piece) = self.pieces.last_mut() else { return (Vec::new(), invoke_count) };
        let count = piece.iter().take_while(|record| too_old(**record)).count();
        if count == 0 {
            return (Vec::new(), invoke_count);
        }
        let rest = piece.split_off(count);
        let expired = std::mem::replace(piece, rest);
        if self.piece().is_empty() {
            self.pieces.pop();
            self.attempt = 1;
        } else if self.is_low_water(rules) {
            self.attempt = 1;
        }
        (expired, invoke_count)
    }

    /// Gives the piece up that comes next.
    pub(crate) fn drop_piece(&mut self) {
        self.pieces.pop();
    }

    /// Sends these again as the next piece.
    pub(crate) fn keep(&mut self, records: Vec<Sequence>) {
        if !records.is_empty() {
            self.pieces.push(records);
        }
    }

    /// Takes those records out that `wanted` chooses, in order.
    pub(crate) fn remove(&mut self, wanted: impl Fn(Sequence) -> bool) -> Vec<Sequence> {
        let mut removed = Vec::new();
        for piece in self.pieces.iter_mut().rev() {
            removed.extend(piece.extract_if(.., |record| wanted(*record)));
        }
        self.pieces.retain(|piece| !piece.is_empty());
        removed
    }

    /// All records that have not ended, in order.
    pub(crate) fn left(&self) -> impl Iterator<Item = Sequence> {
        self.pieces.iter().rev().flatten().copied()
    }
}

//! What a shard does or waits for now, in one word, for people and for `describe`. It decides nothing.

use crate::run::Run;
use crate::shard::Shard;
use crate::{Millis, Poll};

/// What a shard does now. The first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The mapping has ended, or there is no such shard.
    Gone,
    /// It finishes what is in flight, because it was revoked or the mapping stops.
    Ending,
    /// The function cannot be reached; one batch tries again at this time.
    Throttled {
        /// When.
        probe_at: Millis,
    },
    /// The function runs.
    Invoking {
        /// How many batches.
        batches: u32,
    },
    /// Someone paused the mapping.
    Paused,
    /// Batches wait to be sent again.
    Retrying {
        /// When the first of them is sent.
        retry_at: Millis,
    },
    /// Records are ready and every permit of the mapping is taken.
    WaitingForConcurrency,
    /// The on-failure destination has not taken word of records that were given up.
    Delivering,
    /// Records are being set aside.
    Parking,
    /// The lookahead is full: nothing is read before a checkpoint or verdicts are durable.
    Settling,
    /// The source is gone and waits to be built anew.
    SourceDown {
        /// When it is tried again. `None`: it is being built.
        retry_at: Option<Millis>,
    },
    /// Records wait for more of them, or for the end of their window.
    Gathering,
    /// The source has no more; the end is being recorded.
    Finishing,
    /// It reads, and has nothing.
    Polling,
}

impl Phase {
    pub(crate) fn of(poll: &Poll, shard: &Shard) -> Self {
        if shard.is_ending() {
            return Self::Ending;
        }
        if let Some(probe_at) = poll.permits.probe_at() {
            return Self::Throttled { probe_at };
        }
        if shard.running > 0 {
            return Self::Invoking { batches: shard.running };
        }
        if poll.run == Run::Paused {
            return Self::Paused;
        }
        Self::of_waiting(poll, shard)
    }

    fn of_waiting(poll: &Poll, shard: &Shard) -> Self {
        let first = shard.waiting.first().map(|(until, _)| *until);
        if let Some(retry_at) = first.filter(|until| *until > poll.now) {
            return Self::Retrying { retry_at };
        }
        if first.is_some() || (poll.permits.free() == 0 && shard.lanes.ready_records() > 0) {
            return Self::WaitingForConcurrency;
        }
        if !shard.failures.is_empty() {
            return Self::Delivering;
        }
        if shard.parks.is_parking() {
            return Self::Parking;
        }
        if shard.ledger.room(poll.settings.lookahead_records_max) == 0 {
            return Self::Settling;
        }
        if !poll.link.is_up() {
            return Self::SourceDown { retry_at: poll.link.until() };
        }
        match (shard.lanes.ready_records(), shard.has_ended()) {
            (0, false) => Self::Polling,
            (0, true) => Self::Finishing,
            _ => Self::Gathering,
        }
    }
}

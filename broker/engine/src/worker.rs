//! Worker sessions, the fleets they form, and the leases on their slots.
//!
//! Sessions with the same hello form a fleet. A function is linked to fleets, not to sessions, so
//! a slot that comes free costs the same with one worker and with ten thousand.

use std::collections::VecDeque;

use crate::{FunctionName, Millis};

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) fleet: u32,
    pub(crate) slots: u32,
    /// Attempts sent over the session.
    pub(crate) sent: u64,
    /// Of those, started by the worker's word.
    pub(crate) started: u64,
    pub(crate) draining: bool,
    /// Stands in the fleet's idle queue.
    pub(crate) listed: bool,
    /// Every slot that is not free, by the lease that takes it (users.md A13).
    pub(crate) leases: Vec<u32>,
}

impl Worker {
    pub(crate) fn free(&self) -> u32 {
        let taken = u32::try_from(self.leases.len()).unwrap_or(u32::MAX);
        if self.draining { 0 } else { self.slots.saturating_sub(taken) }
    }
}

#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) names: Vec<FunctionName>,
    /// Sessions, also those that drain.
    pub(crate) workers: u32,
    /// Sessions that take attempts, their slots, and how many of those are free.
    pub(crate) serving: u32,
    pub(crate) slots: u64,
    pub(crate) free: u64,
    /// Sessions with a free slot, longest idle first; checked when taken.
    pub(crate) idle: VecDeque<u32>,
    /// Functions with work for these slots, first come first served; checked when taken.
    pub(crate) waiting: VecDeque<u32>,
}

/// A lease as the engine holds it: what takes a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) fence: u64,
    pub(crate) worker: u32,
    pub(crate) function: u32,
    /// The invocation, while running.
    pub(crate) entry: u32,
    /// Number of the attempt in its session, from 1.
    pub(crate) sent: u64,
    pub(crate) started_at: Millis,
    /// As it was told to the worker; the settings may have changed since.
    pub(crate) timeout_ms: u32,
    /// Place in [`Worker::leases`].
    pub(crate) place: u32,
    pub(crate) phase: LeasePhase,
}

/// ```text
/// Running ──outcome──▶ gone
///    ├── timeout, cancel ──▶ Stopping ──worker confirms──▶ gone
///    │                           └── stop grace ──▶ Abandoned ──worker speaks or leaves──▶ gone
///    └── worker leaves ──▶ gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeasePhase {
    /// Holds concurrency and slot.
    Running,
    /// The invocation went on without it; still holds both.
    Stopping,
    /// Holds the slot only.
    Abandoned,
}

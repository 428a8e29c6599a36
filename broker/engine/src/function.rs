//! One function as the engine holds it: settings, concurrency in use, what waits, and who serves it.

use std::collections::{BTreeMap, VecDeque};

use crate::list::List;
use crate::{Caller, FunctionName, FunctionSettings, Millis, SettingsChange, Throttle};

#[derive(Debug)]
pub(crate) struct Function {
    /// Key in the store.
    pub(crate) number: u64,
    pub(crate) name: FunctionName,
    pub(crate) settings: FunctionSettings,
    pub(crate) created_at: Millis,
    pub(crate) modified_at: Millis,
    pub(crate) life: Life,
    /// Settings are on their way to the disk.
    pub(crate) putting: bool,
    /// Changes that came meanwhile. Each is made to what is in force then: one that the disk refuses leaves no
    /// trace in the next.
    pub(crate) changes: VecDeque<(Caller, Box<SettingsChange>)>,
    /// Concurrency in use: placing, running and stopping attempts.
    pub(crate) running: u32,
    /// Events to be started.
    pub(crate) ready: List,
    /// Synchronous invocations that wait for a slot.
    pub(crate) placing: List,
    /// Events that have not ended, and their payload bytes.
    pub(crate) queued: u64,
    pub(crate) queued_bytes: u64,
    /// Entries that hold it in place: invocations, remembered or running, and leases.
    pub(crate) known: u32,
    /// Entries whose end or delivery is still to come.
    pub(crate) unsettled: u32,
    /// The fleets that serve it.
    pub(crate) links: Vec<Link>,
    /// Sessions over all those fleets that take attempts.
    pub(crate) workers: u32,
    /// Why the head of `ready` does not start; `None` only while `ready` is empty or about to be served.
    pub(crate) blocked: Option<Blocked>,
    /// In the account's queue of those that wait for the unreserved pool.
    pub(crate) account_listed: bool,
    pub(crate) idempotency: BTreeMap<Box<str>, u32>,
}

/// ```text
/// Creating ──saved──▶ Active ──delete──▶ Deleting ──saved──▶ Deleted ──last invocation forgotten──▶ gone
///     └─refused─▶ gone   ▲───────refused────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Its record is on its way to the disk.
    Creating,
    Active,
    Deleting,
    /// Gone for clients; remembered invocations still name it.
    Deleted,
}

/// One fleet that serves a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) fleet: u32,
    /// Place of the function in the fleet's names.
    pub(crate) position: u32,
    /// The function stands in the fleet's waiting queue.
    pub(crate) listed: bool,
}

/// The head of the ready queue waits for capacity. Whatever frees capacity wakes it; besides, it is looked
/// at again with backoff, which is what counts as a throttle (LS 3.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocked {
    pub(crate) reason: Throttle,
    pub(crate) checks: u32,
    pub(crate) until: Millis,
}

impl Function {
    pub(crate) fn new(
        number: u64,
        name: FunctionName,
        settings: FunctionSettings,
        now: Millis,
    ) -> Self {
        Self {
            number,
            name,
            settings,
            created_at: now,
            modified_at: now,
            life: Life::Creating,
            putting: false,
            changes: VecDeque::new(),
            running: 0,
            ready: List::EMPTY,
            placing: List::EMPTY,
            queued: 0,
            queued_bytes: 0,
            known: 0,
            unsettled: 0,
            links: Vec::new(),
            workers: 0,
            blocked: None,
            account_listed: false,
            idempotency: BTreeMap::new(),
        }
    }

    /// Whether workers that name it serve it: also while its deletion may still be refused.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self.life, Life::Active | Life::Deleting)
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.ready.is_empty() || !self.placing.is_empty()
    }
}

/// The account's concurrency (LS 5).
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Sum of all reservations.
    pub(crate) reserved: u32,
    /// Reservations that are on their way to the disk.
    pub(crate) promised: u32,
    /// Concurrency in use by functions without a reservation.
    pub(crate) unreserved_running: u32,
    /// Functions whose next event waits for the unreserved pool.
    pub(crate) blocked: VecDeque<u32>,
}

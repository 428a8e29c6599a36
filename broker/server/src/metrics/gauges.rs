//! What the engine looks like now, taken from its views. Not counted along: a gauge that is kept by adding
//! and subtracting is wrong for ever after one mistake, one that is looked up cannot be.

use prometheus::{IntGauge, Registry};
use trine_engine::{AccountView, FunctionView};

use super::FactSink;
use super::names::{self, FunctionGauge, Name};
use super::render::register;

/// The account's gauges.
#[derive(Debug)]
pub(super) struct AccountGauges {
    limit: IntGauge,
    running: IntGauge,
    unreserved_limit: IntGauge,
    unreserved_running: IntGauge,
    functions: IntGauge,
    queue_events: IntGauge,
    queue_bytes: IntGauge,
    records_pending: IntGauge,
    sync_waiting: IntGauge,
    remembered: IntGauge,
    sessions: IntGauge,
    slots: IntGauge,
    slots_taken: IntGauge,
    leases: IntGauge,
    slot_drift: IntGauge,
}

impl AccountGauges {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name: Name| register(registry, IntGauge::new(name.name, name.help));
        Self {
            limit: gauge(names::ACCOUNT_LIMIT),
            running: gauge(names::ACCOUNT_RUNNING),
            unreserved_limit: gauge(names::UNRESERVED_LIMIT),
            unreserved_running: gauge(names::UNRESERVED_RUNNING),
            functions: gauge(names::FUNCTIONS),
            queue_events: gauge(names::ACCOUNT_QUEUE_EVENTS),
            queue_bytes: gauge(names::ACCOUNT_QUEUE_BYTES),
            records_pending: gauge(names::RECORDS_PENDING),
            sync_waiting: gauge(names::SYNC_WAITING),
            remembered: gauge(names::REMEMBERED),
            sessions: gauge(names::SESSIONS),
            slots: gauge(names::SLOTS),
            slots_taken: gauge(names::SLOTS_TAKEN),
            leases: gauge(names::LEASES),
            slot_drift: gauge(names::SLOT_DRIFT),
        }
    }

    fn set(&self, view: &AccountView) {
        self.limit.set(view.concurrency.into());
        self.running.set(view.running.into());
        self.unreserved_limit.set(view.unreserved.into());
        self.unreserved_running.set(view.unreserved_running.into());
        self.functions.set(view.functions.into());
        self.queue_events.set(signed(view.queued));
        self.queue_bytes.set(signed(view.queued_bytes));
        self.records_pending.set(signed(view.records_pending));
        self.sync_waiting.set(view.sync_waiting.into());
        self.remembered.set(signed(view.remembered));
        self.sessions.set(view.workers.into());
        self.slots.set(signed(view.slots));
        self.slots_taken.set(signed(view.slots_taken));
        self.leases.set(signed(view.leases));
        // From one view: two gauges subtracted by a scrape may be of two moments.
        self.slot_drift.set(signed(view.slots_taken) - signed(view.leases));
    }
}

impl FactSink {
    /// Takes over what the engine shows now. For a scrape, or once a second; the cost grows with the
    /// number of functions. A function that is not registered is passed over.
    pub fn gauges(&mut self, account: &AccountView, functions: impl Iterator<Item = FunctionView>) {
        self.account.set(account);
        for view in functions {
            let Some(cells) = self.cells(view.id) else { continue };
            let usage = view.usage;
            let reserved = view.settings.reserved_concurrency;
            cells.set(FunctionGauge::Running, Some(usage.running.into()));
            cells.set(FunctionGauge::Reserved, reserved.map(u64::from));
            cells.set(FunctionGauge::Queued, Some(usage.queued));
            cells.set(FunctionGauge::Ready, Some(usage.ready));
            cells.set(FunctionGauge::QueuedBytes, Some(usage.queued_bytes));
            let age = usage.oldest_ready_age_ms.unwrap_or(0);
            cells.set(FunctionGauge::OldestReadyAgeMs, Some(age));
            cells.set(FunctionGauge::Workers, Some(usage.workers.into()));
            cells.set(FunctionGauge::FreeSlots, Some(usage.free_slots.into()));
        }
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

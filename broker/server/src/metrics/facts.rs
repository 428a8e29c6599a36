//! Turns the engine's facts into counts and, where a person would want to read it, a log line with the same
//! fields: one place, so that the two cannot drift apart.
//!
//! What happens with every invocation or every event is logged at `debug` at most: an engine that drops a
//! million events of a function that was switched off must not write a million lines. What is bounded by
//! slots, or should never happen, is a warning.

use std::sync::Arc;

use prometheus::IntCounter;
use tracing::{debug, warn};
use trine_engine::{Death, Fact, FunctionId, Throttle};

use super::gauges::AccountGauges;
use super::names::Count;
use super::tally::{FunctionCells, Table};

/// Where the shard puts its facts. One owner, one writer; nothing here waits, allocates (but for a function
/// that is new) or hashes.
#[derive(Debug)]
pub struct FactSink {
    pub(super) table: Arc<Table>,
    /// By [`FunctionId::index`], so that a fact finds its cells without looking at a name.
    handles: Vec<Option<Handle>>,
    late_outcomes: IntCounter,
    pub(super) account: AccountGauges,
}

#[derive(Debug)]
struct Handle {
    generation: u32,
    cells: Arc<FunctionCells>,
}

impl FactSink {
    pub(super) fn new(
        table: Arc<Table>,
        late_outcomes: IntCounter,
        account: AccountGauges,
    ) -> Self {
        Self { table, handles: Vec::new(), late_outcomes, account }
    }

    /// A function exists from here on, at start or because it was created. Telling it again changes nothing.
    pub fn function_registered(&mut self, id: FunctionId, name: &str) {
        if self.cells(id).is_some_and(|cells| *cells.name == *name) {
            return;
        }
        let place = id.index as usize;
        if place >= self.handles.len() {
            self.handles.resize_with(place + 1, || None);
        }
        let handle = Handle { generation: id.generation, cells: self.table.insert(name) };
        if let Some(old) = self.handles[place].replace(handle) {
            self.table.remove(&old.cells);
        }
    }

    /// The function was deleted: its series go. What is counted of it later (a dead letter forgotten)
    /// counts for the account alone.
    pub fn function_removed(&mut self, id: FunctionId) {
        if self.cells(id).is_some()
            && let Some(old) = self.handles[id.index as usize].take()
        {
            self.table.remove(&old.cells);
        }
    }

    /// Counts one fact. A function that is not registered counts for the account alone.
    pub fn fact(&mut self, fact: &Fact) {
        match *fact {
            Fact::Started { function, event_age_ms } => {
                let cells = self.count(function, Count::Invocations);
                if let (Some(cells), Some(age)) = (cells, event_age_ms) {
                    cells.event_age.observe(age);
                }
            }
            Fact::Ended { function, ok, duration_ms } => {
                if !ok {
                    self.count(function, Count::FunctionErrors);
                }
                if let Some(cells) = self.cells(function) {
                    cells.duration.observe(duration_ms);
                }
            }
            Fact::EventReceived { function } => {
                self.count(function, Count::EventsReceived);
            }
            _ => self.rare(fact),
        }
    }

    /// Facts that are not part of an undisturbed invocation.
    fn rare(&self, fact: &Fact) {
        match *fact {
            Fact::Started { .. } | Fact::Ended { .. } | Fact::EventReceived { .. } => {}
            Fact::Throttled { function, reason } => {
                let name = self.count_named(function, throttle(reason));
                debug!(function = name, ?reason, "throttled");
            }
            Fact::EventDropped { function, death, request_id } => {
                let name = self.count_named(function, dropped(death));
                debug!(function = name, %request_id, condition = ?death, "event dropped");
            }
            Fact::LeaseExpired { function } => {
                let name = self.count_named(function, Count::LeasesExpired);
                debug!(function = name, "attempt ran into the function timeout");
            }
            Fact::SlotAbandoned { function } => {
                let name = self.count_named(function, Count::SlotsAbandoned);
                warn!(function = name, "a stopped handler keeps silent; its slot stays taken");
            }
            Fact::LateOutcome => {
                self.late_outcomes.inc();
                debug!("outcome refused: its lease had ended");
            }
            Fact::Unspent { function } => {
                let name = self.count_named(function, Count::AttemptsUnspent);
                debug!(function = name, "attempt came back before it had started");
            }
            Fact::WorkerLost { function, request_id } => {
                let name = self.count_named(function, Count::AttemptsLost);
                warn!(function = name, %request_id, "running attempt lost with its worker");
            }
            Fact::RecordDelivered { function } => {
                self.count(function, Count::Deliveries);
            }
            Fact::DeliveryFailed { function } => {
                let name = self.count_named(function, Count::DeliveryFailures);
                debug!(function = name, "destination did not take a record");
            }
            Fact::Undelivered { function, request_id } => {
                let name = self.count_named(function, Count::Undelivered);
                warn!(function = name, %request_id, "record set aside as undelivered");
            }
            Fact::DeadForgotten { function, request_id } => {
                let name = self.count_named(function, Count::DeadLettersForgotten);
                debug!(function = name, %request_id, "dead event forgotten");
            }
            // Its numbers are gauges; its names come in through `function_registered`.
            Fact::FunctionsChanged => {}
        }
    }

    #[inline]
    fn count(&self, function: FunctionId, count: Count) -> Option<&FunctionCells> {
        self.table.account.add(count);
        let cells = self.cells(function)?;
        cells.tally.add(count);
        Some(cells)
    }

    fn count_named(&self, function: FunctionId, count: Count) -> &str {
        self.count(function, count).map_or("(deleted)", |cells| &cells.name)
    }

    #[inline]
    pub(super) fn cells(&self, id: FunctionId) -> Option<&FunctionCells> {
        let handle = self.handles.get(id.index as usize)?.as_ref()?;
        (handle.generation == id.generation).then_some(&*handle.cells)
    }
}

const fn throttle(reason: Throttle) -> Count {
    match reason {
        Throttle::Reserved => Count::ThrottledReserved,
        Throttle::Account => Count::ThrottledAccount,
        Throttle::NoWorker => Count::ThrottledNoWorker,
        Throttle::NoCapacity => Count::ThrottledNoCapacity,
    }
}

const fn dropped(death: Death) -> Count {
    match death {
        Death::RetriesExhausted => Count::DroppedRetriesExhausted,
        Death::EventAgeExceeded => Count::DroppedEventAgeExceeded,
        Death::ZeroReservedConcurrency => Count::DroppedZeroReservedConcurrency,
        Death::RecursiveInvocation => Count::DroppedRecursiveInvocation,
    }
}

//! Owns what goes wrong: with the process, the disk, the clock, the network, the workers and the destinations. And,
//! for the proof that the ledger can see, a few defects that no broker must have.

use trine_engine::{EventRecord, EventStage, FunctionRecord, Input, RequestId};

use super::ledger::Judged;
use super::worker::{FromWorker, ToWorker};
use super::world::{Happening, World};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Crash,
    /// The process is asked to end, and does.
    Restart,
    DiskFull,
    DiskSlow,
    SessionLost,
    WorkerKilled,
    WorkerDrains,
    SlotsChange,
    ClockForward,
    ClockBack,
    DestinationsDown,
}

const FAULTS: [(u64, Fault); 11] = [
    (10, Fault::Crash),
    (3, Fault::Restart),
    (8, Fault::DiskFull),
    (6, Fault::DiskSlow),
    (14, Fault::SessionLost),
    (12, Fault::WorkerKilled),
    (8, Fault::WorkerDrains),
    (10, Fault::SlotsChange),
    (10, Fault::ClockForward),
    (5, Fault::ClockBack),
    (6, Fault::DestinationsDown),
];

impl World {
    /// One fault, and the next one after a while.
    pub(super) fn fault(&mut self) -> Judged {
        if self.calm || self.plan.faults == 0 {
            return Ok(());
        }
        self.plan.faults -= 1;
        let next = self.faults.span(self.plan.fault_gap_ms) + 1;
        self.after(next, Happening::Fault);
        let fault = self.faults.weighted(&FAULTS);
        let worker = self.faults.place(self.workers.len());
        let lasts = self.faults.span(8_000);
        self.trace.note(|| format!("---- {fault:?}"));
        match fault {
            Fault::Crash => return self.crash(),
            Fault::Restart => {
                self.draining = true;
                self.input(Input::Drain)?;
                self.after(lasts, Happening::Heals(fault));
            }
            Fault::DiskFull => {
                self.store.full = true;
                self.after(lasts, Happening::Heals(fault));
            }
            Fault::DiskSlow => {
                self.disk_slow = true;
                self.after(lasts, Happening::Heals(fault));
            }
            Fault::SessionLost => self.lose_session(worker),
            Fault::WorkerKilled => {
                self.lose_session(worker);
                self.workers[worker].restart();
            }
            Fault::WorkerDrains => self.drain_worker(worker, lasts),
            Fault::SlotsChange => {
                let slots = self.faults.small(0, 5);
                self.workers[worker].slots = slots.max(1);
                self.after(0, Happening::WorkerSends { worker, frame: FromWorker::Slots(slots) });
            }
            Fault::ClockForward => self.skew += self.step_of_clock(),
            Fault::ClockBack => self.skew -= self.step_of_clock(),
            Fault::DestinationsDown => {
                self.destinations_down = true;
                self.after(lasts * 10, Happening::Heals(fault));
            }
        }
        Ok(())
    }

    fn step_of_clock(&mut self) -> i64 {
        let longest = *self.faults.pick(&[1_000, 60_000, 600_000, 7_200_000, 30_000_000]);
        i64::try_from(self.faults.below(longest)).unwrap_or(0)
    }

    fn drain_worker(&mut self, worker: usize, grace: u64) {
        self.workers[worker].draining = true;
        self.after(0, Happening::WorkerSends { worker, frame: FromWorker::Draining });
        if let Some(session) = self.workers[worker].session {
            self.after(grace + 1, Happening::SessionOver { session });
            self.after(grace + 1, Happening::Heals(Fault::WorkerDrains));
        }
    }

    pub(super) fn heal(&mut self, fault: Fault) -> Judged {
        match fault {
            Fault::DiskFull => self.store.full = false,
            Fault::DiskSlow => self.disk_slow = false,
            Fault::DestinationsDown => self.destinations_down = false,
            // Another crash may have come before.
            Fault::Restart if self.draining => return self.crash(),
            Fault::WorkerDrains => {
                for worker in 0..self.workers.len() {
                    if self.workers[worker].draining {
                        self.workers[worker].restart();
                        self.after(100, Happening::Connects { worker });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A defect outside the engine. Each breaks one rule, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The engine is not told that something is durable.
    LosePersisted,
    /// The disk forgets an event that was acknowledged.
    LoseRecord,
    /// The disk forgets that an event ended.
    LoseEnd,
    /// An attempt reaches its worker twice.
    RunTwice,
    /// An outcome never arrives, on a session that lives.
    LoseOutcome,
    /// The engine's clock runs ahead for one tick.
    HurryClock,
    /// The engine starts with another reservation than the disk holds.
    WrongReservation,
    /// A destination gets the record of another invocation.
    SwapRecord,
}

impl World {
    pub(super) fn is_sabotaged(&self) -> bool {
        self.sabotaged
    }

    fn sabotages(&mut self, sabotage: Sabotage) -> bool {
        let now = self.sabotage == Some(sabotage) && !self.sabotaged;
        self.sabotaged |= now;
        now
    }

    pub(super) fn sabotaged_persisted(&mut self) -> bool {
        // The first ones create the functions.
        self.ledger.counts.accepted > 5 && self.sabotages(Sabotage::LosePersisted)
    }

    pub(super) fn sabotaged_frame(&mut self, frame: &ToWorker) -> bool {
        matches!(frame, ToWorker::Attempt(_)) && self.sabotages(Sabotage::RunTwice)
    }

    pub(super) fn sabotaged_outcome(&mut self, frame: &FromWorker) -> bool {
        self.calm
            && matches!(frame, FromWorker::Outcome { .. })
            && self.sabotages(Sabotage::LoseOutcome)
    }

    pub(super) fn sabotaged_clock(&mut self, input: &Input) -> u64 {
        let waits = |record: &EventRecord| matches!(record.stage, EventStage::Waiting { due_at, .. } if due_at > self.clock() + 20_000);
        let hurried = *input == Input::Tick
            && self.store.durable.events.values().any(waits)
            && self.sabotages(Sabotage::HurryClock);
        if hurried { 130_000 } else { 0 }
    }

    pub(super) fn sabotage_disk(&mut self) {
        let durable = &mut self.store.durable;
        let waits = |record: &&EventRecord| matches!(record.stage, EventStage::Waiting { .. });
        let live = durable.events.values().find(waits).map(|record| record.seq);
        let ended = durable.events.values().find(|record| !waits(record)).map(|record| record.seq);
        if let Some(seq) = live
            && self.sabotages(Sabotage::LoseRecord)
        {
            self.store.durable.events.remove(&seq);
        }
        if let Some(seq) = ended
            && self.sabotages(Sabotage::LoseEnd)
            && let Some(record) = self.store.durable.events.get_mut(&seq)
        {
            record.stage = EventStage::Waiting { due_at: 0, retry: false };
        }
    }

    pub(super) fn sabotaged_function(&self, mut record: FunctionRecord) -> FunctionRecord {
        // Not only once: all of them, or the one might stay idle.
        if self.sabotage == Some(Sabotage::WrongReservation) {
            record.settings.reserved_concurrency =
                record.settings.reserved_concurrency.map(|limit| limit + 5);
        }
        record
    }

    pub(super) fn sabotaged_record(&mut self, mut record: EventRecord) -> EventRecord {
        if self.sabotages(Sabotage::SwapRecord) {
            record.request_id = RequestId(record.request_id.0 ^ 1);
        }
        record
    }
}

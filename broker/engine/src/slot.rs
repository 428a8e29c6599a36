//! Slots: which worker is free, the grant of a lease, and its end. It knows no queue of invocations.

use crate::entry::State;
use crate::slab::NONE;
use crate::worker::{Held, LeasePhase};
use crate::{Dispatch, Effect, Engine, EntryId, Fact, FunctionId, Lease, Millis, WorkerId};

/// A free slot of a worker, and the function's place in that worker's hello.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) worker: u32,
    pub(crate) position: u32,
}

impl Engine {
    /// A slot of the longest idle worker that serves the function. It stays free until [`Engine::start`].
    pub(crate) fn find_slot(&mut self, index: u32) -> Option<Slot> {
        for link in 0..self.functions[index].links.len() {
            let link = self.functions[index].links[link];
            if let Some(worker) = self.idle_worker(link.fleet) {
                return Some(Slot { worker, position: link.position });
            }
        }
        None
    }

    /// The longest idle worker of a fleet; others that are idle no more leave the queue here.
    pub(crate) fn idle_worker(&mut self, fleet: u32) -> Option<u32> {
        let fleet = &mut self.fleets[fleet];
        while let Some(index) = fleet.idle.front().copied() {
            let worker = &mut self.workers[index];
            if worker.free() > 0 {
                return Some(index);
            }
            worker.listed = false;
            fleet.idle.pop_front();
        }
        None
    }

    /// Puts a worker with a free slot into its fleet's idle queue, once.
    pub(crate) fn list_worker(&mut self, index: u32) {
        let worker = &mut self.workers[index];
        if worker.free() > 0 && !worker.listed {
            worker.listed = true;
            self.fleets[worker.fleet].idle.push_back(index);
        }
    }

    /// Grants a lease. The entry is in no queue, its concurrency is taken, and `slot` was found just now.
    pub(crate) fn start(&mut self, place: u32, slot: Slot, out: &mut Vec<Effect>) {
        let index = self.entries[place].function;
        let function = &mut self.functions[index];
        function.known += 1;
        let timeout_ms = function.settings.timeout_ms();
        let worker = &mut self.workers[slot.worker];
        let fleet = &mut self.fleets[worker.fleet];
        worker.sent += 1;
        let fence = self.next_fence;
        self.next_fence += 1;
        let held = Held {
            fence,
            worker: slot.worker,
            function: index,
            entry: place,
            sent: worker.sent,
            started_at: self.now,
            timeout_ms,
            place: u32::try_from(worker.leases.len()).unwrap_or(NONE),
            phase: LeasePhase::Running,
        };
        let (lease, _) = self.leases.insert(held);
        worker.leases.push(lease);
        fleet.free -= 1;
        // Turns go round: the worker goes to the end of the idle queue, or out of it.
        if fleet.idle.front() == Some(&slot.worker) {
            fleet.idle.pop_front();
            worker.listed = worker.free() > 0;
            if worker.listed {
                fleet.idle.push_back(slot.worker);
            }
        }
        self.lease_timers.set(lease, self.now + Millis::from(timeout_ms));
        let lease = Lease { index: lease, fence };
        self.dispatch(place, lease, slot, timeout_ms, out);
    }

    fn dispatch(
        &mut self,
        place: u32,
        lease: Lease,
        slot: Slot,
        timeout_ms: u32,
        out: &mut Vec<Effect>,
    ) {
        let generation = self.entries.generation(place);
        let entry = &mut self.entries[place];
        entry.state = State::Running;
        entry.lease = lease.index;
        let event_age_ms = entry.event.then(|| self.now.saturating_sub(entry.age_from));
        let worker =
            WorkerId { index: slot.worker, generation: self.workers.generation(slot.worker) };
        let function = FunctionId {
            index: entry.function,
            generation: self.functions.generation(entry.function),
        };
        let event = entry.event;
        out.push(Effect::Dispatch(Dispatch {
            worker,
            lease,
            entry: EntryId { index: place, generation },
            payload_seq: entry.payload_seq,
            request_id: entry.request_id,
            function,
            position: slot.position,
            attempt: entry.attempts + 1,
            timeout_ms,
        }));
        Self::tell(out, Fact::Started { function, event_age_ms });
        if event {
            self.changed(place, out);
        }
    }

    /// Takes back a lease: its slot is free and so, unless it was abandoned before, is its concurrency. Nobody is
    /// told yet: the caller first says what becomes of the invocation, then calls [`Engine::wake_freed`].
    pub(crate) fn free_lease(&mut self, lease: u32) -> Option<Held> {
        let held = self.leases.remove(lease)?;
        self.lease_timers.clear(lease);
        let worker = &mut self.workers[held.worker];
        let before = worker.free();
        worker.leases.swap_remove(held.place as usize);
        if let Some(moved) = worker.leases.get(held.place as usize).copied() {
            self.leases[moved].place = held.place;
        }
        self.fleets[worker.fleet].free += u64::from(worker.free() - before);
        self.list_worker(held.worker);
        if held.phase != LeasePhase::Abandoned {
            self.give_permit_back(held.function);
        }
        Some(held)
    }

    /// Gives what a lease held to those that wait for it: concurrency first, then the slot.
    pub(crate) fn wake_freed(&mut self, held: &Held, out: &mut Vec<Effect>) {
        if held.phase != LeasePhase::Abandoned {
            self.after_permit(held.function, out);
        }
        let fleet = self.workers[held.worker].fleet;
        if !self.fleets[fleet].waiting.is_empty() {
            self.serve_fleet(fleet, out);
        }
        self.leave_function(held.function);
    }
}

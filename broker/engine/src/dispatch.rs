//! Who runs next, and where: concurrency (LS 5), slots, and the queues in front of them.
//!
//! Whatever frees capacity wakes those that wait for it, oldest first; nothing polls. Functions that want
//! slots of the same fleet take turns, one start each, so a long queue does not starve a short one.

use crate::entry::State;
use crate::function::{Blocked, Life};
use crate::record::{Death, End};
use crate::retry::{age_limit, backoff_ms};
use crate::slab::NONE;
use crate::worker::{Held, LeasePhase};
use crate::{
    Dispatch, Effect, Engine, EntryId, Fact, FunctionId, Lease, Millis, Throttle, WorkerId,
};

/// Events of one function that may die in one step; the rest follow at the next millisecond.
const DEATHS_PER_STEP_MAX: u32 = 256;

/// A free slot of a worker, and the function's place in that worker's hello.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    worker: u32,
    position: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pumped {
    Started,
    Waits,
    Empty,
}

impl Engine {
    /// What is left of the account for functions without a reservation.
    pub(crate) fn unreserved_limit(&self) -> u32 {
        self.limits.account_concurrency.saturating_sub(self.account.reserved)
    }

    /// Whether one more attempt of the function may run.
    pub(crate) fn permit(&self, index: u32) -> Result<(), Throttle> {
        let function = &self.functions[index];
        match function.settings.reserved_concurrency {
            Some(limit) if function.running >= limit => Err(Throttle::Reserved),
            Some(_) => Ok(()),
            None if self.account.unreserved_running >= self.unreserved_limit() => {
                Err(Throttle::Account)
            }
            None => Ok(()),
        }
    }

    pub(crate) fn take_permit(&mut self, index: u32) {
        let function = &mut self.functions[index];
        function.running += 1;
        if function.settings.reserved_concurrency.is_none() {
            self.account.unreserved_running += 1;
        }
    }

    pub(crate) fn give_permit_back(&mut self, index: u32) {
        let function = &mut self.functions[index];
        function.running -= 1;
        if function.settings.reserved_concurrency.is_none() {
            self.account.unreserved_running -= 1;
        }
    }

    /// The longest idle worker that serves the function. It stays where it is until [`Engine::start`].
    pub(crate) fn find_slot(&mut self, index: u32) -> Option<Slot> {
        for link in 0..self.functions[index].links.len() {
            let link = self.functions[index].links[link];
            if let Some(worker) = self.idle_worker(link.fleet) {
                return Some(Slot { worker, position: link.position });
            }
        }
        None
    }

    fn idle_worker(&mut self, fleet: u32) -> Option<u32> {
        let fleet = &mut self.fleets[fleet];
        while let Some(worker) = fleet.idle.front().copied() {
            match self.workers.get_mut(worker) {
                Some(found) if found.free() > 0 => return Some(worker),
                Some(found) => found.listed = false,
                None => {}
            }
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

    /// Grants a lease. The entry is in no queue and its concurrency is taken.
    pub(crate) fn start(&mut self, place: u32, slot: Slot, out: &mut Vec<Effect>) {
        let index = self.entries[place].function;
        let timeout_ms = self.functions[index].settings.timeout_ms();
        let worker = &mut self.workers[slot.worker];
        let fleet = worker.fleet;
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
            place: u32::try_from(worker.leases.len()).unwrap_or(NONE),
            phase: LeasePhase::Running,
        };
        let (lease, _) = self.leases.insert(held);
        worker.leases.push(lease);
        // Turns go round: the worker goes to the end of the idle queue, or out of it.
        let idle = &mut self.fleets[fleet].idle;
        if idle.front() == Some(&slot.worker) {
            idle.pop_front();
            worker.listed = worker.free() > 0;
            if worker.listed {
                idle.push_back(slot.worker);
            }
        }
        self.lease_timers.set(lease, self.now + Millis::from(timeout_ms));
        self.functions[index].known += 1;
        self.dispatch(place, lease, slot, timeout_ms, out);
    }

    fn dispatch(
        &mut self,
        place: u32,
        lease: u32,
        slot: Slot,
        timeout_ms: u32,
        out: &mut Vec<Effect>,
    ) {
        let generation = self.entries.generation(place);
        let entry = &mut self.entries[place];
        entry.state = State::Running;
        entry.lease = lease;
        let event_age_ms = entry.event.then(|| self.now.saturating_sub(entry.age_from));
        let dispatch = Dispatch {
            worker: WorkerId {
                index: slot.worker,
                generation: self.workers.generation(slot.worker),
            },
            lease: Lease { index: lease, fence: self.leases[lease].fence },
            entry: EntryId { index: place, generation },
            payload_seq: entry.payload_seq,
            request_id: entry.request_id,
            function: FunctionId {
                index: entry.function,
                generation: self.functions.generation(entry.function),
            },
            position: slot.position,
            attempt: entry.attempts + 1,
            timeout_ms,
        };
        let (event, function) = (entry.event, dispatch.function);
        out.push(Effect::Dispatch(dispatch));
        Self::tell(out, Fact::Started { function, event_age_ms });
        if event {
            self.changed(place, out);
        }
    }

    /// Puts a function with waiting work into the waiting queues of the fleets that serve it.
    pub(crate) fn list_function(&mut self, index: u32) {
        for link in &mut self.functions[index].links {
            if !std::mem::replace(&mut link.listed, true) {
                self.fleets[link.fleet].waiting.push_back(index);
            }
        }
    }

    /// Something that the function's work may have waited for has changed.
    pub(crate) fn wake_function(&mut self, index: u32, out: &mut Vec<Effect>) {
        if !self.functions[index].has_waiting() {
            return;
        }
        if self.functions[index].links.is_empty() {
            self.pump(index, out);
            return;
        }
        self.list_function(index);
        for link in 0..self.functions[index].links.len() {
            let Some(link) = self.functions[index].links.get(link).copied() else { break };
            self.serve_fleet(link.fleet, out);
        }
    }

    /// Gives free slots of a fleet to the functions that wait for them, in turns.
    pub(crate) fn serve_fleet(&mut self, fleet: u32, out: &mut Vec<Effect>) {
        while !self.fleets[fleet].waiting.is_empty() && self.idle_worker(fleet).is_some() {
            let Some(index) = self.fleets[fleet].waiting.pop_front() else { break };
            let Some(function) = self.functions.get_mut(index) else { continue };
            let Some(link) = function.links.iter_mut().find(|link| link.fleet == fleet) else {
                continue;
            };
            link.listed = false;
            if self.pump(index, out) == Pumped::Started {
                self.relist(index, fleet);
            }
        }
    }

    fn relist(&mut self, index: u32, fleet: u32) {
        let function = &mut self.functions[index];
        if !function.has_waiting() {
            return;
        }
        if let Some(link) = function.links.iter_mut().find(|link| link.fleet == fleet)
            && !std::mem::replace(&mut link.listed, true)
        {
            self.fleets[fleet].waiting.push_back(index);
        }
    }

    /// Starts at most one invocation of the function: callers that wait go before events (reliability.md, lesson 6).
    fn pump(&mut self, index: u32, out: &mut Vec<Effect>) -> Pumped {
        if let Some(place) = self.functions[index].placing.head() {
            let Some(slot) = self.find_slot(index) else {
                self.list_function(index);
                return Pumped::Waits;
            };
            self.unplace(place);
            self.start(place, slot, out);
            return Pumped::Started;
        }
        if self.draining || !self.bury_heads(index, out) {
            return Pumped::Empty;
        }
        let Some(place) = self.functions[index].ready.head() else {
            self.unblock(index);
            return Pumped::Empty;
        };
        if let Err(throttle) = self.permit(index) {
            return self.block(index, throttle, out);
        }
        if self.functions[index].workers == 0 {
            return self.block(index, Throttle::NoWorker, out);
        }
        let Some(slot) = self.find_slot(index) else {
            self.list_function(index);
            return self.block(index, Throttle::NoCapacity, out);
        };
        self.functions[index].ready.remove(&mut self.entries, place);
        self.unblock(index);
        self.take_permit(index);
        self.start(place, slot, out);
        Pumped::Started
    }

    /// Ends the events at the head of the queue that must not start any more (LS 3.1): all of them
    /// if the function is switched off, else those that are too old. False: there may be more of them.
    fn bury_heads(&mut self, index: u32, out: &mut Vec<Effect>) -> bool {
        for _ in 0..DEATHS_PER_STEP_MAX {
            let function = &self.functions[index];
            let Some(place) = function.ready.head() else { return true };
            let limit = age_limit(&function.settings, self.entries[place].age_from);
            let death = if function.settings.reserved_concurrency == Some(0) {
                Death::ZeroReservedConcurrency
            } else if self.now >= limit {
                Death::EventAgeExceeded
            } else {
                return true;
            };
            self.functions[index].ready.remove(&mut self.entries, place);
            self.end_event(place, End::Dead(death), crate::ResponseAtHand::None, None, out);
        }
        self.function_timers.set(index, self.now + 1);
        false
    }

    /// The head of the ready queue cannot start: says so once, then again with backoff.
    fn block(&mut self, index: u32, reason: Throttle, out: &mut Vec<Effect>) -> Pumped {
        if reason == Throttle::Account && !self.functions[index].account_listed {
            self.functions[index].account_listed = true;
            self.account.blocked.push_back(index);
        }
        let known = self.functions[index].blocked;
        if known.is_none_or(|known| known.reason != reason) {
            let until = self.now + backoff_ms(0);
            self.functions[index].blocked = Some(Blocked { reason, checks: 0, until });
            self.throttled(index, reason, out);
            self.set_function_timer(index);
        }
        Pumped::Waits
    }

    fn unblock(&mut self, index: u32) {
        if self.functions[index].blocked.take().is_some() {
            self.function_timers.clear(index);
        }
    }

    /// Events left the ready queue without being started.
    pub(crate) fn after_ready_removed(&mut self, index: u32) {
        if self.functions[index].ready.is_empty() {
            self.unblock(index);
        } else {
            self.set_function_timer(index);
        }
    }

    fn set_function_timer(&mut self, index: u32) {
        let function = &self.functions[index];
        let (Some(blocked), Some(head)) = (function.blocked, function.ready.head()) else { return };
        let limit = age_limit(&function.settings, self.entries[head].age_from);
        self.function_timers.set(index, blocked.until.min(limit));
    }

    /// The function's timer: its head is looked at again; if it still waits, that is one more throttle.
    pub(crate) fn function_due(&mut self, index: u32, out: &mut Vec<Effect>) {
        if self.functions.get(index).is_none_or(|function| function.life == Life::Deleted) {
            return;
        }
        self.wake_ready(index, out);
        let now = self.now;
        let Some(blocked) = &mut self.functions[index].blocked else { return };
        if now >= blocked.until {
            blocked.checks += 1;
            blocked.until = now + backoff_ms(blocked.checks);
            let reason = blocked.reason;
            self.throttled(index, reason, out);
        }
        self.set_function_timer(index);
    }

    /// An event became ready, or its wait is to be looked at again.
    pub(crate) fn wake_ready(&mut self, index: u32, out: &mut Vec<Effect>) {
        // Others may wait for the same slots: a function that is not in line goes to the end of it.
        let in_line = self.functions[index].links.iter().any(|link| link.listed);
        if in_line {
            // Only the age of the head can have changed.
            self.bury_heads(index, out);
            self.after_ready_removed(index);
            return;
        }
        while self.pump(index, out) == Pumped::Started {}
    }

    /// A new event in the ready queue. If others wait before it for a known reason, nothing can start now.
    pub(crate) fn enqueue(&mut self, place: u32, first: bool, out: &mut Vec<Effect>) {
        let index = self.entries[place].function;
        self.entries[place].state = State::Ready;
        let ready = &mut self.functions[index].ready;
        if first {
            ready.push_front(&mut self.entries, place);
        } else {
            ready.push_back(&mut self.entries, place);
        }
        if self.functions[index].blocked.is_none() {
            self.wake_ready(index, out);
        }
    }

    /// Concurrency of the function came free, without a slot.
    pub(crate) fn after_permit(&mut self, index: u32, out: &mut Vec<Effect>) {
        self.wake_permit_waiters(index, out);
        self.wake_account(index, out);
    }

    pub(crate) fn wake_permit_waiters(&mut self, index: u32, out: &mut Vec<Effect>) {
        let blocked = self.functions[index].blocked.map(|blocked| blocked.reason);
        if matches!(blocked, Some(Throttle::Reserved | Throttle::Account)) {
            self.wake_function(index, out);
        }
    }

    fn wake_account(&mut self, index: u32, out: &mut Vec<Effect>) {
        if self.functions[index].settings.reserved_concurrency.is_none() {
            self.wake_account_waiters(out);
        }
    }

    /// Lets functions that wait for the unreserved pool try, longest wait first, while there is room in it.
    pub(crate) fn wake_account_waiters(&mut self, out: &mut Vec<Effect>) {
        for _ in 0..self.account.blocked.len() {
            if self.account.unreserved_running >= self.unreserved_limit() {
                break;
            }
            let Some(next) = self.account.blocked.pop_front() else { break };
            // A function that was deleted meanwhile has left its place.
            if let Some(function) = self.functions.get_mut(next) {
                function.account_listed = false;
                self.wake_function(next, out);
            }
        }
    }

    /// Frees the slot of a lease and, unless it was abandoned before, its concurrency; then gives both to
    /// those that wait.
    pub(crate) fn release(&mut self, lease: u32, out: &mut Vec<Effect>) {
        let Some(held) = self.leases.remove(lease) else { return };
        self.lease_timers.clear(lease);
        if let Some(worker) = self.workers.get_mut(held.worker) {
            worker.leases.swap_remove(held.place as usize);
            if let Some(moved) = worker.leases.get(held.place as usize).copied() {
                self.leases[moved].place = held.place;
            }
            self.list_worker(held.worker);
        }
        if held.phase != LeasePhase::Abandoned {
            self.give_permit_back(held.function);
            self.wake_permit_waiters(held.function, out);
            if !self.account.blocked.is_empty() {
                self.wake_account(held.function, out);
            }
        }
        if let Some(worker) = self.workers.get(held.worker) {
            let fleet = worker.fleet;
            if !self.fleets[fleet].waiting.is_empty() {
                self.serve_fleet(fleet, out);
            }
        }
        self.leave_function(held.function);
    }
}

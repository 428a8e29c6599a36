//! Worker sessions coming, changing and going. What happens to their attempts is decided in `outcome.rs`.

use std::collections::VecDeque;

use crate::function::Link;
use crate::worker::{Fleet, LeasePhase, Worker};
use crate::{Answer, Caller, Effect, Engine, Fact, FunctionName, Refusal, Throttle, WorkerId};

/// Slots whose leases have room from the start.
const SLOTS_USUAL: u32 = 64;

impl Engine {
    pub(crate) fn worker_joined(
        &mut self,
        caller: Caller,
        names: Vec<FunctionName>,
        slots: u32,
        out: &mut Vec<Effect>,
    ) {
        if self.draining {
            return Self::refuse(caller, Refusal::ShuttingDown, out);
        }
        let known = |name: &FunctionName| {
            self.names.get(name).is_some_and(|index| self.functions[*index].is_served())
        };
        let unknown = names.iter().filter(|name| !known(name)).cloned().collect();
        let fleet = self.fleet_of(names);
        let worker = Worker {
            fleet,
            slots,
            sent: 0,
            started: 0,
            draining: false,
            listed: false,
            // For the usual worker, so that its first attempts allocate nothing.
            leases: Vec::with_capacity(slots.min(SLOTS_USUAL) as usize),
        };
        let (index, generation) = self.workers.insert(worker);
        let joined = &mut self.fleets[fleet];
        joined.workers += 1;
        joined.serving += 1;
        joined.slots += u64::from(slots);
        joined.free += u64::from(slots);
        self.each_function(fleet, |function| function.workers += 1);
        let worker = WorkerId { index, generation };
        out.push(Effect::Reply { caller, answer: Answer::Joined { worker, unknown } });
        self.list_worker(index);
        self.offer_fleet(fleet, out);
    }

    pub(crate) fn worker_slots(&mut self, worker: WorkerId, slots: u32, out: &mut Vec<Effect>) {
        let index = worker.index;
        let Some(known) = self.workers.get_exact(index, worker.generation) else { return };
        let (fleet, drains) = (known.fleet, known.draining);
        let (slots_before, free_before) = (known.slots, known.free());
        self.workers[index].slots = slots;
        if drains {
            return;
        }
        let free = self.workers[index].free();
        let serving = &mut self.fleets[fleet];
        serving.slots = serving.slots - u64::from(slots_before) + u64::from(slots);
        serving.free = serving.free - u64::from(free_before) + u64::from(free);
        self.list_worker(index);
        self.serve_fleet(fleet, out);
    }

    pub(crate) fn worker_draining(&mut self, worker: WorkerId, out: &mut Vec<Effect>) {
        if self.workers.get_exact(worker.index, worker.generation).is_some() {
            self.retire(worker.index);
            self.refuse_unserved(self.workers[worker.index].fleet, out);
        }
    }

    pub(crate) fn worker_left(&mut self, worker: WorkerId, out: &mut Vec<Effect>) {
        let index = worker.index;
        let Some(gone) = self.workers.get_exact(index, worker.generation) else { return };
        let (fleet, started) = (gone.fleet, gone.started);
        let mut leases = gone.leases.clone();
        self.retire(index);
        if std::mem::replace(&mut self.workers[index].listed, false) {
            self.fleets[fleet].idle.retain(|listed| *listed != index);
        }
        leases.sort_unstable_by_key(|lease| self.leases[*lease].sent);
        let (mut unstarted, mut served) = (Vec::new(), Vec::new());
        for lease in leases {
            let Some(held) = self.free_lease(lease) else { continue };
            served.push(held.function);
            if held.phase != LeasePhase::Running {
                continue;
            }
            if held.sent > started {
                Self::tell(out, Fact::Unspent { function: self.function_id(held.function) });
                self.entries[held.entry].lease = crate::slab::NONE;
                unstarted.push(held.entry);
            } else {
                self.lose(&held, out);
            }
        }
        // In front of all others, the first one first.
        unstarted.into_iter().rev().for_each(|entry| self.put_back(entry, out));
        self.workers.remove(index);
        self.fleets[fleet].workers -= 1;
        self.refuse_unserved(fleet, out);
        self.drop_empty_fleet(fleet);
        self.wake_lost(served, out);
    }

    /// Gives the concurrency of lost leases to those that wait, and their invocations to other workers.
    fn wake_lost(&mut self, mut served: Vec<u32>, out: &mut Vec<Effect>) {
        served.sort_unstable();
        for (place, function) in served.iter().enumerate() {
            if place == 0 || served[place - 1] != *function {
                self.wake_function(*function, out);
            }
        }
        self.wake_account_waiters(out);
        served.into_iter().for_each(|function| self.leave_function(function));
    }

    /// The session is sent nothing more. What it runs goes on.
    fn retire(&mut self, index: u32) {
        let worker = &mut self.workers[index];
        let (fleet, free) = (worker.fleet, worker.free());
        if std::mem::replace(&mut worker.draining, true) {
            return;
        }
        let serving = &mut self.fleets[fleet];
        serving.serving -= 1;
        serving.slots -= u64::from(worker.slots);
        serving.free -= u64::from(free);
        self.each_function(fleet, |function| function.workers -= 1);
    }

    /// Callers that wait for a slot of a function that nobody serves any more need not wait.
    fn refuse_unserved(&mut self, fleet: u32, out: &mut Vec<Effect>) {
        for position in 0..self.fleets[fleet].names.len() {
            let name = &self.fleets[fleet].names[position];
            let Some(index) = self.names.get(name).copied() else { continue };
            if self.functions[index].workers > 0 {
                continue;
            }
            while let Some(place) = self.functions[index].placing.head() {
                let caller = self.entries[place].caller;
                self.throttled(index, Throttle::NoWorker, out);
                Self::refuse(caller, Refusal::NoWorker, out);
                self.leave_placing(place, out);
            }
        }
    }

    fn drop_empty_fleet(&mut self, fleet: u32) {
        if self.fleets[fleet].workers > 0 {
            return;
        }
        let Some(gone) = self.fleets.remove(fleet) else { return };
        for name in &gone.names {
            if let Some(index) = self.names.get(name).copied() {
                self.functions[index].links.retain(|link| link.fleet != fleet);
            }
        }
        self.fleet_names.remove(&gone.names);
    }

    fn fleet_of(&mut self, names: Vec<FunctionName>) -> u32 {
        if let Some(fleet) = self.fleet_names.get(&names) {
            return *fleet;
        }
        let fleet = Fleet {
            names: names.clone(),
            workers: 0,
            serving: 0,
            slots: 0,
            free: 0,
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
        };
        let (fleet, _) = self.fleets.insert(fleet);
        for (name, position) in names.iter().zip(0u32..) {
            if let Some(index) = self.names.get(name).copied()
                && self.functions[index].is_served()
            {
                self.functions[index].links.push(Link { fleet, position, listed: false });
            }
        }
        self.fleet_names.insert(names, fleet);
        fleet
    }

    /// A function came to be: fleets that named it before serve it now.
    pub(crate) fn link_function(&mut self, index: u32) {
        let function = &mut self.functions[index];
        for (fleet, serving) in self.fleets.iter() {
            let mut names = serving.names.iter().zip(0u32..);
            if let Some((_, position)) = names.find(|(name, _)| **name == function.name) {
                function.links.push(Link { fleet, position, listed: false });
                function.workers += serving.serving;
            }
        }
    }

    /// Does something to every function that a fleet serves.
    fn each_function(
        &mut self,
        fleet: u32,
        mut change: impl FnMut(&mut crate::function::Function),
    ) {
        for name in &self.fleets[fleet].names {
            if let Some(index) = self.names.get(name).copied()
                && self.functions[index].is_served()
            {
                change(&mut self.functions[index]);
            }
        }
    }

    /// A fleet has new slots: everything that waits for its functions may want them.
    fn offer_fleet(&mut self, fleet: u32, out: &mut Vec<Effect>) {
        for position in 0..self.fleets[fleet].names.len() {
            if let Some(index) = self.names.get(&self.fleets[fleet].names[position]).copied()
                && self.functions[index].has_waiting()
            {
                self.list_function(index);
            }
        }
        self.serve_fleet(fleet, out);
    }
}

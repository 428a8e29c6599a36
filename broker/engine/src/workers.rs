//! Worker sessions coming, changing and going. What happens to their attempts is decided in `outcome.rs`.

use std::collections::VecDeque;

use crate::function::{Life, Link};
use crate::worker::{Fleet, Worker};
use crate::{Answer, Caller, Effect, Engine, FunctionName, Refusal, WorkerId};

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
            self.names.get(name).is_some_and(|index| self.functions[*index].life == Life::Active)
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
            leases: Vec::new(),
        };
        let (index, generation) = self.workers.insert(worker);
        self.fleets[fleet].workers += 1;
        self.count_workers(fleet, 1);
        let worker = WorkerId { index, generation };
        out.push(Effect::Reply { caller, answer: Answer::Joined { worker, unknown } });
        self.list_worker(index);
        self.offer_fleet(fleet, out);
    }

    pub(crate) fn worker_slots(&mut self, worker: WorkerId, slots: u32, out: &mut Vec<Effect>) {
        if self.workers.get_exact(worker.index, worker.generation).is_none() {
            return;
        }
        self.workers[worker.index].slots = slots;
        self.list_worker(worker.index);
        let fleet = self.workers[worker.index].fleet;
        self.serve_fleet(fleet, out);
    }

    pub(crate) fn worker_draining(&mut self, worker: WorkerId) {
        if self.workers.get_exact(worker.index, worker.generation).is_some() {
            self.workers[worker.index].draining = true;
        }
    }

    /// The session takes part in nothing any more; its leases are still to be released.
    pub(crate) fn unlink_worker(&mut self, index: u32, fleet: u32) {
        self.workers[index].draining = true;
        self.fleets[fleet].workers -= 1;
        // The idle queue outlives the session, and its place may be taken by another one.
        if std::mem::replace(&mut self.workers[index].listed, false) {
            self.fleets[fleet].idle.retain(|listed| *listed != index);
        }
        self.count_workers_down(fleet);
    }

    pub(crate) fn drop_empty_fleet(&mut self, fleet: u32) {
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
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
        };
        let (fleet, _) = self.fleets.insert(fleet);
        for (name, position) in names.iter().zip(0u32..) {
            if let Some(index) = self.names.get(name).copied() {
                self.link(index, fleet, position);
            }
        }
        self.fleet_names.insert(names, fleet);
        fleet
    }

    fn link(&mut self, index: u32, fleet: u32, position: u32) {
        let function = &mut self.functions[index];
        if function.life == Life::Active {
            function.links.push(Link { fleet, position, listed: false });
        }
    }

    /// A function came to be: fleets that named it before serve it now.
    pub(crate) fn link_function(&mut self, index: u32) {
        let name = self.functions[index].name.clone();
        let mut found = Vec::new();
        for (fleet, serving) in self.fleets.iter() {
            if let Some(position) = serving.names.iter().position(|served| *served == name) {
                found.push((fleet, u32::try_from(position).unwrap_or(0), serving.workers));
            }
        }
        for (fleet, position, workers) in found {
            self.link(index, fleet, position);
            self.functions[index].workers += workers;
        }
    }

    fn count_workers(&mut self, fleet: u32, more: u32) {
        for position in 0..self.fleets[fleet].names.len() {
            if let Some(index) = self.names.get(&self.fleets[fleet].names[position]).copied()
                && self.functions[index].life == Life::Active
            {
                self.functions[index].workers += more;
            }
        }
    }

    fn count_workers_down(&mut self, fleet: u32) {
        for position in 0..self.fleets[fleet].names.len() {
            if let Some(index) = self.names.get(&self.fleets[fleet].names[position]).copied() {
                let function = &mut self.functions[index];
                function.workers = function.workers.saturating_sub(1);
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

//! What must hold of the engine between two steps, as pure predicates. Checked after every step in debug builds
//! while tables are small, in simulation always.
//!
//! - INV-1 slots: every lease takes exactly one slot of its worker, and nothing else does.
//! - INV-2 concurrency: a function's concurrency equals its placing invocations and its leases that were not
//!   abandoned; the account's unreserved concurrency equals that of the functions without a reservation.
//! - INV-3 lines: a function stands in a fleet's or the account's queue once if it says so, else not at all; a
//!   fleet's counts of sessions and slots are those of its sessions.
//! - INV-4 queues: an entry is in exactly the queue that its state names.
//! - INV-5 counts: queue counts and bytes equal those of the live events, and of those whose record is pending; a
//!   function's counts equal those of its entries.
//! - INV-6 timers: a state that waits for time has its timer set; a ready queue is looked at before its head is too old.
//! - INV-7 no idle want: no function has a startable event while a slot and concurrency for it are free.
//! - INV-8 changes: one waits only behind settings that are on their way to the disk.

use std::collections::BTreeMap;

use crate::Engine;
use crate::entry::State;
use crate::function::{Function, Life};
use crate::retry::age_limit;
use crate::slab::NONE;
use crate::worker::LeasePhase;

impl Engine {
    /// Whether the invariants hold.
    ///
    /// # Errors
    /// Names the first one that does not.
    pub fn check(&self) -> Result<(), String> {
        self.check_slots()?;
        self.check_concurrency()?;
        self.check_lines()?;
        self.check_entries()?;
        self.check_functions()?;
        self.check_no_idle_want()
    }

    fn check_slots(&self) -> Result<(), String> {
        let mut taken: BTreeMap<u32, usize> = BTreeMap::new();
        for (index, held) in self.leases.iter() {
            *taken.entry(held.worker).or_default() += 1;
            let worker = self.workers.get(held.worker);
            let listed = worker.and_then(|worker| worker.leases.get(held.place as usize));
            if listed != Some(&index) {
                return Err(format!("INV-1: lease {index} is not where its worker keeps it"));
            }
            let entry = self.entries.get(held.entry);
            let running = entry.is_some_and(|e| e.state == State::Running && e.lease == index);
            if (held.phase == LeasePhase::Running) != running {
                return Err(format!(
                    "INV-1: lease {index} is {:?}, its entry {entry:?}",
                    held.phase
                ));
            }
            if held.phase != LeasePhase::Abandoned && self.lease_timers.deadline(index).is_none() {
                return Err(format!("INV-6: lease {index} has no timer"));
            }
        }
        for (index, worker) in self.workers.iter() {
            if worker.leases.len() != taken.get(&index).copied().unwrap_or(0) {
                return Err(format!("INV-1: worker {index} counts {:?}", worker.leases));
            }
            let idle = self.fleets[worker.fleet].idle.iter().filter(|w| **w == index).count();
            if idle != usize::from(worker.listed) || (worker.free() > 0 && !worker.listed) {
                return Err(format!("INV-1: worker {index} stands {idle} times in the idle queue"));
            }
        }
        Ok(())
    }

    fn check_concurrency(&self) -> Result<(), String> {
        let mut running: BTreeMap<u32, u32> = BTreeMap::new();
        for (_, held) in self.leases.iter() {
            if held.phase != LeasePhase::Abandoned {
                *running.entry(held.function).or_default() += 1;
            }
        }
        let mut unreserved = 0;
        for (index, function) in self.functions.iter() {
            let placing = function.placing.len();
            let used = placing + running.get(&index).copied().unwrap_or(0);
            if function.running != used {
                let counted = function.running;
                return Err(format!("INV-2: {} counts {counted}, uses {used}", function.name));
            }
            if function.settings.reserved_concurrency.is_none() {
                unreserved += used;
            }
        }
        if unreserved != self.account.unreserved_running {
            let counted = self.account.unreserved_running;
            return Err(format!("INV-2: the account counts {counted}, uses {unreserved}"));
        }
        Ok(())
    }

    fn check_lines(&self) -> Result<(), String> {
        for (fleet, line) in self.fleets.iter() {
            let sessions = || self.workers.iter().filter(|(_, worker)| worker.fleet == fleet);
            let serving = || sessions().filter(|(_, worker)| !worker.draining);
            let slots: u64 = serving().map(|(_, worker)| u64::from(worker.slots)).sum();
            let free: u64 = serving().map(|(_, worker)| u64::from(worker.free())).sum();
            let counted = (line.workers as usize, line.serving as usize, line.slots, line.free);
            if counted != (sessions().count(), serving().count(), slots, free) {
                return Err(format!("INV-3: fleet {fleet} counts {counted:?}"));
            }
            for index in &line.waiting {
                let links = &self.functions[*index].links;
                if !links.iter().any(|link| link.fleet == fleet && link.listed) {
                    return Err(format!("INV-3: function {index} stands unlisted in {fleet}"));
                }
            }
        }
        for (index, function) in self.functions.iter() {
            for link in &function.links {
                let line = &self.fleets[link.fleet].waiting;
                let stands = line.iter().filter(|waiting| **waiting == index).count();
                if stands != usize::from(link.listed) {
                    return Err(format!("INV-3: {} stands {stands} times in line", function.name));
                }
            }
            let serving: u32 = function.links.iter().map(|l| self.fleets[l.fleet].serving).sum();
            if serving != function.workers {
                return Err(format!("INV-3: {serving} sessions serve {}", function.name));
            }
            let blocked = self.account.blocked.iter().filter(|waiting| **waiting == index).count();
            if blocked != usize::from(function.account_listed) {
                return Err(format!("INV-3: {} waits {blocked} times", function.name));
            }
        }
        Ok(())
    }

    fn check_functions(&self) -> Result<(), String> {
        // Known, unsettled, queued, bytes.
        let mut counts: BTreeMap<u32, (u32, u32, u64, u64)> = BTreeMap::new();
        for (_, entry) in self.entries.iter() {
            let count = counts.entry(entry.function).or_default();
            count.0 += 1;
            count.1 += u32::from(entry.event && entry.state != State::Ended);
            if entry.event && entry.is_live() {
                count.2 += 1;
                count.3 += u64::from(entry.payload_bytes);
            }
        }
        self.leases.iter().for_each(|(_, held)| counts.entry(held.function).or_default().0 += 1);
        for (index, function) in self.functions.iter() {
            let found = counts.get(&index).copied().unwrap_or_default();
            let counted =
                (function.known, function.unsettled, function.queued, function.queued_bytes);
            if found != counted {
                return Err(format!("INV-5: {} counts {counted:?}, has {found:?}", function.name));
            }
            if !function.changes.is_empty() && !function.putting {
                return Err(format!("INV-8: nothing holds up the changes of {}", function.name));
            }
            self.check_head(index, function)?;
        }
        let (of, account) = (|f: &Function| f.settings.reserved_concurrency, &self.account);
        let reserved: u32 = self
            .functions
            .iter()
            .filter_map(|(_, f)| of(f).filter(|_| f.life != Life::Creating))
            .sum();
        if account.reserved != reserved {
            return Err(format!("INV-2: {reserved} reserved, {} counted", account.reserved));
        }
        Ok(())
    }

    fn check_head(&self, index: u32, function: &Function) -> Result<(), String> {
        let Some(head) = function.ready.head().filter(|_| !self.draining) else { return Ok(()) };
        let limit = age_limit(&function.settings, self.entries[head].age_from).max(self.now + 1);
        if self.function_timers.deadline(index).is_none_or(|at| at > limit) {
            return Err(format!("INV-6: nobody looks at the head of {}", function.name));
        }
        Ok(())
    }

    fn check_entries(&self) -> Result<(), String> {
        let (mut queued, mut bytes, mut ended, mut placing) = (0, 0, 0, 0);
        let mut pending = (0, 0);
        let mut ready: BTreeMap<u32, u32> = BTreeMap::new();
        for (index, entry) in self.entries.iter() {
            let timed = matches!(
                entry.state,
                State::Scheduled { .. } | State::Placing | State::Redelivering { .. }
            );
            if timed != self.entry_timers.deadline(index).is_some() {
                return Err(format!("INV-6: entry {index} is {:?}", entry.state));
            }
            match entry.state {
                State::Ready => *ready.entry(entry.function).or_default() += 1,
                State::Placing => placing += 1,
                State::Ended => ended += 1,
                _ => {}
            }
            if (entry.state == State::Running) == (entry.lease == NONE) {
                return Err(format!("INV-4: entry {index} is {:?}", entry.state));
            }
            if entry.event && entry.is_live() {
                queued += 1;
                bytes += u64::from(entry.payload_bytes);
            }
            if entry.is_pending() {
                pending.0 += 1;
                pending.1 += u64::from(entry.payload_bytes);
            }
        }
        let counted = (self.records_pending, self.records_pending_bytes);
        if pending != counted {
            return Err(format!("INV-5: {pending:?} records are pending, {counted:?} are counted"));
        }
        if (queued, bytes) != (self.queued, self.queued_bytes) {
            return Err(format!("INV-5: {queued} events wait, {} are counted", self.queued));
        }
        if ended != self.dead.len() + self.past.len() || placing != self.sync_waiting {
            return Err(format!("INV-4: {ended} entries have ended, {placing} are placing"));
        }
        for (index, function) in self.functions.iter() {
            if function.ready.len() != ready.get(&index).copied().unwrap_or(0) {
                return Err(format!("INV-4: the ready queue of {} is wrong", function.name));
            }
        }
        Ok(())
    }

    fn check_no_idle_want(&self) -> Result<(), String> {
        for (index, function) in self.functions.iter() {
            let wants = !function.placing.is_empty()
                || (!function.ready.is_empty() && !self.draining && self.permit(index).is_ok());
            // Heads that are to be buried, or found at recovery, are worked on by the function's timer at once.
            let timer = self.function_timers.deadline(index);
            if !wants || timer.is_some_and(|at| at <= self.now + 1) {
                continue;
            }
            let idle = function.links.iter().any(|link| {
                let fleet = &self.fleets[link.fleet];
                fleet
                    .idle
                    .iter()
                    .any(|worker| self.workers.get(*worker).is_some_and(|worker| worker.free() > 0))
            });
            if idle {
                return Err(format!("INV-7: {} waits beside a free slot", function.name));
            }
        }
        Ok(())
    }
}

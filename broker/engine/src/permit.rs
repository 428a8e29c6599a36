//! Concurrency: who may run how many attempts at once (LS 5). It knows no slot.

use crate::{Effect, Engine, Throttle};

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

    /// The limit that the function's concurrency exceeds, if one has shrunk.
    pub(crate) fn over_limit(&self, index: u32) -> Option<Throttle> {
        let function = &self.functions[index];
        match function.settings.reserved_concurrency {
            Some(limit) => (function.running > limit).then_some(Throttle::Reserved),
            None => (self.account.unreserved_running > self.unreserved_limit())
                .then_some(Throttle::Account),
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

    /// Concurrency of the function came free: its own events want it if it is reserved, else whoever
    /// waits longest for the pool.
    pub(crate) fn after_permit(&mut self, index: u32, out: &mut Vec<Effect>) {
        let function = &self.functions[index];
        if function.settings.reserved_concurrency.is_none() {
            // The function's own events stand in this line too; going first would starve the others.
            self.wake_account_waiters(out);
        } else if !function.ready.is_empty() {
            self.wake_function(index, out);
        }
    }

    /// Puts a function whose next event waits for the unreserved pool into the account's line, once.
    pub(crate) fn wait_for_account(&mut self, index: u32) {
        if !std::mem::replace(&mut self.functions[index].account_listed, true) {
            self.account.blocked.push_back(index);
        }
    }

    /// Lets functions that wait for the unreserved pool try, longest wait first, while there is room in it.
    pub(crate) fn wake_account_waiters(&mut self, out: &mut Vec<Effect>) {
        for _ in 0..self.account.blocked.len() {
            if self.account.unreserved_running >= self.unreserved_limit() {
                break;
            }
            let Some(next) = self.account.blocked.pop_front() else { break };
            self.functions[next].account_listed = false;
            self.wake_function(next, out);
        }
    }
}

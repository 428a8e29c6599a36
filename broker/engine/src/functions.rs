//! Functions coming, changing and going, and the reservations among them (LS 5).

use crate::function::{Function, Life};
use crate::record::{After, FunctionRecord, Mutation};
use crate::{
    Answer, Caller, Effect, Engine, Fact, FunctionId, FunctionName, FunctionSettings, Refusal,
};

impl Engine {
    pub(crate) fn function_id(&self, index: u32) -> FunctionId {
        FunctionId { index, generation: self.functions.generation(index) }
    }

    pub(crate) fn create_function(
        &mut self,
        caller: Caller,
        name: FunctionName,
        settings: FunctionSettings,
        out: &mut Vec<Effect>,
    ) {
        if self.names.contains_key(&name) {
            return Self::refuse(caller, Refusal::FunctionExists, out);
        }
        if self.names.len() >= self.limits.functions_max as usize {
            return Self::refuse(caller, Refusal::TooManyFunctions, out);
        }
        let promised = match self.promise(0, settings.reserved_concurrency) {
            Ok(promised) => promised,
            Err(refusal) => return Self::refuse(caller, refusal, out),
        };
        let number = self.next_function;
        self.next_function += 1;
        let mut function = Function::new(number, name.clone(), settings.clone(), self.now);
        function.puts = 1;
        let record = FunctionRecord {
            number,
            name: name.clone(),
            settings,
            created_at: self.now,
            modified_at: self.now,
        };
        let (index, _) = self.functions.insert(function);
        self.names.insert(name, index);
        let after = After::FunctionPut { record: Box::new(record.clone()), promised, caller };
        self.persist(Mutation::PutFunction(record), after, out);
    }

    pub(crate) fn update_function(
        &mut self,
        caller: Caller,
        function: FunctionId,
        settings: FunctionSettings,
        out: &mut Vec<Effect>,
    ) {
        let known = self.functions.get_exact(function.index, function.generation);
        let Some(known) = known.filter(|known| known.life == Life::Active) else {
            return Self::refuse(caller, Refusal::UnknownFunction, out);
        };
        let in_force = known.settings.reserved_concurrency.unwrap_or(0);
        let lowest = if known.puts == 0 { in_force } else { known.reserved_low };
        let record = FunctionRecord {
            number: known.number,
            name: known.name.clone(),
            settings,
            created_at: known.created_at,
            modified_at: self.now,
        };
        let reserved = record.settings.reserved_concurrency;
        let promised = match self.promise(lowest, reserved) {
            Ok(promised) => promised,
            Err(refusal) => return Self::refuse(caller, refusal, out),
        };
        let function = &mut self.functions[function.index];
        function.puts += 1;
        function.reserved_low = lowest.min(reserved.unwrap_or(0));
        let after = After::FunctionPut { record: Box::new(record.clone()), promised, caller };
        self.persist(Mutation::PutFunction(record), after, out);
    }

    /// Sets aside what a reservation adds to the lowest that the function may have before it, until the disk has it:
    /// two at once must not exceed the account, whichever of them are refused.
    fn promise(&mut self, lowest: u32, after: Option<u32>) -> Result<u32, Refusal> {
        let more = after.unwrap_or(0).saturating_sub(lowest);
        if more > 0 {
            let min = self.limits.unreserved_concurrency_min;
            let taken = u64::from(self.account.reserved)
                + u64::from(self.account.promised)
                + u64::from(more);
            if taken + u64::from(min) > u64::from(self.limits.account_concurrency) {
                return Err(Refusal::UnreservedTooLow { min });
            }
        }
        self.account.promised += more;
        Ok(more)
    }

    /// A change of settings is over, taken by the disk or not.
    pub(crate) fn put_over(&mut self, name: &FunctionName, promised: u32) {
        self.account.promised -= promised;
        if let Some(index) = self.names.get(name).copied() {
            self.functions[index].puts -= 1;
        }
    }

    /// The settings are durable: they are in force from here on.
    pub(crate) fn function_put(
        &mut self,
        record: FunctionRecord,
        caller: Caller,
        out: &mut Vec<Effect>,
    ) {
        let Some(index) = self.names.get(&record.name).copied() else { return };
        self.apply_settings(index, record);
        if self.functions[index].life == Life::Creating {
            self.functions[index].life = Life::Active;
            self.link_function(index);
        }
        let function = self.function_id(index);
        out.push(Effect::Reply { caller, answer: Answer::Function { function } });
        Self::tell(out, Fact::FunctionsChanged);
        self.refuse_over_limit(index, out);
        // More concurrency, here or in the pool; or none at all, which ends what waits.
        self.wake_function(index, out);
        self.wake_account_waiters(out);
    }

    pub(crate) fn apply_settings(&mut self, index: u32, record: FunctionRecord) {
        let function = &mut self.functions[index];
        let reserved = |reservation: Option<u32>| reservation.unwrap_or(0);
        let creating = function.life == Life::Creating;
        let before = if creating { None } else { function.settings.reserved_concurrency };
        let after = record.settings.reserved_concurrency;
        match (before, after) {
            (None, Some(_)) => self.account.unreserved_running -= function.running,
            (Some(_), None) => self.account.unreserved_running += function.running,
            _ => {}
        }
        self.account.reserved = self.account.reserved - reserved(before) + reserved(after);
        function.settings = record.settings;
        function.created_at = record.created_at;
        function.modified_at = record.modified_at;
    }

    pub(crate) fn delete_function(
        &mut self,
        caller: Caller,
        function: FunctionId,
        out: &mut Vec<Effect>,
    ) {
        let known = self.functions.get_exact(function.index, function.generation);
        let Some(known) = known.filter(|known| known.life == Life::Active) else {
            return Self::refuse(caller, Refusal::UnknownFunction, out);
        };
        if known.running > 0 || known.queued > 0 || known.unsettled > 0 {
            return Self::refuse(caller, Refusal::FunctionBusy, out);
        }
        let number = known.number;
        self.functions[function.index].life = Life::Deleting;
        let after = After::FunctionDeleted { function: function.index, caller };
        self.persist(Mutation::DeleteFunction { number }, after, out);
    }

    pub(crate) fn function_deleted(&mut self, index: u32, caller: Caller, out: &mut Vec<Effect>) {
        self.leave_lines(index);
        let function = &mut self.functions[index];
        function.life = Life::Deleted;
        function.workers = 0;
        self.account.reserved -= function.settings.reserved_concurrency.take().unwrap_or(0);
        self.names.remove(&self.functions[index].name);
        self.function_timers.clear(index);
        out.push(Effect::Reply { caller, answer: Answer::Deleted });
        Self::tell(out, Fact::FunctionsChanged);
        self.wake_account_waiters(out);
        self.drop_unknown_function(index);
    }

    /// Takes a function out of every queue that its place in the table stands in: the place gets another tenant.
    fn leave_lines(&mut self, index: u32) {
        for link in std::mem::take(&mut self.functions[index].links) {
            if link.listed {
                self.fleets[link.fleet].waiting.retain(|waiting| *waiting != index);
            }
        }
        if std::mem::take(&mut self.functions[index].account_listed) {
            self.account.blocked.retain(|waiting| *waiting != index);
        }
    }

    /// One entry or lease less that holds a function in place.
    pub(crate) fn leave_function(&mut self, index: u32) {
        self.functions[index].known -= 1;
        self.drop_unknown_function(index);
    }

    /// The store did not take a new function: it never was.
    pub(crate) fn uncreate(&mut self, name: &FunctionName) {
        let Some(index) = self.names.get(name).copied() else { return };
        if self.functions[index].life == Life::Creating {
            self.names.remove(name);
            self.functions.remove(index);
        }
    }

    fn drop_unknown_function(&mut self, index: u32) {
        let function = &self.functions[index];
        if function.life == Life::Deleted && function.known == 0 {
            self.functions.remove(index);
        }
    }
}

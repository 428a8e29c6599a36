//! Functions coming, changing and going, and the reservations among them (LS 5).

use crate::function::{Function, Life};
use crate::record::{After, FunctionRecord, Mutation};
use crate::{
    Answer, Caller, Effect, Engine, Fact, FunctionId, FunctionName, FunctionSettings, Refusal,
    SettingsChange,
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
        let promised = match self.promise(None, settings.reserved_concurrency) {
            Ok(promised) => promised,
            Err(refusal) => return Self::refuse(caller, refusal, out),
        };
        let number = self.next_function;
        self.next_function += 1;
        let mut function = Function::new(number, name.clone(), settings.clone(), self.now);
        function.putting = true;
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
        change: Box<SettingsChange>,
        out: &mut Vec<Effect>,
    ) {
        let known = self.functions.get_exact(function.index, function.generation);
        if known.is_none_or(|known| known.life != Life::Active) {
            return Self::refuse(caller, Refusal::UnknownFunction, out);
        }
        self.functions[function.index].changes.push_back((caller, change));
        self.make_changes(function.index, out);
    }

    /// Makes the changes that wait, one at a time: the next when the one before is over.
    pub(crate) fn make_changes(&mut self, index: u32, out: &mut Vec<Effect>) {
        loop {
            let function = &mut self.functions[index];
            if function.putting {
                return;
            }
            let Some((caller, change)) = function.changes.pop_front() else { return };
            self.make_change(index, caller, *change, out);
        }
    }

    fn make_change(
        &mut self,
        index: u32,
        caller: Caller,
        change: SettingsChange,
        out: &mut Vec<Effect>,
    ) {
        let function = &self.functions[index];
        if function.life != Life::Active {
            // It waited, and was overtaken by a deletion.
            return Self::refuse(caller, Refusal::UnknownFunction, out);
        }
        let record = FunctionRecord {
            number: function.number,
            name: function.name.clone(),
            settings: change.of(function.settings.clone()),
            created_at: function.created_at,
            modified_at: self.now,
        };
        let before = function.settings.reserved_concurrency;
        let promised = match self.promise(before, record.settings.reserved_concurrency) {
            Ok(promised) => promised,
            Err(refusal) => return Self::refuse(caller, refusal, out),
        };
        self.functions[index].putting = true;
        let after = After::FunctionPut { record: Box::new(record.clone()), promised, caller };
        self.persist(Mutation::PutFunction(record), after, out);
    }

    /// Sets aside what a reservation adds to the one in force, until the disk has it: those of two functions at once
    /// must not exceed the account, whichever of them are refused.
    fn promise(&mut self, before: Option<u32>, after: Option<u32>) -> Result<u32, Refusal> {
        let more = after.unwrap_or(0).saturating_sub(before.unwrap_or(0));
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

    /// The settings are durable: they are in force from here on.
    pub(crate) fn function_put(
        &mut self,
        record: FunctionRecord,
        promised: u32,
        caller: Caller,
        out: &mut Vec<Effect>,
    ) {
        self.account.promised -= promised;
        let Some(index) = self.names.get(&record.name).copied() else { return };
        self.functions[index].putting = false;
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
        self.make_changes(index, out);
    }

    /// The store did not take the settings: what was in force still is, and a new function never was.
    pub(crate) fn function_not_put(
        &mut self,
        name: &FunctionName,
        promised: u32,
        caller: Caller,
        out: &mut Vec<Effect>,
    ) {
        self.account.promised -= promised;
        Self::refuse(caller, Refusal::StoreUnavailable, out);
        let Some(index) = self.names.get(name).copied() else { return };
        if self.functions[index].life == Life::Creating {
            self.names.remove(name);
            self.functions.remove(index);
            return;
        }
        self.functions[index].putting = false;
        self.make_changes(index, out);
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

    fn drop_unknown_function(&mut self, index: u32) {
        let function = &self.functions[index];
        if function.life == Life::Deleted && function.known == 0 {
            self.functions.remove(index);
        }
    }
}

//! Persist before reply: what was asked of the disk, and what follows once it is there. It does not
//! know what a mutation holds.

use crate::record::{After, Death, End, Mutation};
use crate::{Answer, Caller, Effect, Engine, Fact, PersistNumber, Refusal, ResponseAtHand};

/// Events of a chain of function destinations that are started, the first one included; the next one is not (LS 3.5).
pub const HOPS_MAX: u8 = 16;

impl Engine {
    pub(crate) fn persist(&mut self, mutation: Mutation, after: After, out: &mut Vec<Effect>) {
        let number = self.next_persist;
        self.next_persist += 1;
        self.pending.push_back(Some(after));
        out.push(Effect::Persist { number, mutation: Box::new(mutation) });
    }

    fn take_pending(&mut self, number: PersistNumber) -> Option<After> {
        let place = usize::try_from(number.checked_sub(self.pending_first)?).ok()?;
        self.pending.get_mut(place)?.take()
    }

    fn drop_settled(&mut self) {
        while let Some(None) = self.pending.front() {
            self.pending.pop_front();
            self.pending_first += 1;
        }
    }

    pub(crate) fn persisted(
        &mut self,
        from: PersistNumber,
        through: PersistNumber,
        out: &mut Vec<Effect>,
    ) {
        for number in from..=through {
            if let Some(after) = self.take_pending(number) {
                self.follow(after, out);
            }
        }
        self.drop_settled();
    }

    fn follow(&mut self, after: After, out: &mut Vec<Effect>) {
        match after {
            After::Accepted { entry, caller, warn_no_worker } => {
                self.accepted(entry, caller, warn_no_worker, out);
            }
            After::Waits { entry, due_at } => self.schedule(entry, due_at, true, out),
            After::Ended { entry, caller } => self.ended(entry, caller, out),
            After::DeliveryEnded { entry } => self.delivery_ended(entry, out),
            After::Redriven { old, new, at, caller } => self.redriven(old, new, at, caller, out),
            After::Redelivers { entry, caller } => self.redelivers(entry, caller, out),
            After::FunctionPut { record, promised, caller } => {
                self.function_put(*record, promised, caller, out);
            }
            After::FunctionDeleted { function, caller } => {
                self.function_deleted(function, caller, out);
            }
            After::Repeated { entry, generation, caller } => {
                self.repeated(entry, generation, caller, out);
            }
            After::CancelAgain { request_id, caller, before } => {
                self.cancel(caller, request_id, before, out);
            }
            After::Forgotten => {}
        }
    }

    fn accepted(
        &mut self,
        place: u32,
        caller: Option<Caller>,
        no_worker: bool,
        out: &mut Vec<Effect>,
    ) {
        let entry = &self.entries[place];
        let (request_id, due_at, hops) = (entry.request_id, entry.age_from, entry.hops);
        let function = self.function_id(entry.function);
        if let Some(caller) = caller {
            let answer = Answer::Accepted { request_id, duplicate: false, no_worker };
            out.push(Effect::Reply { caller, answer });
        }
        Self::tell(out, Fact::EventReceived { function });
        if hops >= HOPS_MAX {
            let end = End::Dead(Death::RecursiveInvocation);
            return self.end_event(place, end, ResponseAtHand::None, None, out);
        }
        self.schedule(place, due_at, false, out);
    }

    fn repeated(&mut self, place: u32, generation: u32, caller: Caller, out: &mut Vec<Effect>) {
        let Some(entry) = self.entries.get_exact(place, generation) else {
            // The first request was refused, and nothing else was said about this one.
            return Self::refuse(caller, Refusal::StoreUnavailable, out);
        };
        let request_id = entry.request_id;
        let answer = Answer::Accepted { request_id, duplicate: true, no_worker: false };
        out.push(Effect::Reply { caller, answer });
    }

    /// The disk wrote nothing of it: what was asked for did not happen, and whoever asked is told.
    pub(crate) fn persist_rejected(&mut self, number: PersistNumber, out: &mut Vec<Effect>) {
        let Some(after) = self.take_pending(number) else { return };
        match after {
            After::Accepted { entry, caller, .. } => {
                self.unaccept(entry, out);
                if let Some(caller) = caller {
                    Self::refuse(caller, Refusal::StoreUnavailable, out);
                }
            }
            After::Redriven { old, new, caller, .. } => {
                self.unaccept(new, out);
                self.remember(old, out);
                Self::refuse(caller, Refusal::StoreUnavailable, out);
            }
            After::FunctionPut { record, promised, caller } => {
                self.function_not_put(&record.name, promised, caller, out);
            }
            After::FunctionDeleted { function, caller } => {
                self.functions[function].life = crate::function::Life::Active;
                Self::refuse(caller, Refusal::StoreUnavailable, out);
            }
            After::Repeated { caller, .. } | After::CancelAgain { caller, .. } => {
                Self::refuse(caller, Refusal::StoreUnavailable, out);
            }
            // These are to be offered again (`Mutation::on_rejection`): they stay open.
            repeats @ (After::Waits { .. }
            | After::Ended { .. }
            | After::DeliveryEnded { .. }
            | After::Redelivers { .. }
            | After::Forgotten) => self.put_pending_back(number, repeats),
        }
        self.drop_settled();
    }

    fn put_pending_back(&mut self, number: PersistNumber, after: After) {
        let place = usize::try_from(number - self.pending_first).unwrap_or(usize::MAX);
        if let Some(open) = self.pending.get_mut(place) {
            *open = Some(after);
        }
    }

    /// Whether the disk has it is not known: nobody is told yes or no, nor to try again as if nothing had happened.
    pub(crate) fn store_lost(&mut self, out: &mut Vec<Effect>) {
        self.pending_first += self.pending.len() as PersistNumber;
        let open = std::mem::take(&mut self.pending).into_iter().flatten();
        for caller in open.filter_map(|after| after.caller()) {
            Self::refuse(caller, Refusal::StoreUnknown, out);
        }
    }

    /// An event that was never acknowledged leaves no trace.
    fn unaccept(&mut self, place: u32, out: &mut Vec<Effect>) {
        let entry = &self.entries[place];
        let bytes = u64::from(entry.payload_bytes);
        let function = &mut self.functions[entry.function];
        function.queued -= 1;
        function.queued_bytes -= bytes;
        function.unsettled -= 1;
        self.queued -= 1;
        self.queued_bytes -= bytes;
        self.remove_entry(place, out);
    }

    /// Shutdown: nothing starts any more; callers that wait are told to come back.
    pub(crate) fn drain(&mut self, out: &mut Vec<Effect>) {
        self.draining = true;
        for index in 0..self.functions.places() {
            while let Some(place) =
                self.functions.get(index).and_then(|function| function.placing.head())
            {
                let caller = self.entries[place].caller;
                Self::refuse(caller, Refusal::ShuttingDown, out);
                self.leave_placing(place, out);
            }
        }
    }
}

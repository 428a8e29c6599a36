//! Invocations that clients want no more: cancelled, or given up by the caller who waits.

use crate::entry::State;
use crate::record::{After, End, Mutation, ResponseAtHand};
use crate::slab::NONE;
use crate::{Answer, Caller, Effect, Engine, Refusal, RequestId};

/// A cancel that meets a write in flight comes again after it, and may then meet the next one: an event
/// has at most three attempts, each with one write behind it.
const CANCELS_MAX: u8 = 4;

impl Engine {
    pub(crate) fn caller_gone(
        &mut self,
        caller: Caller,
        request_id: RequestId,
        out: &mut Vec<Effect>,
    ) {
        let Some(place) = self.find(request_id) else { return };
        let entry = &self.entries[place];
        if entry.state == State::Placing && entry.caller == caller {
            self.leave_placing(place, out);
        }
    }

    /// Callers are not counted by edge: that would cost every call something, and this looks only at those that wait
    /// for a slot.
    pub(crate) fn callers_gone(&mut self, edge: u32, out: &mut Vec<Effect>) {
        if self.sync_waiting == 0 {
            return;
        }
        let mut gone = Vec::new();
        for (_, function) in self.functions.iter() {
            let waiting = function.placing.iter(&self.entries);
            gone.extend(waiting.filter(|place| self.entries[*place].caller.edge == edge));
        }
        // All of them leave before anybody gets what they free: it must not be one of them.
        for place in &gone {
            let index = self.entries[*place].function;
            self.unplace(*place);
            self.give_permit_back(index);
        }
        let mut functions: Vec<u32> =
            gone.iter().map(|place| self.entries[*place].function).collect();
        functions.dedup();
        for index in functions {
            self.after_permit(index, out);
        }
        for place in gone {
            self.remove_entry(place, out);
        }
    }

    /// `before`: how often the same cancel met a write in flight.
    pub(crate) fn cancel(
        &mut self,
        caller: Caller,
        request_id: RequestId,
        before: u8,
        out: &mut Vec<Effect>,
    ) {
        let Some(place) = self.find(request_id) else {
            return Self::refuse(caller, Refusal::UnknownInvocation, out);
        };
        let entry = &self.entries[place];
        let (state, event) = (entry.state, entry.event);
        match state {
            State::Saving if !entry.is_live() => {
                return Self::refuse(caller, Refusal::InvocationFinished, out);
            }
            State::Saving if before >= CANCELS_MAX => {
                return Self::refuse(caller, Refusal::StoreUnavailable, out);
            }
            State::Saving => {
                let after = After::CancelAgain { request_id, caller, before: before + 1 };
                return self.persist(Mutation::Barrier, after, out);
            }
            State::Delivering | State::Redelivering { .. } | State::Ended => {
                return Self::refuse(caller, Refusal::InvocationFinished, out);
            }
            State::Placing => {
                self.cancel_sync(place, caller, out);
                return self.leave_placing(place, out);
            }
            State::Scheduled { .. } => self.entry_timers.clear(place),
            State::Ready => {
                let index = self.entries[place].function;
                self.functions[index].ready.remove(&mut self.entries, place);
                self.after_ready_removed(index);
            }
            State::Running => self.cancel_running(place, out),
        }
        if event {
            self.end_event(place, End::Cancelled, ResponseAtHand::None, Some(caller), out);
        } else {
            self.cancel_sync(place, caller, out);
            self.remove_entry(place, out);
        }
    }

    fn cancel_sync(&mut self, place: u32, caller: Caller, out: &mut Vec<Effect>) {
        let entry = &self.entries[place];
        let answer = Answer::Cancelled { request_id: entry.request_id };
        Self::refuse(entry.caller, Refusal::InvocationCancelled, out);
        out.push(Effect::Reply { caller, answer });
    }

    fn cancel_running(&mut self, place: u32, out: &mut Vec<Effect>) {
        let entry = &mut self.entries[place];
        let lease = std::mem::replace(&mut entry.lease, NONE);
        entry.attempts += 1;
        let held = &self.leases[lease];
        self.tell_ended(held.function, held.started_at, false, out);
        self.stop(lease, out);
    }
}

//! Who runs next: the queues in front of concurrency and slots.
//!
//! Whatever frees capacity wakes those that wait for it, oldest first; nothing polls. Functions that want
//! slots of the same fleet take turns, one start each, so a long queue does not starve a short one.
//!
//! ```text
//! ready queue:  empty ──event──▶ moving ──no capacity──▶ blocked (timer set) ──start──▶ moving, or empty
//!                                                           └── backoff, age of the head ──▶ looked at again
//! ```

use crate::entry::State;
use crate::function::Blocked;
use crate::record::{Death, End};
use crate::retry::{age_limit, backoff_ms};
use crate::slot::Slot;
use crate::{Effect, Engine, Millis, ResponseAtHand, Throttle};

/// Events of one function that may die in one step; the rest follow at the next millisecond.
const DEATHS_PER_STEP_MAX: u32 = 256;

impl Engine {
    /// A new event in the ready queue. While others are blocked before it, it cannot start either.
    pub(crate) fn enqueue(&mut self, place: u32, out: &mut Vec<Effect>) {
        let index = self.entries[place].function;
        self.entries[place].state = State::Ready;
        self.functions[index].ready.push_back(&mut self.entries, place);
        if self.functions[index].blocked.is_none() {
            self.wake_function(index, out);
        }
    }

    /// Something that the function's work may have waited for has changed: it gets its turn with the others.
    pub(crate) fn wake_function(&mut self, index: u32, out: &mut Vec<Effect>) {
        if self.draining || !self.functions[index].has_waiting() {
            return;
        }
        self.list_function(index);
        for link in 0..self.functions[index].links.len() {
            let fleet = self.functions[index].links[link].fleet;
            self.serve_fleet(fleet, out);
        }
        self.settle(index, out);
    }

    /// Puts a function with waiting work into the waiting queues of the fleets that serve it.
    pub(crate) fn list_function(&mut self, index: u32) {
        for link in &mut self.functions[index].links {
            if !std::mem::replace(&mut link.listed, true) {
                self.fleets[link.fleet].waiting.push_back(index);
            }
        }
    }

    /// Gives free slots of a fleet to the functions that wait for them, in turns.
    pub(crate) fn serve_fleet(&mut self, fleet: u32, out: &mut Vec<Effect>) {
        while !self.fleets[fleet].waiting.is_empty() {
            let Some(worker) = self.idle_worker(fleet) else { break };
            let Some(index) = self.fleets[fleet].waiting.pop_front() else { break };
            let links = &mut self.functions[index].links;
            let Some(link) = links.iter_mut().find(|link| link.fleet == fleet) else { continue };
            link.listed = false;
            let slot = Slot { worker, position: link.position };
            if self.start_next(index, slot, out) && self.functions[index].has_waiting() {
                self.list_again(index, fleet);
            }
        }
    }

    fn list_again(&mut self, index: u32, fleet: u32) {
        let mut links = self.functions[index].links.iter_mut();
        if let Some(link) = links.find(|link| link.fleet == fleet)
            && !std::mem::replace(&mut link.listed, true)
        {
            self.fleets[fleet].waiting.push_back(index);
        }
    }

    /// Starts one invocation of the function on `slot`, if one may: callers that wait go before events
    /// (reliability.md, lesson 6).
    fn start_next(&mut self, index: u32, slot: Slot, out: &mut Vec<Effect>) -> bool {
        self.refuse_over_limit(index, out);
        if let Some(place) = self.functions[index].placing.head() {
            self.unplace(place);
            self.start(place, slot, out);
            return true;
        }
        if self.draining || !self.bury_heads(index, out) {
            return false;
        }
        let Some(place) = self.functions[index].ready.head() else {
            self.unblock(index);
            return false;
        };
        if let Err(throttle) = self.permit(index) {
            self.block(index, throttle, out);
            return false;
        }
        self.functions[index].ready.remove(&mut self.entries, place);
        self.take_permit(index);
        self.moved(index);
        self.start(place, slot, out);
        true
    }

    /// A limit that shrank below what it has admitted: callers that still wait are refused, the last one first. What
    /// runs runs on, but nothing more is started beyond a limit (I4).
    pub(crate) fn refuse_over_limit(&mut self, index: u32, out: &mut Vec<Effect>) {
        while let Some(place) = self.functions[index].placing.tail()
            && let Some(throttle) = self.over_limit(index)
        {
            let refusal = self.throttle_refusal(index, throttle);
            self.throttled(index, throttle, out);
            Self::refuse(self.entries[place].caller, refusal, out);
            self.unplace(place);
            self.give_permit_back(index);
            self.remove_entry(place, out);
        }
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
            self.end_event(place, End::Dead(death), ResponseAtHand::None, None, out);
        }
        self.function_timers.set(index, self.now + 1);
        false
    }

    /// Says what the events that are left wait for. They are looked at again at their function's timer.
    pub(crate) fn settle(&mut self, index: u32, out: &mut Vec<Effect>) {
        if self.draining || !self.bury_heads(index, out) {
            return;
        }
        if self.functions[index].ready.is_empty() {
            return self.unblock(index);
        }
        let reason = match self.permit(index) {
            _ if self.functions[index].workers == 0 => Throttle::NoWorker,
            Err(throttle) => throttle,
            Ok(()) => Throttle::NoCapacity,
        };
        self.block(index, reason, out);
    }

    /// The head of the ready queue cannot start: that is a throttle, and with backoff another one (LS 3.1).
    fn block(&mut self, index: u32, reason: Throttle, out: &mut Vec<Effect>) {
        if reason == Throttle::Account {
            self.wait_for_account(index);
        }
        match &mut self.functions[index].blocked {
            Some(blocked) => blocked.reason = reason,
            none @ None => {
                let until = self.now + backoff_ms(0);
                *none = Some(Blocked { reason, checks: 0, until });
                self.throttled(index, reason, out);
            }
        }
        self.set_function_timer(index);
    }

    /// The head of the ready queue is about to start. While a queue moves, the wait of the next one is no throttle.
    fn moved(&mut self, index: u32) {
        if self.functions[index].ready.is_empty() {
            return self.unblock(index);
        }
        let until = self.now + backoff_ms(0);
        let reason = Throttle::NoCapacity;
        self.functions[index].blocked = Some(Blocked { reason, checks: 0, until });
        self.set_function_timer(index);
    }

    fn unblock(&mut self, index: u32) {
        if self.functions[index].blocked.take().is_some() {
            self.function_timers.clear(index);
        }
    }

    /// An event left the ready queue without being started.
    pub(crate) fn after_ready_removed(&mut self, index: u32) {
        if self.functions[index].ready.is_empty() {
            self.unblock(index);
        } else {
            self.set_function_timer(index);
        }
    }

    /// The timer may be set for earlier than needed: a queue that moves would set it anew at every start. When it
    /// is due too early it is set again.
    fn set_function_timer(&mut self, index: u32) {
        let function = &self.functions[index];
        let (Some(blocked), Some(head)) = (function.blocked, function.ready.head()) else { return };
        let limit = age_limit(&function.settings, self.entries[head].age_from);
        let wanted = blocked.until.min(limit);
        if self.function_timers.deadline(index).is_none_or(|set| set > wanted) {
            self.function_timers.set(index, wanted);
        }
    }

    /// The function's timer: its head is looked at again; if it still waits, that is one more throttle.
    pub(crate) fn function_due(&mut self, index: u32, out: &mut Vec<Effect>) {
        if self.draining || self.functions.get(index).is_none() {
            return;
        }
        self.wake_function(index, out);
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

    /// An attempt that was never started goes back to the head of its queue, nothing is spent (I2). The caller
    /// wakes the function.
    pub(crate) fn put_back(&mut self, place: u32, out: &mut Vec<Effect>) {
        let entry = &mut self.entries[place];
        let index = entry.function;
        if entry.event {
            entry.state = State::Ready;
            self.functions[index].ready.push_front(&mut self.entries, place);
            return self.changed(place, out);
        }
        if self.draining {
            Self::refuse(entry.caller, crate::Refusal::ShuttingDown, out);
            return self.remove_entry(place, out);
        }
        let until = entry.deadline.min(self.now + self.limits.placement_wait_ms);
        self.take_permit(index);
        self.wait_for_slot(place, until, true);
    }

    /// Puts a synchronous invocation that holds concurrency into its function's placing queue.
    pub(crate) fn wait_for_slot(&mut self, place: u32, until: Millis, first: bool) {
        let index = self.entries[place].function;
        self.entries[place].state = State::Placing;
        self.sync_waiting += 1;
        let placing = &mut self.functions[index].placing;
        if first {
            placing.push_front(&mut self.entries, place);
        } else {
            placing.push_back(&mut self.entries, place);
        }
        self.entry_timers.set(place, until);
        self.list_function(index);
    }

    pub(crate) fn unplace(&mut self, place: u32) {
        let index = self.entries[place].function;
        self.functions[index].placing.remove(&mut self.entries, place);
        self.entry_timers.clear(place);
        self.sync_waiting -= 1;
    }

    /// Ends the wait of a synchronous invocation for a slot, without an answer, and gives its concurrency back.
    pub(crate) fn leave_placing(&mut self, place: u32, out: &mut Vec<Effect>) {
        let index = self.entries[place].function;
        self.unplace(place);
        self.give_permit_back(index);
        self.after_permit(index, out);
        self.remove_entry(place, out);
    }
}

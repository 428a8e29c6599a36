//! The end of an attempt: outcomes, timeouts, and the fencing between them. Transition table:
//! [`LeasePhase`]. What happens when a whole session ends is in `workers.rs`.

use crate::retry::backoff_ms;
use crate::slab::NONE;
use crate::worker::{Held, LeasePhase};
use crate::{
    Answer, AttemptResult, Effect, Engine, Fact, FunctionError, Lease, Millis, Refusal, WorkerId,
};

/// Wait of an event whose attempt came back unstarted, before it is offered again: a worker that
/// returns everything must not spin the broker.
const RETURNED_WAIT_MS: Millis = 1_000;

/// How often a synchronous invocation that came back unstarted is placed again, for the same reason.
const SYNC_RETURNS_MAX: u8 = 3;

/// How an attempt ended in the eyes of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Answered,
    Failed(FunctionError),
}

impl Engine {
    pub(crate) fn started(&mut self, worker: WorkerId, through: u64) {
        if self.workers.get_exact(worker.index, worker.generation).is_some() {
            let worker = &mut self.workers[worker.index];
            worker.started = worker.started.max(through.min(worker.sent));
        }
    }

    pub(crate) fn outcome(
        &mut self,
        worker: WorkerId,
        lease: Lease,
        result: AttemptResult,
        out: &mut Vec<Effect>,
    ) {
        let Some(held) = self.take_lease(worker, lease) else {
            return Self::tell(out, Fact::LateOutcome);
        };
        if held.phase == LeasePhase::Running {
            match self.finish_of(&held, result) {
                Some(finish) => self.finish(&held, finish, out),
                None => self.give_back(&held, RETURNED_WAIT_MS, out),
            }
        } else if !matches!(result, AttemptResult::Stopped { .. } | AttemptResult::Returned) {
            // Fenced: the invocation went on without this attempt. The worker is done with the slot.
            Self::tell(out, Fact::LateOutcome);
        }
        self.wake_freed(&held, out);
    }

    /// What an outcome makes of its attempt; `None`: it was never started.
    fn finish_of(&self, held: &Held, result: AttemptResult) -> Option<Finish> {
        let max = self.limits.response_bytes_max;
        let error = match result {
            AttemptResult::Response { bytes } | AttemptResult::FunctionError { bytes }
                if bytes > max =>
            {
                FunctionError::ResponseTooLarge
            }
            AttemptResult::Response { .. } => return Some(Finish::Answered),
            AttemptResult::FunctionError { .. } => FunctionError::Reported,
            AttemptResult::Stopped { timed_out: true } => {
                FunctionError::TimedOut { timeout_ms: held.timeout_ms }
            }
            AttemptResult::Stopped { timed_out: false } => FunctionError::WorkerLost,
            AttemptResult::Returned => return None,
        };
        Some(Finish::Failed(error))
    }

    /// The shell could not hand the attempt over; nobody has started it.
    pub(crate) fn not_sent(&mut self, worker: WorkerId, lease: Lease, out: &mut Vec<Effect>) {
        let Some(held) = self.take_lease(worker, lease) else { return };
        if held.phase == LeasePhase::Running {
            // It may be the payload that cannot be read, and then it will not be the next time either.
            let wait = backoff_ms(self.entries[held.entry].returns.into());
            self.give_back(&held, wait, out);
        }
        self.wake_freed(&held, out);
    }

    /// Frees a lease if it is still what its worker thinks it is.
    fn take_lease(&mut self, worker: WorkerId, lease: Lease) -> Option<Held> {
        self.workers.get_exact(worker.index, worker.generation)?;
        let held = self.leases.get(lease.index)?;
        let good = held.worker == worker.index && held.fence == lease.fence;
        if good { self.free_lease(lease.index) } else { None }
    }

    /// Ends the attempt of `held` for its invocation, whether slot and concurrency are free by now or not.
    fn finish(&mut self, held: &Held, finish: Finish, out: &mut Vec<Effect>) {
        let ok = finish == Finish::Answered;
        self.tell_ended(held.function, held.started_at, ok, out);
        let place = held.entry;
        let entry = &mut self.entries[place];
        entry.lease = NONE;
        entry.attempts += 1;
        entry.returns = 0;
        if entry.event {
            return self.attempt_finished(place, finish, out);
        }
        let (caller, request_id) = (entry.caller, entry.request_id);
        let answer = match finish {
            Finish::Answered => Answer::Succeeded { request_id },
            Finish::Failed(error) => Answer::Failed { request_id, error },
        };
        out.push(Effect::Reply { caller, answer });
        self.remove_entry(place, out);
    }

    pub(crate) fn tell_ended(
        &self,
        function: u32,
        started_at: Millis,
        ok: bool,
        out: &mut Vec<Effect>,
    ) {
        let duration_ms = self.now.saturating_sub(started_at);
        Self::tell(out, Fact::Ended { function: self.function_id(function), ok, duration_ms });
    }

    /// A started attempt was lost with its worker (design.md section 7).
    pub(crate) fn lose(&mut self, held: &Held, out: &mut Vec<Effect>) {
        let function = self.function_id(held.function);
        let request_id = self.entries[held.entry].request_id;
        Self::tell(out, Fact::WorkerLost { function, request_id });
        self.finish(held, Finish::Failed(FunctionError::WorkerLost), out);
    }

    /// The attempt was never started: the invocation waits again, an event for `wait`; nothing is spent (I2). A worker
    /// that drains is sent nothing more, so what it returns goes on at once; any other might return it for ever.
    fn give_back(&mut self, held: &Held, wait: Millis, out: &mut Vec<Effect>) {
        let place = held.entry;
        let drains = self.workers[held.worker].draining;
        if self.entries[place].event && !drains {
            return self.wait_again(held, wait, out);
        }
        Self::tell(out, Fact::Unspent { function: self.function_id(held.function) });
        let entry = &mut self.entries[place];
        entry.lease = NONE;
        entry.returns = entry.returns.saturating_add(1);
        if let Some(refusal) = self.refusal_of_returned(place) {
            Self::refuse(self.entries[place].caller, refusal, out);
            return self.remove_entry(place, out);
        }
        self.put_back(place, out);
        self.wake_function(held.function, out);
    }

    /// Why a synchronous invocation that came back is not placed again.
    fn refusal_of_returned(&self, place: u32) -> Option<Refusal> {
        let entry = &self.entries[place];
        match entry {
            _ if entry.event => None,
            _ if entry.deadline <= self.now => Some(Refusal::DeadlineExpired),
            _ if entry.returns > SYNC_RETURNS_MAX => Some(Refusal::NoCapacity),
            _ if self.functions[entry.function].workers == 0 => Some(Refusal::NoWorker),
            _ => None,
        }
    }

    /// By the worker's word: it names what it starts, and has not named this. A worker that never named anything does
    /// not keep to that, and its silence says nothing.
    fn never_started(&self, held: &Held) -> bool {
        let worker = &self.workers[held.worker];
        worker.started > 0 && held.sent > worker.started
    }

    /// An event whose attempt was never started waits for `wait` and is offered again.
    fn wait_again(&mut self, held: &Held, wait: Millis, out: &mut Vec<Effect>) {
        Self::tell(out, Fact::Unspent { function: self.function_id(held.function) });
        let entry = &mut self.entries[held.entry];
        entry.lease = NONE;
        entry.returns = entry.returns.saturating_add(1);
        let (due_at, retry) = (self.now + wait, entry.failed);
        self.schedule(held.entry, due_at, retry, out);
    }

    /// A lease's timer: the function timeout, or the end of the grace for a handler that was told to stop.
    pub(crate) fn lease_due(&mut self, lease: u32, out: &mut Vec<Effect>) {
        let Some(held) = self.leases.get(lease) else { return };
        let (function, held) = (held.function, *held);
        match held.phase {
            LeasePhase::Running => {
                Self::tell(out, Fact::LeaseExpired { function: self.function_id(function) });
                if self.entries[held.entry].event && self.never_started(&held) {
                    self.wait_again(&held, RETURNED_WAIT_MS, out);
                } else {
                    let timeout_ms = held.timeout_ms;
                    self.finish(&held, Finish::Failed(FunctionError::TimedOut { timeout_ms }), out);
                }
                self.stop(lease, out);
            }
            LeasePhase::Stopping => {
                self.leases[lease].phase = LeasePhase::Abandoned;
                Self::tell(out, Fact::SlotAbandoned { function: self.function_id(function) });
                self.give_permit_back(function);
                self.after_permit(function, out);
            }
            LeasePhase::Abandoned => {}
        }
    }

    /// Tells the worker to stop, and waits for its word before slot and concurrency are used again: limits hold
    /// from the worker's view too (I4).
    pub(crate) fn stop(&mut self, lease: u32, out: &mut Vec<Effect>) {
        let held = &mut self.leases[lease];
        held.phase = LeasePhase::Stopping;
        held.entry = NONE;
        let worker =
            WorkerId { index: held.worker, generation: self.workers.generation(held.worker) };
        out.push(Effect::Stop { worker, lease: Lease { index: lease, fence: held.fence } });
        self.lease_timers.set(lease, self.now + self.limits.stop_grace_ms);
    }
}

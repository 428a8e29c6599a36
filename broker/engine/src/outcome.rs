//! The end of an attempt: outcomes, timeouts, lost workers, and the fencing between them.
//! Transition table: [`LeasePhase`](crate::worker::LeasePhase).

use crate::entry::State;
use crate::record::{After, End, Mutation};
use crate::slab::NONE;
use crate::worker::LeasePhase;
use crate::{
    Answer, AttemptResult, Effect, Engine, Fact, FunctionError, Lease, Millis, Refusal, RequestId,
    ResponseAtHand, Throttle, WorkerId,
};

/// Wait of an event whose attempt came back unstarted, before it is offered again: a worker that
/// returns everything must not spin the broker.
const RETURNED_WAIT_MS: Millis = 1_000;

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
        let Some(phase) = self.lease_phase(worker, lease) else {
            return Self::tell(out, Fact::LateOutcome);
        };
        if phase != LeasePhase::Running {
            // Fenced: the invocation went on without this attempt. The worker is done with the slot.
            if matches!(
                result,
                AttemptResult::Response { .. } | AttemptResult::FunctionError { .. }
            ) {
                Self::tell(out, Fact::LateOutcome);
            }
            return self.release(lease.index, out);
        }
        let max = self.limits.response_bytes_max;
        match result {
            AttemptResult::Response { bytes } if bytes > max => {
                self.finish(lease.index, Finish::Failed(FunctionError::ResponseTooLarge), out);
            }
            AttemptResult::Response { .. } => self.finish(lease.index, Finish::Answered, out),
            AttemptResult::FunctionError { bytes } if bytes > max => {
                self.finish(lease.index, Finish::Failed(FunctionError::ResponseTooLarge), out);
            }
            AttemptResult::FunctionError { .. } => {
                self.finish(lease.index, Finish::Failed(FunctionError::Reported), out);
            }
            AttemptResult::Stopped { timed_out: true } => {
                let timeout_ms =
                    self.functions[self.leases[lease.index].function].settings.timeout_ms();
                self.finish(
                    lease.index,
                    Finish::Failed(FunctionError::TimedOut { timeout_ms }),
                    out,
                );
            }
            AttemptResult::Stopped { timed_out: false } => {
                self.finish(lease.index, Finish::Failed(FunctionError::WorkerLost), out);
            }
            AttemptResult::Returned => self.give_back(lease.index, out),
        }
        self.release(lease.index, out);
    }

    /// The shell could not hand the attempt over; nobody has started it.
    pub(crate) fn not_sent(&mut self, worker: WorkerId, lease: Lease, out: &mut Vec<Effect>) {
        match self.lease_phase(worker, lease) {
            Some(LeasePhase::Running) => self.give_back(lease.index, out),
            Some(LeasePhase::Stopping | LeasePhase::Abandoned) => {}
            None => return,
        }
        self.release(lease.index, out);
    }

    fn lease_phase(&self, worker: WorkerId, lease: Lease) -> Option<LeasePhase> {
        let session = self.workers.get_exact(worker.index, worker.generation);
        let held = self.leases.get(lease.index)?;
        let good = session.is_some() && held.worker == worker.index && held.fence == lease.fence;
        good.then_some(held.phase)
    }

    /// Ends the attempt for its invocation. The lease keeps slot and concurrency until it is released.
    fn finish(&mut self, lease: u32, finish: Finish, out: &mut Vec<Effect>) {
        let held = &mut self.leases[lease];
        let place = std::mem::replace(&mut held.entry, NONE);
        let (function, started_at) = (held.function, held.started_at);
        let duration_ms = self.now.saturating_sub(started_at);
        let ok = finish == Finish::Answered;
        Self::tell(out, Fact::Ended { function: self.function_id(function), ok, duration_ms });
        let entry = &mut self.entries[place];
        entry.lease = NONE;
        entry.attempts += 1;
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

    /// The attempt was never started: the invocation waits again, nothing is spent (I2).
    fn give_back(&mut self, lease: u32, out: &mut Vec<Effect>) {
        let held = &mut self.leases[lease];
        let place = std::mem::replace(&mut held.entry, NONE);
        let function = held.function;
        Self::tell(out, Fact::Unspent { function: self.function_id(function) });
        let entry = &mut self.entries[place];
        entry.lease = NONE;
        if entry.event {
            let due_at = self.now + RETURNED_WAIT_MS;
            let retry = entry.failed;
            self.schedule(place, due_at, retry, out);
        } else {
            let caller = entry.caller;
            Self::refuse(caller, Refusal::NoCapacity, out);
            self.remove_entry(place, out);
        }
    }

    /// A lease's timer: the function timeout, or the end of the grace for a handler that was told to stop.
    pub(crate) fn lease_due(&mut self, lease: u32, out: &mut Vec<Effect>) {
        let Some(held) = self.leases.get(lease) else { return };
        let function = held.function;
        match held.phase {
            LeasePhase::Running => {
                let timeout_ms = self.functions[function].settings.timeout_ms();
                Self::tell(out, Fact::LeaseExpired { function: self.function_id(function) });
                self.finish(lease, Finish::Failed(FunctionError::TimedOut { timeout_ms }), out);
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
        let worker =
            WorkerId { index: held.worker, generation: self.workers.generation(held.worker) };
        out.push(Effect::Stop { worker, lease: Lease { index: lease, fence: held.fence } });
        self.lease_timers.set(lease, self.now + self.limits.stop_grace_ms);
    }

    pub(crate) fn worker_left(&mut self, worker: WorkerId, out: &mut Vec<Effect>) {
        let Some(gone) = self.workers.get_exact(worker.index, worker.generation) else { return };
        let (fleet, started) = (gone.fleet, gone.started);
        let leases = gone.leases.clone();
        self.unlink_worker(worker.index, fleet);
        for lease in leases {
            if self.leases[lease].phase == LeasePhase::Running {
                let unstarted = self.leases[lease].sent > started;
                self.lose(lease, unstarted, out);
            }
            self.release(lease, out);
        }
        self.workers.remove(worker.index);
        self.refuse_unserved(fleet, out);
        self.drop_empty_fleet(fleet);
    }

    /// A running attempt is lost with its worker (design.md section 7).
    fn lose(&mut self, lease: u32, unstarted: bool, out: &mut Vec<Effect>) {
        let place = self.leases[lease].entry;
        let function = self.function_id(self.leases[lease].function);
        let request_id: RequestId = self.entries[place].request_id;
        if !unstarted {
            Self::tell(out, Fact::WorkerLost { function, request_id });
            return self.finish(lease, Finish::Failed(FunctionError::WorkerLost), out);
        }
        Self::tell(out, Fact::Unspent { function });
        self.leases[lease].entry = NONE;
        self.entries[place].lease = NONE;
        if self.entries[place].event {
            self.enqueue(place, true, out);
        } else {
            let until = self.now + self.limits.placement_wait_ms;
            let until = until.min(self.entries[place].deadline);
            // It keeps waiting with concurrency of its own; the lost lease gives back the other.
            self.take_permit(function.index);
            self.wait_for_slot(place, until, true);
            self.wake_function(function.index, out);
        }
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

    pub(crate) fn cancel(
        &mut self,
        caller: crate::Caller,
        request_id: RequestId,
        out: &mut Vec<Effect>,
    ) {
        let Some(place) = self.by_request.get(&request_id).copied() else {
            return Self::refuse(caller, Refusal::UnknownInvocation, out);
        };
        let entry = &self.entries[place];
        let (state, event, waiting) = (entry.state, entry.event, entry.caller);
        match state {
            State::Saving if entry.is_live() => {
                let after = After::CancelAgain { request_id, caller };
                return self.persist(Mutation::Barrier, after, out);
            }
            State::Saving | State::Delivering { .. } | State::Ended => {
                return Self::refuse(caller, Refusal::InvocationFinished, out);
            }
            State::Placing => {
                Self::refuse(waiting, Refusal::InvocationCancelled, out);
                out.push(Effect::Reply { caller, answer: Answer::Cancelled { request_id } });
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
            Self::refuse(waiting, Refusal::InvocationCancelled, out);
            out.push(Effect::Reply { caller, answer: Answer::Cancelled { request_id } });
            self.remove_entry(place, out);
        }
    }

    fn cancel_running(&mut self, place: u32, out: &mut Vec<Effect>) {
        let lease = std::mem::replace(&mut self.entries[place].lease, NONE);
        self.entries[place].attempts += 1;
        let held = &mut self.leases[lease];
        held.entry = NONE;
        let (function, started_at) = (held.function, held.started_at);
        let duration_ms = self.now.saturating_sub(started_at);
        Self::tell(
            out,
            Fact::Ended { function: self.function_id(function), ok: false, duration_ms },
        );
        self.stop(lease, out);
    }
}

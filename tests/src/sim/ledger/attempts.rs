//! Owns sessions, leases and slots as seen from the workers' side (I2, I3, I4).

use trine_engine::{AttemptResult, Dispatch, FunctionId, Lease, Millis, RequestId, WorkerId};

use super::super::store::ensure;
use super::{Finish, Judged, Ledger};

/// A worker session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) slots: u32,
    pub(super) sent: u64,
    pub(super) started: u64,
    pub(super) draining: bool,
}

/// What takes a slot.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) worker: WorkerId,
    pub(super) function: FunctionId,
    pub(super) request_id: RequestId,
    attempt: u32,
    /// Number of the attempt in its session.
    number: u64,
    sent_at: Millis,
    timeout_ms: Millis,
    pub(super) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Stopping { since: Millis },
    Abandoned,
}

impl Ledger {
    pub(in super::super) fn joined(&mut self, worker: WorkerId, slots: u32) -> Judged {
        let session = Session { slots, sent: 0, started: 0, draining: false };
        let before = self.sessions.insert(worker, session);
        ensure(before.is_none(), || format!("{worker:?} was given out twice"))
    }

    /// A handler was started under a lease.
    pub(in super::super) fn handler_started(&mut self, worker: WorkerId, lease: Lease) -> Judged {
        ensure(self.runs.insert(lease), || format!("I3: {lease:?} was run twice"))?;
        let Some(held) = self.leases.get(&lease) else {
            // Given up for good reason, if its session is: then others may run in its place.
            let lost = !self.sessions.contains_key(&worker);
            return ensure(lost, || format!("I3: {lease:?} runs and nobody knows of it"));
        };
        if !self.ran.insert((held.request_id, held.attempt)) {
            self.counts.repeated += 1;
        }
        Ok(())
    }

    pub(super) fn dispatched(&mut self, dispatch: &Dispatch) -> Judged {
        let (lease, function) = (dispatch.lease, dispatch.function);
        self.counts.sent += 1;
        let fence = Some(lease.fence);
        ensure(fence > self.fence_last, || format!("{lease:?} is not newer than all before it"))?;
        self.fence_last = fence;
        self.judge_slot(dispatch)?;
        self.judge_concurrency(function)?;
        let active = self.active.get(&function);
        let timeout_ms = active.map_or(0, |active| active.settings.timeout_ms());
        ensure(timeout_ms == dispatch.timeout_ms, || format!("{dispatch:?}, not {timeout_ms} ms"))?;
        if self.syncs.contains_key(&dispatch.request_id) {
            self.sync_starts(dispatch)?;
        } else {
            self.event_starts(dispatch)?;
        }
        let held = Held {
            worker: dispatch.worker,
            function,
            request_id: dispatch.request_id,
            attempt: dispatch.attempt,
            number: self.sessions.get(&dispatch.worker).map_or(0, |session| session.sent),
            sent_at: self.now,
            timeout_ms: timeout_ms.into(),
            phase: Phase::Running,
        };
        let before = self.leases.insert(lease, held);
        ensure(before.is_none(), || format!("I3: {lease:?} was granted twice"))
    }

    fn judge_slot(&mut self, dispatch: &Dispatch) -> Judged {
        let worker = dispatch.worker;
        let taken = self.leases.values().filter(|held| held.worker == worker).count();
        let Some(session) = self.sessions.get_mut(&worker) else {
            return Err(format!("{dispatch:?} goes to a session that is over"));
        };
        session.sent += 1;
        let free = taken < session.slots as usize && !session.draining;
        ensure(free, || format!("I4: {worker:?} has no slot left: {session:?}, {taken} taken"))
    }

    /// I4, at every start: the attempts that workers hold leave room for one more.
    fn judge_concurrency(&self, function: FunctionId) -> Judged {
        let counts = |held: &&Held| held.phase != Phase::Abandoned;
        let held = || self.leases.values().filter(counts);
        match self.reserved(function) {
            Some(limit) => {
                let running = held().filter(|held| held.function == function).count();
                ensure(running < limit as usize, || {
                    format!("I4: {running} attempts of {function:?} run at a limit of {limit}")
                })
            }
            None => {
                let unreserved = |held: &&Held| self.reserved(held.function).is_none();
                let running = held().filter(unreserved).count();
                let reserved: u32 =
                    self.active.values().filter_map(|a| a.settings.reserved_concurrency).sum();
                let pool = self.limits.account_concurrency.saturating_sub(reserved);
                ensure(running < pool as usize, || {
                    format!("I4: {running} attempts run in a pool of {pool}")
                })
            }
        }
    }

    pub(super) fn outcome(&mut self, worker: WorkerId, lease: Lease, result: AttemptResult) {
        let known = self.sessions.contains_key(&worker)
            && self.leases.get(&lease).is_some_and(|held| held.worker == worker);
        if !known {
            self.late_expected = true;
            return;
        }
        if result == AttemptResult::Returned {
            return self.give_back(lease);
        }
        let Some(held) = self.leases.remove(&lease) else { return };
        let finish = self.finish_of(result);
        match held.phase {
            Phase::Running => self.attempt_over(held.request_id, finish.unwrap_or(Finish::Lost)),
            Phase::Stopping { .. } | Phase::Abandoned => {
                self.late_expected = !matches!(result, AttemptResult::Stopped { .. });
            }
        }
    }

    /// The attempt was never started.
    pub(super) fn give_back(&mut self, lease: Lease) {
        let Some(held) = self.leases.remove(&lease) else { return };
        if held.phase == Phase::Running {
            self.unspent(held.request_id);
        }
    }

    pub(super) fn session_over(&mut self, worker: WorkerId) {
        let Some(session) = self.sessions.remove(&worker) else { return };
        let lost: Vec<Lease> =
            self.leases.iter().filter(|(_, h)| h.worker == worker).map(|(l, _)| *l).collect();
        for lease in lost {
            let Some(held) = self.leases.remove(&lease) else { continue };
            match held.phase {
                Phase::Running if held.number > session.started => self.unspent(held.request_id),
                Phase::Running => self.attempt_over(held.request_id, Finish::Lost),
                Phase::Stopping { .. } | Phase::Abandoned => {}
            }
        }
    }

    fn unspent(&mut self, id: RequestId) {
        if let Some(sync) = self.syncs.get_mut(&id) {
            sync.lease = None;
        } else if let Some(event) = self.events.get_mut(&id) {
            event.lease = None;
        }
    }

    /// One attempt is spent (I2).
    fn attempt_over(&mut self, id: RequestId, finish: Finish) {
        self.owed.insert(id, finish);
        if let Some(sync) = self.syncs.get_mut(&id) {
            sync.lease = None;
        } else if let Some(event) = self.events.get_mut(&id) {
            event.lease = None;
            event.spent += 1;
            event.last = Some(finish);
        }
    }

    /// What ended the attempt of an invocation on which a decision was taken; `None`: it has none that runs.
    ///
    /// An attempt that no input ended was ended by its timeout, which must have passed.
    pub(super) fn ended_by(&mut self, id: RequestId) -> Result<Option<Finish>, String> {
        if let Some(finish) = self.owed.remove(&id) {
            return Ok(Some(finish));
        }
        let running = |held: &Held| held.request_id == id && held.phase == Phase::Running;
        let Some((lease, held)) = self.leases.iter().find(|(_, held)| running(held)) else {
            return Ok(None);
        };
        let due = held.sent_at + held.timeout_ms;
        ensure(self.now >= due, || {
            format!("I8: {lease:?} was stopped at {}, due {due}", self.now)
        })?;
        ensure(!self.goes_unspent(held), || format!("I2: {held:?} never started and is spent"))?;
        self.attempt_over(id, Finish::TimedOut);
        self.owed.remove(&id);
        Ok(Some(Finish::TimedOut))
    }

    /// A client's cancel ends the attempt that runs, whatever its time.
    pub(super) fn cancelled(&mut self, id: RequestId) {
        let sync = self.syncs.get(&id).and_then(|sync| sync.lease);
        if sync.or_else(|| self.events.get(&id)?.lease).is_some() {
            self.attempt_over(id, Finish::Lost);
            self.owed.remove(&id);
        }
    }

    pub(super) fn stopped(&mut self, lease: Lease) -> Judged {
        let since = self.now;
        let Some(held) = self.leases.get_mut(&lease) else {
            return Err(format!("{lease:?} is stopped and nobody holds it"));
        };
        let phase = std::mem::replace(&mut held.phase, Phase::Stopping { since });
        ensure(phase == Phase::Running, || format!("{lease:?} is stopped while {phase:?}"))?;
        self.expired = false;
        if std::mem::take(&mut self.expired_unspent) {
            self.expires_unspent(lease)?;
        }
        Ok(())
    }

    /// I2: an event whose attempt timed out before its worker, which names what it starts, has named it.
    fn goes_unspent(&self, held: &Held) -> bool {
        let session = self.sessions.get(&held.worker);
        session.is_some_and(|session| session.started > 0 && held.number > session.started)
            && self.events.contains_key(&held.request_id)
    }

    fn expires_unspent(&mut self, lease: Lease) -> Judged {
        let Some(held) = self.leases.get(&lease) else { return Ok(()) };
        let (id, due) = (held.request_id, held.sent_at + held.timeout_ms);
        ensure(self.now >= due, || format!("I8: {lease:?} expired at {}, due {due}", self.now))?;
        ensure(self.goes_unspent(held), || format!("I2: {held:?} is not spent"))?;
        self.unspent(id);
        Ok(())
    }

    pub(super) fn abandoned(&mut self, function: FunctionId) -> Judged {
        self.counts.abandoned += 1;
        let (now, grace) = (self.now, self.limits.stop_grace_ms);
        let due = |phase| matches!(phase, Phase::Stopping { since } if since + grace <= now);
        let mut held = self.leases.values_mut();
        let found = held.find(|held| held.function == function && due(held.phase));
        let Some(held) = found else {
            return Err(format!("I8: no attempt of {function:?} was silent for the whole grace"));
        };
        held.phase = Phase::Abandoned;
        Ok(())
    }
}

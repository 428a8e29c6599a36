//! One session with the broker, from its welcome to its end: mappings come and go, reports are answered. It does not connect and does
//! not reconnect, and knows nothing of what happens inside a mapping.
//!
//! ```text
//! assigned --run--> running --revoked--> stopping --ended--> released
//!                   running --seek-->    stopping --ended--> seeking --done--> released (or, after a preview, running again)
//! ```

mod held;
mod seeking;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError};
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;
use trine_proto::v1::{
    Assignment, LeaseRelease, PollerServiceSessionRequest, PollerServiceSessionResponse,
    Revocation, StatusReport, UnparkOrder,
};

pub(crate) use self::held::Mappings;
use self::held::{Held, Then, Worked};
use self::seeking::sought_in;
use crate::SourceError;
use crate::binding::Secrets;
use crate::clock::monotonic;
use crate::invoke::Invoker;
use crate::lease::Lease;
use crate::plan::Plan;
use crate::reports::Reports;
use crate::runner::{Command, Ended, Runner};
use crate::way::Invoke;

/// Commands that wait for a mapping. It takes them between steps.
const COMMANDS_MAX: usize = 64;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Loss {
    #[error("the broker closed the session")]
    Closed,
    #[error("the session broke: {}", .0.message())]
    Broken(tonic::Status),
    #[error("the broker was silent for {} ms", .0.as_millis())]
    Silent(Duration),
}

/// A welcomed session.
pub(crate) struct Session {
    pub(crate) inbound: Streaming<PollerServiceSessionResponse>,
    pub(crate) reports: Reports,
    pub(crate) calls: Arc<dyn Invoke>,
    pub(crate) secrets: Secrets,
    /// Longest silence that this side allows itself.
    pub(crate) heartbeat: Duration,
    /// Ends with the broker's silence; then the mappings are somebody else's.
    pub(crate) lease: Lease,
    pub(crate) mappings: Mappings,
}

impl Session {
    /// Serves until the session ends, or until everything has ended after `shutdown`.
    pub(crate) async fn run(
        &mut self,
        shutdown: &mut tokio::sync::watch::Receiver<Option<Instant>>,
    ) -> Result<(), Loss> {
        let mut beat_at = monotonic() + self.heartbeat;
        let mut draining = false;
        loop {
            if draining && self.mappings.held.is_empty() {
                return Ok(());
            }
            let silent_at = self.lease.ends_at();
            let alarm = self.mappings.next_abandon().into_iter().chain([silent_at, beat_at]).min();
            tokio::select! {
                biased;
                frame = self.inbound.message() => {
                    let frame = frame.map_err(Loss::Broken)?.ok_or(Loss::Closed)?;
                    self.lease.renew();
                    self.apply(frame).await;
                }
                Some(worked) = self.mappings.working.join_next_with_id() => self.worked(worked).await,
                until = drained(shutdown), if !draining => {
                    draining = true;
                    self.reports.send(PollerServiceSessionRequest { draining: true, ..Default::default() }).await;
                    self.mappings.stop_all(until);
                }
                () = sleep_until(alarm.unwrap_or(silent_at)) => {
                    let now = monotonic();
                    if now >= silent_at {
                        return Err(Loss::Silent(self.lease.length()));
                    }
                    if now >= beat_at {
                        self.reports.beat();
                        beat_at = now + self.heartbeat;
                    }
                    self.mappings.abandon_due(now);
                }
            }
        }
    }

    async fn apply(&mut self, frame: PollerServiceSessionResponse) {
        for answer in frame.answers {
            self.reports.answered(answer);
        }
        for assignment in frame.assignments {
            self.assigned(assignment).await;
        }
        for Revocation { mapping_id, fence, drain_ms } in frame.revocations {
            let until = monotonic() + Duration::from_millis(drain_ms.into());
            if let Some(held) = self.mappings.held_under(&mapping_id, fence) {
                held.stop(Then::Release, until);
            }
            self.release_idle(&mapping_id).await;
        }
        for order in frame.unparks {
            self.unpark(order);
        }
        for order in frame.seeks {
            self.seek(order).await;
        }
        if frame.draining {
            tracing::info!("the broker shuts down; its mappings go on when it is back");
        }
    }

    /// A new mapping, or a known one that is to pause or to go on.
    async fn assigned(&mut self, assignment: Assignment) {
        let Some(assignment) = self.mappings.gathered(assignment) else { return };
        let Some(mapping) = &assignment.mapping else { return };
        let id = mapping.id.clone();
        if let Some(held) = self.mappings.held_under(&id, assignment.fence) {
            return held.pause(assignment.paused);
        }
        // Under an older fence nothing counts any more.
        self.mappings.forget(&id);
        let paused = assignment.paused;
        let fence = assignment.fence;
        let mut held = Held::new(fence, paused);
        match Plan::of(&assignment, &self.secrets) {
            Ok((plan, places)) => {
                held.plan = Some(Arc::new(plan));
                held.places = places;
            }
            Err(error) => {
                tracing::warn!(mapping = %id, "the mapping cannot be read: {error}");
                self.tell_unusable(&id, fence, &error);
            }
        }
        self.mappings.held.insert(id.clone(), held);
        self.start(&id);
    }

    fn tell_unusable(&self, id: &str, fence: u64, error: &SourceError) {
        let status = StatusReport {
            mapping_id: id.to_owned(),
            fence,
            waiting_for: format!("somebody to change it: {error}"),
            problem: error.problem.code().to_owned(),
            error: error.to_string(),
            last_processing_result: "No records processed".to_owned(),
            ..StatusReport::default()
        };
        // A connection that is too busy to take it will be told again by the next assignment.
        let _ = self.reports.status(status);
    }

    fn start(&mut self, id: &str) {
        let Some(held) = self.mappings.held.get_mut(id) else { return };
        let Some(plan) = held.plan.clone() else { return };
        let (commands, taken) = mpsc::channel(COMMANDS_MAX);
        let invoker = Invoker::new(
            Arc::clone(&self.calls),
            &plan.function,
            &plan.qualifier,
            self.lease.clone(),
        );
        let runner = Runner::new(plan, invoker, self.reports.clone(), held.places.clone());
        let paused = held.paused;
        let abort = self
            .mappings
            .working
            .spawn(async move { Worked::Ran(runner.run(paused, taken).await) });
        held.commands = Some(commands);
        held.abandon_at = None;
        held.then = Then::Nothing;
        self.mappings.ids.insert(abort.id(), id.to_owned());
        held.abort = Some(abort);
    }

    fn unpark(&mut self, order: UnparkOrder) {
        if let Some(held) = self.mappings.held_under(&order.mapping_id, order.fence) {
            held.command(Command::Unpark(order));
        }
    }

    async fn worked(&mut self, worked: Result<(Id, Worked), JoinError>) {
        let task = match &worked {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        let Some(id) = self.mappings.ids.remove(&task) else { return };
        // What was forgotten under an older fence is of no interest.
        let is_its_own = |held: &Held| held.abort.as_ref().is_some_and(|abort| abort.id() == task);
        if !self.mappings.held.get(&id).is_some_and(is_its_own) {
            return;
        }
        match worked {
            Ok((_, Worked::Ran(ended))) => self.ran(&id, ended).await,
            Ok((_, Worked::Previewed)) => {}
            // The plan of the assignment is as old as that is: what has been parked since, only the broker knows.
            Ok((_, Worked::Sought { ticket, result })) => {
                self.sought(ticket, result).await;
                self.release(&id).await;
            }
            // Dropped because its time was over, or a defect: either way nothing of it is under way any more.
            Err(_) => self.release(&id).await,
        }
    }

    async fn ran(&mut self, id: &str, ended: Ended) {
        let Some(held) = self.mappings.held.get_mut(id) else { return };
        held.commands = None;
        held.abandon_at = None;
        held.places = ended.places;
        if ended.fenced {
            return self.mappings.forget(id);
        }
        match std::mem::replace(&mut held.then, Then::Nothing) {
            Then::Seek(order) => {
                let Some(plan) = held.plan.clone() else { return };
                let places = held.places.clone();
                let ticket = order.ticket;
                let abort = self.mappings.working.spawn(async move {
                    Worked::Sought { ticket, result: sought_in(&plan, places, order).await }
                });
                self.mappings.ids.insert(abort.id(), id.to_owned());
                held.abort = Some(abort);
            }
            // A runner that ends by itself has met a defect: whoever holds the mapping next begins anew.
            Then::Release | Then::Nothing => self.release(id).await,
        }
    }

    /// Releases a mapping that was revoked while nothing of it ran.
    async fn release_idle(&mut self, id: &str) {
        if self
            .mappings
            .held
            .get(id)
            .is_some_and(|held| held.commands.is_none() && held.abort.is_none())
        {
            self.release(id).await;
        }
    }

    async fn release(&mut self, id: &str) {
        let Some(held) = self.mappings.held.remove(id) else { return };
        let release = LeaseRelease { mapping_id: id.to_owned(), fence: held.fence };
        self.reports
            .send(PollerServiceSessionRequest { releases: vec![release], ..Default::default() })
            .await;
    }
}

/// When everything has to have ended, once somebody wants it.
async fn drained(shutdown: &mut tokio::sync::watch::Receiver<Option<Instant>>) -> Instant {
    match shutdown.wait_for(Option::is_some).await {
        Ok(until) => until.unwrap_or_else(monotonic),
        // The handle is gone: nobody waits.
        Err(_) => monotonic(),
    }
}

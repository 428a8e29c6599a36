//! One session with the broker, from its welcome to its end: mappings come and go, reports are answered. It does not connect and does
//! not reconnect, and knows nothing of what happens inside a mapping.
//!
//! ```text
//! assigned --run--> running --revoked--> stopping --ended--> released
//!                   running --seek-->    stopping --ended--> seeking --done--> released (or, after a preview, running again)
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;
use tonic::transport::Channel;
use trine_proto::v1::{
    Assignment, LeaseRelease, PollerServiceSessionRequest, PollerServiceSessionResponse,
    Revocation, SeekOrder, SeekReport, ShardCheckpoint, ShardSeek, StatusReport, UnparkOrder,
};

use crate::SourceError;
use crate::binding::Secrets;
use crate::clock::monotonic;
use crate::invoke::Invoker;
use crate::lease::Lease;
use crate::plan::Plan;
use crate::reports::Reports;
use crate::runner::{Command, Ended, Runner};
use crate::source::{Place, Places, SeekTo, ShardName, Sought, Target};

/// Commands that wait for a mapping. It takes them between steps.
const COMMANDS_MAX: usize = 64;

/// Longest time for a seek, its preview included.
const SEEK_WAIT: Duration = Duration::from_secs(60);

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
    pub(crate) channel: Channel,
    pub(crate) secrets: Secrets,
    /// Longest silence that this side allows itself.
    pub(crate) heartbeat: Duration,
    /// Ends with the broker's silence; then the mappings are somebody else's.
    pub(crate) lease: Lease,
    pub(crate) mappings: Mappings,
}

/// The mappings that this poller holds.
#[derive(Default)]
pub(crate) struct Mappings {
    held: HashMap<String, Held>,
    /// Runners and seeks; each gives back the id of its mapping.
    working: JoinSet<Worked>,
    ids: HashMap<Id, String>,
    /// Assignments of which more is to come, by mapping.
    coming: HashMap<String, Assignment>,
}

/// One mapping that this poller holds.
struct Held {
    fence: u64,
    plan: Option<Arc<Plan>>,
    paused: bool,
    commands: Option<mpsc::Sender<Command>>,
    /// What comes once the runner has ended.
    then: Then,
    /// When a runner that was told to stop is dropped.
    abandon_at: Option<Instant>,
    places: Places,
    abort: Option<tokio::task::AbortHandle>,
}

enum Then {
    Nothing,
    Release,
    Seek(SeekOrder),
}

enum Worked {
    Ran(Ended),
    /// Told already.
    Previewed,
    Sought {
        ticket: u64,
        result: Result<Vec<Sought>, SourceError>,
    },
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
        let invoker =
            Invoker::new(self.channel.clone(), &plan.function, &plan.qualifier, self.lease.clone());
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

    async fn seek(&mut self, order: SeekOrder) {
        let id = order.mapping_id.clone();
        let ticket = order.ticket;
        let Some(held) = self.mappings.held_under(&id, order.fence) else {
            return self
                .sought(
                    ticket,
                    Err(SourceError::configuration(
                        "this poller does not hold the mapping under this fence",
                    )),
                )
                .await;
        };
        if held.plan.is_none() {
            return self
                .sought(
                    ticket,
                    Err(SourceError::configuration("the mapping cannot be read; see its error")),
                )
                .await;
        }
        if order.preview {
            return self.preview(&id, order);
        }
        held.stop(Then::Seek(order), monotonic() + SEEK_WAIT);
    }

    /// Moves nothing, so nothing has to stop for it.
    fn preview(&mut self, id: &str, order: SeekOrder) {
        let Some(held) = self.mappings.held.get(id) else { return };
        let Some(plan) = held.plan.clone() else { return };
        let (asked, told) = oneshot::channel();
        held.command(Command::Places(asked));
        let (before, reports) = (held.places.clone(), self.reports.clone());
        self.mappings.working.spawn(async move {
            let places = told.await.unwrap_or(before);
            let ticket = order.ticket;
            let result = sought_in(&plan, places, order).await;
            reports.send(seek_report(ticket, result)).await;
            Worked::Previewed
        });
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

    async fn sought(&self, ticket: u64, result: Result<Vec<Sought>, SourceError>) {
        self.reports.send(seek_report(ticket, result)).await;
    }
}

async fn sought_in(
    plan: &Plan,
    places: Places,
    order: SeekOrder,
) -> Result<Vec<Sought>, SourceError> {
    let preview = order.preview;
    let seeking = plan.connector.seek(places, target(order), preview);
    let late = || SourceError::unreachable("the source did not answer in time");
    tokio::time::timeout(SEEK_WAIT, seeking).await.unwrap_or_else(|_| Err(late()))
}

fn seek_report(
    ticket: u64,
    result: Result<Vec<Sought>, SourceError>,
) -> PollerServiceSessionRequest {
    let report = match result {
        Ok(sought) => SeekReport {
            ticket,
            checkpoints: sought.iter().filter_map(checkpoint).collect(),
            shards: sought.into_iter().map(told).collect(),
            error: String::new(),
        },
        Err(error) => SeekReport { ticket, error: error.to_string(), ..SeekReport::default() },
    };
    PollerServiceSessionRequest { seeks: vec![report], ..PollerServiceSessionRequest::default() }
}

impl Mappings {
    /// The whole of an assignment that came in several frames; `None` while more of it is to come.
    fn gathered(&mut self, mut part: Assignment) -> Option<Assignment> {
        let id = part.mapping.as_ref()?.id.clone();
        if let Some(mut before) =
            self.coming.remove(&id).filter(|before| before.fence == part.fence)
        {
            // Only the first of them says more of the mapping than its id.
            before.checkpoints.append(&mut part.checkpoints);
            before.parked.append(&mut part.parked);
            before.more = part.more;
            part = before;
        }
        if part.more {
            self.coming.insert(id, part);
            return None;
        }
        Some(part)
    }

    /// The mapping, if it is held under this fence.
    fn held_under(&mut self, id: &str, fence: u64) -> Option<&mut Held> {
        self.held.get_mut(id).filter(|held| held.fence == fence)
    }

    /// Drops everything of a mapping.
    fn forget(&mut self, id: &str) {
        if let Some(held) = self.held.remove(id)
            && let Some(abort) = held.abort
        {
            abort.abort();
        }
    }

    /// Drops everything: the session is gone, and with it the right to any mapping.
    pub(crate) async fn abandon(&mut self) {
        self.held.clear();
        self.coming.clear();
        self.ids.clear();
        self.working.shutdown().await;
    }

    fn stop_all(&mut self, until: Instant) {
        self.held.values_mut().for_each(|held| held.stop(Then::Release, until));
        // Nothing of these runs: there is nobody to wait for.
        self.held.retain(|_, held| held.abort.is_some());
    }

    fn next_abandon(&self) -> Option<Instant> {
        self.held.values().filter_map(|held| held.abandon_at).min()
    }

    fn abandon_due(&mut self, now: Instant) {
        for held in self.held.values_mut() {
            if held.abandon_at.is_some_and(|at| now >= at) {
                held.abandon_at = None;
                if let Some(abort) = &held.abort {
                    abort.abort();
                }
            }
        }
    }
}

impl Held {
    fn new(fence: u64, paused: bool) -> Self {
        Self {
            fence,
            plan: None,
            paused,
            commands: None,
            then: Then::Nothing,
            abandon_at: None,
            places: Places::new(),
            abort: None,
        }
    }

    fn pause(&mut self, paused: bool) {
        if self.paused != paused {
            self.paused = paused;
            self.command(if paused { Command::Pause } else { Command::Resume });
        }
    }

    fn stop(&mut self, then: Then, until: Instant) {
        self.then = then;
        self.abandon_at = Some(until);
        self.command(Command::Stop);
    }

    fn command(&self, command: Command) {
        if let Some(commands) = &self.commands
            && commands.try_send(command).is_err()
            && let Some(abort) = &self.abort
        {
            // Only a mapping that does not come to take commands any more has so many waiting.
            abort.abort();
        }
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

fn target(order: SeekOrder) -> Target {
    use trine_proto::v1::StartingPosition;
    use trine_proto::v1::seek_target::Target as To;
    let target = order.target.unwrap_or_default();
    let to = match target.target {
        Some(To::Position(position)) => SeekTo::Position(position),
        Some(To::TimestampMs(at)) => SeekTo::Timestamp(at),
        Some(To::Edge(edge)) if edge == i32::from(StartingPosition::Latest) => SeekTo::End,
        Some(To::Edge(_)) | None => SeekTo::Start,
    };
    Target { shard: (!target.shard.is_empty()).then(|| ShardName::new(&target.shard)), to }
}

fn told(sought: Sought) -> ShardSeek {
    let Sought { shard, from, to, read_again, skipped, .. } = sought;
    ShardSeek { shard: shard.to_string(), from, to, read_again, skipped }
}

fn checkpoint(sought: &Sought) -> Option<ShardCheckpoint> {
    let place = sought.place.as_ref()?;
    let position = match place {
        Place::After(position) => position.to_string(),
        Place::Ended => String::new(),
    };
    Some(ShardCheckpoint {
        shard: sought.shard.to_string(),
        position,
        ended: *place == Place::Ended,
        ..ShardCheckpoint::default()
    })
}

//! Drives one mapping with one engine: takes what happened, steps the engine, carries out what follows. It decides nothing; every
//! decision is in `trine-poll-engine`.
//!
//! One task owns the engine. Everything that takes time is a unit of work of its own ([`units`]); the task waits only in one place, for
//! the next thing that happens. No unit is ever raced against something and dropped halfway, except all of them together when the
//! mapping is abandoned: then its session or its fence is gone, and nothing that they do counts any more.

mod carry;
mod failure_record;
mod given_up;
mod happened;
mod parking;
mod payload;
mod shards;
mod status;
mod units;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::AbortHandle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use trine_poll_engine::{BatchId, Effect, Input, Millis, Origin, Poll, Records, ShardId, Ticket};
use trine_proto::v1::UnparkOrder;

use self::shards::Shards;
use self::status::Status;
use self::units::Units;
use crate::clock::{Clock, monotonic};
use crate::invoke::{Invoker, Response};
use crate::plan::Plan;
use crate::reports::Reports;
use crate::source::{Connect, Opened, Places, ShardName, Source};

/// How often a mapping tells how it is.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// How long a mapping that met a defect is kept before it is given back: whoever gets it next meets it again, and no source is to be
/// asked for the same records without end.
const DEFECT_WAIT: Duration = Duration::from_secs(10);

/// Bytes of a failed attempt's answer that are kept: its text for people is shorter, and the record does not hold the answer.
const ANSWER_KEPT_BYTES: usize = 2_048;

/// Answers of failed attempts that are kept for on-failure records; the oldest goes when there are more.
const RESPONSES_MAX: usize = 1_024;

/// What the session wants of a running mapping.
#[derive(Debug)]
pub(crate) enum Command {
    Pause,
    Resume,
    Unpark(UnparkOrder),
    /// How far are the shards settled?
    Places(oneshot::Sender<Places>),
    /// Let what is in flight end, settle it, and end.
    Stop,
}

/// How a mapping ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Somebody else holds it: nothing is to be released.
    pub(crate) fenced: bool,
    /// How far its shards are settled, as the broker keeps it.
    pub(crate) places: Places,
}

/// One mapping that is being read.
pub(crate) struct Runner {
    poll: Poll,
    clock: Clock,
    plan: Arc<Plan>,
    connector: Arc<dyn Connect>,
    invoker: Invoker,
    reports: Reports,
    /// The newest connection, and its number. A broken one is dropped when the next one is there: settling may still work.
    source: Option<Arc<dyn Source>>,
    connection: u64,
    connected: bool,
    /// The newest attempt to connect.
    connecting: Option<AbortHandle>,
    shards: Shards,
    /// As the broker keeps them.
    places: Places,
    units: Units,
    status: Status,
    /// What is being invoked.
    sent: HashMap<BatchId, Sent>,
    /// Shards that were given to us again before they were free: opened as soon as they are.
    reopening: BTreeMap<ShardName, Opened>,
    /// All that were ever open here.
    known: BTreeSet<ShardName>,
    /// Orders for shards that are not open yet.
    unparks: Vec<UnparkOrder>,
    /// Records of the newest order to unpark.
    coming_back: u64,
    /// Of batches that failed and are not over.
    responses: BTreeMap<BatchId, Response>,
    /// When failure records that were not taken yet were first told.
    first_told: HashMap<(ShardId, Ticket), Millis>,
    /// Emptied within every step; kept for its capacity.
    effects: Vec<Effect>,
    /// For records without a key: each is in order with nobody.
    next_keyless: u64,
    /// The end is wanted.
    stopping: bool,
    stopped: bool,
    fenced: bool,
}

/// The records of an invocation that is under way.
struct Sent {
    shard: ShardId,
    origin: Origin,
    records: Records,
}

impl Runner {
    /// A mapping that is not connected.
    pub(crate) fn new(plan: Arc<Plan>, invoker: Invoker, reports: Reports, places: Places) -> Self {
        Self {
            poll: Poll::new(plan.settings),
            clock: Clock::start(),
            connector: Arc::clone(&plan.connector),
            status: Status::new(&plan),
            plan,
            invoker,
            reports,
            source: None,
            connection: 0,
            connected: false,
            connecting: None,
            shards: Shards::default(),
            places,
            units: Units::default(),
            sent: HashMap::new(),
            reopening: BTreeMap::new(),
            known: BTreeSet::new(),
            unparks: Vec::new(),
            coming_back: 0,
            responses: BTreeMap::new(),
            first_told: HashMap::new(),
            effects: Vec::new(),
            next_keyless: 0,
            stopping: false,
            stopped: false,
            fenced: false,
        }
    }

    /// Reads until it is told to stop, or finds that somebody else holds the mapping.
    pub(crate) async fn run(
        mut self,
        paused: bool,
        mut commands: mpsc::Receiver<Command>,
    ) -> Ended {
        if paused {
            self.step(Input::Pause);
        }
        self.step(Input::Tick);
        let mut tell = interval(STATUS_EVERY);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.stopped && !self.fenced {
            let deadline = self.poll.next_deadline().map(|at| self.clock.at(at));
            tokio::select! {
                biased;
                command = commands.recv() => self.command(command.unwrap_or(Command::Stop)),
                done = self.units.next() => match done {
                    Ok(done) => self.happened(done),
                    Err(panic) => {
                        tracing::error!(mapping = %self.plan.id, "a defect of the poller: {panic}; the mapping is given back");
                        return self.defective().await;
                    }
                },
                () = passing(deadline) => self.step(Input::Tick),
                _ = tell.tick() => {}
            }
            self.tell();
        }
        self.status.gone();
        self.tell_now();
        Ended { fenced: self.fenced, places: self.places }
    }

    /// Nothing of it goes on while it waits.
    async fn defective(mut self) -> Ended {
        self.status.gone();
        self.tell_now();
        let places = std::mem::take(&mut self.places);
        drop(self);
        tokio::time::sleep(DEFECT_WAIT).await;
        Ended { fenced: false, places }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Pause => self.step(Input::Pause),
            Command::Resume => self.step(Input::Resume),
            Command::Stop => self.stop(),
            Command::Unpark(order) => self.unpark(order),
            // Whoever asked may be gone.
            Command::Places(asked) => drop(asked.send(self.places.clone())),
        }
    }

    /// A connection that is being made holds nothing, and a silent server must not hold up an end.
    fn stop(&mut self) {
        self.stopping = true;
        self.step(Input::Stop);
        if let Some(connecting) = self.connecting.take() {
            connecting.abort();
            self.step(Input::SourceGone);
        }
    }

    /// One input into the engine, and its effects carried out.
    fn step(&mut self, input: Input<'_>) {
        let now = self.clock.now_ms();
        let mut effects = std::mem::take(&mut self.effects);
        self.poll.step(now, input, &mut effects);
        for effect in effects.drain(..) {
            tracing::trace!(mapping = %self.plan.id, ?effect);
            self.carry_out(now, effect);
        }
        self.effects = effects;
    }

    /// Tells the broker how the mapping is, if it is time and there is something new.
    fn tell(&mut self) {
        let now = monotonic();
        if self.status.is_due(now) {
            self.tell_now();
            self.status.told(now);
        }
    }

    fn tell_now(&mut self) {
        let report = self.status.report(&self.poll, &self.shards, self.connected);
        if let Some(untold) = self.reports.status(report) {
            self.status.take_back(&untold);
        }
    }

    /// What the clock of the engine says of a time in the source.
    fn arrived_at(&self, arrived_at_ms: Option<i64>, now: Millis) -> Millis {
        arrived_at_ms.and_then(|at| u64::try_from(at).ok()).map_or(now, |at| at.min(now))
    }
}

async fn passing(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

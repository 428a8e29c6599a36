//! Drives one source with one engine: takes what happened, steps the engine, carries out what follows.
//! It decides nothing; every decision is in `trine-poll-engine`.
//!
//! One task owns the engine. Everything that takes time is a unit of work of its own ([`units`]); the
//! task waits only in one place, for the next thing that happens. A stop is seen there too, between
//! units: no unit is ever raced against it and dropped halfway.

mod held;
mod report;
mod units;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tonic::transport::Channel;
use trine_poll_engine::{
    Backoff, BatchId, BatchLimits, Effect, Fact, Input, RecordMeta, Settings, Shard, Span, Verdict,
};

use self::held::Held;
use self::report::Report;
use self::units::{Done, Units};
use crate::clock::{Clock, salt};
use crate::handle::{Command, Controls};
use crate::invoke::{Invoker, Reply};
use crate::source::{Connect, Received, Source, SourceError};
use crate::target::Target;
use crate::{Descriptor, PollerError, PollerHandle, Want};

/// What a runner is started with.
#[derive(Debug)]
pub(crate) struct Plan<C> {
    /// The poller's name, for people.
    pub(crate) name: String,
    pub(crate) connect: C,
    /// Of the sources that `connect` makes.
    pub(crate) descriptor: Descriptor,
    pub(crate) batch: BatchLimits,
    pub(crate) target: Target,
    pub(crate) channel: Channel,
}

/// Starts a poller on the runtime of the caller.
pub(crate) fn start<C: Connect>(plan: Plan<C>) -> Result<PollerHandle, PollerError> {
    let runtime = Handle::try_current().map_err(|_| PollerError::NoRuntime)?;
    Ok(PollerHandle::start(|controls| runtime.spawn(Runner::new(plan, controls).run())))
}

type Position<C> = <<C as Connect>::Source as Source>::Position;

struct Runner<C: Connect> {
    shard: Shard,
    clock: Clock,
    descriptor: Descriptor,
    connect: Arc<C>,
    /// The newest one. A broken one stays until the next: settling may still work.
    source: Option<Arc<C::Source>>,
    invoker: Arc<Invoker>,
    held: Held<Position<C>>,
    units: Units<C::Source>,
    controls: Controls,
    report: Report,
    /// Emptied within every step; kept for its capacity.
    effects: Vec<Effect>,
    has_handle: bool,
    stopped: bool,
}

/// The one thing that happened next.
enum Event<S: Source> {
    Command(Command),
    Done(Done<S>),
    Deadline,
}

impl<C: Connect> Runner<C> {
    fn new(plan: Plan<C>, controls: Controls) -> Self {
        let Plan { name, connect, descriptor, batch, target, channel } = plan;
        Self {
            shard: Shard::new(settings(&descriptor, batch)),
            clock: Clock::start(),
            descriptor,
            connect: Arc::new(connect),
            source: None,
            invoker: Arc::new(Invoker::new(channel, target)),
            held: Held::new(),
            units: Units::new(),
            controls,
            report: Report::new(name, descriptor.kind),
            effects: Vec::new(),
            has_handle: true,
            stopped: false,
        }
    }

    async fn run(mut self) {
        self.step(Input::Tick);
        while !self.stopped {
            match self.event().await {
                Event::Command(Command::Pause) => self.step(Input::Pause),
                Event::Command(Command::Resume) => self.step(Input::Resume),
                Event::Command(Command::Stop) => self.step(Input::Stop),
                Event::Command(Command::Abandon) => return self.units.abandon().await,
                Event::Done(done) => self.done(done),
                Event::Deadline => self.step(Input::Tick),
            }
        }
    }

    /// Waits for what happens next. All three waits may be given up without losing anything.
    async fn event(&mut self) -> Event<C::Source> {
        let deadline = self.shard.next_deadline().map(|at| self.clock.at(at));
        tokio::select! {
            biased;
            command = self.controls.commands.recv(), if self.has_handle => {
                self.has_handle = command.is_some();
                // Without a handle nobody could stop the poller later.
                Event::Command(command.unwrap_or(Command::Stop))
            }
            done = self.units.next() => Event::Done(done),
            () = passing(deadline) => Event::Deadline,
        }
    }

    fn step(&mut self, input: Input<'_>) {
        let now = self.clock.now();
        let mut effects = std::mem::take(&mut self.effects);
        self.shard.step(now, input, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
        self.report.publish(&self.shard, &self.controls.status);
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Connect => {
                self.units.connect(Arc::clone(&self.connect), self.held.last_position());
            }
            Effect::Receive { records_max, bytes_max, wait_ms } => {
                let wait = Duration::from_millis(wait_ms);
                let want = Want { records_max, bytes_max, wait };
                self.units.receive(self.source.clone(), want);
            }
            Effect::Invoke { batch, records, .. } => self.invoke(batch, records),
            Effect::StoreCheckpoint { records, verdict } => self.settle(records, verdict),
            Effect::Stopped => self.stopped = true,
            Effect::Fact(fact) => self.fact(fact),
        }
    }

    fn invoke(&mut self, batch: BatchId, records: Span) {
        let payload: Bytes = self.held.payload(records, self.descriptor.envelope);
        self.units.invoke(Arc::clone(&self.invoker), batch, payload);
    }

    fn settle(&mut self, records: Span, verdict: Verdict) {
        let verdicts = self.held.verdicts(records, verdict);
        self.units.settle(self.source.clone(), verdicts);
    }

    fn fact(&mut self, fact: Fact) {
        if let Fact::CheckpointStored { records } = fact {
            let settled = self.held.release(records.end);
            self.report.settled(settled.map(|position| position.to_string()));
        }
        self.report.fact(fact);
    }

    fn done(&mut self, done: Done<C::Source>) {
        match done {
            Done::Connected(Ok(source)) => {
                debug_assert_eq!(source.descriptor(), self.descriptor);
                self.source = Some(Arc::new(source));
                self.step(Input::SourceBack);
            }
            Done::Received(Ok(received)) => self.received(received),
            Done::Connected(Err(error)) | Done::Received(Err(error)) => {
                self.report.source_failed(&error);
                self.step(Input::SourceGone);
            }
            Done::Answered(batch, Reply { answer, error }) => {
                self.report.invocation_failed(error);
                self.step(Input::InvocationAnswered { batch, answer });
            }
            Done::Settled(Ok(())) => self.step(Input::CheckpointStored),
            Done::Settled(Err(error)) => self.unsettled(&error),
        }
    }

    fn received(&mut self, received: Received<Position<C>>) {
        self.report.source_works();
        for notice in received.notices {
            self.report.notice(notice);
        }
        let metas: Vec<_> = received
            .records
            .iter()
            .map(|record| RecordMeta {
                bytes: record.bytes(),
                age_ms: u64::try_from(record.age.as_millis()).unwrap_or(u64::MAX),
            })
            .collect();
        debug_assert_eq!(self.held.end(), self.shard.next_record());
        self.held.push(received.records);
        self.step(Input::RecordsRead { records: &metas });
    }

    fn unsettled(&mut self, error: &SourceError) {
        self.report.checkpoint_failed(error);
        self.step(Input::CheckpointFailed);
    }
}

fn settings(descriptor: &Descriptor, batch: BatchLimits) -> Settings {
    let capped = |backoff: Backoff, longest: Option<Duration>| {
        let millis = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        longest.map_or(backoff, |wait| backoff.capped(millis(wait)))
    };
    Settings {
        not_reached: capped(Backoff::NOT_REACHED, descriptor.not_reached_wait_max),
        reconnect: capped(Backoff::RECONNECT, descriptor.reconnect_wait_max),
        receive_wait_ms: u64::try_from(descriptor.receive_wait.as_millis()).unwrap_or(u64::MAX),
        salt: salt(),
        ..Settings::new(batch.with_envelope(descriptor.envelope.bytes()))
    }
}

/// Ends when `deadline` has passed; never if there is none.
async fn passing(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

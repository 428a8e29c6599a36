//! Owns the loop: time, what happens next, and what the shell does with the engine's effects.

use std::collections::{BTreeMap, BTreeSet};

use trine_engine::{
    Caller, Deliver, Effect, Engine, EntryId, FunctionId, Input, Lease, Millis, Mutation,
    RequestId, WorkerId,
};

use super::Options;
use super::faults::{Fault, Sabotage};
use super::ledger::{Active, Counts, Judged, Ledger};
use super::network::Link;
use super::plan::{FUNCTIONS, Plan};
use super::random::Random;
use super::store::{Store, ensure};
use super::trace::Trace;
use super::worker::{FromWorker, ToWorker, Worker};

const START: Millis = 1_700_000_000_000;
/// Things that happen in one run: more would be a world that never comes to rest.
const HAPPENINGS_MAX: u64 = 200_000;
/// Ticks at one moment: more would be an engine that spins.
const TICKS_MAX: u32 = 5_000;

/// One thing that is going to happen.
#[derive(Debug)]
pub(super) enum Happening {
    Request,
    Fault,
    Heals(Fault),
    CommitEnds { epoch: u64 },
    Connects { worker: usize },
    ToWorker { session: WorkerId, frame: ToWorker },
    NotSent { worker: WorkerId, lease: Lease },
    WorkerSends { worker: usize, frame: FromWorker },
    FromWorker { session: WorkerId, frame: FromWorker },
    HandlerEnds { worker: usize, lease: Lease },
    SessionOver { session: WorkerId },
    DestinationAnswers { epoch: u64, deliver: Box<Deliver> },
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) engine: Engine,
    pub(super) epoch: u64,
    /// Time as it is; the broker's clock shows it with `skew`.
    pub(super) now: Millis,
    pub(super) skew: i64,
    /// The latest that the broker's clock ever showed.
    pub(super) clock_max: Millis,
    coming: BTreeMap<(Millis, u64), Happening>,
    order: u64,
    pub(super) store: Store,
    pub(super) workers: Vec<Worker>,
    pub(super) links: BTreeMap<WorkerId, Link>,
    pub(super) joining: BTreeMap<u64, usize>,
    pub(super) memory: BTreeSet<EntryId>,
    pub(super) ledger: Ledger,
    pub(super) trace: Trace,
    next_tag: u64,
    /// Invocations that clients remember.
    pub(super) known: Vec<(RequestId, Caller)>,
    pub(super) requests_left: u32,
    pub(super) calm: bool,
    pub(super) draining: bool,
    pub(super) destinations_down: bool,
    pub(super) disk_slow: bool,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) sabotaged: bool,
    /// Attempts that were sent in the last step.
    pub(super) sent_in_step: usize,
    pub(super) clients: Random,
    pub(super) faults: Random,
    pub(super) network: Random,
    disk: Random,
    destinations: Random,
}

impl World {
    pub(super) fn new(seed: u64, options: Options) -> Self {
        let plan = Plan::new(seed);
        let stream = |salt: &str| Random::new(seed, salt);
        let mut choice = stream("workers");
        let workers = (0..plan.workers)
            .map(|index| {
                let mut served: Vec<&'static str> =
                    FUNCTIONS.into_iter().filter(|_| choice.chance(60)).collect();
                if served.is_empty() {
                    served.push("f0");
                }
                Worker::new(served, choice.small(1, 4), stream(&format!("worker {index}")))
            })
            .collect();
        let ledger = Ledger::new(plan.limits.clone(), START);
        Self {
            engine: Engine::new(plan.limits.clone(), 1, START),
            epoch: 1,
            now: START,
            skew: 0,
            clock_max: START,
            coming: BTreeMap::new(),
            order: 0,
            store: Store::default(),
            workers,
            links: BTreeMap::new(),
            joining: BTreeMap::new(),
            memory: BTreeSet::new(),
            ledger,
            trace: Trace::new(options.lines),
            next_tag: 0,
            known: Vec::new(),
            requests_left: plan.requests,
            calm: false,
            draining: false,
            destinations_down: false,
            disk_slow: false,
            sabotage: options.sabotage,
            sabotaged: false,
            sent_in_step: 0,
            clients: stream("clients"),
            faults: stream("faults"),
            network: stream("network"),
            disk: stream("disk"),
            destinations: stream("destinations"),
            plan,
        }
    }

    pub(super) fn close(self) -> (Trace, Counts) {
        (self.trace, self.ledger.counts)
    }

    /// From the first request to the last rule.
    pub(super) fn play(&mut self) -> Judged {
        self.create_functions()?;
        for worker in 0..self.workers.len() {
            let after = self.network.span(500);
            self.after(after, Happening::Connects { worker });
        }
        self.after(1, Happening::Request);
        let after = self.faults.span(self.plan.fault_gap_ms);
        self.after(after, Happening::Fault);
        while self.requests_left > 0 {
            self.happen()?;
        }
        self.come_to_rest()
    }

    /// The broker's clock.
    pub(super) fn clock(&self) -> Millis {
        self.now.saturating_add_signed(self.skew)
    }

    pub(super) fn after(&mut self, span: u64, happening: Happening) {
        self.order += 1;
        self.coming.insert((self.now + span, self.order), happening);
    }

    /// Whether anything is going to happen at all.
    pub(super) fn can_go_on(&self) -> bool {
        !self.coming.is_empty() || self.engine.next_deadline().is_some()
    }

    /// The next thing, or the engine's timer if that is due before it.
    pub(super) fn happen(&mut self) -> Judged {
        ensure(self.order < HAPPENINGS_MAX, || "I10: the world never comes to rest".to_owned())?;
        let coming = self.coming.first_key_value().map(|((at, _), _)| *at);
        let timer = self.engine.next_deadline().map(|at| at.saturating_add_signed(-self.skew));
        let (Some(at), timer) = (coming.or(timer), timer) else {
            return Err("I10: nothing is going to happen any more".to_owned());
        };
        if let Some(timer) = timer.filter(|timer| *timer <= at) {
            // The shell wakes up a little late.
            let late = if self.network.chance(20) { self.network.span(20) } else { 0 };
            self.now = self.now.max(timer).max((timer + late).min(at));
            return self.tick();
        }
        let Some((key, happening)) = self.coming.pop_first() else { return Ok(()) };
        self.now = self.now.max(key.0);
        self.carry_out(happening)
    }

    fn tick(&mut self) -> Judged {
        for _ in 0..TICKS_MAX {
            self.input(Input::Tick)?;
            if self.engine.next_deadline().is_none_or(|at| at > self.clock()) {
                return Ok(());
            }
        }
        Err("I10: the engine asks for ticks without end".to_owned())
    }

    fn carry_out(&mut self, happening: Happening) -> Judged {
        match happening {
            Happening::Request => self.request(),
            Happening::Fault => self.fault(),
            Happening::Heals(fault) => self.heal(fault),
            Happening::CommitEnds { epoch } if epoch == self.epoch => self.commit_ends(),
            Happening::Connects { worker } => self.connect(worker),
            Happening::ToWorker { session, frame } => self.reaches_worker(session, frame),
            Happening::NotSent { worker, lease } => self.input(Input::NotSent { worker, lease }),
            Happening::WorkerSends { worker, frame } => {
                self.send_from(worker, frame);
                Ok(())
            }
            Happening::FromWorker { session, frame } => self.reaches_broker(session, frame),
            Happening::HandlerEnds { worker, lease } => {
                let deeds = self.workers[worker].ends(lease);
                self.deeds(worker, deeds)
            }
            Happening::SessionOver { session } => match self.links.remove(&session) {
                Some(_) => self.input(Input::WorkerLeft { worker: session }),
                None => Ok(()),
            },
            Happening::DestinationAnswers { epoch, deliver } if epoch == self.epoch => {
                self.destination_answers(*deliver)
            }
            Happening::CommitEnds { .. } | Happening::DestinationAnswers { .. } => Ok(()),
        }
    }

    /// One step of the engine, everything that follows from it, and its judgement.
    pub(super) fn input(&mut self, input: Input) -> Judged {
        let now = self.clock();
        self.clock_max = self.clock_max.max(now);
        self.trace.input(now, &input);
        self.ledger.input(now, &input);
        let ahead = self.sabotaged_clock(&input);
        let mut out = Vec::new();
        self.engine.step(now + ahead, input, &mut out);
        self.sent_in_step = 0;
        for effect in out {
            self.trace.effect(&effect);
            self.ledger.effect(&effect, &self.store.durable)?;
            self.effect(effect)?;
        }
        self.engine.check()?;
        self.ledger.stepped(self.engine.account().queued)?;
        if self.store.begin() {
            let longest = self.plan.commit_ms * if self.disk_slow { 50 } else { 1 };
            let span = self.disk.span(longest);
            self.after(span, Happening::CommitEnds { epoch: self.epoch });
        }
        Ok(())
    }

    fn effect(&mut self, effect: Effect) -> Judged {
        match effect {
            Effect::Hold { entry } => {
                ensure(self.memory.insert(entry), || format!("{entry:?} is held twice"))
            }
            Effect::Release { entry } => {
                self.memory.remove(&entry);
                Ok(())
            }
            Effect::Dispatch(dispatch) => self.send_attempt(dispatch),
            Effect::Stop { worker, lease } => {
                self.send_to(worker, ToWorker::Stop(lease));
                Ok(())
            }
            Effect::Reply { caller, answer } => self.reply(caller, &answer),
            Effect::Persist { number, mutation } => {
                self.store.give(number, *mutation);
                Ok(())
            }
            Effect::Deliver(deliver) => {
                let span = self.destinations.span(3_000);
                let epoch = self.epoch;
                self.after(span, Happening::DestinationAnswers { epoch, deliver });
                Ok(())
            }
            Effect::Changed { .. } | Effect::Fact(_) => Ok(()),
        }
    }

    pub(super) fn new_caller(&mut self) -> Caller {
        self.next_tag += 1;
        Caller { edge: 0, tag: self.next_tag }
    }

    fn destination_answers(&mut self, deliver: Deliver) -> Judged {
        use trine_engine::DeliveryResult as R;
        let down = self.destinations_down;
        let (taken, result) = match self.destinations.below(100) {
            _ if self.calm => (true, R::Taken),
            _ if down => (false, R::Failed),
            0..=2 => (false, R::Refused),
            3..=9 => (false, R::Failed),
            // It has the record, and the broker never hears of it.
            10..=14 => (true, R::Failed),
            _ => (true, R::Taken),
        };
        if taken {
            let record = self.sabotaged_record(deliver.record.clone());
            self.ledger.record_taken(&record)?;
            self.next_in_chain(&deliver)?;
        }
        self.input(Input::Delivered { entry: deliver.entry, result })
    }

    fn commit_ends(&mut self) -> Judged {
        let committed = self.store.finish()?;
        committed.taken.iter().try_for_each(|(_, mutation)| self.ledger.saved(mutation))?;
        // Neighbours are told of together.
        let mut taken = committed.taken.iter().map(|(number, _)| *number).peekable();
        while let Some(from) = taken.next() {
            let mut through = from;
            while let Some(next) = taken.next_if(|next| *next == through + 1) {
                through = next;
            }
            if !self.sabotaged_persisted() {
                self.input(Input::Persisted { from, through })?;
            }
        }
        for (number, mutation) in committed.refused {
            self.ledger.refused(&mutation);
            self.input(Input::PersistRejected { number })?;
        }
        if self.store.begin() {
            let span = self.disk.span(self.plan.commit_ms * 20);
            self.after(span, Happening::CommitEnds { epoch: self.epoch });
        }
        Ok(())
    }

    /// The process ends at once and starts again: sessions, callers and what was not durable are gone.
    pub(super) fn crash(&mut self) -> Judged {
        let written = self.disk.chance(50);
        let reached: Vec<Mutation> = self.store.crash(written)?;
        reached.iter().try_for_each(|mutation| self.ledger.saved(mutation))?;
        self.store.durable.check()?;
        self.sabotage_disk();
        self.epoch += 1;
        self.draining = false;
        self.links.clear();
        self.joining.clear();
        self.memory.clear();
        // Handles are given out anew: what was on its way to old ones would reach new ones.
        self.coming.retain(|_, coming| {
            !matches!(
                coming,
                Happening::ToWorker { .. }
                    | Happening::FromWorker { .. }
                    | Happening::NotSent { .. }
                    | Happening::SessionOver { .. }
            )
        });
        self.trace.note(|| "---- crash".to_owned());
        self.ledger.crashed(self.clock(), &self.store.durable)?;
        self.engine = Engine::new(self.plan.limits.clone(), self.epoch, self.clock());
        for record in self.store.durable.functions.values() {
            self.engine.restore_function(self.sabotaged_function(record.clone()));
        }
        for record in self.store.durable.events.values() {
            self.engine.restore_event(record.clone());
        }
        self.engine.restored();
        self.engine.check()?;
        for view in self.engine.functions().collect::<Vec<_>>() {
            let stored = self.store.durable.functions.values().find(|f| f.name == view.name);
            let settings = stored.map_or(view.settings, |stored| stored.settings.clone());
            self.ledger.activated(view.id, Active { name: view.name, settings });
        }
        for worker in 0..self.workers.len() {
            self.workers[worker].cut();
            let back = self.network.span(8_000);
            self.after(back, Happening::Connects { worker });
        }
        self.ledger.stepped(self.engine.account().queued)
    }

    pub(super) fn function_ids(&self) -> Vec<FunctionId> {
        self.ledger.active.keys().copied().collect()
    }
}

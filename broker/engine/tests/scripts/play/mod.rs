//! Owns one case while it is played: the engine, its clock, a store that takes mutations at once or when told to,
//! and the rules that hold in every case whatever it is about.

mod disk;
mod input;
mod judge;
mod look;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use trine_engine::{
    Answer, AttemptResult, Caller, Change, DeliveryResult, Effect, Engine, EngineLimits, EntryId,
    EventSeq, Fact, FunctionId, FunctionName, FunctionSettings, Idempotency, Input, Invoke, Lease,
    MaxEventAgeSeconds, MaxRetries, MemoryMb, Millis, Mode, Mutation, OnRejection, PersistNumber,
    Qualifier, RequestId, SettingsChange, TimeoutSeconds, WorkerId,
};

use crate::coverage::Seen;
use crate::ledger::Ledger;
use crate::names::Names;
use crate::text::{destination, destination_text, span};
use crate::words::Words;

const START: Millis = 1_700_000_000_000;
/// Ticks in one `wait`: more would be an engine that spins.
const TICKS_MAX: u32 = 20_000;

#[derive(Debug)]
pub(crate) struct Play {
    engine: Engine,
    limits: EngineLimits,
    epoch: u64,
    clock: Millis,
    /// The engine's time: it never goes back.
    now: Millis,
    names: Names,
    ledger: Ledger,
    unsaved: VecDeque<(PersistNumber, Mutation)>,
    /// The store takes what it is given at once.
    saves: bool,
    held: BTreeSet<EntryId>,
    /// Records that the shell was asked to deliver.
    offered: BTreeMap<RequestId, EntryId>,
    /// Attempts as the workers see them.
    attempts: BTreeMap<Lease, Attempt>,
    /// What an entry's last mutation was.
    saving: BTreeMap<RequestId, &'static str>,
    joining: Option<String>,
    /// Life of each function, by its number.
    lives: BTreeMap<u64, &'static str>,
    numbers: BTreeMap<u64, FunctionId>,
    /// Which invocations are asynchronous.
    events: BTreeMap<RequestId, bool>,
    seen: Seen,
}

#[derive(Debug)]
struct Attempt {
    function: FunctionId,
    worker: WorkerId,
    sent_at: Millis,
    state: &'static str,
    stopped_at: Millis,
}

impl Play {
    pub(crate) fn new() -> Self {
        let limits = EngineLimits::default();
        Self {
            engine: Engine::new(limits.clone(), 1, START),
            limits,
            epoch: 1,
            clock: START,
            now: START,
            names: Names::new(START),
            ledger: Ledger::default(),
            unsaved: VecDeque::new(),
            saves: true,
            held: BTreeSet::new(),
            offered: BTreeMap::new(),
            attempts: BTreeMap::new(),
            saving: BTreeMap::new(),
            joining: None,
            lives: BTreeMap::new(),
            numbers: BTreeMap::new(),
            events: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    pub(crate) fn close(self) -> Seen {
        self.seen
    }

    /// Carries out one command; returns what the engine made of it.
    pub(crate) fn command(&mut self, line: &str, place: &str) -> Vec<String> {
        let words = Words::new(line);
        let mut said = Vec::new();
        match words.verb() {
            "limits" => self.set_limits(&words),
            "wait" => self.wait(words.word_span(0), &mut said, place),
            "jump" => {
                self.clock += words.word_span(0);
                self.step(Input::Tick, &mut said);
            }
            "pass" => self.clock += words.word_span(0),
            "back" => self.clock -= words.word_span(0),
            "tick" => self.step(Input::Tick, &mut said),
            "hold" => self.saves = false,
            "unhold" => {
                self.saves = true;
                self.save_all(&mut said);
            }
            "saved" => self.save_next(&mut said),
            "rejected" => self.reject_next(&mut said),
            "lost" => self.step_once(Input::StoreLost, &mut said),
            "crash" => self.crash(),
            "flood" => self.flood(&words),
            "resolve" => said.push(self.resolve(&words)),
            "show" | "why" | "usage" | "settings" | "account" | "list" | "next" => {
                self.look(&words, &mut said);
            }
            _ => {
                let input = self.input(&words);
                self.step(input, &mut said);
            }
        }
        if let Err(broken) = self.engine.check() {
            panic!("{place}: {broken}");
        }
        self.ledger.check();
        said
    }

    fn set_limits(&mut self, words: &Words<'_>) {
        let number = |key: &str, otherwise: u64| words.number(key).unwrap_or(otherwise);
        let small = |key: &str, otherwise: u32| {
            words.number(key).map_or(otherwise, |n| u32::try_from(n).expect("a small number"))
        };
        let span = |key: &str, otherwise: Millis| words.span(key).unwrap_or(otherwise);
        let d = EngineLimits::default();
        self.limits = EngineLimits {
            account_concurrency: small("account", d.account_concurrency),
            unreserved_concurrency_min: small("unreserved", d.unreserved_concurrency_min),
            queue_count_max: number("queue", d.queue_count_max),
            queue_bytes_max: number("queue_bytes", d.queue_bytes_max),
            history_count_max: number("history", d.history_count_max),
            history_age_ms: span("history_age", d.history_age_ms),
            dead_age_ms: span("dead_age", d.dead_age_ms),
            functions_max: small("functions", d.functions_max),
            sync_waiting_max: small("waiting", d.sync_waiting_max),
            placement_wait_ms: span("placement", d.placement_wait_ms),
            stop_grace_ms: span("grace", d.stop_grace_ms),
            delivery_age_ms: span("delivery", d.delivery_age_ms),
            response_bytes_max: number("response", d.response_bytes_max),
        };
        if self.epoch == 1 && self.clock == START && self.ledger.functions.is_empty() {
            self.engine = Engine::new(self.limits.clone(), self.epoch, self.clock);
        }
    }

    /// Moves the clock as the shell does: to the engine's next deadline, and again.
    fn wait(&mut self, by: Millis, said: &mut Vec<String>, place: &str) {
        let until = self.clock + by;
        for _ in 0..TICKS_MAX {
            let Some(at) = self.engine.next_deadline().filter(|at| *at <= until) else {
                self.clock = until;
                return;
            };
            self.clock = self.clock.max(at);
            let mut lines = Vec::new();
            self.step(Input::Tick, &mut lines);
            let at = self.names.time(self.clock);
            said.extend(lines.into_iter().map(|line| format!("[{at}] {line}")));
        }
        panic!("{place}: the engine asks for ticks without end");
    }

    fn step(&mut self, input: Input, said: &mut Vec<String>) {
        self.step_once(input, said);
        if self.saves {
            self.save_all(said);
        }
    }

    fn step_once(&mut self, input: Input, said: &mut Vec<String>) {
        let before = self.states();
        let gone = self.input_ends(&input);
        let mut out = Vec::new();
        self.now = self.now.max(self.clock);
        self.engine.step(self.clock, input, &mut out);
        let mut changed = BTreeSet::new();
        for effect in &out {
            self.seen.effect(effect);
            self.apply(effect, &mut changed);
            said.extend(self.names.effect(effect));
        }
        for lease in gone {
            self.end_attempt(lease);
        }
        self.judge(&before, &changed);
        self.bury_functions();
    }

    fn apply(&mut self, effect: &Effect, changed: &mut BTreeSet<RequestId>) {
        match effect {
            Effect::Hold { entry } => assert!(self.held.insert(*entry), "{entry:?} held twice"),
            Effect::Release { entry } => {
                self.held.remove(entry);
            }
            Effect::Dispatch(dispatch) => {
                let at_hand = self.held.contains(&dispatch.entry);
                let stored = self.ledger.has_payload(dispatch.payload_seq);
                assert!(at_hand || stored, "no payload for {dispatch:?}");
                let request = self.names.request(dispatch.request_id).to_owned();
                self.names.add_lease(dispatch.lease, dispatch.worker, &request);
                let attempt = Attempt {
                    function: dispatch.function,
                    worker: dispatch.worker,
                    sent_at: self.now,
                    state: "Running",
                    stopped_at: 0,
                };
                let before = self.attempts.insert(dispatch.lease, attempt);
                assert!(before.is_none(), "{:?} was granted before", dispatch.lease);
            }
            Effect::Stop { lease, .. } => {
                let now = self.now;
                let attempt = self.attempts.get_mut(lease).expect("only attempts are stopped");
                self.seen.transition("lease", attempt.state, "Stopping");
                (attempt.state, attempt.stopped_at) = ("Stopping", now);
            }
            Effect::Reply { answer, .. } => self.answered(answer),
            Effect::Persist { number, mutation } => {
                self.remember_save(mutation);
                self.unsaved.push_back((*number, (**mutation).clone()));
            }
            Effect::Deliver(deliver) => {
                self.offered.insert(deliver.record.request_id, deliver.entry);
            }
            Effect::Changed { request_id } => {
                changed.insert(*request_id);
            }
            Effect::Fact(fact) => self.fact(*fact),
        }
    }

    fn answered(&mut self, answer: &Answer) {
        match answer {
            Answer::Function { function } => {
                let (name, _) = self.engine.settings(*function).expect("it was just put");
                let name = name.to_string();
                self.names.add_function(*function, &name);
                let mut numbers = self.ledger.functions.values();
                let number = numbers.rfind(|record| record.name.as_str() == name);
                self.numbers.insert(number.expect("it is on the disk").number, *function);
            }
            Answer::Joined { worker, .. } => {
                let name = self.joining.take().expect("somebody joins");
                self.names.add_worker(*worker, &name);
            }
            _ => {}
        }
    }
}

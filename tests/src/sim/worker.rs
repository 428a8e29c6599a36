//! Owns a worker process: what it does with the attempts it gets, well-behaved or not. It speaks through a session
//! and knows nothing of the broker behind it.

use std::collections::BTreeMap;

use trine_engine::{AttemptResult, Dispatch, Lease, WorkerId};

use super::random::Random;

/// A frame to a worker.
#[derive(Debug, Clone)]
pub(super) enum ToWorker {
    Attempt(Dispatch),
    Stop(Lease),
}

/// A frame from a worker.
#[derive(Debug, Clone, Copy)]
pub(super) enum FromWorker {
    Started { session: WorkerId, through: u64 },
    Outcome { lease: Lease, result: AttemptResult },
    Slots(u32),
    Draining,
}

/// What becomes of an attempt in a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answers,
    Fails,
    TooLarge,
    /// Keeps its own clock and stops at the timeout.
    TimesOut,
    /// Goes on for longer than its timeout and does not listen.
    Late,
    /// Does not end until it is told to stop.
    Hangs,
    /// Does not end even then, until long after.
    Deaf,
    AnswersTwice,
    /// Gives it back unstarted.
    Returns,
    /// The process ends before the handler is called, or while it runs.
    DiesBefore,
    DiesAfter,
}

const FATES: [(u64, Fate); 11] = [
    (60, Fate::Answers),
    (16, Fate::Fails),
    (2, Fate::TooLarge),
    (2, Fate::TimesOut),
    (3, Fate::Late),
    (2, Fate::Hangs),
    (2, Fate::Deaf),
    (3, Fate::AnswersTwice),
    (3, Fate::Returns),
    (2, Fate::DiesBefore),
    (2, Fate::DiesAfter),
];

/// What the world is to do for a worker.
#[derive(Debug)]
pub(super) enum Deed {
    /// A handler starts.
    Starts(Lease),
    /// Send a frame, after this time.
    Sends(FromWorker, u64),
    /// Come back to an attempt after this time.
    Returns(Lease, u64),
    /// The process ends.
    Dies,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) functions: Vec<&'static str>,
    pub(super) slots: u32,
    /// Its session, as it believes.
    pub(super) session: Option<WorkerId>,
    pub(super) draining: bool,
    /// Attempts of the session that it started.
    received: u64,
    running: BTreeMap<Lease, Fate>,
    random: Random,
}

impl Worker {
    pub(super) fn new(functions: Vec<&'static str>, slots: u32, random: Random) -> Self {
        Self {
            functions,
            slots,
            session: None,
            draining: false,
            received: 0,
            running: BTreeMap::new(),
            random,
        }
    }

    pub(super) fn joined(&mut self, session: WorkerId) {
        self.session = Some(session);
        self.draining = false;
        self.received = 0;
    }

    /// The session is over for it; handlers go on, as they do when a network fails.
    pub(super) fn cut(&mut self) {
        self.session = None;
    }

    /// The process is another one.
    pub(super) fn restart(&mut self) {
        self.session = None;
        self.running.clear();
    }

    /// A frame arrives. In calm weather everybody behaves.
    pub(super) fn receives(&mut self, frame: ToWorker, calm: bool) -> Vec<Deed> {
        match frame {
            ToWorker::Attempt(dispatch) => self.attempt(&dispatch, calm),
            ToWorker::Stop(lease) => self.stop(lease),
        }
    }

    fn attempt(&mut self, dispatch: &Dispatch, calm: bool) -> Vec<Deed> {
        self.received += 1;
        let lease = dispatch.lease;
        let fate = if calm { Fate::Answers } else { self.random.weighted(&FATES) };
        if fate == Fate::DiesBefore {
            return vec![Deed::Dies];
        }
        if fate == Fate::Returns || self.draining {
            let result = AttemptResult::Returned;
            return vec![Deed::Sends(FromWorker::Outcome { lease, result }, 0)];
        }
        self.running.insert(lease, fate);
        let through = self.received;
        let mut deeds = vec![Deed::Starts(lease)];
        if self.random.chance(90) {
            let (session, after) = (dispatch.worker, self.random.span(20));
            deeds.push(Deed::Sends(FromWorker::Started { session, through }, after));
        }
        let timeout = u64::from(dispatch.timeout_ms);
        match fate {
            Fate::Hangs => {}
            Fate::Deaf => deeds.push(Deed::Returns(lease, timeout + 30_000)),
            Fate::Late => deeds.push(Deed::Returns(lease, timeout + self.random.span(9_000))),
            Fate::TimesOut => deeds.push(Deed::Returns(lease, timeout)),
            _ => deeds.push(Deed::Returns(lease, self.random.span(timeout * 9 / 10))),
        }
        deeds
    }

    fn stop(&mut self, lease: Lease) -> Vec<Deed> {
        let Some(fate) = self.running.get(&lease).copied() else { return Vec::new() };
        if matches!(fate, Fate::Deaf | Fate::Late) {
            return Vec::new();
        }
        self.running.remove(&lease);
        let result = AttemptResult::Stopped { timed_out: self.random.chance(50) };
        vec![Deed::Sends(FromWorker::Outcome { lease, result }, self.random.span(2_000))]
    }

    /// A handler that was called a while ago comes to its end.
    pub(super) fn ends(&mut self, lease: Lease) -> Vec<Deed> {
        let Some(fate) = self.running.remove(&lease) else { return Vec::new() };
        let bytes = self.random.between(0, 1_000);
        let result = match fate {
            Fate::DiesAfter => return vec![Deed::Dies],
            Fate::Fails => AttemptResult::FunctionError { bytes },
            Fate::TooLarge => AttemptResult::Response { bytes: 1_001 },
            Fate::TimesOut => AttemptResult::Stopped { timed_out: true },
            _ => AttemptResult::Response { bytes },
        };
        let outcome = FromWorker::Outcome { lease, result };
        let mut deeds = vec![Deed::Sends(outcome, 0)];
        if fate == Fate::AnswersTwice {
            let after = self.random.span(5_000);
            deeds.push(Deed::Sends(outcome, after));
        }
        deeds
    }

    /// Everything that hangs comes to an end: what a person who restarts things would bring about.
    pub(super) fn wake_up(&mut self) -> Vec<Deed> {
        let leases: Vec<Lease> = self.running.keys().copied().collect();
        leases.into_iter().map(|lease| Deed::Returns(lease, 1_000)).collect()
    }
}

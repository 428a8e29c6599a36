//! Owns an engine with so many live invocations, and the two cycles that are measured on it.

use trine_engine::{
    AttemptResult, Caller, Dispatch, Effect, Engine, EngineLimits, EventRecord, EventSeq,
    EventStage, FunctionId, FunctionName, FunctionRecord, FunctionSettings, Input, Invoke, Millis,
    Mode, PersistNumber, Qualifier, RequestId, WorkerId,
};

const NOW: Millis = 1_700_000_000_000;

/// Ended events that are remembered: every cycle forgets one.
const HISTORY: u64 = 64;

#[derive(Debug)]
pub(crate) struct House {
    engine: Engine,
    now: Millis,
    out: Vec<Effect>,
    function: FunctionId,
    next_id: u64,
    saved: PersistNumber,
}

impl House {
    /// An engine in which `live` events wait, one half for a worker, the other for their time, and in
    /// which `workers` idle sessions serve one of `functions` functions.
    pub(crate) fn new(live: u32, functions: u32, workers: u32) -> Self {
        let limits = EngineLimits {
            history_count_max: HISTORY,
            functions_max: functions + 3,
            ..EngineLimits::default()
        };
        let mut engine = Engine::new(limits, 1, NOW);
        for number in 0..=u64::from(functions) + 1 {
            engine.restore_function(FunctionRecord {
                number: number + 1,
                name: name(&format!("f{number}")),
                settings: FunctionSettings::default(),
                created_at: NOW,
                modified_at: NOW,
            });
        }
        for seq in 1..=u64::from(live) {
            engine.restore_event(waiting(seq));
        }
        engine.restored();
        let mut house = Self {
            function: engine.resolve("f2", &Qualifier::Latest).expect("it was restored"),
            engine,
            now: NOW,
            out: Vec::new(),
            next_id: 1 << 40,
            saved: 0,
        };
        house.step(Input::Tick);
        for worker in 0..workers {
            let function = 2 + worker % functions;
            house.step(Input::WorkerJoined {
                caller: Caller { edge: 0, tag: worker.into() },
                functions: vec![name(&format!("f{function}"))],
                slots: 4,
            });
        }
        house.cycles(2 * u32::try_from(HISTORY).expect("a small number"));
        house
    }

    /// Both cycles a few times: tables and the history have their size.
    fn cycles(&mut self, count: u32) {
        (0..count).for_each(|_| {
            self.sync_cycle();
            self.event_cycle();
        });
    }

    /// Invoke, dispatch, started, outcome, reply.
    pub(crate) fn sync_cycle(&mut self) {
        self.invoke(Mode::Sync { deadline: Some(self.now + 30_000) });
        let (worker, attempt) = self.dispatched();
        self.outcome(worker, attempt);
    }

    /// Invoke, accepted, dispatch, started, outcome, end; and the oldest one is forgotten.
    pub(crate) fn event_cycle(&mut self) {
        self.invoke(Mode::Event { not_before: None, hops: 0, idempotency: None });
        self.persisted();
        let (worker, attempt) = self.dispatched();
        self.outcome(worker, attempt);
        self.persisted();
        self.persisted();
    }

    fn step(&mut self, input: Input) {
        self.out.clear();
        self.engine.step(self.now, input, &mut self.out);
        let numbers = self.out.iter().filter_map(|effect| match effect {
            Effect::Persist { number, .. } => Some(*number),
            _ => None,
        });
        self.saved = numbers.max().unwrap_or(self.saved);
    }

    fn invoke(&mut self, mode: Mode) {
        self.now += 1;
        self.next_id += 1;
        let id = u128::from(self.next_id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        self.step(Input::Invoke(Invoke {
            caller: Caller { edge: 1, tag: self.next_id },
            function: self.function,
            request_id: RequestId((u128::from(self.now) << 80) | id),
            payload_bytes: 128,
            mode,
        }));
    }

    fn persisted(&mut self) {
        let number = self.saved;
        self.step(Input::Persisted { from: number, through: number });
    }

    fn dispatched(&mut self) -> (WorkerId, Dispatch) {
        let sent = self.out.iter().find_map(|effect| match effect {
            Effect::Dispatch(dispatch) => Some(dispatch.clone()),
            _ => None,
        });
        let sent = sent.expect("a worker is idle");
        (sent.worker, sent)
    }

    fn outcome(&mut self, worker: WorkerId, attempt: Dispatch) {
        let result = AttemptResult::Response { bytes: 128 };
        self.step(Input::Outcome { worker, lease: attempt.lease, result });
    }
}

fn name(text: &str) -> FunctionName {
    FunctionName::new(text).expect("a name")
}

/// One half waits for a worker of `f0`, the other for its time in `f1`.
fn waiting(seq: u64) -> EventRecord {
    let ready = seq.is_multiple_of(2);
    let due_at = if ready { NOW } else { NOW + 3_600_000 + seq };
    EventRecord {
        seq: EventSeq(seq),
        request_id: RequestId(u128::from(seq.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | (1 << 100)),
        function: name(if ready { "f0" } else { "f1" }),
        accepted_at: NOW,
        age_from: due_at,
        payload_seq: EventSeq(seq),
        payload_bytes: 128,
        attempts: 0,
        hops: 0,
        failed: false,
        stage: EventStage::Waiting { due_at, retry: false },
        idempotency: None,
        redriven_from: None,
    }
}

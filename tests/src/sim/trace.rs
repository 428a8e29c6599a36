//! Owns what a run leaves behind: a hash over all effects, by which two runs of a seed are compared, and,
//! if wanted, the effects themselves.

use trine_engine::{
    Answer, Delivery, Effect, End, EventRecord, EventStage, Fact, Input, Millis, Mutation,
};

/// Hash and, on demand, text.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    steps: u64,
    effects: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn new(lines: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, steps: 0, effects: 0, lines: lines.then(Vec::new) }
    }

    /// Hash of everything so far.
    #[must_use]
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Inputs and effects so far.
    #[must_use]
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.steps, self.effects)
    }

    /// The text, if it was wanted.
    #[must_use]
    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(text());
        }
    }

    pub(super) fn input(&mut self, now: Millis, input: &Input) {
        self.steps += 1;
        self.fold(now);
        self.note(|| format!("{now} > {input:?}"));
    }

    pub(super) fn effect(&mut self, effect: &Effect) {
        self.effects += 1;
        self.note(|| format!("        {effect:?}"));
        match effect {
            Effect::Hold { entry } => self.all(&[1, entry.index.into(), entry.generation.into()]),
            Effect::Release { entry } => self.all(&[2, entry.index.into()]),
            Effect::Dispatch(dispatch) => {
                self.all(&[3, dispatch.lease.fence, dispatch.attempt.into(), dispatch.payload_seq]);
                self.all(&[dispatch.worker.index.into(), low(dispatch.request_id.0)]);
            }
            Effect::Stop { lease, .. } => self.all(&[4, lease.fence]),
            Effect::Reply { caller, answer } => {
                self.all(&[5, caller.tag]);
                self.answer(answer);
            }
            Effect::Persist { number, mutation } => {
                self.all(&[6, *number]);
                self.mutation(mutation);
            }
            Effect::Deliver(deliver) => {
                self.all(&[7, deliver.tries.into()]);
                self.record(&deliver.record);
            }
            Effect::Changed { request_id } => self.all(&[8, low(request_id.0)]),
            Effect::Fact(fact) => self.fact(fact),
        }
    }

    fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Succeeded { request_id } => self.all(&[11, low(request_id.0)]),
            Answer::Failed { request_id, .. } => self.all(&[12, low(request_id.0)]),
            Answer::Accepted { request_id, duplicate, .. } => {
                self.all(&[13, low(request_id.0), u64::from(*duplicate)]);
            }
            Answer::Cancelled { request_id } => self.all(&[14, low(request_id.0)]),
            Answer::Redriven { .. } => self.fold(15),
            Answer::Function { function } => self.all(&[16, function.index.into()]),
            Answer::Deleted => self.fold(17),
            Answer::Joined { worker, .. } => self.all(&[18, worker.index.into()]),
            Answer::Refused(refusal) => {
                self.fold(19);
                format!("{refusal:?}").bytes().for_each(|byte| self.fold(byte.into()));
            }
        }
    }

    fn mutation(&mut self, mutation: &Mutation) {
        match mutation {
            Mutation::Accept(record) | Mutation::Retry { record, .. } => self.record(record),
            Mutation::End { record, keep_payload, .. }
            | Mutation::Delivery { record, keep_payload } => {
                self.fold(u64::from(*keep_payload));
                self.record(record);
            }
            Mutation::Redrive { old, new } => {
                self.record(old);
                self.record(new);
            }
            Mutation::Forget { seq, .. } => self.all(&[21, seq.0]),
            Mutation::PutFunction(record) => self.all(&[22, record.number, record.modified_at]),
            Mutation::DeleteFunction { number } => self.all(&[23, *number]),
            Mutation::Barrier => self.fold(24),
        }
    }

    fn record(&mut self, record: &EventRecord) {
        self.all(&[record.seq.0, low(record.request_id.0), record.attempts.into()]);
        match &record.stage {
            EventStage::Waiting { due_at, retry } => self.all(&[31, *due_at, u64::from(*retry)]),
            EventStage::Ended(ended) => {
                let end = match ended.end {
                    End::Succeeded => 1,
                    End::Dead(death) => 2 + death as u64,
                    End::Cancelled => 20,
                    End::Redriven { .. } => 21,
                };
                let delivery = match ended.delivery {
                    Delivery::None => 0,
                    Delivery::Pending => 1,
                    Delivery::Delivered => 2,
                    Delivery::Undelivered => 3,
                };
                self.all(&[32, end, delivery, ended.at]);
            }
        }
    }

    fn fact(&mut self, fact: &Fact) {
        match fact {
            Fact::Started { event_age_ms, .. } => self.all(&[41, event_age_ms.unwrap_or(1)]),
            Fact::Ended { duration_ms, .. } => self.all(&[42, *duration_ms]),
            Fact::Throttled { function, reason } => {
                self.all(&[43, function.index.into(), *reason as u64]);
            }
            Fact::EventReceived { .. } => self.fold(44),
            Fact::EventDropped { death, .. } => self.all(&[45, *death as u64]),
            Fact::LeaseExpired { .. } => self.fold(46),
            Fact::SlotAbandoned { .. } => self.fold(47),
            Fact::LateOutcome => self.fold(48),
            Fact::Unspent { .. } => self.fold(49),
            Fact::WorkerLost { .. } => self.fold(50),
            Fact::RecordDelivered { .. } => self.fold(51),
            Fact::DeliveryFailed { .. } => self.fold(52),
            Fact::Undelivered { .. } => self.fold(53),
            Fact::DeadForgotten { .. } => self.fold(54),
            Fact::FunctionsChanged => self.fold(55),
        }
    }

    fn all(&mut self, values: &[u64]) {
        values.iter().for_each(|value| self.fold(*value));
    }

    fn fold(&mut self, value: u64) {
        self.hash = (self.hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    }
}

fn low(id: u128) -> u64 {
    u64::try_from(id & u128::from(u64::MAX)).unwrap_or(0)
}

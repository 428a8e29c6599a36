//! One ordered stream bound to one function: joins the machines. Each decides for itself; this file
//! says which of them may act, in which order, and what an input is to each.

use crate::checkpoint::{Checkpoint, Ended};
use crate::flight::{Batch, Flight, Outcome};
use crate::gather::Gather;
use crate::link::Link;
use crate::run::Run;
use crate::{
    Answer, BatchId, Effect, Fact, Input, Millis, Phase, RecordMeta, Sequence, Settings, Span,
    Verdict, invariants,
};

/// One shard. At most one batch is in flight, so its records run strictly in order.
#[derive(Clone, Debug)]
pub struct Shard {
    pub(crate) settings: Settings,
    pub(crate) run: Run,
    pub(crate) link: Link,
    pub(crate) gather: Gather,
    pub(crate) flight: Flight,
    pub(crate) checkpoint: Checkpoint,
}

impl Shard {
    /// A shard that is not connected. It wants a [`Input::Tick`] to begin.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self {
            run: Run::Running,
            link: Link::new(settings.reconnect, settings.salt),
            gather: Gather::new(settings.batch),
            flight: Flight::new(),
            checkpoint: Checkpoint::new(settings.checkpoint, settings.salt),
            settings,
        }
    }

    /// Takes one input and appends what follows from it. Total: every input is allowed in every
    /// state, and the same state and input always give the same effects.
    ///
    /// `now` must not be smaller than in the step before. Every step looks at all deadlines, so a
    /// [`Input::Tick`] is needed only when nothing else happens.
    pub fn step(&mut self, now: Millis, input: Input<'_>, out: &mut Vec<Effect>) {
        match input {
            Input::Tick => {}
            Input::RecordsRead { records } => self.records_read(now, records, out),
            Input::InvocationAnswered { batch, answer } => self.answered(now, batch, answer, out),
            Input::CheckpointStored => self.checkpoint_stored(out),
            Input::CheckpointFailed => self.checkpoint_failed(now, out),
            Input::SourceBack => self.source_back(out),
            Input::SourceGone => self.source_gone(now, out),
            Input::Pause => fact_if(self.run.pause(), Fact::Paused, out),
            Input::Resume => fact_if(self.run.resume(), Fact::Resumed, out),
            Input::Stop => self.run.stop(),
        }
        if self.run.is_ending() {
            self.wind_up(out);
        } else {
            self.advance(now, out);
        }
        debug_assert_eq!(invariants::broken(self, now), None);
    }

    /// When the shard wants a [`Input::Tick`] if nothing happens before. `None`: never.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        if self.run.is_ending() {
            return None;
        }
        let always = [self.link.down_until(), self.checkpoint.waiting_until()];
        let running = if self.run.may_start() { self.working_deadlines() } else { [None; 3] };
        always.into_iter().chain(running).flatten().min()
    }

    /// What it does now, for people.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::of(self)
    }

    /// The place that the next record will have.
    #[must_use]
    pub fn next_record(&self) -> Sequence {
        self.gather.end()
    }

    /// Records before this one have ended, durably.
    #[must_use]
    pub const fn stored_end(&self) -> Sequence {
        self.checkpoint.stored_end()
    }

    /// The first numbered invariant that does not hold, `None` if all do.
    #[must_use]
    pub fn broken_invariant(&self, now: Millis) -> Option<&'static str> {
        invariants::broken(self, now)
    }

    /// Deadlines that count only while new work may begin.
    fn working_deadlines(&self) -> [Option<Millis>; 3] {
        let retry = self.flight.waiting().map(|(_, _, until)| until);
        if self.may_send() {
            [retry, self.gather.window_end(), self.link.resting_until()]
        } else {
            [retry, None, None]
        }
    }

    /// Whether the next batch may start: everything before it has ended, durably.
    fn may_send(&self) -> bool {
        self.flight.is_idle() && self.checkpoint.is_clean()
    }

    /// Does whatever is possible now.
    fn advance(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.link.due(now) {
            out.push(Effect::Connect);
        }
        if let Some(ended) = self.checkpoint.due(now) {
            out.push(store(ended));
        }
        if !self.run.may_start() {
            return;
        }
        if let Some((batch, attempt)) = self.flight.due(now) {
            self.invoke(now, batch, attempt, out);
        }
        if self.may_send() {
            self.reject(out);
        }
        if self.may_send()
            && let Some(cut) = self.gather.cut(now)
        {
            let batch = self.flight.start(cut.records, cut.last_read_at, cut.last_age_ms);
            self.invoke(now, batch, 1, out);
        }
        if self.may_send() && self.link.ready(now) {
            self.receive(now, out);
        }
    }

    fn invoke(&self, now: Millis, batch: Batch, attempt: u32, out: &mut Vec<Effect>) {
        let Batch { id, records, .. } = batch;
        let (count, age_ms) = (records.count(), batch.age_ms(now));
        out.push(Effect::Fact(Fact::Invoking { batch: id, attempt, records: count, age_ms }));
        out.push(Effect::Invoke { batch: id, attempt, records });
    }

    /// Skips records at the front that no batch can hold, with one checkpoint for all of them.
    fn reject(&mut self, out: &mut Vec<Effect>) {
        let first = self.gather.first();
        while let Some((record, bytes)) = self.gather.reject() {
            out.push(Effect::Fact(Fact::Oversized { record, bytes }));
        }
        let records = Span { first, end: self.gather.first() };
        if records.count() > 0 {
            self.ended(Ended { records, verdict: Verdict::Rejected }, out);
        }
    }

    fn receive(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let (records_max, bytes_max) = self.gather.room();
        let in_window = self.gather.window_end().map(|end| end.saturating_sub(now));
        let wait_ms = in_window.unwrap_or(Millis::MAX).min(self.settings.receive_wait_ms);
        self.link.asked(now, wait_ms);
        out.push(Effect::Receive { records_max, bytes_max, wait_ms });
    }

    fn ended(&mut self, ended: Ended, out: &mut Vec<Effect>) {
        self.checkpoint.ended(ended);
        out.push(store(ended));
    }

    fn records_read(&mut self, now: Millis, records: &[RecordMeta], out: &mut Vec<Effect>) {
        if self.link.read(now, records.is_empty()).is_err() {
            out_of_turn("RecordsRead", out);
        }
        // Taken even when nobody asked: the shell has them already, and dropping them here would let
        // the checkpoint of a later record pass them.
        self.gather.read(now, records);
        let polled = Fact::Polled { records: records.len() as u64 };
        fact_if(!records.is_empty(), polled, out);
    }

    fn answered(&mut self, now: Millis, id: BatchId, answer: Answer, out: &mut Vec<Effect>) {
        match self.flight.answered(now, id, answer, &self.settings) {
            Outcome::Ended(Batch { id: batch, records, .. }) => {
                let count = records.count();
                out.push(Effect::Fact(Fact::Succeeded { batch, records: count }));
                self.ended(Ended { records, verdict: Verdict::Done }, out);
            }
            Outcome::Failed { batch: Batch { id: batch, records, .. }, attempt, retry_at } => {
                let records = records.count();
                out.push(Effect::Fact(Fact::FunctionFailed { batch, attempt, records, retry_at }));
            }
            Outcome::Delayed { batch, delay, retry_at } => {
                out.push(Effect::Fact(Fact::Delayed { batch: batch.id, delay, retry_at }));
            }
            Outcome::OutOfTurn => out_of_turn("InvocationAnswered", out),
        }
    }

    fn checkpoint_stored(&mut self, out: &mut Vec<Effect>) {
        match self.checkpoint.stored() {
            Ok(records) => out.push(Effect::Fact(Fact::CheckpointStored { records })),
            Err(_) => out_of_turn("CheckpointStored", out),
        }
    }

    fn checkpoint_failed(&mut self, now: Millis, out: &mut Vec<Effect>) {
        match self.checkpoint.failed(now) {
            Ok(retry_at) => out.push(Effect::Fact(Fact::CheckpointFailed { retry_at })),
            Err(_) => out_of_turn("CheckpointFailed", out),
        }
    }

    fn source_back(&mut self, out: &mut Vec<Effect>) {
        match self.link.back() {
            Ok(()) => out.push(Effect::Fact(Fact::SourceConnected)),
            Err(_) => out_of_turn("SourceBack", out),
        }
    }

    fn source_gone(&mut self, now: Millis, out: &mut Vec<Effect>) {
        match self.link.gone(now) {
            Ok(retry_at) => out.push(Effect::Fact(Fact::SourceLost { retry_at })),
            Err(_) => out_of_turn("SourceGone", out),
        }
    }

    /// Gives up what would have to wait, and ends once nothing is in flight.
    fn wind_up(&mut self, out: &mut Vec<Effect>) {
        let batch = self.flight.give_up().map_or(0, |batch| batch.records.count());
        let unstored = self.checkpoint.give_up().map_or(0, Span::count);
        let abandoned = batch + unstored + self.gather.clear();
        fact_if(abandoned > 0, Fact::Abandoned { records: abandoned }, out);
        let in_flight = self.flight.running().is_some()
            || self.checkpoint.is_storing()
            || self.link.awaits_answer();
        if self.run == Run::Stopping && !in_flight {
            self.run.quiet();
            out.push(Effect::Stopped);
        }
    }
}

const fn store(ended: Ended) -> Effect {
    Effect::StoreCheckpoint { records: ended.records, verdict: ended.verdict }
}

fn fact_if(happened: bool, fact: Fact, out: &mut Vec<Effect>) {
    if happened {
        out.push(Effect::Fact(fact));
    }
}

fn out_of_turn(input: &'static str, out: &mut Vec<Effect>) {
    out.push(Effect::Fact(Fact::OutOfTurn { input }));
}

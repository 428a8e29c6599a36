//! Owns what is known of every asynchronous invocation: when it may run, how often it did, how it ended
//! (I1, I2, I3, I5, I8).

use trine_engine::{
    Death, Deliver, Dispatch, End, EventRecord, EventStage, FunctionName, HOPS_MAX, Idempotency,
    InvocationView, Lease, Millis, Mutation, Phase, RequestId,
};

use super::super::store::{Durable, ensure};
use super::{Finish, Judged, Ledger};

#[derive(Debug)]
pub(super) struct Event {
    pub(super) function: FunctionName,
    pub(super) idempotency: Option<Box<Idempotency>>,
    hops: u8,
    /// Its acceptance is durable.
    pub(super) saved: bool,
    /// Its client knows.
    pub(super) told: bool,
    age_from: Millis,
    due_at: Millis,
    /// Attempts that were spent (I2).
    pub(super) spent: u32,
    pub(super) last: Option<Finish>,
    pub(super) lease: Option<Lease>,
    /// What the engine decided, and whether that is durable.
    pub(super) end: Option<End>,
    pub(super) end_saved: bool,
    ends_saved: u32,
    redriven: bool,
    delivered_as: Option<End>,
}

impl Event {
    fn new(record: &EventRecord) -> Self {
        Self {
            function: record.function.clone(),
            idempotency: record.idempotency.clone(),
            hops: record.hops,
            saved: false,
            told: false,
            age_from: record.age_from,
            due_at: record.age_from,
            spent: 0,
            last: None,
            lease: None,
            end: None,
            end_saved: false,
            ends_saved: 0,
            redriven: false,
            delivered_as: None,
        }
    }

    pub(super) fn finish(&self) -> Judged {
        let Some(end) = self.end else {
            return Err(format!("never ended, acknowledged: {}", self.told));
        };
        ensure(self.end_saved && self.ends_saved == 1, || {
            format!("ended {end:?}, durably {} times", self.ends_saved)
        })
    }
}

/// A request as it was put in, until its record is seen.
#[derive(Debug)]
pub(in super::super) struct Asked {
    pub(in super::super) function: FunctionName,
    pub(in super::super) not_before: Option<Millis>,
    pub(in super::super) idempotency: Option<Box<Idempotency>>,
    pub(in super::super) hops: u8,
}

impl Ledger {
    /// The engine wants something durable: a decision, to be held against what happened.
    pub(super) fn decided(&mut self, mutation: &Mutation) -> Judged {
        match mutation {
            Mutation::Accept(record) => self.accepting(record),
            Mutation::Retry { record, .. } => self.retrying(record),
            Mutation::End { record, .. } => self.ending(record),
            Mutation::Redrive { old, new } => self.redriving(old, new),
            _ => Ok(()),
        }
    }

    fn accepting(&mut self, record: &EventRecord) -> Judged {
        let asked = self.asked(record.request_id);
        let Some(asked) = asked else { return Err(format!("I3: nobody asked for {record:?}")) };
        let age_from = asked.not_before.unwrap_or(0).max(self.now);
        let as_asked = record.function == asked.function
            && record.hops == asked.hops
            && record.idempotency == asked.idempotency
            && record.age_from == age_from
            && record.attempts == 0;
        ensure(as_asked, || format!("I8: {record:?} is not what was asked: {asked:?}"))?;
        self.events.insert(record.request_id, Event::new(record));
        Ok(())
    }

    fn retrying(&mut self, record: &EventRecord) -> Judged {
        let id = record.request_id;
        let finish = self.ended_by(id)?;
        let now = self.now;
        let EventStage::Waiting { due_at, .. } = record.stage else {
            return Err(format!("a retry of {id} that does not wait"));
        };
        let event = self.events.get(&id).ok_or_else(|| format!("I3: {id} is unknown"))?;
        let settings = self.settings_of(&event.function);
        let (retries, age) = settings.map_or((0, 0), |s| (s.max_retries(), s.max_event_age_ms()));
        let wait = if event.spent == 1 { 60_000 } else { 120_000 };
        let right = finish.is_some_and(|finish| finish != Finish::Answered)
            && record.attempts == event.spent
            && event.spent <= retries
            && due_at == now + wait
            && due_at < event.age_from + age;
        ensure(right && event.end.is_none(), || {
            format!("I2: {record:?} after {finish:?} at {now}, of {retries} retries: {event:?}")
        })?;
        if let Some(event) = self.events.get_mut(&id) {
            event.due_at = due_at;
        }
        Ok(())
    }

    fn ending(&mut self, record: &EventRecord) -> Judged {
        let id = record.request_id;
        let EventStage::Ended(ended) = &record.stage else {
            return Err(format!("an end of {id} that is none"));
        };
        if ended.end == End::Cancelled {
            self.cancelled(id);
        }
        let finish = if ended.end == End::Cancelled { None } else { self.ended_by(id)? };
        let event = self.events.get(&id).ok_or_else(|| format!("I3: {id} is unknown"))?;
        ensure(event.end.is_none() && event.saved, || format!("I1: {id} ends again: {event:?}"))?;
        ensure(record.attempts == event.spent && ended.at == self.now, || {
            format!("I2: {record:?}, but {event:?}")
        })?;
        self.judge_end(event, ended.end, finish).map_err(|why| format!("{id} {why}"))?;
        if let Some(event) = self.events.get_mut(&id) {
            event.end = Some(ended.end);
        }
        Ok(())
    }

    /// Whether an event may end like this now, `finish` being what became of its last attempt in this step.
    fn judge_end(&self, event: &Event, end: End, finish: Option<Finish>) -> Judged {
        let settings = self.settings_of(&event.function);
        let retries = settings.map_or(0, |settings| settings.max_retries());
        let age = settings.map_or(0, |settings| settings.max_event_age_ms());
        let failed = finish.is_some_and(|finish| finish != Finish::Answered);
        let wait = if event.spent == 1 { 60_000 } else { 120_000 };
        let right = match end {
            End::Succeeded => finish == Some(Finish::Answered),
            End::Dead(Death::RetriesExhausted) => failed && event.spent > retries,
            End::Dead(Death::EventAgeExceeded) => {
                let next = if failed { self.now + wait } else { self.now };
                finish != Some(Finish::Answered) && next >= event.age_from + age
            }
            End::Dead(Death::ZeroReservedConcurrency) => {
                finish.is_none()
                    && settings.is_some_and(|settings| settings.reserved_concurrency == Some(0))
            }
            End::Dead(Death::RecursiveInvocation) => finish.is_none() && event.hops >= HOPS_MAX,
            End::Cancelled => finish.is_none(),
            End::Redriven { .. } => false,
        };
        ensure(right, || format!("ends {end:?} after {finish:?}: {event:?}"))
    }

    fn redriving(&mut self, old: &EventRecord, new: &EventRecord) -> Judged {
        let dead = self.events.get(&old.request_id);
        let right = dead.is_some_and(|dead| {
            matches!(dead.end, Some(End::Dead(_)))
                && dead.end_saved
                && !dead.redriven
                && dead.function == new.function
        });
        ensure(right, || format!("{new:?} continues what is not dead: {dead:?}"))?;
        ensure(new.attempts == 0 && new.age_from == self.now, || format!("{new:?} is not fresh"))?;
        self.events.insert(new.request_id, Event::new(new));
        Ok(())
    }

    pub(super) fn event_starts(&mut self, dispatch: &Dispatch) -> Judged {
        let (now, id) = (self.now, dispatch.request_id);
        let active = self.active.get(&dispatch.function);
        let Some(active) = active else { return Err(format!("I3: no function: {dispatch:?}")) };
        let settings = active.settings.clone();
        let name = active.name.clone();
        let Some(event) = self.events.get_mut(&id) else {
            return Err(format!("I3: nobody asked for {dispatch:?}"));
        };
        ensure(event.saved && event.end.is_none() && event.lease.is_none(), || {
            format!("I3: {id} starts although {event:?}")
        })?;
        ensure(event.function == name, || format!("I5: {id} runs as {name}"))?;
        ensure(dispatch.attempt == event.spent + 1, || format!("I2: {dispatch:?} of {event:?}"))?;
        ensure(now >= event.due_at, || format!("I8: {id} starts at {now}, due {}", event.due_at))?;
        ensure(now < event.age_from + settings.max_event_age_ms(), || {
            format!("{id} starts although it is too old: {event:?}")
        })?;
        ensure(settings.reserved_concurrency != Some(0), || format!("{id} starts, switched off"))?;
        event.lease = Some(dispatch.lease);
        Ok(())
    }

    pub(super) fn delivering(&mut self, deliver: &Deliver) -> Judged {
        let id = deliver.record.request_id;
        let EventStage::Ended(ended) = &deliver.record.stage else {
            return Err(format!("{deliver:?} is no end"));
        };
        let event = self.events.get(&id);
        let right = event.is_some_and(|event| {
            event.end == Some(ended.end)
                && event.end_saved
                && deliver.record.attempts == event.spent
        });
        ensure(right, || format!("I5: {deliver:?} is delivered of {event:?}"))
    }

    /// What clients are shown is durable, and is what happened.
    pub(in super::super) fn judge_view(&self, view: &InvocationView) -> Judged {
        let Phase::Ended { end, .. } = view.phase else { return Ok(()) };
        let Some(event) = self.events.get(&view.request_id) else {
            return Err(format!("I3: {view:?} is shown, nobody asked for it"));
        };
        let right = match end {
            End::Redriven { .. } => event.redriven,
            end => event.end == Some(end),
        };
        ensure(right && event.end_saved, || format!("{view:?} is shown of {event:?}"))
    }

    /// A destination has a record: one event never has two different ones.
    pub(in super::super) fn record_taken(&mut self, record: &EventRecord) -> Judged {
        self.counts.delivered += 1;
        let EventStage::Ended(ended) = &record.stage else { return Err("no end".to_owned()) };
        let Some(event) = self.events.get_mut(&record.request_id) else {
            return Err(format!("I5: a record of {} that nobody asked for", record.request_id));
        };
        let before = *event.delivered_as.get_or_insert(ended.end);
        ensure(before == ended.end, || format!("I1: {before:?} was delivered, now {ended:?}"))
    }

    pub(super) fn event_saved(&mut self, mutation: &Mutation) -> Judged {
        match mutation {
            Mutation::Accept(record) => {
                if let Some(event) = self.events.get_mut(&record.request_id) {
                    event.saved = true;
                }
            }
            Mutation::End { record, .. } => {
                let Some(event) = self.events.get_mut(&record.request_id) else { return Ok(()) };
                event.end_saved = true;
                event.ends_saved += 1;
                match event.end {
                    Some(End::Succeeded) => self.counts.succeeded += 1,
                    Some(End::Cancelled) => self.counts.cancelled += 1,
                    _ => self.counts.died += 1,
                }
                ensure(event.ends_saved == 1, || format!("I1: {} ends twice", record.request_id))?;
            }
            Mutation::Redrive { old, new } => {
                self.counts.redriven += 1;
                if let Some(event) = self.events.get_mut(&old.request_id) {
                    event.redriven = true;
                }
                if let Some(event) = self.events.get_mut(&new.request_id) {
                    event.saved = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Goes back to what is durable. Nothing that was acknowledged may be missing.
    pub(super) fn events_after_crash(&mut self, durable: &Durable) -> Judged {
        let now = self.now;
        let records: std::collections::BTreeMap<RequestId, &EventRecord> =
            durable.events.values().map(|record| (record.request_id, record)).collect();
        self.events.retain(|_, event| event.saved);
        for (id, event) in &mut self.events {
            event.lease = None;
            event.last = None;
            let Some(record) = records.get(id) else {
                // Forgotten is what has ended.
                ensure(event.end_saved, || {
                    format!("I1: {id} is gone, acknowledged: {}", event.told)
                })?;
                continue;
            };
            ensure(record.attempts <= event.spent, || format!("I2: {record:?} of {event:?}"))?;
            event.spent = record.attempts;
            match &record.stage {
                EventStage::Waiting { due_at, .. } => {
                    ensure(!event.end_saved, || format!("I1: the end of {id} is gone"))?;
                    event.end = None;
                    event.due_at = due_after_crash(record, *due_at, now);
                    if record.age_from <= record.accepted_at {
                        event.age_from = record.age_from.min(now);
                    }
                }
                EventStage::Ended(_) => {
                    ensure(event.end_saved, || format!("I1: {id} ended, nobody knows why"))?;
                }
            }
        }
        Ok(())
    }
}

/// A clock that shows less after a start than before must not stretch a wait: a retry is at most as far ahead as it
/// was when it was decided, and what came without `not_before` does not wait at all.
fn due_after_crash(record: &EventRecord, due_at: Millis, now: Millis) -> Millis {
    match record.attempts {
        0 if record.age_from <= record.accepted_at => 0,
        0 => due_at,
        1 => due_at.min(now + 60_000),
        _ => due_at.min(now + 120_000),
    }
}

//! Owns how the engine's effects, views and times read in a script.

use trine_engine::{
    Answer, Blocker, Deliver, Destination, Dispatch, Effect, EventRecord, EventStage, Fact,
    FunctionError, InvocationView, Millis, Mutation, Phase, ResponseAtHand,
};

use crate::names::Names;

/// A span of time: `1.5s`.
pub(crate) fn span(ms: Millis) -> String {
    match ms % 1000 {
        0 => format!("{}s", ms / 1000),
        rest => format!("{}.{rest:03}s", ms / 1000),
    }
}

impl Names {
    /// A point in time, from the begin of the case.
    pub(crate) fn time(&self, at: Millis) -> String {
        match at.checked_sub(self.start) {
            Some(_) if at > u64::MAX / 2 => "never".to_owned(),
            Some(since) => span(since),
            None => format!("-{}", span(self.start - at)),
        }
    }

    /// One line for an effect; `None` for those that the play judges instead.
    pub(crate) fn effect(&self, effect: &Effect) -> Option<String> {
        Some(match effect {
            Effect::Hold { .. } | Effect::Release { .. } | Effect::Changed { .. } => return None,
            Effect::Dispatch(dispatch) => self.dispatch(dispatch),
            Effect::Stop { worker, lease } => {
                format!("stop {} on {}", self.lease(*lease), self.worker(*worker))
            }
            Effect::Reply { caller, answer } => {
                format!("{}: {}", self.caller(*caller), self.answer(answer))
            }
            Effect::Persist { mutation, .. } => format!("save {}", self.mutation(mutation)),
            Effect::Deliver(deliver) => self.deliver(deliver),
            Effect::Fact(fact) => self.fact(fact)?,
        })
    }

    fn dispatch(&self, dispatch: &Dispatch) -> String {
        format!(
            "run {} on {}, attempt {}, {}",
            self.lease(dispatch.lease),
            self.worker(dispatch.worker),
            dispatch.attempt,
            span(dispatch.timeout_ms.into()),
        )
    }

    fn deliver(&self, deliver: &Deliver) -> String {
        let EventStage::Ended(ended) = &deliver.record.stage else { panic!("{deliver:?}") };
        format!(
            "deliver {} {}, try {}",
            self.request(deliver.record.request_id),
            end(ended.end),
            deliver.tries + 1
        )
    }

    fn answer(&self, answer: &Answer) -> String {
        match answer {
            Answer::Succeeded { .. } => "succeeded".to_owned(),
            Answer::Failed { error, .. } => format!("failed, {}", function_error(*error)),
            Answer::Accepted { request_id, duplicate, no_worker } => {
                let duplicate = if *duplicate { ", duplicate" } else { "" };
                let no_worker = if *no_worker { ", no worker" } else { "" };
                format!("accepted as {}{duplicate}{no_worker}", self.request(*request_id))
            }
            Answer::Cancelled { .. } => "cancelled".to_owned(),
            Answer::Redriven { new_request_id: Some(new) } => {
                format!("redriven as {}", self.request(*new))
            }
            Answer::Redriven { new_request_id: None } => "the record is delivered again".to_owned(),
            Answer::Function { .. } => "done".to_owned(),
            Answer::Deleted => "deleted".to_owned(),
            Answer::Joined { unknown, .. } if unknown.is_empty() => "joined".to_owned(),
            Answer::Joined { unknown, .. } => format!("joined, unknown {unknown:?}"),
            Answer::Refused(refusal) => format!("refused, {refusal:?}"),
        }
    }

    fn mutation(&self, mutation: &Mutation) -> String {
        match mutation {
            Mutation::Accept(record) => format!("accept {}", self.record(record)),
            Mutation::Retry { record, error } => {
                format!("retry {} after {}", self.record(record), function_error(*error))
            }
            Mutation::End { record, keep_payload, response } => format!(
                "end {}{}{}",
                self.record(record),
                response_text(*response),
                payload(*keep_payload)
            ),
            Mutation::Delivery { record, keep_payload } => {
                format!("delivery {}{}", self.record(record), payload(*keep_payload))
            }
            Mutation::Redrive { old, new } => {
                format!("redrive {} -> {}", self.record(old), self.record(new))
            }
            Mutation::Forget { seq, payload } => {
                let event = self.seqs.get(seq).map_or("?", String::as_str);
                let own = if payload.is_some() { " with its payload" } else { "" };
                format!("forget {event}{own}")
            }
            Mutation::PutFunction(record) => format!("put {}", record.name),
            Mutation::DeleteFunction { .. } => "delete".to_owned(),
            Mutation::Barrier => "nothing".to_owned(),
        }
    }

    fn record(&self, record: &EventRecord) -> String {
        let request = self.request(record.request_id);
        let stage = match &record.stage {
            EventStage::Waiting { due_at, .. } => format!("due {}", self.time(*due_at)),
            EventStage::Ended(ended) => format!("{} {:?}", end(ended.end), ended.delivery),
        };
        format!("{request} ({stage}, {} attempts)", record.attempts)
    }

    fn fact(&self, fact: &Fact) -> Option<String> {
        let function = |id: &trine_engine::FunctionId| self.function(*id).to_owned();
        Some(match fact {
            // Said by the lines beside them; their figures are judged by the play.
            Fact::Started { .. } | Fact::Ended { .. } | Fact::FunctionsChanged => return None,
            Fact::EventReceived { .. } => return None,
            Fact::Throttled { function: f, reason } => {
                format!("* throttled {} {reason:?}", function(f))
            }
            Fact::EventDropped { death, request_id, .. } => {
                format!("* dropped {} {death:?}", self.request(*request_id))
            }
            Fact::LeaseExpired { function: f } => format!("* lease expired {}", function(f)),
            Fact::SlotAbandoned { function: f } => format!("* slot abandoned {}", function(f)),
            Fact::LateOutcome => "* late outcome".to_owned(),
            Fact::Unspent { function: f } => format!("* unspent {}", function(f)),
            Fact::WorkerLost { request_id, .. } => {
                format!("* worker lost {}", self.request(*request_id))
            }
            Fact::RecordDelivered { function: f } => format!("* record delivered {}", function(f)),
            Fact::DeliveryFailed { function: f } => format!("* delivery failed {}", function(f)),
            Fact::Undelivered { request_id, .. } => {
                format!("* undelivered {}", self.request(*request_id))
            }
            Fact::DeadForgotten { request_id, .. } => {
                format!("* dead forgotten {}", self.request(*request_id))
            }
        })
    }

    pub(crate) fn view(&self, view: &InvocationView) -> String {
        let phase = match view.phase {
            Phase::Scheduled { due_at, retry } => {
                format!("scheduled {}{}", self.time(due_at), if retry { " to retry" } else { "" })
            }
            Phase::Ready => "ready".to_owned(),
            Phase::Running => "running".to_owned(),
            Phase::Ended { end: how, at, delivery } => {
                format!("ended {} at {}, delivery {delivery:?}", end(how), self.time(at))
            }
        };
        format!("{phase}, {} attempts", view.attempts)
    }

    pub(crate) fn blocker(&self, blocker: Blocker) -> String {
        match blocker {
            Blocker::NotBefore(at) => format!("NotBefore {}", self.time(at)),
            Blocker::RetryWait(at) => format!("RetryWait {}", self.time(at)),
            Blocker::ReservedConcurrency { limit, until } => {
                format!("ReservedConcurrency {limit} until {}", self.time(until))
            }
            Blocker::AccountConcurrency { limit, until } => {
                format!("AccountConcurrency {limit} until {}", self.time(until))
            }
            Blocker::NoWorker { until } => format!("NoWorker until {}", self.time(until)),
            Blocker::NoFreeSlot { slots, until } => {
                format!("NoFreeSlot of {slots} until {}", self.time(until))
            }
            Blocker::QueueAhead { events } => format!("QueueAhead {events}"),
            Blocker::Destination { until } => format!("Destination until {}", self.time(until)),
            Blocker::Finished | Blocker::Running | Blocker::Store => format!("{blocker:?}"),
        }
    }
}

fn end(end: trine_engine::End) -> String {
    match end {
        trine_engine::End::Succeeded => "Succeeded".to_owned(),
        trine_engine::End::Dead(death) => format!("{death:?}"),
        trine_engine::End::Cancelled => "Cancelled".to_owned(),
        trine_engine::End::Redriven { .. } => "Redriven".to_owned(),
    }
}

fn function_error(error: FunctionError) -> String {
    match error {
        FunctionError::TimedOut { timeout_ms } => {
            format!("timed out after {}", span(timeout_ms.into()))
        }
        other => format!("{other:?}"),
    }
}

fn response_text(response: ResponseAtHand) -> String {
    match response {
        ResponseAtHand::None => String::new(),
        ResponseAtHand::Response => ", response".to_owned(),
        ResponseAtHand::Error(error) => format!(", {}", function_error(error)),
    }
}

fn payload(kept: bool) -> &'static str {
    if kept { ", payload kept" } else { "" }
}

/// Kind of a value by its variant's name: `Throttled`.
pub(crate) fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

pub(crate) fn destination(text: &str) -> Destination {
    match text.split_once(':') {
        Some(("fn", name)) => {
            Destination::Function(trine_engine::FunctionName::new(name).expect("a name"))
        }
        Some(("file", name)) => Destination::File { name: name.into() },
        _ => panic!("{text:?} is not fn:NAME or file:NAME"),
    }
}

pub(crate) fn destination_text(destination: &Destination) -> String {
    match destination {
        Destination::Function(name) => format!("fn:{name}"),
        Destination::File { name } => format!("file:{name}"),
        other => panic!("{other:?} cannot be written in a script"),
    }
}

//! Carries out the engine's effects, each in the one way there is. No effect is refused and none is reordered.

use std::collections::BTreeMap;

use trine_engine::{
    Answer, Caller, Dispatch, Effect, Fact, FunctionError, FunctionId, FunctionName, Input,
    Mutation, RequestId, ResponseAtHand,
};

use crate::refusal;
use crate::shard::call::{Reply, ReplyBody};
use crate::shard::held::Held;
use crate::shard::message::{Loaded, Sent};
use crate::shard::saving::AtHand;
use crate::shard::{EDGE_CALL, EDGE_CONTROL, EDGE_DELIVERY, Shard};

impl Shard {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Hold { entry } => {
                // An event's bytes are still needed for the store.
                if self.at_hand.event {
                    if let Some(held) = &self.at_hand.held {
                        self.held.cache(entry, held.clone());
                    }
                } else if let Some(held) = self.at_hand.held.take() {
                    self.held.hold(entry, held);
                }
            }
            Effect::Release { entry } => self.held.release(entry),
            Effect::Dispatch(dispatch) => self.dispatch(dispatch),
            Effect::Stop { worker, lease } => {
                if let Some(news) = self.sessions.news(worker) {
                    news.stops.push(lease);
                }
            }
            Effect::Reply { caller, answer } => self.answer(caller, answer),
            Effect::Persist { number, mutation } => {
                let at_hand = self.bytes_for(&mutation);
                self.saving.add(number, *mutation, &at_hand);
            }
            Effect::Deliver(deliver) => self.deliveries.enqueue(*deliver),
            Effect::Changed { request_id } => {
                if !self.watches.is_empty() {
                    self.watches.changed(request_id);
                }
            }
            Effect::Fact(Fact::FunctionsChanged) => self.publish_functions(),
            Effect::Fact(fact) => self.facts.fact(&fact),
        }
    }

    fn bytes_for(&self, mutation: &Mutation) -> AtHand {
        match mutation {
            Mutation::Accept(record) => self.envelopes(record.request_id, None),
            Mutation::Retry { record, error } => self.envelopes(record.request_id, Some(*error)),
            Mutation::End { record, response: ResponseAtHand::Response, .. } => {
                self.envelopes(record.request_id, None)
            }
            Mutation::End { record, response: ResponseAtHand::Error(error), .. } => {
                self.envelopes(record.request_id, Some(*error))
            }
            _ => AtHand::default(),
        }
    }

    fn dispatch(&mut self, dispatch: Dispatch) {
        let Some(held) = self.held.get(dispatch.entry) else {
            return self.loader.load(dispatch);
        };
        let Held { payload, extra, log_tail, qualified } = held;
        let (payload, extra) = (payload.clone(), extra.clone());
        let (log_tail, qualified) = (*log_tail, *qualified);
        self.send(dispatch, payload, extra, log_tail, qualified);
    }

    fn send(
        &mut self,
        dispatch: Dispatch,
        payload: bytes::Bytes,
        extra: Option<Box<crate::shard::call::Extra>>,
        log_tail: bool,
        qualified: bool,
    ) {
        let settings = self.engine.settings(dispatch.function);
        let memory_mb = settings.map_or(0, |(_, settings)| settings.memory_mb());
        let invoked_function =
            settings.filter(|_| qualified).map(|(name, _)| format!("{name}:$LATEST"));
        let (worker, lease) = (dispatch.worker, dispatch.lease);
        let sent = Sent { dispatch, payload, extra, log_tail, invoked_function, memory_mb };
        match self.sessions.news(worker) {
            Some(news) => news.attempts.push(sent),
            None => self.step_later(Input::NotSent { worker, lease }),
        }
    }

    /// Payloads that came from the store.
    pub(super) fn loaded(&mut self, loaded: Vec<(Dispatch, Result<Loaded, String>)>) {
        self.loader.returned(loaded.len());
        for (dispatch, loaded) in loaded {
            match loaded {
                Ok(Loaded { payload, extra, qualified }) if self.engine.runs(dispatch.lease) => {
                    self.send(dispatch, payload, extra, false, qualified);
                }
                // Stopped while it was read: the worker was told, and must not see it after that.
                Ok(_) => {
                    let Dispatch { worker, lease, .. } = dispatch;
                    self.step(Input::NotSent { worker, lease });
                }
                Err(error) => {
                    let request_id = dispatch.request_id;
                    tracing::error!(%request_id, error, "an event's payload cannot be read");
                    let Dispatch { worker, lease, .. } = dispatch;
                    self.step(Input::NotSent { worker, lease });
                }
            }
        }
    }

    /// An input that came up while effects were carried out: it waits for their end.
    pub(super) fn step_later(&mut self, input: Input) {
        self.later.push(input);
    }

    fn answer(&mut self, caller: Caller, answer: Answer) {
        match caller.edge {
            EDGE_CONTROL => self.control_answer(caller.tag, answer),
            EDGE_DELIVERY => self.delivery_answer(caller.tag, answer),
            _ => {
                let (request_id, body) = self.reply_body(answer);
                self.reply(caller, request_id, body);
            }
        }
    }

    fn control_answer(&mut self, tag: u64, answer: Answer) {
        if let Some(joining) = self.at_hand.joining.take() {
            return self.joined(joining, answer);
        }
        if let Some(reply) = self.controls.remove(&tag) {
            // Whoever asked may be gone; what was done stays done.
            let _ = reply.send(answer);
        }
    }

    fn reply_body(&mut self, answer: Answer) -> (RequestId, ReplyBody) {
        let none = RequestId(0);
        match answer {
            Answer::Succeeded { request_id } => {
                let payload = std::mem::take(&mut self.at_hand.response);
                let log_tail = std::mem::take(&mut self.at_hand.log_tail);
                (request_id, ReplyBody::Response { payload, log_tail })
            }
            Answer::Failed { request_id, error } => {
                let reported = error == FunctionError::Reported;
                let payload = if reported {
                    std::mem::take(&mut self.at_hand.response)
                } else {
                    bytes::Bytes::new()
                };
                let log_tail = std::mem::take(&mut self.at_hand.log_tail);
                (request_id, ReplyBody::Failed { error, payload, log_tail })
            }
            Answer::Accepted { request_id, duplicate, no_worker } => {
                (request_id, ReplyBody::Accepted { duplicate, no_worker })
            }
            Answer::Refused(refused) => {
                let function = self.at_hand.function.and_then(|id| self.engine.settings(id));
                let name = function.map_or("the function", |(name, _)| name.as_str());
                let refusal = refusal::from_engine(refused, name);
                (none, ReplyBody::Refused(Box::new(refusal)))
            }
            // Answers to controls, which do not come this way.
            Answer::Cancelled { .. }
            | Answer::Redriven { .. }
            | Answer::Function { .. }
            | Answer::Deleted
            | Answer::Joined { .. } => {
                let refusal =
                    refusal::refuse(trine_proto::v1::Reason::Internal, "An answer went astray.");
                (none, ReplyBody::Refused(Box::new(refusal)))
            }
        }
    }

    pub(super) fn reply(&mut self, caller: Caller, request_id: RequestId, body: ReplyBody) {
        let reply = Reply { tag: caller.tag, request_id, body };
        match caller.edge {
            EDGE_CALL => {
                if let Some((_, waiting)) = self.calls.remove(&caller.tag) {
                    // Its client may be gone.
                    let _ = waiting.send(reply);
                }
            }
            EDGE_DELIVERY => {
                if let ReplyBody::Refused(refusal) = reply.body {
                    self.delivery_refused(caller.tag, &refusal);
                }
            }
            stream => self.streams.reply(stream, reply),
        }
    }

    /// Tells the metrics which functions exist.
    pub(super) fn publish_functions(&mut self) {
        let functions: BTreeMap<FunctionId, FunctionName> =
            self.engine.functions().map(|function| (function.id, function.name)).collect();
        for gone in self.known_functions.keys().filter(|id| !functions.contains_key(id)) {
            self.facts.function_removed(*gone);
        }
        for (id, name) in &functions {
            if !self.known_functions.contains_key(id) {
                self.facts.function_registered(*id, name.as_str());
            }
        }
        self.known_functions = functions;
    }
}

//! The shell around one engine: one task that owns it. It collects a bounded batch of messages, steps the engine
//! for each, commits once, then lets go of what the batch has for every stream and every worker.
//!
//! It makes no decision. What it adds to the engine is bytes, channels, a clock and the store.

pub(crate) mod call;
mod commits;
pub(crate) mod deliveries;
mod effects;
pub(crate) mod held;
pub(crate) mod loader;
pub(crate) mod message;
pub(crate) mod recover;
mod saving;
mod sessions;
pub(crate) mod streams;
mod time;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use trine_engine::{
    Answer, Caller, Effect, Engine, FunctionError, FunctionId, FunctionName, Idempotency, Input,
    Invoke, Millis, Mode, RequestId,
};
use trine_store::record::{PayloadEnvelope, ResponseEnvelope, encode_payload, encode_response};
use trine_store::{Committed, Committer, StoreError};

use crate::clock::{Clock, monotonic};
use crate::metrics::{FactSink, Metrics};
use crate::refusal;
use crate::request_id::RequestIds;
use crate::shard::call::{Call, CallFrame, CallMode, Reply, ReplyBody, Target};
use crate::shard::deliveries::Deliveries;
use crate::shard::held::{Held, HeldPayloads};
use crate::shard::loader::Loader;
use crate::shard::message::{Joining, Message, StreamPlace};
use crate::shard::saving::{AtHand, Saving};
use crate::shard::sessions::Sessions;
use crate::shard::streams::Streams;
use crate::shard::time::Advancing;
use crate::shard::watch::Watches;

/// The one shard of this release; its number is part of ids and keys so that there can be more.
pub(crate) const SHARD: trine_store::Shard = trine_store::Shard(0);

/// Messages worked through between two commits, at most.
const BATCH_MESSAGES_MAX: usize = 256;

/// Inputs after which a long batch lets go of what it has: streams, sessions and workers on other cores begin while the
/// shard is still busy with the rest. Measured: smaller parcels cost more wake-ups than they gain.
const PARCEL_INPUTS: usize = 32;

/// Edge numbers of callers that are not streams; see [`Caller`].
const EDGE_CALL: u32 = 0;
const EDGE_CONTROL: u32 = 1;
const EDGE_DELIVERY: u32 = 2;

/// Everything the task owns.
pub(crate) struct Shard {
    engine: Engine,
    clock: Clock,
    /// The clock as it was at the beginning of the batch: one reading serves all its steps.
    now: Millis,
    ids: RequestIds,
    inbox: mpsc::Receiver<Message>,
    committed: mpsc::UnboundedReceiver<Committed>,
    saving: Saving,
    held: HeldPayloads,
    loader: Loader,
    deliveries: Deliveries,
    /// The payload or response that belongs to the input being stepped.
    at_hand: Passing,
    effects: Vec<Effect>,
    /// Effects carried out so far.
    effects_seen: u64,
    /// Inputs that came up while effects were carried out.
    later: Vec<Input>,
    calls: HashMap<u64, (RequestId, oneshot::Sender<Reply>), TagHashing>,
    controls: HashMap<u64, oneshot::Sender<Answer>>,
    next_tag: u64,
    streams: Streams,
    sessions: Sessions,
    watches: Watches,
    advancing: Option<Advancing>,
    draining: Option<oneshot::Sender<()>>,
    metrics: Metrics,
    facts: FactSink,
    /// As the metrics know them.
    known_functions: BTreeMap<FunctionId, FunctionName>,
}

/// What a started shard is made of.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) inbox: mpsc::Receiver<Message>,
    pub(crate) committer: Committer,
    pub(crate) committed: mpsc::UnboundedReceiver<Committed>,
    pub(crate) loader: Loader,
    pub(crate) deliveries: Deliveries,
    pub(crate) payload_cache_bytes_max: u64,
    pub(crate) metrics: Metrics,
    pub(crate) facts: FactSink,
}

/// Tags are counters of our own making: spread, not hidden.
type TagHashing = BuildHasherDefault<TagHasher>;

#[derive(Debug, Default, Clone, Copy)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, tag: u64) {
        self.0 = (self.0 ^ tag).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What ended the task's sleep.
enum Woken {
    /// `None`: there will be no other.
    Committed(Option<Committed>),
    Messages(usize),
    Alarm,
}

/// Bytes on their way through one step.
#[derive(Debug, Default)]
struct Passing {
    held: Option<Held>,
    event: bool,
    function: Option<FunctionId>,
    response: Bytes,
    log_tail: Bytes,
    /// The session that just joins.
    joining: Option<Joining>,
}

impl Shard {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            engine: parts.engine,
            now: parts.clock.now(),
            clock: parts.clock,
            ids: RequestIds::new(0),
            inbox: parts.inbox,
            committed: parts.committed,
            saving: Saving::new(parts.committer),
            held: HeldPayloads::new(parts.payload_cache_bytes_max),
            loader: parts.loader,
            deliveries: parts.deliveries,
            at_hand: Passing::default(),
            effects: Vec::new(),
            effects_seen: 0,
            later: Vec::new(),
            known_functions: BTreeMap::new(),
            calls: HashMap::default(),
            controls: HashMap::new(),
            next_tag: 0,
            streams: Streams::default(),
            sessions: Sessions::default(),
            watches: Watches::default(),
            advancing: None,
            draining: None,
            metrics: parts.metrics,
            facts: parts.facts,
        }
    }

    /// Runs until it is told to stop (`Ok`) or the store has failed for good.
    pub(crate) async fn run(mut self) -> Result<(), StoreError> {
        let mut batch = Vec::with_capacity(BATCH_MESSAGES_MAX);
        let sleep = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(sleep);
        self.publish_functions();
        loop {
            let alarm = self.alarm();
            if let Some(after) = alarm {
                sleep.as_mut().reset((monotonic() + after).into());
            }
            let woken = tokio::select! {
                biased;
                committed = self.committed.recv() => Woken::Committed(committed),
                received = self.inbox.recv_many(&mut batch, BATCH_MESSAGES_MAX) => {
                    Woken::Messages(received)
                }
                () = &mut sleep, if alarm.is_some() => Woken::Alarm,
            };
            self.now = self.clock.now();
            match woken {
                Woken::Committed(None) => return Err(self.commits_ended()),
                Woken::Committed(Some(committed)) => {
                    self.settle(committed)?;
                    // Commits that ended meanwhile belong to the same batch.
                    while let Ok(committed) = self.committed.try_recv() {
                        self.settle(committed)?;
                    }
                }
                // Nobody can send any more.
                Woken::Messages(0) => return self.finish().await,
                Woken::Messages(received) => {
                    if received > 1 {
                        self.gather(&mut batch).await;
                    }
                    if self.work_through(&mut batch).await {
                        return self.finish().await;
                    }
                }
                // What is due is worked through at the end of every batch.
                Woken::Alarm => {}
            }
            self.end_batch();
        }
    }

    /// Several callers are busy: lets those that are about to send do so first. A parcel for a worker costs as much with
    /// one call as with twenty. A lone message is never held up.
    async fn gather(&mut self, batch: &mut Vec<Message>) {
        tokio::task::yield_now().await;
        while batch.len() < BATCH_MESSAGES_MAX
            && let Ok(message) = self.inbox.try_recv()
        {
            batch.push(message);
        }
    }

    /// Takes the messages in order; true if one of them was the last.
    async fn work_through(&mut self, batch: &mut Vec<Message>) -> bool {
        let mut weight = 0;
        for message in batch.drain(..) {
            weight += message.weight();
            match message {
                Message::Stop => return true,
                Message::Calls { stream, frame } => self.frame(stream, frame).await,
                message => self.take(message),
            }
            if weight >= PARCEL_INPUTS {
                weight = 0;
                self.let_go_early().await;
            }
        }
        false
    }

    /// In the middle of a batch: what has gathered leaves while the rest is worked through.
    async fn let_go_early(&mut self) {
        self.let_go();
        tokio::task::yield_now().await;
    }

    /// Sends what has gathered for streams and workers.
    fn let_go(&mut self) {
        self.streams.flush();
        self.sessions.flush();
    }

    fn end_batch(&mut self) {
        // Some come up outside of any step: a destination function that does not exist, a worker gone before its payload
        // was read.
        self.catch_up();
        if self.engine.next_deadline().is_some_and(|at| at <= self.now) {
            self.step(Input::Tick);
        }
        self.next_deliveries();
        self.advance_if_quiet();
        self.saving.submit();
        self.saving.offer_if_due(monotonic());
        self.let_go();
        self.loader.flush();
        if !self.watches.is_empty() {
            self.watches.look(&self.engine);
        }
        if let Some(drained) = self.draining.take_if(|_| self.engine.account().leases == 0) {
            // Whoever drains may have given up waiting.
            let _ = drained.send(());
        }
    }

    /// One input into the engine, and its effects carried out; then the inputs that came up on the way.
    fn step(&mut self, input: Input) {
        self.step_one(input);
        self.catch_up();
    }

    /// Steps for the inputs that came up meanwhile.
    fn catch_up(&mut self) {
        while let Some(input) = self.later.pop() {
            self.step_one(input);
        }
    }

    fn step_one(&mut self, input: Input) {
        let mut effects = std::mem::take(&mut self.effects);
        self.engine.step(self.now, input, &mut effects);
        self.effects_seen += effects.len() as u64;
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
        self.at_hand = Passing::default();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Call { target, call, reply } => {
                let caller = Caller { edge: EDGE_CALL, tag: call.tag };
                let request_id = self.new_request_id();
                self.calls.insert(call.tag, (request_id, reply));
                self.call(caller, request_id, &target, call);
            }
            Message::Worker { worker, frame } => self.worker_frame(worker, frame),
            Message::CallerGone { tag } => {
                if let Some((request_id, _)) = self.calls.remove(&tag) {
                    let caller = Caller { edge: EDGE_CALL, tag };
                    self.step(Input::CallerGone { caller, request_id });
                }
            }
            Message::StreamOpened { outbox, shard, reply } => {
                let opened = self.streams.open(outbox);
                // An edge that is gone gives the place back by not taking it.
                let _ = reply.send(opened.map(|stream| StreamPlace::new(shard, stream)));
            }
            Message::StreamClosed { stream } => {
                if self.streams.close(stream) {
                    self.step(Input::CallersGone { edge: stream });
                }
            }
            Message::Control { input, reply } => {
                let tag = self.tag();
                self.controls.insert(tag, reply);
                let request_id = self.new_request_id();
                self.step(input(Caller { edge: EDGE_CONTROL, tag }, request_id));
            }
            Message::Query(look) => look(&self.engine),
            Message::Watch { request_id, after_revision, reply } => {
                self.watches.add(request_id, after_revision, reply);
            }
            Message::Join { functions, slots, joining } => {
                self.at_hand.joining = Some(joining);
                let caller = Caller { edge: EDGE_CONTROL, tag: self.tag() };
                self.step(Input::WorkerJoined { caller, functions, slots });
            }
            Message::Left { worker } => self.worker_left(worker),
            Message::Loaded(loaded) => self.loaded(loaded),
            Message::Delivered { entry, request_id, result, error } => {
                self.deliveries.done(request_id, &error);
                self.step(Input::Delivered { entry, result });
            }
            Message::Scrape { reply } => {
                self.facts.gauges(&self.engine.account(), self.engine.functions());
                self.metrics.payload_cache_bytes(self.held.cached_bytes());
                // A scraper that gave up needs no answer.
                let _ = reply.send(());
            }
            Message::DeliverToFunction(delivery) => self.deliver_to_function(*delivery),
            Message::Advance { to, reply } => self.advance(to, reply),
            Message::Drain { reply } => {
                self.step(Input::Drain);
                self.sessions.say_draining();
                self.draining = Some(reply);
            }
            // Handled by the loop.
            Message::Calls { .. } | Message::Stop => {}
        }
    }

    fn new_request_id(&mut self) -> RequestId {
        self.ids.next(self.now)
    }

    fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    async fn frame(&mut self, stream: u32, frame: CallFrame) {
        let CallFrame { targets, calls } = frame;
        // What was under way when its stream closed has nobody left who asks for it.
        if !self.streams.calls(stream, calls.len()) {
            return;
        }
        for (place, call) in calls.into_iter().enumerate() {
            let caller = Caller { edge: stream, tag: call.tag };
            let Some(target) = targets.get(call.target) else { continue };
            let request_id = self.new_request_id();
            self.call(caller, request_id, target, call);
            if place % PARCEL_INPUTS == PARCEL_INPUTS - 1 {
                self.let_go_early().await;
            }
        }
    }

    /// Resolves the function and steps the engine.
    fn call(&mut self, caller: Caller, request_id: RequestId, target: &Target, call: Call) {
        let now = self.now;
        let function = match self.engine.resolve(&target.name, &target.qualifier) {
            Ok(function) => function,
            Err(refused) => {
                let refusal = refusal::from_engine(refused, &target.name);
                return self.reply(caller, request_id, ReplyBody::Refused(Box::new(refusal)));
            }
        };
        let payload_bytes = u32::try_from(call.payload.len()).unwrap_or(u32::MAX);
        let mode = match call.mode {
            CallMode::DryRun => return self.reply(caller, request_id, ReplyBody::DryRun),
            CallMode::Sync { deadline_ms } => {
                Mode::Sync { deadline: deadline_ms.map(|wait| now.saturating_add(wait)) }
            }
            CallMode::Event { not_before, hops, idempotency_key } => Mode::Event {
                not_before,
                hops,
                idempotency: idempotency_key
                    .map(|key| Box::new(Idempotency { key, digest: digest(&call.payload) })),
            },
        };
        self.at_hand.function = Some(function);
        self.at_hand.event = matches!(mode, Mode::Event { .. });
        self.at_hand.held = Some(Held {
            payload: call.payload,
            extra: call.extra,
            log_tail: call.log_tail,
            qualified: target.qualified,
        });
        self.step(Input::Invoke(Invoke { caller, function, request_id, payload_bytes, mode }));
    }

    /// What the store gets of the bytes at hand.
    fn envelopes(&self, request_id: RequestId, error: Option<FunctionError>) -> AtHand {
        let payload = self.at_hand.held.as_ref().map(|held| {
            let extra = held.extra.as_deref();
            encode_payload(&PayloadEnvelope {
                payload: held.payload.clone(),
                traceparent: extra.map(|extra| extra.traceparent.clone()).unwrap_or_default(),
                tracestate: extra.map(|extra| extra.tracestate.clone()).unwrap_or_default(),
                qualified: held.qualified,
            })
        });
        let body = match error {
            None | Some(FunctionError::Reported) => self.at_hand.response.clone(),
            Some(error) => crate::destinations::error_object(error, request_id),
        };
        let envelope = ResponseEnvelope { body, function_error: error.is_some() };
        AtHand { payload, response: Some(encode_response(&envelope)) }
    }
}

/// FNV-1a of a payload: tells a repeated request from another one under the same key.
pub(crate) fn digest(payload: &[u8]) -> u64 {
    payload.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

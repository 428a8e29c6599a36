//! The shell around the registry of mappings: one task that owns it, with a shard of the store and a thread for its
//! commits. It works like the shell around the engine and beside it, so that nothing here costs an invocation anything.
//!
//! It makes no decision. What it adds to the registry is bytes, channels, a clock and the store.

pub(crate) mod definition;
mod deliveries;
pub(crate) mod message;
pub(crate) mod recover;
mod saving;
pub(crate) mod sessions;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use trine_engine::Caller;
use trine_engine::mapping::{
    MappingAnswer, MappingEffect, MappingInput, Moment, PollerId, Registry,
};
use trine_store::{Committed, Committer, Fence, Shard as StoreShard, StoreError, Verdict};

use crate::clock::{Clock, monotonic};
use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::refusal::refuse;
use deliveries::Deliveries;
pub(crate) use deliveries::Way;
use message::{FailureRecord, Message, PollerFrame};
use saving::{Saving, Settled};
use sessions::{AssignmentNews, SeekNews, Sessions, UnparkNews};

/// Numbers of functions' shards count from 0; this one is as far from them as request ids can tell.
pub(crate) const MAPPING_SHARD: StoreShard = StoreShard(0x0fff);

/// Messages worked through between two commits, at most.
const BATCH_MESSAGES_MAX: usize = 256;

/// Everything the task owns.
pub(crate) struct Mappings {
    registry: Registry,
    clock: Clock,
    started: Instant,
    inbox: mpsc::Receiver<Message>,
    committed: mpsc::UnboundedReceiver<Committed>,
    saving: Saving,
    sessions: Sessions,
    deliveries: Deliveries,
    controls: HashMap<u64, oneshot::Sender<message::Answered>>,
    next_tag: u64,
    next_poller: u64,
    at_hand: AtHand,
    draining: Option<oneshot::Sender<()>>,
    metrics: Metrics,
}

/// Bytes on their way through one step.
#[derive(Debug, Default)]
struct AtHand {
    /// Of the records that are parked, in order, encoded for the store.
    parked: std::vec::IntoIter<Bytes>,
    failure: FailureRecord,
    seek: Option<trine_proto::v1::SeekTarget>,
}

enum Woken {
    Committed(Option<Committed>),
    Messages(usize),
    Alarm,
}

impl Mappings {
    /// A task around what was recovered, with its thread for commits.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(crate) fn start(
        (registry, fence): (Registry, Fence),
        way: Way,
        inbox: mpsc::Receiver<Message>,
        clock: Clock,
        disk: Disk,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let (commits, committed) = mpsc::unbounded_channel();
        // The task outlives its committer; a commit that nobody hears of is read at the next start.
        let done = Box::new(move |commit| {
            disk.note(&commit, monotonic());
            drop(commits.send(commit));
        });
        let committer = Committer::start(Arc::clone(&way.store), MAPPING_SHARD, fence, done)?;
        Ok(Self {
            registry,
            clock,
            started: monotonic(),
            inbox,
            committed,
            saving: Saving::new(committer),
            sessions: Sessions::default(),
            deliveries: Deliveries::new(way),
            controls: HashMap::new(),
            next_tag: 0,
            next_poller: 0,
            at_hand: AtHand::default(),
            draining: None,
            metrics,
        })
    }

    /// Runs until it is told to stop (`Ok`) or the store has failed for good.
    pub(crate) async fn run(mut self) -> Result<(), StoreError> {
        let mut batch = Vec::with_capacity(BATCH_MESSAGES_MAX);
        let sleep = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(sleep);
        loop {
            let alarm = self.registry.next_deadline();
            if let Some(at) = alarm {
                sleep.as_mut().reset((self.started + Duration::from_millis(at)).into());
            }
            let woken = tokio::select! {
                biased;
                committed = self.committed.recv() => Woken::Committed(committed),
                received = self.inbox.recv_many(&mut batch, BATCH_MESSAGES_MAX) => {
                    Woken::Messages(received)
                }
                () = &mut sleep, if alarm.is_some() => Woken::Alarm,
            };
            match woken {
                Woken::Committed(None) => return Err(self.commits_ended()),
                Woken::Committed(Some(committed)) => self.settle(&committed)?,
                // Nobody can send any more.
                Woken::Messages(0) => return self.finish().await,
                Woken::Messages(_) => {
                    for message in batch.drain(..) {
                        if matches!(message, Message::Stop) {
                            return self.finish().await;
                        }
                        self.take(message);
                    }
                }
                Woken::Alarm => self.step(MappingInput::Tick),
            }
            self.end_batch();
        }
    }

    fn end_batch(&mut self) {
        self.saving.submit();
        self.deliveries.start();
        self.sessions.flush();
        if !self.registry.has_pollers()
            && let Some(drained) = self.draining.take()
        {
            // Whoever drains may have given up waiting.
            let _ = drained.send(());
        }
    }

    /// Waits for what the store takes, so that nothing of it goes unanswered.
    async fn finish(mut self) -> Result<(), StoreError> {
        self.step(MappingInput::Close);
        self.end_batch();
        while self.saving.is_waiting() {
            let Some(committed) = self.committed.recv().await else {
                return Err(self.commits_ended());
            };
            self.settle(&committed)?;
            self.end_batch();
        }
        Ok(())
    }

    fn settle(&mut self, committed: &Committed) -> Result<(), StoreError> {
        self.metrics.commit(committed.took, committed.batches, committed.ops, committed.bytes);
        let settled = match self.saving.committed(committed) {
            Ok(settled) => settled,
            Err(error) => {
                tracing::error!(%error, "the store failed; the shard of mappings stops");
                self.tell_unknown(&error);
                return Err(error);
            }
        };
        if committed.outcome.is_err() {
            self.metrics.store_rejected();
        }
        for settled in settled {
            match settled {
                Settled::Persisted { from, through } => {
                    self.step(MappingInput::Persisted { from, through });
                }
                Settled::Rejected { from, through } => {
                    for number in from..=through {
                        self.step(MappingInput::PersistRejected { number });
                    }
                }
            }
        }
        Ok(())
    }

    /// Whoever waits for a commit that may or may not be on the disk must not be told to try again.
    fn tell_unknown(&mut self, error: &StoreError) {
        if error.verdict() != Verdict::Unknown {
            return;
        }
        for caller in self.registry.waiting_callers() {
            if let Some(reply) = self.controls.remove(&caller.tag) {
                let refusal = refuse(
                    trine_proto::v1::Reason::StoreUnknown,
                    "The disk failed and the broker stops: whether the change was made is not known. Look at it once \
                     the broker is back.",
                );
                // Nobody need wait for it any more.
                let _ = reply.send(Err(refusal));
            }
        }
    }

    fn commits_ended(&mut self) -> StoreError {
        let detail = "the thread that writes mappings to the store ended without an answer";
        let error = StoreError::Unknown { detail: detail.to_owned() };
        tracing::error!(%error, "the store is out of reach; the shard of mappings stops");
        self.tell_unknown(&error);
        error
    }

    fn now(&self) -> Moment {
        let elapsed = self.started.elapsed().as_millis();
        Moment { clock: self.clock.now(), monotonic: u64::try_from(elapsed).unwrap_or(u64::MAX) }
    }

    fn step(&mut self, input: MappingInput) {
        let mut effects = Vec::new();
        self.registry.step(self.now(), input, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
        self.at_hand = AtHand::default();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Control { input, seek, reply } => {
                self.at_hand.seek = seek;
                let caller = self.caller(reply);
                self.step(input(caller));
            }
            Message::Query(look) => look(&self.registry),
            Message::Join { hello, outbox, reply, member } => {
                self.next_poller += 1;
                let poller = PollerId(self.next_poller);
                let (answer, answered) = oneshot::channel();
                let caller = self.caller(answer);
                self.sessions.open(poller, outbox);
                self.step(MappingInput::PollerJoined { caller, poller, hello });
                self.joined(poller, answered, reply, member);
            }
            Message::Frame { poller, frame } => self.frame(poller, frame),
            Message::Left { poller } => {
                self.sessions.close(poller);
                self.step(MappingInput::PollerLeft { poller });
            }
            Message::Loaded { poller, news } => {
                // Of a lease that has ended meanwhile nobody wants to know.
                let view = self.registry.mapping(news.mapping);
                let holder = view.and_then(|view| view.holder);
                if holder.is_some_and(|holder| holder.fence == news.fence)
                    && let Some(parcel) = self.sessions.news(poller)
                {
                    parcel.unparks.push(*news);
                }
            }
            Message::Delivered { poller, ticket, error } => {
                self.deliveries.done();
                self.sessions.answer(poller, ticket, &error);
            }
            Message::Scrape { reply } => {
                let views = self.registry.by_age();
                self.metrics.mappings().publish(&views);
                // A scraper that gave up needs no answer.
                let _ = reply.send(());
            }
            Message::Drain { reply } => {
                self.step(MappingInput::Drain);
                self.draining = Some(reply);
            }
            // Handled by the loop.
            Message::Stop => {}
        }
    }

    fn caller(&mut self, reply: oneshot::Sender<message::Answered>) -> Caller {
        self.next_tag += 1;
        self.controls.insert(self.next_tag, reply);
        Caller { edge: 0, tag: self.next_tag }
    }

    /// The registry answers a hello at once.
    fn joined(
        &mut self,
        poller: PollerId,
        mut answered: oneshot::Receiver<message::Answered>,
        reply: oneshot::Sender<Result<message::Member, trine_proto::v1::Refusal>>,
        member: message::MappingsHandle,
    ) {
        let joined = match answered.try_recv() {
            Ok(Ok(MappingAnswer::Joined)) => Ok(message::Member::new(member, poller)),
            Ok(Ok(MappingAnswer::Refused(refusal))) => {
                Err(crate::refusal::from_registry(refusal, "the poller"))
            }
            Ok(Err(refusal)) => Err(refusal),
            _ => Err(refuse(
                trine_proto::v1::Reason::Internal,
                "The session got another answer than its own.",
            )),
        };
        if joined.is_err() {
            self.sessions.close(poller);
        }
        // A session whose client is gone leaves by not taking its membership.
        let _ = reply.send(joined);
    }

    /// Its parts are applied in the order of their numbers in the contract.
    fn frame(&mut self, poller: PollerId, frame: PollerFrame) {
        for (under, report) in frame.checkpoints {
            self.step(MappingInput::Checkpoint { under, report });
        }
        for (under, report, records) in frame.parks {
            self.at_hand.parked = records.into_iter();
            self.step(MappingInput::Park { under, report });
        }
        for (under, ticket, record) in frame.failures {
            self.at_hand.failure = record;
            self.step(MappingInput::Failure { under, ticket });
        }
        for (under, status, added) in frame.statuses {
            self.step(MappingInput::Status { under, status, added });
        }
        for under in frame.releases {
            self.step(MappingInput::Release { under });
        }
        for (ticket, report) in frame.seeks {
            self.step(MappingInput::SeekDone { poller, ticket, report });
        }
        if frame.draining {
            self.step(MappingInput::PollerDraining { poller });
        }
    }

    fn carry_out(&mut self, effect: MappingEffect) {
        match effect {
            MappingEffect::Persist { number, mutation } => {
                self.saving.add(number, mutation, &mut self.at_hand.parked);
            }
            MappingEffect::Reply { caller, answer } => {
                if let Some(reply) = self.controls.remove(&caller.tag) {
                    // A client that gave up needs no answer.
                    let _ = reply.send(Ok(answer));
                }
            }
            MappingEffect::Assign { poller, mapping, fence, paused, new } => {
                let Some(view) = self.registry.mapping(mapping) else { return };
                let kept = self.registry.checkpoints(mapping).filter(|_| new);
                let checkpoints = kept.map(|(shard, kept)| (shard.clone(), kept.clone())).collect();
                let parked = Some(mapping).filter(|_| new);
                let parked = parked.and_then(|mapping| self.registry.parked_keys(mapping));
                let parked = parked.unwrap_or_default();
                if let Some(parcel) = self.sessions.news(poller) {
                    let view = Box::new(view);
                    let news = AssignmentNews { view, fence, paused, checkpoints, parked };
                    parcel.assignments.push(news);
                }
            }
            MappingEffect::Revoke { poller, mapping, fence, drain_ms } => {
                if let Some(parcel) = self.sessions.news(poller) {
                    parcel.revocations.push((mapping, fence, drain_ms));
                }
            }
            MappingEffect::Answer { poller, ticket, outcome, error } => {
                if let Some(parcel) = self.sessions.news(poller) {
                    parcel.answers.push((ticket, outcome, error.to_owned()));
                }
            }
            MappingEffect::Seek { poller, ticket, mapping, fence, preview } => {
                let target = self.at_hand.seek.take().unwrap_or_default();
                if let Some(parcel) = self.sessions.news(poller) {
                    parcel.seeks.push(SeekNews { ticket, mapping, fence, target, preview });
                }
            }
            MappingEffect::Unpark {
                poller,
                mapping,
                fence,
                shard,
                key,
                records,
                left,
                dropped,
            } => {
                let loaded = Vec::new();
                let news =
                    UnparkNews { mapping, fence, shard, key, records: loaded, left, dropped };
                self.deliveries.load(poller, news, records);
            }
            MappingEffect::Deliver { poller, ticket, mapping } => {
                let record = std::mem::take(&mut self.at_hand.failure);
                if let Some(view) = self.registry.mapping(mapping) {
                    self.deliveries.enqueue(poller, ticket, view, record, self.clock.now());
                }
            }
            MappingEffect::SayDraining { poller } => {
                if let Some(parcel) = self.sessions.news(poller) {
                    parcel.draining = true;
                }
            }
            MappingEffect::Fact(fact) => self.metrics.mappings().fact(&fact),
        }
    }
}

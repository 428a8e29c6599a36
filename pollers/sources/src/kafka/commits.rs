//! Commits of a connection: one request at a time, and what comes while it runs goes into the next one, all partitions together. It
//! does not know readers.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::config::Config;
use super::context::Consumer;
use super::problem;
use crate::SourceError;

/// The commits of one connection.
pub(super) struct Commits {
    config: Arc<Config>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Here, and nowhere else outside of the member's thread: who drops the last one closes the consumer, which blocks.
    consumer: Option<Arc<Consumer>>,
    /// At the brokers.
    running: Option<Round>,
    /// For the next request.
    waiting: Round,
}

/// Commits that go together.
#[derive(Default)]
struct Round {
    /// The offset to go on with, of each partition.
    offsets: BTreeMap<i32, i64>,
    committers: Vec<(i32, oneshot::Sender<Result<(), SourceError>>)>,
}

impl std::fmt::Debug for Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commits").finish_non_exhaustive()
    }
}

impl Commits {
    /// Closed, until [`open`](Self::open).
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self { config, state: Mutex::default() }
    }

    /// Commits go through `consumer` from now on.
    pub(super) fn open(&self, consumer: Arc<Consumer>) {
        self.state().consumer = Some(consumer);
    }

    /// Lets go of the consumer. Whatever runs has an unknown end.
    pub(super) fn close(&self) {
        let mut state = self.state();
        let State { consumer, running, waiting } = &mut *state;
        let gone = (consumer.take(), running.take(), take(waiting));
        // The consumer is dropped by who closes, without the lock.
        drop(state);
        let (_consumer, running, waiting) = gone;
        for round in running.into_iter().chain([waiting]) {
            round.all(&Err(self.closed()));
        }
    }

    /// Makes `next` the offset that the group goes on with in `partition`, durably.
    pub(super) async fn commit(&self, partition: i32, next: i64) -> Result<(), SourceError> {
        let (told, ended) = oneshot::channel();
        {
            let mut state = self.state();
            let offset = state.waiting.offsets.entry(partition).or_insert(next);
            *offset = next.max(*offset);
            state.waiting.committers.push((partition, told));
            if state.running.is_none() {
                self.start(&mut state);
            }
        }
        ended.await.unwrap_or_else(|_| Err(self.closed()))
    }

    /// A request has ended. Called by the library.
    pub(super) fn ended(&self, result: &KafkaResult<()>, offsets: &TopicPartitionList) {
        let mut state = self.state();
        let Some(running) = state.running.take_if(|running| running.is(offsets)) else { return };
        running.end(|partition| {
            result.clone().map_err(|error| self.failed(&error))?;
            let of = offsets.elements().into_iter().find(|one| one.partition() == partition);
            of.map_or(Ok(()), |one| one.error()).map_err(|error| self.failed(&error))
        });
        if !state.waiting.committers.is_empty() {
            self.start(&mut state);
        }
    }

    /// Sends what waits.
    fn start(&self, state: &mut State) {
        let round = take(&mut state.waiting);
        let Some(consumer) = &state.consumer else { return round.all(&Err(self.closed())) };
        let list = round.list(&self.config.topic);
        let sent = list.and_then(|list| consumer.commit(&list, CommitMode::Async));
        match sent {
            Ok(()) => state.running = Some(round),
            Err(error) => round.all(&Err(self.failed(&error))),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &KafkaError) -> SourceError {
        problem::failed(
            &self.config,
            &format!("commit for the group \"{}\"", self.config.group),
            error,
        )
    }

    fn closed(&self) -> SourceError {
        SourceError::unreachable(format!(
            "the connection to {} ended before the commit did",
            self.config.bootstrap
        ))
    }
}

impl Round {
    fn list(&self, topic: &str) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(self.offsets.len());
        for (&partition, &next) in &self.offsets {
            list.add_partition_offset(topic, partition, Offset::Offset(next))?;
        }
        Ok(list)
    }

    /// Whether the library means this one.
    fn is(&self, offsets: &TopicPartitionList) -> bool {
        let elements = offsets.elements();
        let same = |one: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            self.offsets.get(&one.partition()).copied() == one.offset().to_raw()
        };
        elements.len() == self.offsets.len() && elements.iter().all(same)
    }

    fn all(self, result: &Result<(), SourceError>) {
        self.end(|_| result.clone());
    }

    fn end(self, result: impl Fn(i32) -> Result<(), SourceError>) {
        for (partition, told) in self.committers {
            // Who no longer listens has given up on the connection.
            let _ = told.send(result(partition));
        }
    }
}

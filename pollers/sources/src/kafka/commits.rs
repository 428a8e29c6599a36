//! Commits of a connection: a thread that sends one request at a time, and what comes while it waits for the answer goes into the next
//! one, all partitions together. It does not know readers.
//!
//! A thread, because the library's asynchronous commits end nowhere: in rdkafka 0.39 consumers take events, and librdkafka tells the
//! end of such a commit to a callback only.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
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
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// For the next request.
    waiting: Round,
    closed: bool,
}

/// Commits that go together.
#[derive(Default)]
struct Round {
    /// The offset to go on with, of each partition.
    offsets: BTreeMap<i32, i64>,
    committers: Vec<oneshot::Sender<Result<(), SourceError>>>,
}

impl std::fmt::Debug for Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commits").finish_non_exhaustive()
    }
}

impl Commits {
    /// Without anybody to send them, until [`serve`](Self::serve).
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self { config, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Makes `next` the offset that the group goes on with in `partition`, durably.
    pub(super) async fn commit(&self, partition: i32, next: i64) -> Result<(), SourceError> {
        let (told, ended) = oneshot::channel();
        {
            let mut state = self.state();
            if state.closed {
                return Err(self.gone());
            }
            let offset = state.waiting.offsets.entry(partition).or_insert(next);
            *offset = next.max(*offset);
            state.waiting.committers.push(told);
        }
        self.changed.notify_one();
        ended.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// Sends what comes, until [`close`](Self::close). Blocks; the last of its work may be to close the consumer.
    pub(super) fn serve(&self, consumer: &Consumer) {
        while let Some(round) = self.next_round() {
            // The answer is for the request as a whole: a partition that failed alone would not be seen. None can, in one topic and
            // one group, unless it ceased to exist.
            let sent = round
                .list(&self.config.topic)
                .and_then(|list| consumer.commit(&list, CommitMode::Sync));
            let result = sent.map_err(|error| {
                let doing = format!("commit for the group \"{}\"", self.config.group);
                problem::failed(&self.config, &doing, &error)
            });
            round.end(&result);
        }
    }

    /// Takes no commit any more. What was not sent has not happened.
    pub(super) fn close(&self) {
        let unsent = {
            let mut state = self.state();
            state.closed = true;
            take(&mut state.waiting)
        };
        self.changed.notify_all();
        unsent.end(&Err(self.gone()));
    }

    fn next_round(&self) -> Option<Round> {
        let idle = |state: &mut State| !state.closed && state.waiting.committers.is_empty();
        let state = self.changed.wait_while(self.state(), idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        (!state.closed).then(|| take(&mut state.waiting))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> SourceError {
        let bootstrap = &self.config.bootstrap;
        SourceError::unreachable(format!("the connection to {bootstrap} ended before the commit"))
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

    fn end(self, result: &Result<(), SourceError>) {
        for told in self.committers {
            // Who no longer listens has given up on the connection.
            let _ = told.send(result.clone());
        }
    }
}

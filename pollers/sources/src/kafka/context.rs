//! What the client library tells of its own accord, kept until the member's thread looks. It decides nothing and never waits: the
//! library calls it in the middle of things.

use std::collections::{BTreeMap, VecDeque};
use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::statistics;

/// A consumer that tells us what happens.
pub(super) type Consumer = BaseConsumer<Context>;

/// Most errors that are kept. More come only while the thread waits for an answer of the same brokers, and say the same.
const FAILURES_MAX: usize = 64;

/// Something that the library told.
#[derive(Debug)]
pub(super) enum Happened {
    /// These partitions are ours; all that are (eager).
    Assigned(Vec<i32>),
    /// None is ours any more; the library waits until that is confirmed.
    Revoked,
    /// An error, with its text.
    Failed(RDKafkaErrorCode, String),
}

#[derive(Debug, Default)]
pub(super) struct Context {
    happened: Mutex<VecDeque<Happened>>,
    closing: AtomicBool,
    /// The offset after the last record of each partition, as last seen.
    ends: Mutex<BTreeMap<i32, i64>>,
}

impl Context {
    /// What happened since this was asked last, in order.
    pub(super) fn take(&self) -> VecDeque<Happened> {
        take(&mut *self.happened.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on assignments are given back at once: nobody would take them, and the library waits for it.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// The offset after the last record of a partition, as last seen.
    pub(super) fn end(&self, partition: i32) -> Option<i64> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied()
    }

    fn push(&self, happened: Happened) {
        let mut all = self.happened.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(happened, Happened::Failed(..)) || all.len() < FAILURES_MAX {
            all.push_back(happened);
        }
    }
}

impl ConsumerContext for Context {
    /// Does not assign here: that needs answers of the brokers and of the runner, and this is called in the middle of a poll. The
    /// library goes on heartbeating until the thread calls `assign` or `unassign`.
    fn rebalance(&self, consumer: &Consumer, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::SeqCst) {
            if let Err(error) = consumer.unassign() {
                tracing::debug!(%error, "unassigning while closing");
            }
            return;
        }
        self.push(match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                Happened::Assigned(list.elements().iter().map(|one| one.partition()).collect())
            }
            _ => Happened::Revoked,
        });
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.push(Happened::Failed(code, reason.to_owned()));
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let ends = statistics::ends(statistics);
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).extend(ends);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters of it comes as an error too and is told by the mapping.
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::warn!(facility, message, "librdkafka"),
            _ => tracing::debug!(facility, message, "librdkafka"),
        }
    }
}

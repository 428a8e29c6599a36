//! What a runner tells people: one fact becomes one count and, where it is worth it, one log line, so
//! that the two cannot drift apart. It decides nothing.

use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, error, info, warn};
use trine_poll_engine::{Delay, Fact, Shard};

use crate::source::{Notice, SourceError};
use crate::{PollerCounts, PollerState, PollerStatus};

#[derive(Debug)]
pub(super) struct Report {
    name: String,
    kind: &'static str,
    counts: PollerCounts,
    checkpoint: Option<String>,
    notice: Option<String>,
    // What stands in the way, by what would have to work again.
    checkpoint_error: Option<String>,
    invocation_error: Option<String>,
    source_error: Option<String>,
}

impl Report {
    pub(super) fn new(name: String, kind: &'static str) -> Self {
        Self {
            name,
            kind,
            counts: PollerCounts::default(),
            checkpoint: None,
            notice: None,
            checkpoint_error: None,
            invocation_error: None,
            source_error: None,
        }
    }

    /// Publishes the status if it changed.
    pub(super) fn publish(&self, shard: &Shard, status: &watch::Sender<PollerStatus>) {
        let errors = [&self.checkpoint_error, &self.invocation_error, &self.source_error];
        let now = PollerStatus {
            state: PollerState::of(shard.phase()),
            last_error: errors.into_iter().find_map(Clone::clone),
            last_notice: self.notice.clone(),
            checkpoint: self.checkpoint.clone(),
            counts: self.counts,
        };
        status.send_if_modified(|last| {
            let changed = *last != now;
            if changed {
                *last = now;
            }
            changed
        });
    }

    /// Why the source is lost. Said once for the same words: a file that is missing all night is one line.
    pub(super) fn source_failed(&mut self, error: &SourceError) {
        let says = error.to_string();
        if self.source_error.as_ref() != Some(&says) {
            warn!(poller = self.name, source = self.kind, error = says, "the source is lost");
            self.source_error = Some(says);
        }
    }

    pub(super) fn source_works(&mut self) {
        if self.source_error.take().is_some() {
            info!(poller = self.name, source = self.kind, "the source works again");
        }
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        let Notice { message, gap } = notice;
        if gap {
            self.counts.source_gaps += 1;
            warn!(poller = self.name, source = self.kind, "{message}");
        } else {
            info!(poller = self.name, source = self.kind, "{message}");
        }
        self.notice = Some(message);
    }

    /// What the answer of an invocation said; empty if it succeeded.
    pub(super) fn invocation_failed(&mut self, says: String) {
        self.invocation_error = (!says.is_empty()).then_some(says);
    }

    pub(super) fn checkpoint_failed(&mut self, why: &SourceError) {
        let says = why.to_string();
        error!(
            poller = self.name,
            source = self.kind,
            error = says,
            "the checkpoint is not stored"
        );
        self.checkpoint_error = Some(says);
    }

    /// How far the source is settled now.
    pub(super) fn settled(&mut self, position: Option<String>) {
        self.checkpoint_error = None;
        self.checkpoint = position;
    }

    pub(super) fn fact(&mut self, fact: Fact) {
        let counts = &mut self.counts;
        match fact {
            Fact::Polled { records } => counts.polled_events += records,
            Fact::Invoking { age_ms, .. } => {
                counts.iterator_age = Some(Duration::from_millis(age_ms));
            }
            Fact::Succeeded { records, .. } => {
                counts.succeeded_batches += 1;
                counts.invoked_events += records;
            }
            Fact::FunctionFailed { attempt, records, .. } => {
                counts.invoked_events += records;
                counts.failed_invoke_events += records;
                let error = self.invocation_error.as_deref().unwrap_or_default();
                warn!(
                    poller = self.name,
                    attempt, records, error, "a batch failed and comes again"
                );
            }
            Fact::Delayed { delay, .. } => self.delayed(delay),
            Fact::Oversized { bytes, .. } => {
                counts.dropped_events += 1;
                warn!(poller = self.name, bytes, "a record larger than any payload was skipped");
            }
            Fact::SourceLost { .. } => counts.source_losses += 1,
            Fact::CheckpointFailed { .. } => counts.checkpoint_failures += 1,
            Fact::SourceConnected => debug!(poller = self.name, "the source is connected"),
            Fact::CheckpointStored { .. } => {}
            Fact::Paused => info!(poller = self.name, "paused"),
            Fact::Resumed => info!(poller = self.name, "resumed"),
            Fact::Abandoned { records } => {
                info!(
                    poller = self.name,
                    records, "stopped before these were settled: they come again"
                );
            }
            Fact::OutOfTurn { input } => {
                error!(poller = self.name, input, "an answer to no question")
            }
        }
    }

    fn delayed(&mut self, delay: Delay) {
        let counts = &mut self.counts;
        match delay {
            Delay::Throttled => counts.throttled_batches += 1,
            Delay::NoCapacity => counts.no_capacity_batches += 1,
            Delay::Refused => counts.refused_batches += 1,
            Delay::Lost => counts.lost_batches += 1,
        }
        let error = self.invocation_error.as_deref().unwrap_or_default();
        match delay {
            // These pass by themselves; the counts tell.
            Delay::Throttled | Delay::NoCapacity => {
                debug!(poller = self.name, error, "a batch waits for room");
            }
            Delay::Refused => warn!(poller = self.name, error, "a batch was refused and waits"),
            Delay::Lost => {
                warn!(poller = self.name, error, "a batch may have been lost; sent again")
            }
        }
    }
}

//! What a mapping says of itself: counts of what the engine told, and one sentence for what it waits for. It decides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use trine_poll_engine::{Delay, Fact, Phase, Poll, Verdict};
use trine_proto::v1::{MappingCounts, ShardActivity, StatusReport};

use super::shards::Shards;
use crate::plan::Plan;
use crate::source::Notice;
use crate::{Settling, SourceError};

/// How often a mapping tells how it is while something happens, and while nothing does.
const TELL_EVERY: Duration = Duration::from_secs(1);
const TELL_IDLE_EVERY: Duration = Duration::from_secs(10);

/// Shards that are told of by name; beyond them people see the first ones.
const SHARDS_TOLD_MAX: usize = 1_000;

/// What is to become of that which has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keeping {
    /// At the source or at the broker.
    Checkpoint,
    /// Each record at the source.
    Settling,
    FailureRecord,
    Park,
}

#[derive(Debug)]
pub(super) struct Status {
    mapping_id: String,
    fence: u64,
    per_record: bool,
    /// What is given up is delivered, and then not dropped (LS 7).
    on_failure: bool,
    /// What was added since the last report.
    added: MappingCounts,
    problem: &'static str,
    source_error: String,
    /// What the source said of itself since a batch succeeded last.
    notice: String,
    /// Why what has ended was not kept, taken or set aside last, until it is.
    troubles: BTreeMap<Keeping, String>,
    /// Why the function was not reached last; empty once it was.
    not_reached: String,
    last_processing_result: String,
    changed: bool,
    gone: bool,
    told_at: Option<Instant>,
}

impl Status {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            mapping_id: plan.id.to_string(),
            fence: plan.fence,
            per_record: plan.connector.descriptor().settling == Settling::PerRecord,
            on_failure: plan.settings.on_failure_destination,
            added: MappingCounts::default(),
            problem: "",
            source_error: String::new(),
            notice: String::new(),
            troubles: BTreeMap::new(),
            not_reached: String::new(),
            last_processing_result: "No records processed".to_owned(),
            changed: true,
            gone: false,
            told_at: None,
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        let every = if self.changed { TELL_EVERY } else { TELL_IDLE_EVERY };
        self.told_at.is_none_or(|at| now >= at + every)
    }

    pub(super) fn told(&mut self, now: Instant) {
        self.told_at = Some(now);
        self.changed = false;
    }

    pub(super) fn source_works(&mut self) {
        self.problem = "";
        self.source_error.clear();
        self.changed = true;
    }

    /// Whether the source fails in another way than before.
    pub(super) fn is_news(&self, error: &SourceError) -> bool {
        self.source_error != error.to_string()
    }

    pub(super) fn source_fails(&mut self, error: &SourceError) {
        self.problem = error.problem.code();
        self.source_error = error.to_string();
        self.added.polling_errors += 1;
        self.changed = true;
        // People wait for this one.
        self.told_at = None;
    }

    pub(super) fn notice(&mut self, notice: &Notice) {
        self.added.source_gaps += u64::from(notice.gap);
        self.notice.clone_from(&notice.message);
        self.changed = true;
    }

    /// Something other than source and function stands in the way of what has ended.
    pub(super) fn not_kept(&mut self, keeping: Keeping, why: &str) {
        self.troubles.insert(keeping, why.to_owned());
        self.changed = true;
    }

    pub(super) fn kept(&mut self, keeping: Keeping) {
        if !self.troubles.is_empty() {
            self.changed |= self.troubles.remove(&keeping).is_some();
        }
    }

    pub(super) fn succeeded(&mut self) {
        if self.last_processing_result != "OK" {
            "OK".clone_into(&mut self.last_processing_result);
        }
        self.not_reached.clear();
        self.notice.clear();
    }

    pub(super) fn failed(&mut self, why: &str) {
        self.last_processing_result = format!("PROBLEM: Function call failed: {why}");
        self.not_reached.clear();
    }

    pub(super) fn not_reached(&mut self, why: &str) {
        why.clone_into(&mut self.not_reached);
    }

    /// What the function answered last, for people.
    pub(super) fn last_result(&self) -> &str {
        &self.last_processing_result
    }

    pub(super) const fn gone(&mut self) {
        self.gone = true;
    }

    /// One fact, in the words of LS 7.
    pub(super) fn count(&mut self, fact: &Fact) {
        self.changed = true;
        let added = &mut self.added;
        match *fact {
            Fact::Polled { records, filtered, .. } => {
                added.polled_events += records;
                added.filtered_out_events += filtered;
            }
            Fact::Invoking { records, .. } => added.invoked_events += records,
            Fact::FunctionFailed { records, .. } => {
                added.failed_invoke_events += records;
                added.invoke_errors += 1;
            }
            Fact::Delayed { delay: Delay::Throttled | Delay::NoCapacity, .. } => {
                added.throttles += 1;
            }
            Fact::Delayed { .. } => added.invoke_errors += 1,
            Fact::GivenUp { records, .. } if !self.on_failure => added.dropped_events += records,
            Fact::FailureDelivered { records, .. } => added.on_failure_delivered_events += records,
            Fact::FailureDeliveryFailed { .. } => added.on_failure_delivery_errors += 1,
            Fact::Parked { records, .. } => added.parked_events += records,
            Fact::CheckpointStored { records, .. } => added.committed_events += records,
            Fact::CheckpointFailed { .. } | Fact::SettleFailed { .. } => added.commit_errors += 1,
            Fact::Settled { verdict: Verdict::Done | Verdict::Filtered, records, .. }
                if self.per_record =>
            {
                added.deleted_events += records;
            }
            Fact::SourceLost { .. } => added.reconnects += 1,
            _ => {}
        }
    }

    /// The report; what it counts is told with it.
    pub(super) fn report(&mut self, poll: &Poll, shards: &Shards, live: bool) -> StatusReport {
        let told = shards.iter().take(SHARDS_TOLD_MAX);
        let activity = |(id, shard): (_, &super::shards::Shard)| ShardActivity {
            shard: shard.name.to_string(),
            checkpoint: shard.settled.as_deref().unwrap_or_default().to_owned(),
            // Beyond what was settled, not beyond what was read: a function that is throttled falls behind too.
            lag_records: shard.lag_records.map(|lag| lag + shard.in_hand()),
            iterator_age_ms: shard.iterator_age_ms,
            phase: word(poll.phase(id)).to_owned(),
        };
        let shards_told = told.map(activity).collect();
        let (waiting_for, until) = self.waiting_for(poll, shards, live);
        let trouble = self.troubles.values().next();
        let error =
            [Some(&self.source_error), Some(&self.not_reached), trouble, Some(&self.notice)]
                .into_iter()
                .flatten()
                .find(|error| !error.is_empty());
        StatusReport {
            mapping_id: self.mapping_id.clone(),
            fence: self.fence,
            waiting_for,
            problem: self.problem.to_owned(),
            error: error.cloned().unwrap_or_default(),
            last_processing_result: self.last_processing_result.clone(),
            shards: if self.gone { Vec::new() } else { shards_told },
            added: Some(std::mem::take(&mut self.added)),
            until_ms: until.and_then(|until| i64::try_from(until).ok()),
            live: live && !self.gone,
        }
    }

    /// A report that could not be sent: its counts belong to the next one.
    pub(super) fn take_back(&mut self, untold: &StatusReport) {
        if let Some(counts) = untold.added {
            let later = std::mem::replace(&mut self.added, counts);
            add(&mut self.added, &later);
        }
        self.changed = true;
    }

    /// The one thing that stands in the way most, of all shards.
    fn waiting_for(&self, poll: &Poll, shards: &Shards, live: bool) -> (String, Option<u64>) {
        if self.gone {
            return ("it was given back".to_owned(), None);
        }
        if !self.source_error.is_empty() {
            return (format!("the source: {}", self.source_error), None);
        }
        if shards.is_empty() && !live {
            return ("the source is being connected".to_owned(), None);
        }
        if shards.is_empty() {
            return ("the source has no shard for this poller yet".to_owned(), None);
        }
        let phases = shards.iter().map(|(id, shard)| (poll.phase(id), shard));
        let foremost = phases.max_by_key(|(phase, _)| rank(*phase));
        let Some((phase, shard)) = foremost else { return Default::default() };
        let at = &shard.name;
        // A disk that is full stops nobody at once: records flow, and would all come again.
        if let Some(why) =
            self.troubles.values().next().filter(|_| rank(phase) < rank(Phase::Paused))
        {
            return (format!("what has ended is not kept: {why}"), None);
        }
        let trouble = |of| self.troubles.get(&of).map_or("", String::as_str);
        match phase {
            Phase::Throttled { probe_at } => {
                (format!("the function cannot be reached: {}", self.not_reached), Some(probe_at))
            }
            Phase::Delivering => (
                format!(
                    "the on-failure destination has not taken what was given up in {at}: {}",
                    trouble(Keeping::FailureRecord)
                ),
                None,
            ),
            Phase::Parking => {
                (format!("records of {at} are being set aside: {}", trouble(Keeping::Park)), None)
            }
            Phase::Retrying { retry_at } => (
                format!("a batch of {at} is sent again: {}", self.last_processing_result),
                Some(retry_at),
            ),
            // If it failed, that was said above.
            Phase::Settling => (format!("the checkpoint of {at} is not durable yet"), None),
            Phase::WaitingForConcurrency => ("all of its concurrency is in use".to_owned(), None),
            Phase::SourceDown { retry_at } => {
                ("the source is being connected".to_owned(), retry_at)
            }
            Phase::Paused => ("somebody paused it".to_owned(), None),
            Phase::Invoking { batches } => {
                (format!("the function works on {batches} batches of {at}"), None)
            }
            Phase::Gathering => (
                format!(
                    "records of {at} wait for more of them, or for the end of their batching window"
                ),
                None,
            ),
            Phase::Finishing => {
                (format!("{at} has ended in the source; that is being recorded"), None)
            }
            Phase::Ending => ("it finishes what is in flight".to_owned(), None),
            Phase::Polling | Phase::Gone => {
                ("nothing: it has read everything that is there".to_owned(), None)
            }
        }
    }
}

/// What people should hear of first.
const fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Gone => 0,
        Phase::Polling => 1,
        Phase::Gathering => 2,
        Phase::Finishing => 3,
        Phase::Invoking { .. } => 4,
        Phase::WaitingForConcurrency => 5,
        Phase::Settling => 6,
        Phase::Paused => 7,
        Phase::Ending => 8,
        Phase::Retrying { .. } => 9,
        Phase::SourceDown { .. } => 10,
        Phase::Parking => 11,
        Phase::Delivering => 12,
        Phase::Throttled { .. } => 13,
    }
}

const fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Gone => "gone",
        Phase::Ending => "ending",
        Phase::Throttled { .. } => "throttled",
        Phase::Invoking { .. } => "invoking",
        Phase::Paused => "paused",
        Phase::Retrying { .. } => "retrying",
        Phase::WaitingForConcurrency => "waiting for concurrency",
        Phase::Delivering => "delivering",
        Phase::Parking => "parking",
        Phase::Settling => "settling",
        Phase::SourceDown { .. } => "source down",
        Phase::Gathering => "gathering",
        Phase::Finishing => "finishing",
        Phase::Polling => "polling",
    }
}

fn add(to: &mut MappingCounts, more: &MappingCounts) {
    let MappingCounts {
        polled_events,
        filtered_out_events,
        invoked_events,
        failed_invoke_events,
        dropped_events,
        on_failure_delivered_events,
        deleted_events,
        committed_events,
        polling_errors,
        invoke_errors,
        commit_errors,
        on_failure_delivery_errors,
        throttles,
        parked_events,
        reconnects,
        source_gaps,
    } = more;
    to.polled_events += polled_events;
    to.filtered_out_events += filtered_out_events;
    to.invoked_events += invoked_events;
    to.failed_invoke_events += failed_invoke_events;
    to.dropped_events += dropped_events;
    to.on_failure_delivered_events += on_failure_delivered_events;
    to.deleted_events += deleted_events;
    to.committed_events += committed_events;
    to.polling_errors += polling_errors;
    to.invoke_errors += invoke_errors;
    to.commit_errors += commit_errors;
    to.on_failure_delivery_errors += on_failure_delivery_errors;
    to.throttles += throttles;
    to.parked_events += parked_events;
    to.reconnects += reconnects;
    to.source_gaps += source_gaps;
}

//! What is shown of mappings and their pollers. Counts and gauges of a mapping are those of the registry, taken over
//! at each scrape; totals go on over restarts, as the registry's do.
//!
//! Labels: the mapping's id, the kind of its source and its function, for the oldest mappings up to a bound; all others
//! share one row that is called `other`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounter, IntGauge};
use trine_engine::mapping::{Counts, MappingFact, MappingState, MappingView};

use super::Declare;
use super::names::{
    FUNCTION, MAPPING, MAPPING_ASSIGNMENTS, MAPPING_COUNTS, MAPPING_FENCE_REFUSALS,
    MAPPING_ITERATOR_AGE, MAPPING_LAG_MAX, MAPPING_LAG_SUM, MAPPING_LEASES_OVERDUE, MAPPING_LIVE,
    MAPPING_PARKED_KEYS, MAPPING_PARKED_RECORDS, MAPPINGS, Name, POLLERS, POLLERS_LOST,
    POLLERS_OPENED, SOURCE, STATE,
};
use super::render::{Seconds, Text};
use crate::mappings::definition::KINDS;

/// Mappings with series of their own.
pub(crate) const LABELLED_MAPPINGS_MAX: usize = 1_000;

/// What the label of those beyond it says.
const OTHER: &str = "other";

/// A custom kind is chosen by a user; kinds of our own are a closed list.
const CUSTOM: &str = "custom";

/// Cheap to clone, as all of the edges' metrics.
#[derive(Debug, Clone)]
pub(crate) struct MappingMetrics {
    shown: Arc<Mutex<Shown>>,
    pollers: IntGauge,
    pollers_opened: IntCounter,
    pollers_lost: IntCounter,
    assignments: IntCounter,
    fence_refusals: IntCounter,
    leases_overdue: IntCounter,
}

/// As of the last scrape.
#[derive(Debug, Default)]
struct Shown {
    rows: Vec<Row>,
    states: BTreeMap<&'static str, u64>,
}

/// One mapping, or all others.
#[derive(Debug, Default)]
struct Row {
    mapping: String,
    source: String,
    function: String,
    counts: Counts,
    iterator_age_ms: Option<u64>,
    lag_sum: Option<u64>,
    lag_max: Option<u64>,
    live: u64,
    parked_keys: u64,
    parked_records: u64,
}

impl MappingMetrics {
    pub(super) fn new(declare: &Declare<'_>) -> Self {
        Self {
            shown: Arc::default(),
            pollers: declare.gauge(POLLERS),
            pollers_opened: declare.counter(POLLERS_OPENED),
            pollers_lost: declare.counter(POLLERS_LOST),
            assignments: declare.counter(MAPPING_ASSIGNMENTS),
            fence_refusals: declare.counter(MAPPING_FENCE_REFUSALS),
            leases_overdue: declare.counter(MAPPING_LEASES_OVERDUE),
        }
    }

    /// A poller was welcomed.
    pub(crate) fn session_opened(&self) {
        self.pollers_opened.inc();
        self.pollers.inc();
    }

    /// Its session has ended, with a goodbye or without.
    pub(crate) fn session_ended(&self, lost: bool) {
        self.pollers.dec();
        if lost {
            self.pollers_lost.inc();
        }
    }

    /// Counts what the registry told, and logs what an operator wants to know.
    pub(crate) fn fact(&self, fact: &MappingFact) {
        match fact {
            MappingFact::StaleFence { mapping } => {
                self.fence_refusals.inc();
                tracing::debug!(%mapping, "a report came under a fence that is not the newest");
            }
            MappingFact::Assigned { mapping, poller, fence } => {
                self.assignments.inc();
                tracing::debug!(%mapping, poller = poller.0, fence, "a poller has a mapping");
            }
            MappingFact::LeaseEnded { mapping, poller, overdue } => {
                if *overdue {
                    self.leases_overdue.inc();
                    let poller = poller.0;
                    tracing::warn!(%mapping, poller, "a poller did not let go of a mapping in time");
                }
            }
        }
    }

    /// Takes over what the registry shows now, the oldest mappings first.
    pub(crate) fn publish(&self, views: &[MappingView]) {
        let mut shown = Shown::default();
        for state in MappingState::ALL {
            shown.states.insert(name_of(state), 0);
        }
        let mut other: Option<Row> = None;
        for (place, view) in views.iter().enumerate() {
            *shown.states.entry(name_of(view.state)).or_default() += 1;
            let row = Row::of(view);
            if place < LABELLED_MAPPINGS_MAX {
                shown.rows.push(row);
            } else {
                other.get_or_insert_with(Row::other).add(&row);
            }
        }
        shown.rows.extend(other);
        *self.lock() = shown;
    }

    pub(super) fn render(&self, text: &mut String) {
        let shown = self.lock();
        let mut out = Text { text: std::mem::take(text) };
        out.family(MAPPINGS.name, MAPPINGS.help, "gauge");
        for (state, count) in &shown.states {
            out.sample(MAPPINGS.name, "", &[(STATE, state)], count);
        }
        for (count, name) in MAPPING_COUNTS {
            shown.family(&mut out, name, "counter", |row| Some(row.counts.get(count)));
        }
        shown.seconds(&mut out);
        shown.family(&mut out, MAPPING_LAG_SUM, "gauge", |row| row.lag_sum);
        shown.family(&mut out, MAPPING_LAG_MAX, "gauge", |row| row.lag_max);
        shown.family(&mut out, MAPPING_LIVE, "gauge", |row| Some(row.live));
        shown.family(&mut out, MAPPING_PARKED_KEYS, "gauge", |row| Some(row.parked_keys));
        shown.family(&mut out, MAPPING_PARKED_RECORDS, "gauge", |row| Some(row.parked_records));
        *text = out.text;
    }

    /// Every change is complete before anything that can panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    fn family(&self, out: &mut Text, name: Name, kind: &str, value: impl Fn(&Row) -> Option<u64>) {
        let rows = || self.rows.iter().filter_map(|row| Some((row, value(row)?)));
        if rows().next().is_some() {
            out.family(name.name, name.help, kind);
            rows().for_each(|(row, value)| out.sample(name.name, "", &row.labels(), value));
        }
    }

    fn seconds(&self, out: &mut Text) {
        let Name { name, help } = MAPPING_ITERATOR_AGE;
        let rows = || self.rows.iter().filter_map(|row| Some((row, row.iterator_age_ms?)));
        if rows().next().is_some() {
            out.family(name, help, "gauge");
            rows().for_each(|(row, age)| out.sample(name, "", &row.labels(), Seconds(age)));
        }
    }
}

impl Row {
    fn of(view: &MappingView) -> Self {
        let shards = || view.status.iter().flat_map(|status| &status.shards);
        let lags = || shards().filter_map(|shard| shard.lag_records);
        let kind = &*view.definition.kind;
        Self {
            mapping: view.id.to_string(),
            source: if KINDS.contains(&kind) { kind } else { CUSTOM }.to_owned(),
            function: view.definition.function.to_string(),
            counts: view.counts,
            iterator_age_ms: shards().filter_map(|shard| shard.iterator_age_ms).max(),
            lag_sum: lags().reduce(u64::saturating_add),
            lag_max: lags().max(),
            live: view.status.as_ref().is_some_and(|status| status.live).into(),
            parked_keys: view.parked_keys,
            parked_records: view.parked_records,
        }
    }

    fn other() -> Self {
        let other = || OTHER.to_owned();
        Self { mapping: other(), source: other(), function: other(), ..Self::default() }
    }

    /// The sum, and of ages and the highest lag the highest.
    fn add(&mut self, row: &Self) {
        self.counts.add(&row.counts);
        self.iterator_age_ms = self.iterator_age_ms.max(row.iterator_age_ms);
        self.lag_sum = match (self.lag_sum, row.lag_sum) {
            (Some(one), Some(more)) => Some(one.saturating_add(more)),
            (one, more) => one.or(more),
        };
        self.lag_max = self.lag_max.max(row.lag_max);
        self.live += row.live;
        self.parked_keys += row.parked_keys;
        self.parked_records += row.parked_records;
    }

    fn labels(&self) -> [(&str, &str); 3] {
        [(MAPPING, &self.mapping), (SOURCE, &self.source), (FUNCTION, &self.function)]
    }
}

fn name_of(state: MappingState) -> &'static str {
    match state {
        MappingState::Creating => "creating",
        MappingState::Enabling => "enabling",
        MappingState::Enabled => "enabled",
        MappingState::Disabling => "disabling",
        MappingState::Disabled => "disabled",
        MappingState::Updating => "updating",
        MappingState::Deleting => "deleting",
        MappingState::Paused => "paused",
    }
}

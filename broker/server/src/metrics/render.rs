//! Shows the table in the crate's model, and everything as Prometheus text.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{Registry, TextEncoder};

use super::cell::{Buckets, Reading};
use super::names::{
    COUNT_FAMILIES, CountFamily, DURATION, EVENT_AGE, FUNCTION, FUNCTION_GAUGE_NAMES,
    FunctionGauge, Group, MillisHistogram,
};
use super::tally::{FunctionCells, Table, Tally};

/// Adds a metric to the registry.
pub(super) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<C>,
) -> C {
    // Names, labels and buckets are constants, each used once; the first test that makes a registry would
    // fail here, and no input can.
    let metric = metric.expect("a metric is declared as Prometheus allows");
    registry.register(Box::new(metric.clone())).expect("a metric is declared once");
    metric
}

/// Everything in `registry` as text, sorted by name and label.
pub(super) fn text(registry: &Registry) -> String {
    let families = registry.gather();
    // Fails only for a family without name or samples: the registry leaves those out.
    TextEncoder::new().encode_to_string(&families).unwrap_or_default()
}

/// Shows the table to the registry.
pub(super) struct TableCollector {
    table: Arc<Table>,
    descriptions: Vec<Desc>,
}

impl TableCollector {
    pub(super) fn new(table: Arc<Table>) -> prometheus::Result<Self> {
        let mut descriptions = Vec::new();
        let mut describe = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().filter(|label| !label.is_empty());
            let labels = labels.map(|label| (*label).to_owned()).collect();
            let description = Desc::new(name.to_owned(), help.to_owned(), labels, [].into());
            description.map(|description| descriptions.push(description))
        };
        for family in &COUNT_FAMILIES {
            describe(family.function, family.help, &[FUNCTION, family.by])?;
            describe(family.account, family.help, &[family.by])?;
        }
        for histogram in [DURATION, EVENT_AGE] {
            describe(histogram.name, histogram.help, &[FUNCTION])?;
        }
        for (_, name) in FUNCTION_GAUGE_NAMES {
            describe(name.name, name.help, &[FUNCTION])?;
        }
        Ok(Self { table, descriptions })
    }
}

impl Collector for TableCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let functions = self.table.functions();
        let mut families = Vec::with_capacity(self.descriptions.len());
        for family in &COUNT_FAMILIES {
            let mut metrics = Vec::new();
            for cells in functions.iter().filter(|cells| cells.shows(family.group)) {
                counters(family, &cells.tally, Some(&cells.name), &mut metrics);
            }
            families.push(family_of(family.function, family.help, MetricType::COUNTER, metrics));
            let mut metrics = Vec::new();
            counters(family, &self.table.account, None, &mut metrics);
            families.push(family_of(family.account, family.help, MetricType::COUNTER, metrics));
        }
        families.push(histogram(&DURATION, &functions, |cells| &cells.duration));
        families.push(histogram(&EVENT_AGE, &functions, |cells| &cells.event_age));
        for (gauge, name) in FUNCTION_GAUGE_NAMES {
            let shown = functions.iter().filter_map(|cells| gauge_of(cells, gauge));
            families.push(family_of(name.name, name.help, MetricType::GAUGE, shown.collect()));
        }
        families
    }
}

fn family_of(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn counters(family: &CountFamily, tally: &Tally, function: Option<&str>, out: &mut Vec<Metric>) {
    for (count, value) in family.counts {
        let mut labels: Vec<_> = function.map(|name| label(FUNCTION, name)).into_iter().collect();
        if !family.by.is_empty() {
            labels.push(label(family.by, value));
        }
        let mut counter = Counter::default();
        counter.set_value(number(tally.get(*count)));
        let mut metric = Metric::from_label(labels);
        metric.set_counter(counter);
        out.push(metric);
    }
}

fn gauge_of(cells: &FunctionCells, which: FunctionGauge) -> Option<Metric> {
    let value = cells.gauge(which)?;
    let mut gauge = Gauge::default();
    gauge.set_value(match which {
        FunctionGauge::OldestReadyAgeMs => seconds(value),
        _ => number(value),
    });
    let mut metric = Metric::from_label(vec![label(FUNCTION, &cells.name)]);
    metric.set_gauge(gauge);
    Some(metric)
}

fn histogram<const N: usize>(
    declared: &MillisHistogram,
    functions: &[Arc<FunctionCells>],
    of: impl Fn(&FunctionCells) -> &Buckets<N>,
) -> MetricFamily {
    let shown = |cells: &&Arc<FunctionCells>| match declared.group {
        // Always there, but not as two dozen zeroes for a function that never ran.
        Group::Invocations => !of(cells).is_empty(),
        group => cells.shows(group),
    };
    let metrics = functions.iter().filter(shown).map(|cells| {
        let mut metric = Metric::from_label(vec![label(FUNCTION, &cells.name)]);
        metric.set_histogram(buckets(&of(cells).read()));
        metric
    });
    let metrics = metrics.collect();
    family_of(declared.name, declared.help, MetricType::HISTOGRAM, metrics)
}

fn buckets(reading: &Reading) -> Histogram {
    let buckets = reading.cumulative.iter().map(|(bound_ms, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(seconds(*bound_ms));
        bucket.set_cumulative_count(*count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(reading.count);
    histogram.set_sample_sum(seconds(reading.sum_ms));
    histogram
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

/// Prometheus knows floating point only; a count is exact up to 2^53.
fn number(value: u64) -> f64 {
    value as f64
}

fn seconds(millis: u64) -> f64 {
    number(millis) / 1000.0
}

//! The text format of a scrape: what functions do straight from the table, the rest by the crate.
//!
//! The table is not shown to the crate's registry: it would first be copied into the crate's model, two
//! allocations a label, which costs four times as much for ten thousand functions
//! (`docs/adr/0002-metrics-crate.md`). Names of functions need no escaping (LS 1.1), nor do our constants.

use std::fmt::{self, Display, Write};
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{Registry, TextEncoder};
use trine_engine::Millis;

use super::cell::Buckets;
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

/// Everything as text: the table's families in the order of `names.rs`, then the registry's by name.
pub(super) fn text(table: &Table, registry: &Registry) -> String {
    let functions = table.functions();
    let mut out = Text { text: String::new() };
    for family in &COUNT_FAMILIES {
        let shown = || functions.iter().filter(|cells| cells.shows(family.group));
        if shown().next().is_some() {
            out.family(family.function, family.help, "counter");
            shown().for_each(|cells| out.counts(family, &cells.tally, Some(&cells.name)));
        }
        out.family(family.account, family.help, "counter");
        out.counts(family, &table.account, None);
    }
    out.histogram(&DURATION, &functions, |cells| &cells.duration);
    out.histogram(&EVENT_AGE, &functions, |cells| &cells.event_age);
    for (gauge, name) in FUNCTION_GAUGE_NAMES {
        let shown = || functions.iter().filter_map(|cells| Some((cells, cells.gauge(gauge)?)));
        if shown().next().is_some() {
            out.family(name.name, name.help, "gauge");
            for (cells, value) in shown() {
                let labels = [(FUNCTION, &*cells.name)];
                match gauge {
                    FunctionGauge::OldestReadyAgeMs => {
                        out.sample(name.name, "", &labels, Seconds(value));
                    }
                    _ => out.sample(name.name, "", &labels, value),
                }
            }
        }
    }
    // Fails only for a family without name or samples: the registry leaves those out.
    let _ = TextEncoder::new().encode_utf8(&registry.gather(), &mut out.text);
    out.text
}

pub(super) struct Text {
    pub(super) text: String,
}

impl Text {
    pub(super) fn family(&mut self, name: &str, help: &str, kind: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    pub(super) fn sample(
        &mut self,
        name: &str,
        part: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        self.text.push_str(name);
        self.text.push_str(part);
        let mut mark = '{';
        for (label, value) in labels {
            self.text.push(mark);
            self.text.push_str(label);
            self.text.push_str("=\"");
            self.text.push_str(value);
            self.text.push('"');
            mark = ',';
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    fn counts(&mut self, family: &CountFamily, tally: &Tally, function: Option<&str>) {
        for (count, value) in family.counts {
            let of = (FUNCTION, function.unwrap_or_default());
            let labels = [of, (family.by, value)];
            let from = usize::from(function.is_none());
            let to = if family.by.is_empty() { 1 } else { 2 };
            let name = if function.is_some() { family.function } else { family.account };
            self.sample(name, "", &labels[from..to], tally.get(*count));
        }
    }

    fn histogram<const N: usize>(
        &mut self,
        declared: &MillisHistogram,
        functions: &[Arc<FunctionCells>],
        of: impl Fn(&FunctionCells) -> &Buckets<N>,
    ) {
        let shows = |cells: &&Arc<FunctionCells>| match declared.group {
            // Its counters are always there; but not two dozen zeroes for a function that never ran.
            Group::Invocations => !of(cells).is_empty(),
            group => cells.shows(group),
        };
        let shown = || functions.iter().filter(shows);
        if shown().next().is_none() {
            return;
        }
        let name = declared.name;
        self.family(name, declared.help, "histogram");
        let mut bound = String::new();
        for cells in shown() {
            let of_function = (FUNCTION, &*cells.name);
            let reading = of(cells).read();
            for (bound_ms, count) in reading.cumulative {
                bound.clear();
                let _ = write!(bound, "{}", Seconds(bound_ms));
                self.sample(name, "_bucket", &[of_function, ("le", &bound)], count);
            }
            self.sample(name, "_bucket", &[of_function, ("le", "+Inf")], reading.count);
            self.sample(name, "_sum", &[of_function], Seconds(reading.sum_ms));
            self.sample(name, "_count", &[of_function], reading.count);
        }
    }

    fn write(&mut self, arguments: fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = self.text.write_fmt(arguments);
    }
}

/// Whole milliseconds, shown exactly and as short as can be: `0.005`, `2.5`, `60`.
pub(super) struct Seconds(pub(super) Millis);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, millis) = (self.0 / 1000, self.0 % 1000);
        match (millis, millis % 100, millis % 10) {
            (0, ..) => write!(f, "{whole}"),
            (_, 0, _) => write!(f, "{whole}.{}", millis / 100),
            (.., 0) => write!(f, "{whole}.{:02}", millis / 10),
            _ => write!(f, "{whole}.{millis:03}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact_and_short() {
        let cases = [(0, "0"), (5, "0.005"), (10, "0.01"), (250, "0.25"), (2_500, "2.5")];
        let longer = [(60_000, "60"), (900_004, "900.004"), (u64::MAX, "18446744073709551.615")];
        for (millis, expected) in cases.into_iter().chain(longer) {
            assert_eq!(Seconds(millis).to_string(), expected);
        }
    }
}

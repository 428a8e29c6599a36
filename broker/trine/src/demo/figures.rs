//! The broker's own figures for what the demo did: read from `/metrics` as Prometheus would.

use serde::Serialize;

use crate::demo::http;
use crate::demo::stage::Stage;
use crate::demo::workers::{CHARGE, GREET, NOTIFY, RESIZE, TALLY};
use crate::failure::Failure;

/// One series and what it has to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// Name and labels, as one asks Prometheus.
    pub(crate) series: String,
    /// What it proves.
    pub(crate) proves: &'static str,
    pub(crate) promised: f64,
    /// Unset: there is no such series.
    pub(crate) seen: Option<f64>,
    pub(crate) kept: bool,
}

/// Asks the running broker.
pub(crate) async fn read(stage: &Stage) -> Result<Vec<Figure>, Failure> {
    let page = http::get(stage.address, "/metrics").await?;
    let batches = stage.notes.borrow().batches.len();
    Ok(promises(batches)
        .into_iter()
        .map(|(proves, series, promised)| {
            let seen = sample(&page, &series);
            Figure { kept: seen == Some(promised), series, proves, promised, seen }
        })
        .collect())
}

#[expect(clippy::cast_precision_loss, reason = "a handful of batches")]
fn promises(batches: usize) -> Vec<(&'static str, String, f64)> {
    let of = |name: &str, function: &str| format!("{name}{{function=\"{function}\"}}");
    let started = "trine_invocations_total";
    let received = "trine_async_events_received_total";
    let delivered = "trine_destination_deliveries_total";
    let dropped = "trine_async_events_dropped_total";
    vec![
        ("one synchronous attempt", of(started, GREET), 1.0),
        ("one event accepted", of(received, RESIZE), 1.0),
        ("and one attempt of it", of(started, RESIZE), 1.0),
        ("its record delivered", of(delivered, RESIZE), 1.0),
        ("to one attempt of the destination", of(started, NOTIFY), 1.0),
        ("one event accepted", of(received, CHARGE), 1.0),
        ("and three attempts of it", of(started, CHARGE), 3.0),
        ("all of which failed", of("trine_function_errors_total", CHARGE), 3.0),
        (
            "so that it is dead",
            format!("{dropped}{{condition=\"RetriesExhausted\",function=\"{CHARGE}\"}}"),
            1.0,
        ),
        ("its record delivered", of(delivered, CHARGE), 1.0),
        ("one attempt for each batch", of(started, TALLY), batches as f64),
        ("no event left over", "trine_account_queue_events".to_owned(), 0.0),
        ("no slot lost", "trine_slot_drift".to_owned(), 0.0),
    ]
}

/// The value of a series; the order of its labels does not matter.
fn sample(page: &str, series: &str) -> Option<f64> {
    let wanted = name_and_labels(series);
    let samples = page.lines().filter_map(|line| line.rsplit_once(' '));
    let mut found = samples.filter(|(found, _)| name_and_labels(found) == wanted);
    found.next()?.1.parse().ok()
}

/// Names of functions and conditions hold neither commas nor braces: no need to parse quotes.
fn name_and_labels(series: &str) -> (&str, Vec<&str>) {
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let mut labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
    labels.sort_unstable();
    (name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a_total Things.\n# TYPE a_total counter\n\
                        a_total{function=\"f\",by=\"x\"} 3\na_total{function=\"g\"} 0.5\nb 0\n";

    #[test]
    fn a_series_is_found_by_its_name_and_labels() {
        assert_eq!(sample(PAGE, "a_total{function=\"f\",by=\"x\"}"), Some(3.0));
        assert_eq!(sample(PAGE, "a_total{by=\"x\",function=\"f\"}"), Some(3.0));
        assert_eq!(sample(PAGE, "a_total{function=\"f\"}"), None);
        assert_eq!(sample(PAGE, "a_total{function=\"g\"}"), Some(0.5));
        assert_eq!(sample(PAGE, "b"), Some(0.0));
        assert_eq!(sample(PAGE, "a_total"), None);
        assert_eq!(sample(PAGE, "c"), None);
    }
}

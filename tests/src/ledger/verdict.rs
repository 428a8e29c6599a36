//! What the judge says of a run: figures for people, findings that fail it.

use std::fmt;

use serde_json::{Value, json};

use super::Lost;

/// Findings of one invariant that are shown; the rest are counted.
const SHOWN_MAX: usize = 5;

/// What must hold. The numbers are those of the catalogue that the project's tests go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// Every acknowledged event ends exactly once.
    I1,
    /// Attempts are spent on function errors only; synchronous calls are never retried.
    I2,
    /// Nothing runs that was not asked for, and without a fault nothing runs twice.
    I3,
    /// Concurrency is never exceeded, and none is missing afterwards.
    I4,
    /// The request id is the same everywhere.
    I5,
    /// A retry is not early.
    I8,
    /// What was accepted is what ended.
    I9,
    /// The backlog falls to nothing by itself.
    I10,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub invariant: Invariant,
    pub says: String,
}

/// How long the broker took to serve again after a kill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restarts {
    pub median_ms: u64,
    pub longest_ms: u64,
    /// Events in the queue at the longest one.
    pub longest_queued: u64,
}

/// The judgement of one history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub kills: u64,
    pub restarts: Restarts,
    pub attempted: u64,
    pub acked: u64,
    pub refused: u64,
    pub unanswered: u64,
    /// Events that ran or have a record.
    pub seen: u64,
    pub lost: Lost,
    /// Not acknowledged, and all the same there: allowed.
    pub recovered: u64,
    pub calls: u64,
    pub calls_returned: u64,
    pub runs: u64,
    /// Runs of events beyond the attempts that were counted.
    pub duplicate_runs: u64,
    /// Records that a destination has more than once, byte for byte.
    pub duplicate_records: u64,
    /// Lines that a kill has torn.
    pub torn_records: u64,
    pub ended_twice: u64,
    /// Backlog when the last fault was over, and how long it took to fall to nothing.
    pub drained: Option<(u64, u64)>,
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Nothing is wrong.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// The same figures for a program.
    #[must_use]
    pub fn json(&self) -> Value {
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| json!({"invariant": format!("{:?}", finding.invariant), "says": finding.says}))
            .collect();
        json!({
            "holds": self.holds(),
            "kills": self.kills,
            "restart_ms_median": self.restarts.median_ms,
            "restart_ms_longest": self.restarts.longest_ms,
            "attempted": self.attempted,
            "acked": self.acked,
            "refused": self.refused,
            "unanswered": self.unanswered,
            "seen": self.seen,
            "lost_prefix": self.lost.prefix.len(),
            "lost_middle": self.lost.middle.len(),
            "lost_suffix": self.lost.suffix.len(),
            "recovered": self.recovered,
            "ended_twice": self.ended_twice,
            "calls": self.calls,
            "calls_returned": self.calls_returned,
            "runs": self.runs,
            "duplicate_runs": self.duplicate_runs,
            "duplicate_records": self.duplicate_records,
            "torn_records": self.torn_records,
            "drain_ms": self.drained.map(|(_, took_ms)| took_ms),
            "findings": findings,
        })
    }

    fn figures(&self) -> [(&'static str, String); 9] {
        let Restarts { median_ms, longest_ms, longest_queued } = self.restarts;
        let lost = &self.lost;
        let per_kill = |count: u64| match self.kills {
            0 => count.to_string(),
            kills => format!("{count} ({:.2} a kill)", as_float(count) / as_float(kills)),
        };
        [
            (
                "kills",
                format!(
                    "{}; serving again after {median_ms} ms (median), {longest_ms} ms (longest, {longest_queued} queued)",
                    self.kills
                ),
            ),
            (
                "events",
                format!(
                    "{} attempted, {} acknowledged, {} refused, {} without an answer",
                    self.attempted, self.acked, self.refused, self.unanswered
                ),
            ),
            (
                "lost",
                format!(
                    "{} (prefix {}, middle {}, suffix {})",
                    lost.count(),
                    lost.prefix.len(),
                    lost.middle.len(),
                    lost.suffix.len()
                ),
            ),
            ("ended twice", self.ended_twice.to_string()),
            (
                "recovered",
                format!("{} without an acknowledgement, all the same there", self.recovered),
            ),
            ("calls", format!("{} made, {} answered", self.calls, self.calls_returned)),
            (
                "runs",
                format!("{}, of them run again: {}", self.runs, per_kill(self.duplicate_runs)),
            ),
            (
                "records",
                format!(
                    "delivered again: {}; torn lines: {}",
                    per_kill(self.duplicate_records),
                    self.torn_records
                ),
            ),
            (
                "backlog",
                self.drained.map_or_else(
                    || "did not fall to nothing".to_owned(),
                    |(queued, took_ms)| {
                        format!("{queued} events gone {took_ms} ms after the last fault")
                    },
                ),
            ),
        ]
    }
}

/// For ratios that people read.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn as_float(count: u64) -> f64 {
    count as f64
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, figure) in self.figures() {
            writeln!(f, "{name:<12} {figure}")?;
        }
        let mut invariants: Vec<_> =
            self.findings.iter().map(|finding| finding.invariant).collect();
        invariants.sort_unstable();
        invariants.dedup();
        for invariant in invariants {
            let of_it = self.findings.iter().filter(|finding| finding.invariant == invariant);
            for finding in of_it.clone().take(SHOWN_MAX) {
                writeln!(f, "{invariant:?} broken: {}", finding.says)?;
            }
            let more = of_it.count().saturating_sub(SHOWN_MAX);
            if more > 0 {
                writeln!(f, "{invariant:?} broken: and {more} more")?;
            }
        }
        write!(f, "{}", if self.holds() { "the ledger holds" } else { "THE LEDGER DOES NOT HOLD" })
    }
}

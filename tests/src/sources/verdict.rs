//! What a run comes to: one line for people, and whether it holds.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Ledger, Order, Plan};

/// Lost records that are named.
const EXAMPLES: usize = 5;

/// The judgement of one run.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub plan: Plan,
    /// Of the server; empty if there is none.
    pub version: String,
    /// What the source's going away was: restarts, cuts, rotations.
    pub outage: &'static str,
    pub order: Order,
    pub ledger: Ledger,
    /// What could be in flight at all faults together, and what was sent twice.
    pub duplicates_max: u64,
    /// Records that were sent a second time because nobody knew whether the source had them.
    pub sent_again: u64,
    pub took: Duration,
    /// Set if the run did not come to its end: what the mapping said.
    pub stalled: Option<String>,
}

impl Verdict {
    /// What is wrong, a sentence each.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let ledger = &self.ledger;
        let mut findings = Vec::new();
        let produced = ledger.produced_count();
        if produced != self.plan.records {
            findings.push(format!("{produced} of {} records were produced", self.plan.records));
        }
        if ledger.lost() > 0 {
            let examples = ledger.examples_lost(EXAMPLES);
            findings.push(format!("{} records were lost, first {examples:?}", ledger.lost()));
        }
        if self.order.is_kept() && ledger.disordered() > 0 {
            findings.push(format!("{} records came out of order", ledger.disordered()));
        }
        if ledger.duplicates() > self.duplicates_max {
            let (seen, max) = (ledger.duplicates(), self.duplicates_max);
            findings.push(format!("{seen} records came again; in flight were at most {max}"));
        }
        if ledger.strange() > 0 {
            findings.push(format!("{} records were seen that nobody produced", ledger.strange()));
        }
        findings.extend(self.stalled.iter().map(|said| format!("it got stuck: {said}")));
        findings
    }

    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings().is_empty()
    }

    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "source": self.plan.kind.name(),
            "version": self.version,
            "records": self.plan.records,
            "kills": self.plan.kills,
            self.outage: self.plan.outages,
            "lost": self.ledger.lost(),
            "out_of_order": self.order.is_kept().then_some(self.ledger.disordered()),
            "duplicates": self.ledger.duplicates(),
            "duplicates_max": self.duplicates_max,
            "sent_again": self.sent_again,
            "longest_step_back": self.ledger.longest_step_back(),
            "seconds": self.took.as_secs_f64(),
            "findings": self.findings(),
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, ledger, .. } = self;
        let name = format!("{} {}", plan.kind.name(), self.version);
        let order = match self.order.is_kept() {
            true => format!("{} out of order", ledger.disordered()),
            false => "no order to keep".to_owned(),
        };
        write!(
            f,
            "{} {name:<24} {} records, {} kills, {} {}: {} lost, {order}, {} duplicates (bound {}), {:.1} s",
            if self.holds() { "ok  " } else { "FAIL" },
            plan.records,
            plan.kills,
            plan.outages,
            self.outage,
            ledger.lost(),
            ledger.duplicates(),
            self.duplicates_max,
            self.took.as_secs_f64(),
        )?;
        for finding in self.findings() {
            write!(f, "\n     {finding}")?;
        }
        Ok(())
    }
}

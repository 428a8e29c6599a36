//! Owns the report of a run: stages in order with their durations, skips, and the closing line.
//! A failed stage does not stop the run, so that one run shows everything that is wrong.

use std::time::{Duration, Instant};

use crate::failure::Outcome;
use crate::libtest::Totals;

#[derive(Debug, Default)]
pub struct Report {
    only: Vec<String>,
    entries: Vec<Entry>,
    totals: Totals,
}

#[derive(Debug)]
struct Entry {
    name: String,
    took: Duration,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

/// How a stage ended, as the stage itself sees it.
#[derive(Debug)]
pub enum Ended {
    Passed,
    /// It ran test binaries, and this is what they counted.
    Tested(Totals),
    /// It could not run, for a reason that is counted elsewhere (a missing tool, a failed build).
    Skipped(String),
}

impl Report {
    /// With `only`, a stage runs if its name starts with one of them; without, every stage runs.
    pub fn new(only: Vec<String>) -> Self {
        Self { only, ..Self::default() }
    }

    fn wants(&self, stage: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| stage.starts_with(wanted.as_str()))
    }

    /// Whether a stage runs whose name is `stage`, or starts with it.
    pub fn wants_some(&self, stage: &str) -> bool {
        self.wants(stage) || self.only.iter().any(|wanted| wanted.starts_with(stage))
    }

    /// Runs one stage and prints its line. Returns whether it passed (or was not wanted).
    pub fn stage(&mut self, name: &str, run: impl FnOnce() -> Outcome<Ended>) -> bool {
        if self.wants(name) { self.always(name, run) } else { true }
    }

    /// Runs a stage that the others need, wanted or not.
    pub fn always(&mut self, name: &str, run: impl FnOnce() -> Outcome<Ended>) -> bool {
        println!("---- {name}");
        let start = Instant::now();
        let ended = run();
        self.record(name, start.elapsed(), ended)
    }

    /// Something expected is not there: a counted skip, and a failure where nothing may be missing.
    pub fn missing(&mut self, what: &str, why: &str, may_skip: bool) {
        if may_skip {
            println!("SKIP {what}: {why}");
            self.totals.skipped += 1;
        } else {
            println!("MISSING {what}: {why}");
            self.totals.failed += 1;
        }
    }

    /// Skips that tests themselves reported.
    pub fn skipped_by_tests(&mut self, lines: &[String]) {
        for line in lines {
            println!("SKIP {line}");
        }
        self.totals.skipped += lines.len() as u64;
    }

    /// Prints the stages once more together and then, if anything was counted, the closing line,
    /// after which nothing more may be printed. Returns whether everything passed.
    pub fn close(self) -> bool {
        println!("----");
        for entry in &self.entries {
            println!("{}", entry.line());
        }
        if self.totals != Totals::default() {
            println!("\n{}", self.totals);
        }
        self.totals.failed == 0
    }

    fn record(&mut self, name: &str, took: Duration, ended: Outcome<Ended>) -> bool {
        let verdict = match ended {
            Ok(Ended::Passed) => Verdict::Passed,
            Ok(Ended::Skipped(why)) => Verdict::Skipped(why),
            Ok(Ended::Tested(totals)) => {
                self.totals += totals;
                match totals.failed {
                    0 => Verdict::Passed,
                    _ => Verdict::Failed(totals.to_string()),
                }
            }
            // A stage that is no test run counts as one failure, so that the closing line never
            // says "0 failed" above a non-zero exit.
            Err(failure) => {
                self.totals.failed += 1;
                Verdict::Failed(failure.to_string())
            }
        };
        let passed = !matches!(verdict, Verdict::Failed(_));
        let entry = Entry { name: name.to_owned(), took, verdict };
        println!("{}", entry.line());
        self.entries.push(entry);
        passed
    }
}

impl Entry {
    fn line(&self) -> String {
        let (word, why) = match &self.verdict {
            Verdict::Passed => ("ok", ""),
            Verdict::Failed(why) => ("FAILED", why.as_str()),
            Verdict::Skipped(why) => ("SKIP", why.as_str()),
        };
        let line = format!("{word:<7}{:<24}{:>8.1} s  {why}", self.name, self.took.as_secs_f64());
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn a_failed_stage_is_counted_and_the_next_still_runs() {
        let mut report = Report::new(Vec::new());
        assert!(!report.stage("fmt", || Err(Failure::new("unformatted"))));
        let tests = Totals { passed: 5, failed: 0, skipped: 0 };
        assert!(report.stage("test", || Ok(Ended::Tested(tests))));
        assert_eq!(report.totals, Totals { passed: 5, failed: 1, skipped: 0 });
        assert!(!report.close());
    }

    #[test]
    fn only_the_wanted_stages_run() {
        let mut report = Report::new(vec!["tidy".to_owned()]);
        assert!(report.stage("clippy", || Err(Failure::new("must not run"))));
        assert!(report.stage("tidy", || Ok(Ended::Passed)));
        assert_eq!(report.entries.len(), 1);
        assert!(!report.wants_some("test"));
        assert!(Report::new(vec!["test it".to_owned()]).wants_some("test"));
    }

    #[test]
    fn a_missing_tool_is_a_skip_or_a_failure() {
        let mut report = Report::new(Vec::new());
        report.missing("buf", "no network", true);
        report.missing("promtool", "no network", false);
        report.skipped_by_tests(&["foreign client: no python".to_owned()]);
        assert_eq!(report.totals, Totals { passed: 0, failed: 1, skipped: 2 });
    }
}

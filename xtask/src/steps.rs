//! Owns the verb `steps`: the instruction counts of the engine's step, which need valgrind and gungraun's runner, and
//! the bar that they must keep. It does not know what a step does.

use std::collections::BTreeMap;
use std::path::Path;

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::repo::Repo;
use crate::tools::{Cache, debian_program};

/// Runner and library must be of one version.
const RUNNER_VERSION: &str = "=0.20.0";

/// What a cycle may cost with a million live invocations, against a thousand (design.md section 10).
const GROWTH_MAX: f64 = 1.2;

/// Counts; fails if a cycle grows with what waits.
pub fn run(repo: &Repo, arguments: &[String]) -> Outcome {
    let cache = Cache::open(repo.tools_directory())?;
    let valgrind = debian_program(&cache, "valgrind", "valgrind")?;
    let runner = cache.slot("gungraun-runner", RUNNER_VERSION, |folder| install(repo, folder))?;
    let mut path: Vec<_> = valgrind.parent().into_iter().map(Path::to_owned).collect();
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut command = repo.cargo();
    command
        .args(["bench", "--package", "trine-engine", "--bench", "step", "--"])
        .args(arguments)
        .env("GUNGRAUN_RUNNER", runner.join("bin/gungraun-runner"));
    if let Ok(path) = std::env::join_paths(path) {
        command.env("PATH", path);
    }
    let mut counts = Counts::default();
    let status = process::stream(&mut command, |line| {
        println!("{line}");
        counts.read(line);
    })?;
    if !status.success() {
        return Err(Failure::new(format!("{} ended with {status}", process::shown(&command))));
    }
    counts.judge()
}

/// Instructions by cycle and by how much is alive, out of what gungraun prints.
#[derive(Debug, Default)]
struct Counts {
    current: Option<(String, String)>,
    found: BTreeMap<(String, String), f64>,
}

impl Counts {
    /// `step::cycles::sync live_1_000:(…)`, and in a later line `Instructions: 1825847|N/A …`.
    fn read(&mut self, line: &str) {
        if let Some((cycle, live)) = line.strip_prefix("step::cycles::").and_then(|rest| {
            let (cycle, rest) = rest.split_once(' ')?;
            Some((cycle, rest.split_once(':')?.0))
        }) {
            self.current = Some((cycle.to_owned(), live.to_owned()));
        } else if let Some(count) = line.trim_start().strip_prefix("Instructions:") {
            let count = count.split('|').next().and_then(|count| count.trim().parse().ok());
            if let (Some(current), Some(count)) = (self.current.take(), count) {
                self.found.insert(current, count);
            }
        }
    }

    fn judge(&self) -> Outcome {
        for cycle in ["sync", "event"] {
            let count = |live: &str| {
                let found = self.found.get(&(cycle.to_owned(), live.to_owned()));
                found.ok_or_else(|| Failure::new(format!("no count of {cycle} {live} was printed")))
            };
            let growth = count("live_1_000_000")? / count("live_1_000")?;
            println!(
                "{cycle}: {growth:.3} times the instructions at 1 M of those at 1 k, at most {GROWTH_MAX}"
            );
            if growth > GROWTH_MAX {
                return Err(Failure::new(format!("a {cycle} cycle grows with what waits")));
            }
        }
        Ok(())
    }
}

fn install(repo: &Repo, folder: &Path) -> Outcome {
    eprintln!("building gungraun-runner");
    let mut command = repo.cargo();
    command
        .args(["install", "gungraun-runner", "--locked", "--version", RUNNER_VERSION, "--root"])
        .arg(folder);
    process::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(million: u32) -> Counts {
        let mut counts = Counts::default();
        for cycle in ["sync", "event"] {
            for (live, count) in [("live_1_000", 100), ("live_1_000_000", million)] {
                counts.read(&format!("step::cycles::{cycle} {live}:(house(1, 1, 1))"));
                counts
                    .read(&format!("  Instructions:                  {count}|N/A    (*********)"));
            }
        }
        counts
    }

    #[test]
    fn growth_is_judged_by_the_bar() {
        assert!(counts(119).judge().is_ok());
        assert!(counts(121).judge().is_err());
        assert!(Counts::default().judge().is_err(), "nothing counted is nothing shown");
    }
}

//! Owns the verb `ci`: every check that reads the code without running it. `test` begins with the same
//! checks and then runs everything; this is the quick half, for before a commit.

use crate::failure::Outcome;
use crate::process;
use crate::repo::Repo;
use crate::report::{Ended, Report};
use crate::tools::{self, Tool, Toolbox};
use crate::{contract, graph, tidy};

/// Returns whether everything passed.
pub fn run(repo: &Repo, only: Vec<String>) -> Outcome<bool> {
    let mut report = Report::new(only);
    let tools = gather(repo, &[Tool::Buf], &mut report, !in_ci());
    checks(repo, &tools, &mut report);
    Ok(report.close())
}

/// Finds the tools of a run, prints what was found, and counts what is missing.
pub fn gather(repo: &Repo, wanted: &[Tool], report: &mut Report, allow_missing: bool) -> Toolbox {
    let mut tools = Toolbox::default();
    report.always("tools", || {
        tools::ensure_components(repo)?;
        tools = Toolbox::gather(repo, wanted)?;
        for (tool, found) in tools.found() {
            println!("{:<12} {} ({})", tool.name(), found.version, found.path.display());
        }
        Ok(Ended::Passed)
    });
    for (tool, why) in tools.missing() {
        report.missing(tool.name(), why, allow_missing);
    }
    tools
}

/// Where a person looks on, a missing tool is a skip; where nobody does, it would hide a hole for ever.
fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// The stages, cheapest answer first.
pub fn checks(repo: &Repo, tools: &Toolbox, report: &mut Report) {
    report.stage("fmt", || cargo(repo, &["fmt", "--all", "--check"], &[]));
    report.stage("tidy", || tidy::run(repo).map(|()| Ended::Passed));
    report.stage("graph", || graph::check(repo).map(|()| Ended::Passed));
    report.stage("buf lint", || contract::lint(repo, tools));
    report.stage("buf breaking", || contract::breaking(repo, tools));
    report.stage("clippy", || {
        let features = repo.workspace()?.features();
        let arguments = [
            "clippy",
            "--quiet",
            "--keep-going",
            "--workspace",
            "--all-targets",
            "--features",
            &features,
            "--",
            "-D",
            "warnings",
        ];
        cargo(repo, &arguments, &[])
    });
    report.stage("doc", || {
        // Private items too: these crates are read by those who work on them.
        let arguments = [
            "doc",
            "--quiet",
            "--keep-going",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ];
        cargo(repo, &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
    });
}

fn cargo(repo: &Repo, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome<Ended> {
    let mut command = repo.cargo();
    command.args(arguments).envs(environment.iter().copied());
    process::run(&mut command)?;
    Ok(Ended::Passed)
}

//! Owns the verb `test`: everything that a change must pass, on a machine that has Rust and nothing else.
//! The checks of `ci` first, then one build of everything, then every test, the test binaries of
//! `trine-tests` one stage each. All in the dev profile, so that everything is compiled once.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::ci;
use crate::failure::{Failure, Outcome};
use crate::libtest::Totals;
use crate::process;
use crate::repo::{Repo, Workspace};
use crate::report::{Ended, Report};
use crate::servers::{Product, Shared};
use crate::tools::{Tool, Toolbox};

/// The crate whose test binaries see the system from outside.
const SYSTEM_TESTS: &str = "trine-tests";

/// Runs the stages whose name starts with one of `only` (all if empty). With `filter`, only tests whose
/// name contains one of its words, and no checks. With `allow_missing`, a tool or a server that cannot be had is a skip.
/// Returns whether everything passed.
pub fn run(
    repo: &Repo,
    only: Vec<String>,
    filter: &[String],
    allow_missing: bool,
) -> Outcome<bool> {
    let mut report = Report::new(only);
    // They come up while the checks and the build run.
    let products = if report.wants_some("test") { &Product::FOR_TESTS[..] } else { &[] };
    let servers = Shared::begin(repo, products);
    let tools = ci::gather(repo, &Tool::FOR_TESTS, &mut report, allow_missing);
    if filter.is_empty() {
        ci::checks(repo, &tools, &mut report);
    }
    let workspace = repo.workspace()?;
    let mut tests = Tests { repo, tools: &tools, servers, workspace: &workspace, filter };
    // Without a build every test would fail with the same errors once more.
    if report.stage("build", || tests.build()) {
        tests.wait_for_servers(&mut report, allow_missing);
        tests.run(&mut report)?;
    }
    // The servers end before the closing line.
    drop(tests);
    Ok(report.close())
}

struct Tests<'a> {
    repo: &'a Repo,
    tools: &'a Toolbox,
    servers: Shared,
    workspace: &'a Workspace,
    filter: &'a [String],
}

impl Tests<'_> {
    fn build(&self) -> Outcome<Ended> {
        let mut command = self.repo.cargo();
        process::run(command.args([
            "build",
            "--quiet",
            "--keep-going",
            "--workspace",
            "--all-targets",
            "--features",
            &self.workspace.features(),
        ]))?;
        Ok(Ended::Passed)
    }

    fn wait_for_servers(&mut self, report: &mut Report, allow_missing: bool) {
        report.always("servers", || {
            self.servers.wait();
            for server in self.servers.up() {
                let name = server.product().name();
                println!("{name:<15} {} at {}", server.version(), server.address());
            }
            Ok(Ended::Passed)
        });
        for (product, why) in self.servers.missing() {
            report.missing(product.name(), why, allow_missing);
        }
    }

    fn run(&self, report: &mut Report) -> Outcome {
        let skips = self.skips();
        // Left over from an earlier run, or not there.
        let _ = fs::remove_file(&skips);
        let (unit, system) = self.targets();
        report.stage("test units", || self.cargo_test(&unit));
        report.stage("test doc", || self.cargo_test(&["--doc".to_owned()]));
        for name in system {
            let select = ["--test".to_owned(), name.clone()];
            report.stage(&format!("test {name}"), || self.cargo_test(&select));
        }
        let said = fs::read_to_string(&skips).unwrap_or_default();
        report.skipped_by_tests(&said.lines().map(str::to_owned).collect::<Vec<_>>());
        Ok(())
    }

    /// The selection of everything but the system tests, and the names of those.
    fn targets(&self) -> (Vec<String>, Vec<String>) {
        let system: Vec<_> = self.workspace.names(SYSTEM_TESTS, "test");
        let mut unit = vec!["--lib".to_owned(), "--bins".to_owned()];
        for target in &self.workspace.targets {
            if target.kind == "test" && !system.contains(&target.name.as_str()) {
                unit.extend(["--test".to_owned(), target.name.clone()]);
            }
        }
        (unit, system.into_iter().map(str::to_owned).collect())
    }

    /// Always the whole workspace, narrowed by target: naming a package instead would resolve features
    /// for that package alone, and compile half the dependencies again.
    fn cargo_test(&self, select: &[String]) -> Outcome<Ended> {
        let mut command = self.repo.cargo();
        command.args(["test", "--workspace", "--no-fail-fast", "--features"]);
        command.arg(self.workspace.features()).args(select);
        command.arg("--").args(self.filter);
        self.environment(&mut command);
        let mut totals = Totals::default();
        let status = process::stream(&mut command, |line| {
            println!("{line}");
            totals += Totals::of_line(line).unwrap_or_default();
        })?;
        if !status.success() && totals.failed == 0 {
            // A test binary that dies (abort, signal) prints no result.
            return Err(Failure::new(format!("{} ended with {status}", process::shown(&command))));
        }
        Ok(Ended::Tested(totals))
    }

    /// What the system tests find in their environment. A test whose tool is missing appends a line
    /// `name: why` to the file `$TRINE_SKIPS` and returns; libtest itself knows no such thing as a skip.
    fn environment(&self, command: &mut Command) {
        self.tools.hand_to(command);
        self.servers.hand_to(command);
        command.env("TRINE_BIN", self.workspace.target_directory.join("debug/trine"));
        command.env("TRINE_SKIPS", self.skips());
    }

    fn skips(&self) -> PathBuf {
        self.workspace.target_directory.join("trine-skips")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Target;

    #[test]
    fn system_tests_are_stages_of_their_own() {
        let target = |package: &str, kind: &str, name: &str| Target {
            package: package.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        };
        let targets = vec![
            target("trine-store", "test", "conformance"),
            target("trine-tests", "bin", "bench"),
            target("trine-tests", "test", "it"),
            target("trine-tests", "test", "sim"),
        ];
        let workspace = Workspace::of(targets);
        let repo = Repo::find().unwrap();
        let tools = Toolbox::default();
        let servers = Shared::begin(&repo, &[]);
        let tests =
            Tests { repo: &repo, tools: &tools, servers, workspace: &workspace, filter: &[] };
        let (unit, system) = tests.targets();
        assert_eq!(unit, ["--lib", "--bins", "--test", "conformance"]);
        assert_eq!(system, ["it", "sim"]);
    }
}

//! Owns how a program of `trine-tests` is started: built in release together with the broker, and told
//! where everything is. Knows nothing of what the programs do.

use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::repo::Repo;
use crate::tools::{Tool, Toolbox};

const PACKAGE: &str = "trine-tests";

/// Programs for which the broker must read every source; for the others its clients would only be compiled.
const NEED_SOURCES: [&str; 2] = ["bench", "sources"];

/// Builds the program and the broker, then runs the program with `arguments`.
pub fn run(repo: &Repo, program: &str, arguments: &[String]) -> Outcome {
    let workspace = repo.workspace()?;
    let known = workspace.names(PACKAGE, "bin");
    if !known.contains(&program) {
        let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
        return Err(Failure::new(format!("{PACKAGE} has no program {program}; it has: {known}")));
    }
    let tools = Toolbox::gather(repo, &Tool::ALL)?;
    for (tool, why) in tools.missing() {
        eprintln!("SKIP {}: {why}", tool.name());
    }
    // Both in one command, so that features are resolved once and nothing is compiled twice.
    let mut build = repo.cargo();
    build.args(["build", "--release", "--package", "trine", "--package", PACKAGE]);
    if NEED_SOURCES.contains(&program) {
        build.args(["--features", "trine/sources"]);
    }
    process::run(build.args(["--bin", "trine", "--bin", program]))?;
    let built = workspace.target_directory.join("release");
    let mut command = Command::new(built.join(program));
    command.current_dir(repo.root()).args(arguments).env("TRINE_BIN", built.join("trine"));
    tools.hand_to(&mut command);
    process::run(&mut command)
}

//! Owns the verb `steps`: the instruction counts of the engine's step, which need valgrind and gungraun's runner. It
//! does not know what is counted, nor the limits: those are in the bench.

use std::path::Path;

use crate::failure::Outcome;
use crate::process;
use crate::repo::Repo;
use crate::tools::{Cache, debian_program};

/// Runner and library must be of one version.
const RUNNER_VERSION: &str = "=0.20.0";

/// Counts; fails if a limit of the bench is passed.
pub fn run(repo: &Repo, arguments: &[String]) -> Outcome {
    let cache = Cache::open(repo.tools_directory())?;
    let valgrind = debian_program(&cache, "valgrind", "valgrind")?;
    let runner = cache.slot("gungraun-runner", RUNNER_VERSION, |folder| install(repo, folder))?;
    let mut path = vec![valgrind.parent().unwrap_or(Path::new("/usr/bin")).to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut command = repo.cargo();
    command
        .args(["bench", "--package", "trine-engine", "--bench", "step", "--"])
        .args(arguments)
        .env("GUNGRAUN_RUNNER", runner.join("bin/gungraun-runner"));
    if let Ok(path) = std::env::join_paths(path) {
        command.env("PATH", path);
    }
    process::run(&mut command)
}

fn install(repo: &Repo, folder: &Path) -> Outcome {
    eprintln!("building gungraun-runner");
    let mut command = repo.cargo();
    command
        .args(["install", "gungraun-runner", "--locked", "--version", RUNNER_VERSION, "--root"])
        .arg(folder);
    process::run(&mut command)
}

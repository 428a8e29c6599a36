//! Owns tools that come as Python packages: one virtual environment a tool, pinned by hash.
//! Knows nothing of which package is which tool beyond the requirements file it is given.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cache::Cache;
use super::debian;
use crate::failure::{During, Failure, Outcome};
use crate::process;

/// The program that a wheel brought, of the tool `name`: static, so that it outlives the Python that installed it.
pub(super) fn binary(
    cache: &Cache,
    name: &str,
    program: &str,
    requirements: &Path,
) -> Outcome<PathBuf> {
    let stamp = fs::read_to_string(requirements).during(requirements.display())?;
    let fill = |folder: &Path| environment(folder, name, requirements);
    Ok(cache.slot(name, &stamp, fill)?.join("bin").join(program))
}

/// A Python interpreter that can import what `requirements` lists.
pub fn interpreter(cache: &Cache, name: &str, requirements: &Path) -> Outcome<PathBuf> {
    let stamp = fs::read_to_string(requirements).during(requirements.display())?;
    // Compiled extensions fit one minor version: another Python on the machine means a new folder.
    let python = process::capture(Command::new("python3").arg("--version")).unwrap_or_default();
    let fill = |folder: &Path| environment(folder, name, requirements);
    Ok(cache.slot(name, &format!("{python}{stamp}"), fill)?.join("bin/python"))
}

fn environment(folder: &Path, name: &str, requirements: &Path) -> Outcome {
    eprintln!("fetching {name} ({})", pinned(requirements)?);
    let create = || {
        let mut command = Command::new("python3");
        process::capture(command.args(["-m", "venv", "--clear"]).arg(folder))
    };
    // Debian splits venv from python3, and a bare machine has neither.
    if create().is_err() {
        debian::install("python3-venv")?;
        create()?;
    }
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    pip.args(["--only-binary", ":all:", "--require-hashes", "--requirement"]).arg(requirements);
    process::capture(&mut pip).map(drop)
}

/// `name==version` of the first requirement: what the file is for.
pub fn pinned(requirements: &Path) -> Outcome<String> {
    let text = fs::read_to_string(requirements).during(requirements.display())?;
    let first = text.lines().find(|line| line.contains("=="));
    let first =
        first.ok_or_else(|| Failure::new(format!("no pin in {}", requirements.display())))?;
    Ok(first.trim_end_matches(['\\', ' ']).to_owned())
}

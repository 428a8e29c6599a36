//! Owns the two cargo components that a minimal Rust installation lacks: rustfmt and clippy.

use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::repo::Repo;

/// Sees to it that `cargo fmt` and `cargo clippy` work.
pub fn ensure_components(repo: &Repo) -> Outcome {
    for (verb, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if process::capture(repo.cargo().args([verb, "--version"])).is_ok() {
            continue;
        }
        eprintln!("adding the Rust component {component}");
        let mut rustup = Command::new("rustup");
        let added = process::capture(rustup.args(["component", "add", component]));
        added.map_err(|error| Failure::new(format!("cargo {verb} is missing: {error}")))?;
    }
    Ok(())
}

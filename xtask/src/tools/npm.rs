//! Owns programs that come as npm packages, pinned by the integrity that a lock file names.
//! Knows nothing of what the packages are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cache::Cache;
use super::debian;
use crate::failure::{During, Outcome};
use crate::process;

const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// The folder `node_modules` with what the two files in `pins` ask for.
pub fn modules(cache: &Cache, name: &str, pins: &Path) -> Outcome<PathBuf> {
    let lock = pins.join(FILES[1]);
    let stamp = fs::read_to_string(&lock).during(lock.display())?;
    let fill = |folder: &Path| {
        eprintln!("fetching {name} (npm)");
        fill(folder, pins)
    };
    Ok(cache.slot(name, &stamp, fill)?.join("node_modules"))
}

fn fill(folder: &Path, pins: &Path) -> Outcome {
    for (program, package) in [("node", "nodejs"), ("npm", "npm")] {
        debian::ensure(program, "--version", package)?;
    }
    for file in FILES {
        fs::copy(pins.join(file), folder.join(file)).during(file)?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    process::capture(&mut npm).map(drop)
}

//! Owns the checks of the published contract, the `.proto` files: style, and promises kept.
//! What is checked is in `buf.yaml`; this decides what to compare with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::{During, Failure, Outcome};
use crate::process;
use crate::repo::Repo;
use crate::report::Ended;
use crate::tools::{Tool, Toolbox};

/// `buf lint`.
pub fn lint(repo: &Repo, tools: &Toolbox) -> Outcome<Ended> {
    let Ok(buf) = tools.path(Tool::Buf) else { return Ok(Ended::Skipped("no buf".to_owned())) };
    process::run(Command::new(buf).current_dir(repo.root()).arg("lint"))?;
    Ok(Ended::Passed)
}

/// `buf breaking` against the newest release that this commit descends from.
///
/// A release is what promises something: what was only ever on main may still be changed freely, and
/// comparing with the last commit would only make every change fail once. So without a release there
/// is nothing to break, and the stage says so.
pub fn breaking(repo: &Repo, tools: &Toolbox) -> Outcome<Ended> {
    let Ok(buf) = tools.path(Tool::Buf) else { return Ok(Ended::Skipped("no buf".to_owned())) };
    let Ok(tag) = repo.git(&["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]) else {
        println!("no release tag (v…) yet: nothing is published that could be broken");
        return Ok(Ended::Passed);
    };
    let tag = tag.trim();
    let released = release(repo, tag)?;
    println!("compared with {tag}");
    let mut command = Command::new(buf);
    command.current_dir(repo.root()).arg("breaking").arg("--against").arg(&released);
    process::run(&mut command)?;
    Ok(Ended::Passed)
}

/// The contract as of `tag`, unpacked. buf can read git itself, but not in a linked worktree.
fn release(repo: &Repo, tag: &str) -> Outcome<PathBuf> {
    let folder = repo.tools_directory().join("contract").join(tag);
    if folder.exists() {
        fs::remove_dir_all(&folder).during(folder.display())?;
    }
    fs::create_dir_all(&folder).during(folder.display())?;
    let archive = folder.join("contract.tar");
    let output = format!("--output={}", archive.display());
    repo.git(&["archive", &output, tag, "proto", "buf.yaml"])
        .map_err(|error| Failure::new(format!("{tag} holds no contract: {error}")))?;
    process::capture(Command::new("tar").current_dir(&folder).args(["-x", "-f", "contract.tar"]))?;
    Ok(folder)
}

//! Owns apt with an index of its own: the system's may be missing, and only root may fetch that. Downloads package
//! files and knows which packages need which; installs nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cache::Cache;
use crate::failure::Outcome;
use crate::process;

pub(super) struct Apt {
    state: PathBuf,
    /// Held until dropped: apt itself refuses where it could wait.
    _turn: File,
}

impl Apt {
    /// Waits until no other run uses the same index.
    pub(super) fn new(cache: &Cache) -> Outcome<Self> {
        Ok(Self { _turn: cache.turn("apt")?, state: cache.root().join("apt") })
    }

    /// Downloads the files of `packages` into `folder`.
    pub(super) fn fetch(
        &self,
        folder: &Path,
        packages: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Outcome {
        let packages: Vec<_> = packages.into_iter().map(|p| p.as_ref().to_owned()).collect();
        self.with_index(|| {
            let mut command = self.command("apt-get");
            process::capture(command.current_dir(folder).arg("download").args(&packages))
        })
        .map(drop)
    }

    /// `package` and what it depends on, as far as the names start with one of `also`.
    pub(super) fn closure(&self, package: &str, also: &[&str]) -> Outcome<BTreeSet<String>> {
        let mut known = BTreeSet::new();
        let mut news = BTreeSet::from([package.to_owned()]);
        while !news.is_empty() {
            known.extend(news.iter().cloned());
            let depends = self.with_index(|| {
                process::capture(self.command("apt-cache").arg("depends").args(&news))
            })?;
            news = depended_on(&depends, also).filter(|name| !known.contains(name)).collect();
        }
        Ok(known)
    }

    /// Runs `with`, and once more with a fresh index if it fails: there may be none, or an old one.
    fn with_index(&self, with: impl Fn() -> Outcome<String>) -> Outcome<String> {
        with().or_else(|_| {
            process::capture(self.command("apt-get").arg("update"))?;
            with()
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let lists = self.state.join("lists");
        let cache = self.state.join("cache");
        // If these cannot be made, apt says so itself and better.
        let _ = fs::create_dir_all(lists.join("partial"));
        let _ = fs::create_dir_all(cache.join("archives/partial"));
        command.args(["--quiet", "--option", "APT::Sandbox::User=root", "--option"]);
        command.arg(format!("Dir::State::Lists={}", lists.display())).arg("--option");
        command.arg(format!("Dir::Cache={}", cache.display()));
        command
    }
}

/// Names in the output of `apt-cache depends`; of alternatives the first. The C library must be the system's own: it
/// belongs to the loader that starts the program.
fn depended_on(depends: &str, also: &[&str]) -> impl Iterator<Item = String> {
    let names = depends.lines().filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("Depends: ").or_else(|| line.strip_prefix("|Depends: "))
    });
    let wanted = |name: &&str| {
        also.iter().any(|prefix| name.starts_with(prefix)) && !name.starts_with("libc6")
    };
    names.filter(wanted).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_taken_and_the_c_library_is_not() {
        let depends = "nghttp2-client\n  Depends: libnghttp2-14\n  Depends: libc6\n  \
                       Depends: libssl3t64\n  Depends: adduser\n  Breaks: nghttp2\n";
        let names: Vec<_> = depended_on(depends, &["lib"]).collect();
        assert_eq!(names, ["libnghttp2-14", "libssl3t64"]);
    }

    #[test]
    fn the_first_of_alternatives_is_taken_and_what_is_virtual_is_not() {
        let depends = "rabbitmq-server\n |Depends: erlang-base\n  Depends: <erlang-base-hipe>\n  \
                       Depends: erlang-ssl\n    erlang-other\n";
        let names: Vec<_> = depended_on(depends, &["erlang-"]).collect();
        assert_eq!(names, ["erlang-base", "erlang-ssl"]);
    }
}

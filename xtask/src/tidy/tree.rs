//! Owns the picture of the repository that rules look at: tracked files with their text.
//! Rules get it as a value, so that their tests need neither git nor a disk.

use std::fs;

use super::size;
use crate::failure::{During, Outcome};
use crate::repo::Repo;

#[derive(Debug, Default)]
pub struct Tree {
    pub files: Vec<File>,
    /// The list of size exceptions before its last change; none if it has never changed.
    pub exceptions_before: Option<String>,
}

#[derive(Debug)]
pub struct File {
    /// Relative to the root, with forward slashes.
    pub path: String,
    /// Empty for a file that is not text.
    pub text: String,
}

impl Tree {
    pub fn read(repo: &Repo) -> Outcome<Self> {
        let mut files = Vec::new();
        for path in repo.git(&["ls-files", "-z"])?.split_terminator('\0') {
            let file = repo.root().join(path);
            // Deleted but not yet committed, or a submodule: there is nothing to look at.
            if !file.is_file() {
                continue;
            }
            let bytes = fs::read(&file).during(path)?;
            let text = String::from_utf8(bytes).unwrap_or_default();
            files.push(File { path: path.to_owned(), text });
        }
        let tree = Self { files, exceptions_before: None };
        let now = tree.text(size::EXCEPTIONS).unwrap_or_default();
        let before = before_last_change(repo, size::EXCEPTIONS, now);
        Ok(Self { exceptions_before: before, ..tree })
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// Files directly in `folder` whose name ends in `.md`, with that name's stem.
    pub fn pages<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a File, &'a str)> {
        self.files.iter().filter_map(move |file| {
            let stem = file.path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".md")?;
            (!stem.contains('/')).then_some((file, stem))
        })
    }

    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self { files: files.iter().map(file).collect(), exceptions_before: None }
    }
}

impl File {
    /// Test code as a whole: the crate of system tests, a crate's `tests/`, a test module in its own
    /// file, and the conformance suites, which adapters run from their tests.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || ["/tests/", "/conformance/"].iter().any(|folder| self.path.contains(folder))
            || self.path.ends_with("/tests.rs")
    }

    /// Lines of text, numbered as editors number them.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }
}

/// The text of `path` before it was last changed, by an edit that is not committed or by a commit.
fn before_last_change(repo: &Repo, path: &str, now: &str) -> Option<String> {
    let at = |commit: &str| repo.git(&["show", &format!("{commit}:{path}")]).ok();
    let committed = at("HEAD")?;
    if committed != now {
        return Some(committed);
    }
    let commits = repo.git(&["log", "-2", "--format=%H", "--", path]).ok()?;
    at(commits.lines().nth(1)?)
}

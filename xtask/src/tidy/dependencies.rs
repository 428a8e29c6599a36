//! Owns one rule: who may import whom. The table is that of the design; the manifests are read as text,
//! so that a finding can name its line.

use super::{Finding, Tree};

struct Crate {
    name: &'static str,
    folder: &'static str,
    may_import: &'static [&'static str],
    /// Decides and does nothing else: no runtime, no wire, no clock, not even in tests a crate above it.
    pure: bool,
}

const CRATES: [Crate; 10] = [
    Crate::new("trine-engine", "broker/engine", &[]).pure(),
    Crate::new("trine-poll-engine", "pollers/engine", &[]).pure(),
    Crate::new("trine-proto", "proto", &[]),
    Crate::new("trine-store", "broker/store", &["trine-engine"]),
    // What a mapping may be is checked by what later obeys it (ADR 5).
    Crate::new(
        "trine-broker",
        "broker/server",
        &["trine-engine", "trine-store", "trine-poll-engine", "trine-proto"],
    ),
    Crate::new("trine-worker", "worker-sdk", &["trine-proto"]),
    Crate::new("trine-pollers", "pollers/sources", &["trine-poll-engine", "trine-proto"]),
    // The store is reached through the server, never around it.
    Crate::new(
        "trine",
        "broker/trine",
        &["trine-broker", "trine-pollers", "trine-worker", "trine-proto"],
    ),
    Crate::new("trine-tests", "tests", &["*"]),
    Crate::new("xtask", "xtask", &[]),
];

/// Families of what a pure crate does not import: runtimes, the wire, clocks, disks, randomness.
const IMPURE: [&str; 12] = [
    "tokio",
    "tonic",
    "prost",
    "async",
    "futures",
    "hyper",
    "mio",
    "rand",
    "getrandom",
    "chrono",
    "time",
    "rusqlite",
];

impl Crate {
    const fn new(
        name: &'static str,
        folder: &'static str,
        may_import: &'static [&'static str],
    ) -> Self {
        Self { name, folder, may_import, pure: false }
    }

    const fn pure(self) -> Self {
        Self { pure: true, ..self }
    }

    fn named(name: &str) -> Option<&'static Self> {
        CRATES.iter().find(|known| known.name == name)
    }

    fn may_import(&self, other: &str) -> bool {
        self.may_import.iter().any(|allowed| *allowed == "*" || *allowed == other)
    }
}

/// One entry of a dependency table.
#[derive(Debug, PartialEq, Eq)]
struct Dependency<'a> {
    line: usize,
    name: &'a str,
    for_tests: bool,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let Some(folder) = file.path.strip_suffix("/Cargo.toml") else { continue };
        match CRATES.iter().find(|known| known.folder == folder) {
            Some(known) => findings.extend(check_manifest(known, &file.path, &file.text)),
            None => findings.push(Finding::error(&file.path, 1, UNKNOWN)),
        }
    }
    findings
}

const UNKNOWN: &str = "this crate is not in the design: enter it there and in tidy/dependencies.rs \
                       with what it may import";

fn check_manifest(this: &Crate, path: &str, manifest: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let named = manifest.lines().any(|line| line == format!("name = \"{}\"", this.name));
    if !named {
        let says = format!("the crate in {} is called {}", this.folder, this.name);
        findings.push(Finding::error(path, 1, says));
    }
    for dependency in dependencies(manifest) {
        if let Some(why) = refused(this, &dependency) {
            findings.push(Finding::error(path, dependency.line, why));
        }
    }
    findings
}

fn refused(this: &Crate, dependency: &Dependency<'_>) -> Option<String> {
    let Dependency { name, for_tests, .. } = *dependency;
    let ours = Crate::named(name).is_some();
    if ours && (!for_tests || this.pure) && !this.may_import(name) {
        let allowed = match this.may_import {
            [] => "nothing of ours".to_owned(),
            some => some.join(", "),
        };
        return Some(format!("{} does not import {name}; it may import {allowed}", this.name));
    }
    let impure = IMPURE.iter().any(|family| {
        name.strip_prefix(family)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    });
    (this.pure && impure && !for_tests)
        .then(|| format!("{} is pure: {name} belongs in the shell around it", this.name))
}

/// Entries of every dependency table of a manifest, platform-specific ones too.
fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    // Whether the current table lists dependencies, and whether those are for tests.
    let mut table: Option<bool> = None;
    for (at, text) in manifest.lines().enumerate() {
        let line = at + 1;
        if let Some(header) = text.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            let for_tests = header.contains("dev-dependencies");
            table = header.ends_with("dependencies").then_some(for_tests);
            // `[dependencies.name]`
            if let Some((_, name)) = header.split_once("dependencies.") {
                found.push(Dependency { line, name, for_tests });
            }
            continue;
        }
        let Some(for_tests) = table else { continue };
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_').unwrap_or(0);
        if end > 0 {
            let name = renamed(text).unwrap_or(&text[..end]);
            found.push(Dependency { line, name, for_tests });
        }
    }
    found
}

/// The real name in `alias = { package = "name", … }`.
fn renamed(entry: &str) -> Option<&str> {
    entry.split_once("package = \"")?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, manifest: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, manifest)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn every_form_of_an_entry_is_read() {
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\nb.workspace = true\n\
                        c = \"1\" # why\nd = { package = \"e\", version = \"1\" }\nf = { features = [\n    \
                        \"g\",\n] }\n\n[dev-dependencies]\nh = \"1\"\n\n[target.'cfg(unix)'.dependencies]\n\
                        i = \"1\"\n\n[dependencies.j]\nversion = \"1\"\n\n[features]\nk = []\n";
        let names: Vec<_> = dependencies(manifest).iter().map(|d| (d.name, d.for_tests)).collect();
        let expected = [
            ("b", false),
            ("c", false),
            ("e", false),
            ("f", false),
            ("h", true),
            ("i", false),
            ("j", false),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_pure_crate_imports_nothing_impure_and_nothing_of_ours() {
        let manifest = "name = \"trine-engine\"\n[dependencies]\nthiserror = \"2\"\ntokio-util = \"1\"\n\
                        trine-store.workspace = true\n[dev-dependencies]\nrand = \"1\"\n\
                        trine-broker.workspace = true\n";
        assert_eq!(lines("broker/engine/Cargo.toml", manifest), [4, 5, 8]);
    }

    #[test]
    fn imports_point_downwards() {
        let store = "name = \"trine-store\"\n[dependencies]\ntrine-engine.workspace = true\n\
                     trine-proto.workspace = true\n[dev-dependencies]\ntrine-broker.workspace = true\n";
        assert_eq!(lines("broker/store/Cargo.toml", store), [4]);
        let binary = "name = \"trine\"\n[dependencies]\ntrine-broker.workspace = true\n\
                      trine-store.workspace = true\n";
        assert_eq!(lines("broker/trine/Cargo.toml", binary), [4]);
        let tests = "name = \"trine-tests\"\n[dependencies]\ntrine-store.workspace = true\n";
        assert!(lines("tests/Cargo.toml", tests).is_empty());
    }

    #[test]
    fn a_crate_that_the_design_does_not_know_is_found() {
        assert_eq!(lines("broker/cache/Cargo.toml", "name = \"trine-cache\"\n"), [1]);
        assert_eq!(lines("proto/Cargo.toml", "name = \"contract\"\n"), [1]);
    }
}

//! Owns one rule: the two engines decide and do nothing else. Their manifests keep runtimes out; this
//! keeps out what the standard library would let in: clocks, files, sockets, threads, randomness.

use super::{File, Finding, Tree, code};

const PURE: [&str; 2] = ["broker/engine/src/", "pollers/engine/src/"];
const WORDS: [&str; 8] = [
    "SystemTime",
    "Instant",
    "std::net",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "rand",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let pure = tree.rust().filter(|file| PURE.iter().any(|folder| file.path.starts_with(folder)));
    pure.filter(|file| !file.is_test()).flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut grouped = false;
    for line in code::lines(&file.text) {
        // `use std::{fs, io}` names `std::fs` without writing it.
        grouped |= line.code.contains("use std::{");
        let named = |word: &&&str| {
            let last = word.strip_prefix("std::");
            line.names(word) || grouped && last.is_some_and(|last| line.names(last))
        };
        if !line.in_test
            && let Some(word) = WORDS.iter().find(named)
        {
            let says = format!("{word} in a pure crate: take it as an argument or an input");
            findings.push(Finding::error(&file.path, line.number, says));
        }
        grouped &= !line.code.contains(';');
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_names_are_found_outside_tests() {
        let tree = Tree::of(&[
            ("broker/engine/src/a.rs", "// SystemTime\nuse std::time::Instant;\nlet rand = 1;\n"),
            ("broker/engine/src/b.rs", "use std::{\n    fmt,\n    fs,\n};\nfn net(fs: u8) {}\n"),
            (
                "pollers/engine/src/c.rs",
                "#[cfg(test)]\nmod tests { use std::fs; }\nstd::thread::spawn();",
            ),
            ("broker/server/src/d.rs", "use std::fs;\n"),
        ]);
        let places: Vec<_> = check(&tree).into_iter().map(|f| (f.path, f.line)).collect();
        let (a, b, c) =
            ("broker/engine/src/a.rs", "broker/engine/src/b.rs", "pollers/engine/src/c.rs");
        let expected = [(a, 2), (a, 3), (b, 3), (c, 3)].map(|(path, line)| (path.to_owned(), line));
        assert_eq!(places, expected);
    }
}

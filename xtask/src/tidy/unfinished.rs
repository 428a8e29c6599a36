//! Owns one rule: what is committed is finished. No notes to a later self, no holes that panic, no test
//! that is switched off: an open point is an issue, a test that fails is a fault.

use super::{File, Finding, Tree, code};

// Written in two parts so that this file passes its own rule.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const HOLES: [&str; 2] = ["todo!", "unimplemented!"];
const KINDS: [&str; 6] = [".rs", ".proto", ".toml", ".sh", ".py", ".yaml"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        if is_source(file) {
            findings.extend(notes(file));
        }
        if file.path.ends_with(".rs") {
            findings.extend(holes(file));
        }
    }
    findings
}

fn is_source(file: &File) -> bool {
    file.path.starts_with(".ci/") || KINDS.iter().any(|kind| file.path.ends_with(kind))
}

fn notes(file: &File) -> impl Iterator<Item = Finding> {
    file.lines().filter_map(|(number, text)| {
        // The same test for a whole word, on text that need not be Rust.
        let line = code::Line { code: text.to_owned(), ..code::Line::default() };
        let note = NOTES.into_iter().find(|note| line.names(note))?;
        let says = format!("{note}: do it, or open an issue and drop the note");
        Some(Finding::error(&file.path, number, says))
    })
}

fn holes(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in code::lines(&file.text) {
        if let Some(hole) = HOLES.into_iter().find(|hole| line.names(hole)) {
            let says = format!("{hole} is a hole: write it, or leave the whole thing out");
            findings.push(Finding::error(&file.path, line.number, says));
        }
        if line.code.contains("#[ignore") {
            findings.push(Finding::error(&file.path, line.number, IGNORED));
        }
    }
    findings
}

const IGNORED: &str = "a test that is switched off proves nothing: repair or remove it; a test whose \
                       tool is missing reports a skip";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_holes_and_ignored_tests_are_found() {
        let [todo, fixme, _] = NOTES;
        let rust = format!("// {todo}: later\nfn f() {{ todo!() }}\n#[ignore]\nfn t() {{}}\n");
        let tree = Tree::of(&[
            ("a/src/lib.rs", &rust),
            ("proto/a.proto", &format!("// {fixme}\n")),
            ("docs/page.md", &format!("the word {todo} in prose\n")),
            ("a/src/good.rs", &format!("let {todo}_LIST = \"todo!()\"; // #[ignore]\n")),
        ]);
        let places: Vec<_> = check(&tree).into_iter().map(|f| (f.path, f.line)).collect();
        let lib = "a/src/lib.rs".to_owned();
        let expected =
            [(lib.clone(), 1), (lib.clone(), 2), (lib, 3), ("proto/a.proto".to_owned(), 1)];
        assert_eq!(places, expected);
    }
}

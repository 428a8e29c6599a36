//! Owns one rule: every reason code that a caller can see has a page that says what it means and what to
//! do, and no page is left behind by a code that went.

use super::{File, Finding, Tree};

const CONTRACT: &str = "proto/trine/v1/";
const PAGES: &str = "docs/errors";
/// Pages that are about the folder, not about a code.
const ABOUT: [&str; 2] = ["README", "index"];

/// A value of `enum Reason`, where it is declared.
struct Reason<'a> {
    file: &'a File,
    line: usize,
    name: &'a str,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let reasons = declared(tree);
    let page_of = |reason: &Reason<'_>| reason.name.to_lowercase().replace('_', "-");
    let mut findings = Vec::new();
    for reason in &reasons {
        let page = page_of(reason);
        if !tree.pages(PAGES).any(|(_, stem)| stem == page) {
            let says = format!("REASON_{} has no page: write {PAGES}/{page}.md", reason.name);
            findings.push(Finding::error(&reason.file.path, reason.line, says));
        }
    }
    for (file, stem) in tree.pages(PAGES) {
        if !ABOUT.contains(&stem) && !reasons.iter().any(|reason| page_of(reason) == stem) {
            let says = format!(
                "no reason code belongs to this page: remove it, or declare it in {CONTRACT}"
            );
            findings.push(Finding::error(&file.path, 1, says));
        }
    }
    findings
}

/// Every `REASON_…` of `enum Reason` but the one that stands for "not set".
fn declared(tree: &Tree) -> Vec<Reason<'_>> {
    let contract = |file: &&File| file.path.starts_with(CONTRACT) && file.path.ends_with(".proto");
    let mut reasons = Vec::new();
    for file in tree.files.iter().filter(contract) {
        let mut inside = false;
        for (line, text) in file.lines() {
            let text = text.trim();
            inside |= text.starts_with("enum Reason {");
            let value = text.split_once('=').map(|(name, _)| name.trim());
            if inside && let Some(name) = value.and_then(|name| name.strip_prefix("REASON_")) {
                reasons.push(Reason { file, line, name });
            }
            inside &= text != "}";
        }
    }
    reasons.retain(|reason| reason.name != "UNSPECIFIED");
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASONS: &str = "enum Reason {\n  // No reason.\n  REASON_UNSPECIFIED = 0;\n  \
                           REASON_NO_WORKER = 1;\n  REASON_TOO_LARGE = 2;\n}\n\
                           enum Other {\n  REASON_ELSEWHERE = 0;\n}\n";

    #[test]
    fn codes_without_pages_and_pages_without_codes_are_found() {
        let tree = Tree::of(&[
            ("proto/trine/v1/reason.proto", REASONS),
            ("docs/errors/README.md", "# Errors\n"),
            ("docs/errors/no-worker.md", "# NO_WORKER\n"),
            ("docs/errors/gone.md", "# GONE\n"),
        ]);
        let places: Vec<_> = check(&tree).into_iter().map(|f| (f.path, f.line)).collect();
        let expected = [("proto/trine/v1/reason.proto", 5), ("docs/errors/gone.md", 1)];
        assert_eq!(places, expected.map(|(path, line)| (path.to_owned(), line)));
    }
}

//! Owns one rule: files stay small. Above the warning a file probably owns two nouns; above the limit it
//! is split. The list of exceptions is a ratchet: it is for what was already there, and only shrinks.

use super::{File, Finding, Tree};

pub(super) const EXCEPTIONS: &str = "xtask/tidy-exceptions.txt";

const WARN_LINES: usize = 400;
const LIMIT_LINES: usize = 800;
const LIMIT_LINES_IN_TESTS: usize = 1200;
/// How far a file may be below its exception before the exception has to follow.
const SLACK_LINES: usize = 40;

/// A line of the exceptions file: `path lines`.
struct Exception<'a> {
    line: usize,
    path: &'a str,
    lines: usize,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (exceptions, unread) = parse(tree.text(EXCEPTIONS).unwrap_or_default());
    findings.extend(
        unread
            .into_iter()
            .map(|line| Finding::error(EXCEPTIONS, line, "write an exception as `path lines`")),
    );
    for file in tree.rust() {
        let exception = exceptions.iter().find(|e| e.path == file.path);
        findings.extend(check_file(file, exception.map(|e| e.lines)));
    }
    for exception in &exceptions {
        findings.extend(check_exception(tree, exception));
    }
    findings
}

fn check_file(file: &File, exception: Option<usize>) -> Option<Finding> {
    let lines = file.text.lines().count();
    let limit = exception.unwrap_or_else(|| limit(file));
    if lines > limit {
        let says = format!("{lines} lines, limit {limit}: split it; a file owns one noun");
        return Some(Finding::error(&file.path, limit + 1, says));
    }
    let warn = if file.is_test() { LIMIT_LINES } else { WARN_LINES };
    (lines > warn && exception.is_none()).then(|| {
        let says = format!("{lines} lines, a typical file has 60 to 250: think about splitting it");
        Finding::warning(&file.path, warn + 1, says)
    })
}

fn check_exception(tree: &Tree, exception: &Exception<'_>) -> Option<Finding> {
    let says = |says: String| Some(Finding::error(EXCEPTIONS, exception.line, says));
    let Some(file) = tree.files.iter().find(|file| file.path == exception.path) else {
        return says(format!("{} is gone: remove the line", exception.path));
    };
    let lines = file.text.lines().count();
    if lines <= limit(file) {
        return says(format!("{} is within the limit: remove the line", exception.path));
    }
    if exception.lines > lines + SLACK_LINES {
        return says(format!("{} has {lines} lines now: lower the number", exception.path));
    }
    let (before, _) = parse(tree.exceptions_before.as_deref()?);
    match before.iter().find(|e| e.path == exception.path) {
        None => says(format!("this list may only shrink: split {}", exception.path)),
        Some(old) if old.lines < exception.lines => {
            says(format!("this list may only shrink: {} was allowed {}", old.path, old.lines))
        }
        Some(_) => None,
    }
}

fn limit(file: &File) -> usize {
    if file.is_test() { LIMIT_LINES_IN_TESTS } else { LIMIT_LINES }
}

/// The exceptions, and the numbers of lines that are none.
fn parse(text: &str) -> (Vec<Exception<'_>>, Vec<usize>) {
    let mut exceptions = Vec::new();
    let mut unread = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let parts = line.split_once(' ').and_then(|(path, n)| Some((path, n.trim().parse().ok()?)));
        match parts {
            Some((path, lines)) => exceptions.push(Exception { line: at + 1, path, lines }),
            None => unread.push(at + 1),
        }
    }
    (exceptions, unread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(tree: &Tree) -> Vec<String> {
        let line =
            |f: Finding| format!("{}:{}{}", f.path, f.line, if f.warning { " w" } else { "" });
        check(tree).into_iter().map(line).collect()
    }

    #[test]
    fn long_files_are_found() {
        let tree = Tree::of(&[
            ("a/src/warned.rs", &"x\n".repeat(401)),
            ("a/src/long.rs", &"x\n".repeat(801)),
            ("a/src/good.rs", &"x\n".repeat(400)),
            ("a/tests/good.rs", &"x\n".repeat(800)),
            ("a/tests/long.rs", &"x\n".repeat(1201)),
        ]);
        assert_eq!(
            says(&tree),
            ["a/src/warned.rs:401 w", "a/src/long.rs:801", "a/tests/long.rs:1201"]
        );
    }

    #[test]
    fn exceptions_only_shrink() {
        let long = "x\n".repeat(900);
        let with = |now: &str, before: Option<&str>| Tree {
            exceptions_before: before.map(str::to_owned),
            ..Tree::of(&[("a/src/long.rs", &long), ("a/src/ok.rs", "x\n"), (EXCEPTIONS, now)])
        };
        let at = |line: usize| [format!("{EXCEPTIONS}:{line}")];
        assert!(says(&with("# why\na/src/long.rs 900\n", None)).is_empty());
        assert!(says(&with("a/src/long.rs 905\n", Some("a/src/long.rs 910\n"))).is_empty());
        assert_eq!(says(&with("a/src/long.rs 900\n", Some(""))), at(1), "a new one");
        assert_eq!(says(&with("a/src/long.rs 910\n", Some("a/src/long.rs 900\n"))), at(1), "grown");
        assert_eq!(says(&with("a/src/long.rs 990\n", None)), at(1), "too loose");
        assert_eq!(says(&with("a/src/long.rs 900\na/src/ok.rs 900\n", None)), at(2), "not needed");
        assert_eq!(says(&with("a/src/long.rs 900\na/src/gone.rs 9\nx\n", None)).len(), 2);
        assert_eq!(says(&with("a/src/long.rs 880\n", None)), ["a/src/long.rs:881"]);
    }
}

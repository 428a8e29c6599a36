//! Owns one rule: the metrics that the broker has and the metrics that are documented are the same.
//! Names are constants in one file, so that both lists can be read without running anything.

use std::collections::BTreeMap;

use super::{Finding, Tree};

const NAMES: &str = "broker/server/src/metrics/names.rs";
const PAGE: &str = "docs/metrics.md";
const PREFIX: &str = "trine_";
/// What the text format appends to the name of a histogram.
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let declared = names(tree.text(NAMES).unwrap_or_default(), true);
    let Some(page) = tree.text(PAGE) else {
        let says = format!("write {PAGE}: it describes the {} metrics", declared.len());
        let missing = (!declared.is_empty()).then(|| Finding::error(NAMES, 1, says));
        return missing.into_iter().collect();
    };
    let documented = names(page, false);
    let mut findings = Vec::new();
    for (name, line) in &declared {
        if !documented.contains_key(name) {
            findings.push(Finding::error(NAMES, *line, format!("describe {name} in {PAGE}")));
        }
    }
    for (name, line) in &documented {
        let series = SERIES.iter().find_map(|end| name.strip_suffix(end));
        let known = declared.contains_key(name) || series.is_some_and(|n| declared.contains_key(n));
        if !known {
            let says = format!("there is no metric {name} in {NAMES}: correct or remove it");
            findings.push(Finding::error(PAGE, *line, says));
        }
    }
    findings.sort_by_key(|finding| (finding.path == PAGE, finding.line));
    findings
}

/// Metric names in `text` with the first line each stands on; only whole string literals if `quoted`.
fn names(text: &str, quoted: bool) -> BTreeMap<&str, usize> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let mut names = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        for (start, _) in line.match_indices(PREFIX) {
            let rest = &line[start..];
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let whole = line[..start].ends_with('"') && rest[end..].starts_with('"');
            let part = line[..start].ends_with(is_name);
            if !part && (whole || !quoted) {
                names.entry(&rest[..end]).or_insert(at + 1);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_are_compared() {
        let tree = Tree::of(&[
            (
                NAMES,
                "const A: &str = \"trine_a_total\";\nconst B: &str = \"trine_b_seconds\";\n// trine_c\n",
            ),
            (PAGE, "# Metrics\n`trine_b_seconds` (`trine_b_seconds_bucket`)\n`trine_gone_total`\n"),
        ]);
        let places: Vec<_> = check(&tree).into_iter().map(|f| (f.path, f.line)).collect();
        assert_eq!(places, [(NAMES.to_owned(), 1), (PAGE.to_owned(), 3)]);
    }

    #[test]
    fn metrics_without_a_page_are_found_once() {
        let names = "const A: &str = \"trine_a_total\";\nconst B: &str = \"trine_b_total\";\n";
        assert_eq!(check(&Tree::of(&[(NAMES, names)])).len(), 1);
        assert!(check(&Tree::of(&[])).is_empty());
    }
}

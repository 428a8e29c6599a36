//! Owns one rule: in the broker and the pollers one file reads the clock. Only then does a broker with a
//! virtual clock run the production code path.

use super::{Finding, Tree, code};

const CALLS: [&str; 3] = ["SystemTime::now", "Instant::now", "UNIX_EPOCH.elapsed"];

/// Crates that must ask the clock, and the file in each that may be it.
///
/// Not here: the pure crates (stricter, see `purity`), the store, which decides nothing by time, the
/// binary and the worker SDK, whose clock is their own machine's, and test code.
const CRATES: [&str; 2] = ["broker/server/src/", "pollers/sources/src/"];
const CLOCK: &str = "clock.rs";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| must_ask(&file.path) && !file.is_test()) {
        let lines = code::lines(&file.text);
        for (at, line) in lines.iter().enumerate() {
            let reads = CALLS.iter().any(|call| line.names(call)) && !line.in_test;
            if reads && !code::allowed(&lines, at, "clock") {
                findings.push(Finding::error(&file.path, line.number, SAYS));
            }
        }
    }
    findings
}

fn must_ask(path: &str) -> bool {
    let inside = CRATES.iter().find_map(|folder| path.strip_prefix(folder));
    inside.is_some_and(|file| file != CLOCK)
}

const SAYS: &str = "only clock.rs reads the clock: take the time from it \
                    (or say why not: `// tidy: allow clock: …`)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_clock_is_found() {
        let reads = "let now = tokio::time::Instant::now();\n";
        let tree = Tree::of(&[
            ("broker/server/src/clock.rs", reads),
            ("broker/server/src/shard.rs", reads),
            ("broker/trine/src/main.rs", reads),
            ("worker-sdk/src/session.rs", reads),
            (
                "pollers/sources/src/run.rs",
                "// tidy: allow clock: a log line\nSystemTime::now();\n",
            ),
            (
                "broker/server/src/lib.rs",
                "#[cfg(test)]\nmod tests { fn t() { Instant::now(); } }\n",
            ),
        ]);
        assert_eq!(check(&tree), [Finding::error("broker/server/src/shard.rs", 1, SAYS)]);
    }
}

//! Owns one rule: tests do not sleep. A test waits for what it wants to see, or moves the clock; a sleep
//! is either too short on a busy machine or wasted on an idle one. Programs (benchmarks, torture) may.

use super::{Finding, Tree, code};

const CALLS: [&str; 3] = ["sleep(", "sleep_until(", "sleep_ms("];
const PROGRAMS: &str = "tests/src/bin/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !file.path.starts_with(PROGRAMS)) {
        let lines = code::lines(&file.text);
        for (at, line) in lines.iter().enumerate() {
            let sleeps = CALLS.iter().any(|call| line.names(call));
            let test = file.is_test() || line.in_test;
            if sleeps && test && !code::allowed(&lines, at, "sleeps") {
                findings.push(Finding::error(&file.path, line.number, SAYS));
            }
        }
    }
    findings
}

const SAYS: &str = "tests do not sleep: wait for the event or move the clock \
                    (or say why on the line: `// tidy: allow sleeps: …`)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_tests_are_found() {
        let tree = Tree::of(&[
            (
                "a/src/lib.rs",
                "fn f() { sleep(1) }\n#[cfg(test)]\nmod tests { fn t() { sleep(2) } }\n",
            ),
            ("a/tests/it.rs", "// sleep(1)\ntokio::time::sleep(x).await;\n"),
            ("tests/src/net.rs", "// tidy: allow sleeps: the link is slow on purpose\nsleep(1);\n"),
            ("tests/src/bin/soak.rs", "sleep(1);\n"),
        ]);
        let places: Vec<_> = check(&tree).into_iter().map(|f| (f.path, f.line)).collect();
        assert_eq!(places, [("a/src/lib.rs".to_owned(), 3), ("a/tests/it.rs".to_owned(), 2)]);
    }
}

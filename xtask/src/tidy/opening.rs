//! Owns one rule: every Rust file opens with `//!`, so that a reader can stop after five lines.

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let silent = tree.rust().filter(|file| !file.text.starts_with("//!"));
    silent.map(|file| Finding::error(&file.path, 1, SAYS)).collect()
}

const SAYS: &str = "open the file with `//!`: what it owns and what it does not know";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_opening_is_found() {
        let tree = Tree::of(&[
            ("xtask/src/a.rs", "//! Owns a.\n"),
            ("xtask/src/b.rs", "// Owns b.\n"),
            ("README.md", "# Trine\n"),
        ]);
        assert_eq!(check(&tree), [Finding::error("xtask/src/b.rs", 1, SAYS)]);
    }
}

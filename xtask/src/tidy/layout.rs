//! Owns one rule: the top-level folders are the architecture. A new one is a decision for everybody, and
//! is made in the design before it is made on the disk.

use std::collections::BTreeSet;

use super::{Finding, Tree};

const FOLDERS: [&str; 9] =
    ["proto", "broker", "pollers", "worker-sdk", "tests", "xtask", "docs", ".cargo", ".ci"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for file in &tree.files {
        if let Some((folder, _)) = file.path.split_once('/')
            && !FOLDERS.contains(&folder)
            && seen.insert(folder)
        {
            let says =
                format!("{folder}/ is no top-level folder of the house: {}", FOLDERS.join(", "));
            findings.push(Finding::error(&file.path, 1, says));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_top_level_folder_is_found_once() {
        let tree = Tree::of(&[("README.md", ""), ("xtask/a", ""), ("misc/a", ""), ("misc/b", "")]);
        let places: Vec<_> = check(&tree).into_iter().map(|f| f.path).collect();
        assert_eq!(places, ["misc/a"]);
    }
}

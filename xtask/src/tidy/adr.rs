//! Owns one rule: decision records are numbered `NNNN-title.md` from 0001 without gaps or doubles, so
//! that "ADR 7" means one page for ever.

use super::{Finding, Tree};

const FOLDER: &str = "docs/adr";
/// Pages that are about the folder, not a decision.
const ABOUT: [&str; 2] = ["README", "template"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut numbered = Vec::new();
    for (file, stem) in tree.pages(FOLDER).filter(|(_, stem)| !ABOUT.contains(stem)) {
        match number(stem) {
            Some(number) => numbered.push((number, &file.path)),
            None => findings.push(Finding::error(&file.path, 1, "name it NNNN-title.md")),
        }
    }
    numbered.sort();
    for (expected, (number, path)) in (1..).zip(numbered) {
        if number != expected {
            let says =
                format!("numbers run from 0001 without gaps: this one should be {expected:04}");
            findings.push(Finding::error(path, 1, says));
            break;
        }
    }
    findings
}

fn number(stem: &str) -> Option<u32> {
    let (digits, title) = stem.split_once('-')?;
    (digits.len() == 4 && !title.is_empty()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(names: &[&str]) -> Vec<String> {
        let paths: Vec<_> = names.iter().map(|name| format!("{FOLDER}/{name}")).collect();
        let files: Vec<_> = paths.iter().map(|path| (path.as_str(), "")).collect();
        let tree = Tree::of(&files);
        let name = |f: Finding| f.path.replace("docs/adr/", "");
        check(&tree).into_iter().map(name).collect()
    }

    #[test]
    fn gaps_doubles_and_unnumbered_records_are_found() {
        assert!(places(&["0001-a.md", "0002-b.md", "README.md"]).is_empty());
        assert_eq!(places(&["0001-a.md", "0003-c.md"]), ["0003-c.md"]);
        assert_eq!(places(&["0001-a.md", "0001-b.md"]), ["0001-b.md"]);
        assert_eq!(places(&["1-a.md"]), ["1-a.md"]);
    }
}

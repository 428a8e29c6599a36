//! Owns one rule: the repository names no machine. A path of someone's disk means nothing elsewhere, and
//! which registry or mirror is used is the business of each machine's own configuration.

use super::{Finding, Tree};

// Written in parts so that this file passes its own rule.
const DISKS: [&str; 4] =
    [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/"), concat!("/", "Users/")];
const HOSTS: [&str; 9] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("proxy.golang", ".org"),
    concat!("maven", ".org"),
    concat!("maven.apache", ".org"),
    concat!("deb.debian", ".org"),
];
/// Cargo writes the registry's address into every entry.
const GENERATED: &str = "Cargo.lock";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.ends_with(GENERATED)) {
        for (number, line) in file.lines() {
            if let Some(disk) = DISKS.into_iter().find(|disk| starts_a_path(line, disk)) {
                let says =
                    format!("{disk} is a path of one machine: make it relative or an argument");
                findings.push(Finding::error(&file.path, number, says));
            }
            if let Some(host) = HOSTS.into_iter().find(|host| line.contains(host)) {
                let says =
                    format!("{host} names a registry: name the package and its kind instead");
                findings.push(Finding::error(&file.path, number, says));
            }
        }
    }
    findings
}

/// Whether `folder` stands in `line` as the start of a path, not in the middle of one or of an address.
fn starts_a_path(line: &str, folder: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || "._-~}*/$".contains(c);
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_paths_and_registries_are_found() {
        let page = format!(
            "`{}x/y`\nsee a.b{}c\n$X{}c\nfrom {}\n",
            DISKS[2], DISKS[2], DISKS[0], HOSTS[1]
        );
        let lock = format!("source = \"{}\"\n", HOSTS[0]);
        let tree = Tree::of(&[("docs/page.md", &page), ("Cargo.lock", &lock)]);
        let places: Vec<_> = check(&tree).into_iter().map(|f| (f.path, f.line)).collect();
        assert_eq!(places, [("docs/page.md".to_owned(), 1), ("docs/page.md".to_owned(), 4)]);
    }
}

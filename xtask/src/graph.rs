//! Owns what the resolved dependency graph must not contain. Manifests say what a crate asks for (see
//! tidy); only the graph says what it gets.

use std::collections::BTreeSet;

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::repo::Repo;

/// TLS is rustls on ring: one static binary, no C library to patch, no cmake to build. Kafka's OpenSSL comes with a feature only
/// (ADR 8).
const BANNED_EVERYWHERE: [&str; 4] = ["aws-lc-sys", "aws-lc-rs", "openssl-sys", "native-tls"];
const BANNED_IN_PURE: [&str; 9] =
    ["tokio", "tonic", "prost", "hyper", "mio", "rand", "getrandom", "chrono", "time"];
const PURE: [&str; 2] = ["trine-engine", "trine-poll-engine"];

/// Looks at the graph with default features, without what only tests use; and, of a released binary, at who uses OpenSSL.
pub fn check(repo: &Repo) -> Outcome {
    let mut wrong = Vec::new();
    for package in refused(&packages(repo, &["--workspace"])?, &BANNED_EVERYWHERE) {
        wrong.push(format!(
            "{package} is in the graph; see `cargo tree --workspace --invert {package}`"
        ));
    }
    for pure in PURE {
        for package in refused(&packages(repo, &["--package", pure])?, &BANNED_IN_PURE) {
            wrong.push(format!(
                "{pure} is pure but gets {package}; see `cargo tree --package {pure}`"
            ));
        }
    }
    let mut users = repo.cargo();
    users.args(["tree", "--package", "trine", "--features", "trine/sources", "--depth", "1"]);
    users.args(["--edges", "normal,build", "--prefix", "none", "--invert", "openssl-sys"]);
    for user in strangers(&names(&process::capture(&mut users)?)) {
        wrong.push(format!("{user} uses OpenSSL, which is there for Kafka's client alone (ADR 8)"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::new(wrong.join("\n"))) }
}

/// Who uses OpenSSL and should not, out of what `cargo tree --invert openssl-sys` names.
fn strangers(users: &BTreeSet<String>) -> Vec<&str> {
    let known = ["openssl-sys", "rdkafka-sys"];
    users.iter().map(String::as_str).filter(|user| !known.contains(user)).collect()
}

fn packages(repo: &Repo, of: &[&str]) -> Outcome<BTreeSet<String>> {
    let mut tree = repo.cargo();
    tree.arg("tree").args(of).args(["--edges", "normal,build", "--prefix", "none"]);
    Ok(names(&process::capture(&mut tree)?))
}

/// Package names in the output of `cargo tree --prefix none`: `name v1.2.3 (…)`.
fn names(tree: &str) -> BTreeSet<String> {
    // Packages of several roots have an empty line between them.
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn refused<'a>(packages: &BTreeSet<String>, banned: &[&'a str]) -> Vec<&'a str> {
    banned.iter().copied().filter(|name| packages.contains(*name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_package_is_found_anywhere_in_the_graph() {
        let packages = names(
            "trine v0.1.0 (broker/trine)\nring v0.17.0\naws-lc-sys v0.30.0\n\nring v0.17.0 (*)\n",
        );
        assert_eq!(refused(&packages, &BANNED_EVERYWHERE), ["aws-lc-sys"]);
        assert!(refused(&packages, &BANNED_IN_PURE).is_empty());
    }

    #[test]
    fn openssl_is_for_kafka_alone() {
        let tree = "openssl-sys v0.9.118\nrdkafka-sys v4.10.0\nnative-tls v0.2.0\n\n";
        assert_eq!(strangers(&names(tree)), ["native-tls"]);
    }
}

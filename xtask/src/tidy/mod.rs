//! Owns the list of tidy rules and how their findings are shown. A rule is a pure function over a `Tree`;
//! each rule group has a file that says what it wants and why.

mod addresses;
mod adr;
mod clock;
mod code;
mod dependencies;
mod layout;
mod metrics;
mod opening;
mod purity;
mod reasons;
mod size;
mod sleeps;
mod tree;
mod unfinished;

pub use tree::{File, Tree};

use crate::failure::{Failure, Outcome};
use crate::repo::Repo;

/// One place that breaks a rule, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub says: String,
    /// A warning is printed and does not fail.
    pub warning: bool,
}

impl Finding {
    pub fn error(path: impl Into<String>, line: usize, says: impl Into<String>) -> Self {
        Self { path: path.into(), line, says: says.into(), warning: false }
    }

    pub fn warning(path: impl Into<String>, line: usize, says: impl Into<String>) -> Self {
        Self { warning: true, ..Self::error(path, line, says) }
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: [(&str, Rule); 12] = [
    ("dependencies", dependencies::check),
    ("opening", opening::check),
    ("size", size::check),
    ("sleeps", sleeps::check),
    ("unfinished", unfinished::check),
    ("purity", purity::check),
    ("clock", clock::check),
    ("addresses", addresses::check),
    ("reasons", reasons::check),
    ("metrics", metrics::check),
    ("layout", layout::check),
    ("adr", adr::check),
];

/// Checks every tracked file against every rule and prints what it finds.
pub fn run(repo: &Repo) -> Outcome {
    let tree = Tree::read(repo)?;
    let mut errors = 0;
    for (name, check) in RULES {
        for finding in check(&tree) {
            let mark = if finding.warning { "warning: " } else { "" };
            println!("{}:{}: {mark}{name}: {}", finding.path, finding.line, finding.says);
            errors += usize::from(!finding.warning);
        }
    }
    match errors {
        0 => Ok(()),
        1 => Err(Failure::new("1 tidy finding")),
        _ => Err(Failure::new(format!("{errors} tidy findings"))),
    }
}

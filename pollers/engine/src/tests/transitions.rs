//! Every line of every transition table ran, and every mark in the code is a line of its table: the
//! picture and the code cannot disagree.

use std::collections::BTreeSet;

use super::{keys, life, queues, streams, windows};
use crate::transition;

const MACHINES: [(&str, &str); 15] = [
    ("checkpoint.rs", include_str!("../checkpoint.rs")),
    ("ending.rs", include_str!("../ending.rs")),
    ("failures.rs", include_str!("../failures.rs")),
    ("flight.rs", include_str!("../flight.rs")),
    ("gate.rs", include_str!("../gate.rs")),
    ("gather.rs", include_str!("../gather.rs")),
    ("lanes.rs", include_str!("../lanes.rs")),
    ("lease.rs", include_str!("../lease.rs")),
    ("ledger.rs", include_str!("../ledger.rs")),
    ("link.rs", include_str!("../link.rs")),
    ("park.rs", include_str!("../park.rs")),
    ("ramp.rs", include_str!("../ramp.rs")),
    ("receive.rs", include_str!("../receive.rs")),
    ("run.rs", include_str!("../run.rs")),
    ("settle.rs", include_str!("../settle.rs")),
];

const WINDOW: (&str, &str) = ("window.rs", include_str!("../window.rs"));

/// The lines `State --input--> State` of the tables, without what a person reads after them.
fn tables() -> BTreeSet<(&'static str, String)> {
    let lines = MACHINES.iter().chain([&WINDOW]).flat_map(|(file, text)| {
        let table = text.lines().filter_map(|line| line.strip_prefix("//! "));
        table.filter(|line| line.contains("-->")).map(move |line| (*file, normal(line)))
    });
    lines.collect()
}

fn normal(line: &str) -> String {
    let (before, after) = line.split_once("-->").unwrap();
    let from = before.split_whitespace().collect::<Vec<_>>().join(" ");
    let to = after.split_whitespace().next().unwrap();
    format!("{from}--> {to}")
}

#[test]
fn the_scripts_run_every_transition_and_no_other() {
    for scripts in [streams::ALL, queues::ALL, keys::ALL, life::ALL, windows::ALL] {
        for (settings, rule, script) in scripts {
            super::script::check(settings(), rule, script);
        }
    }
    let ran: BTreeSet<_> = transition::seen()
        .into_iter()
        .map(|(file, line)| (file.rsplit('/').next().unwrap(), normal(line)))
        .collect();
    let tables = tables();
    let untested: Vec<_> = tables.difference(&ran).collect();
    let undrawn: Vec<_> = ran.difference(&tables).collect();
    assert!(
        untested.is_empty() && undrawn.is_empty(),
        "no script: {untested:#?}; no line: {undrawn:#?}"
    );
}

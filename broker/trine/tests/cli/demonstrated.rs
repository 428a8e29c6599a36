//! `trine demo`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{command, trine};

#[test]
fn every_promise_is_kept() {
    let outcome = trine(&["--output", "json", "demo"]).ok().json();
    assert_eq!(outcome["kept"], true, "{outcome}");
    let facts = outcome["facts"].as_array().expect("a list");
    let seen = |what: &str| {
        let fact = facts.iter().find(|fact| fact["what"] == what);
        fact.unwrap_or_else(|| panic!("{what} is missing"))["seen"].clone()
    };
    assert_eq!(seen("synchronous: answer"), "\"Hello, Ada!\"");
    assert_eq!(seen("async success: attempts"), "1");
    assert_eq!(seen("async failure: attempts counted"), "3");
    assert_eq!(seen("async failure: condition"), "RetriesExhausted");
    assert_eq!(seen("polling: lines that reached the function"), "250");
    assert!(outcome["figures"].as_array().is_some_and(|figures| figures.len() >= 10), "{outcome}");
}

#[test]
fn it_reads_well_in_a_log_and_leaves_its_files_where_it_was_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().to_str().expect("UTF-8");
    // Twice: the second one finds the functions of the first.
    for _ in 0..2 {
        let run = trine(&["demo", "--data-dir", path]).ok();
        assert!(!run.stdout.contains('\u{1b}'), "{}", run.stdout);
        assert!(run.stdout.contains("promises kept"), "{}", run.stdout);
        assert!(!run.stdout.contains("BROKEN"), "{}", run.stdout);
        assert!(run.stdout.contains("RetriesExhausted"), "{}", run.stdout);
    }
    let records = std::fs::read_to_string(dir.path().join("destinations/failed-charges.jsonl"));
    assert_eq!(records.map(|records| records.lines().count()).ok(), Some(2));
}

#[test]
fn it_stays_on_request_and_leaves_nothing_behind() {
    let mut demo = command(&["--output", "json", "demo", "--keep"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    let stdout = demo.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let outcome: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let text = |key: &str| outcome[key].as_str().expect("a text").to_owned();
    assert!(Path::new(&text("data_dir")).exists());
    let run = trine(&["--broker", &text("broker"), "invoke", "greet", "{\"name\":\"you\"}"]).ok();
    assert_eq!(run.stdout, "\"Hello, you!\"\n");
    let sent = Command::new("kill").args(["-s", "TERM", &demo.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    assert_eq!(demo.wait().expect("it ends").code(), Some(0));
    assert!(!Path::new(&text("data_dir")).exists());
}

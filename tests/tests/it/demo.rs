//! `trine demo`: exits 0, and its JSON states what the first page of the README promises.

use std::process::Command;

use serde_json::Value;
use trine_tests::fixture::broker::program;

#[test]
fn the_demo_shows_all_three_models() {
    let output = Command::new(program()).args(["--output", "json", "demo"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{said}", output.status);
    let shown: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(shown["kept"], true, "{shown:#}");
    let facts = shown["facts"].as_array().unwrap();
    let fact = |what: &str| {
        let found = facts.iter().find(|fact| fact["what"] == what);
        found.unwrap_or_else(|| panic!("{what} is not in {shown:#}"))["seen"].clone()
    };
    assert_eq!(fact("async failure: attempts counted"), "3");
    assert_eq!(fact("async failure: condition"), "RetriesExhausted");
    for model in ["synchronous: ", "async success: ", "polling: "] {
        let of_it =
            |fact: &&Value| fact["what"].as_str().is_some_and(|what| what.starts_with(model));
        assert!(facts.iter().any(|fact| of_it(&fact)), "nothing about {model}in {shown:#}");
    }
    assert!(shown["figures"].as_array().is_some_and(|figures| !figures.is_empty()), "{shown:#}");
}

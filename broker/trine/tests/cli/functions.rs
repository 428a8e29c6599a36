//! `trine function`.

use crate::program::Served;

#[test]
fn a_function_is_created_described_changed_and_deleted() {
    let served = Served::start();
    let created = served
        .json("function create thumb --timeout 10s --max-retries 1 --on-failure file:failed.jsonl");
    assert_eq!(created["name"], "thumb");
    assert_eq!(
        created["settings"],
        serde_json::json!({"timeout_seconds": 10, "max_retries": 1, "on_failure": "file:failed.jsonl"})
    );

    let described = served.trine("function describe thumb").ok().stdout;
    assert!(described.contains("trine:function:thumb"), "{described}");
    let from = |name: &str| {
        let line = described.lines().find(|line| line.trim_start().starts_with(name));
        line.and_then(|line| line.split_whitespace().last()).map(str::to_owned)
    };
    assert_eq!(from("timeout").as_deref(), Some("function"), "{described}");
    assert_eq!(from("memory").as_deref(), Some("default"), "{described}");

    let line = "function update thumb --memory 256 --on-failure none --clear max-retries";
    let updated = served.json(line);
    let settings = serde_json::json!({"timeout_seconds": 10, "memory_mb": 256});
    assert_eq!(updated["settings"], settings);
    assert_eq!(served.json("function describe thumb")["settings"], settings);

    assert_eq!(served.json("function delete thumb")["deleted"], "thumb");
    assert_eq!(served.refused("function describe thumb", 66)["reason"], "UNKNOWN_FUNCTION");
}

#[test]
fn functions_are_listed_by_name() {
    let served = Served::start();
    assert!(served.trine("function list").ok().stdout.contains("no functions"));
    for name in ["b", "a", "c"] {
        served.json(&format!("function create {name}"));
    }
    let listed = served.json("function list");
    let names: Vec<&str> = listed["functions"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|function| function["name"].as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    let human = served.trine("function list").ok().stdout;
    assert_eq!(human.lines().count(), 4, "{human}");
    assert!(human.starts_with("NAME"), "{human}");
}

#[test]
fn refusals_have_reason_exit_code_and_advice() {
    let served = Served::start();
    served.json("function create f");
    let exists = served.refused("function create f", 73);
    assert_eq!(exists["reason"], "FUNCTION_EXISTS");
    assert_eq!(exists["retryable"], false);
    let wrong = served.refused("function create g --timeout 901s", 65);
    assert_eq!(wrong["reason"], "INVALID_ARGUMENT");
    let wrong = served.refused("function create f.g", 65);
    assert_eq!(wrong["reason"], "INVALID_ARGUMENT");
    let run = served.trine("function describe g");
    assert_eq!(run.exit, 66);
    assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    assert!(run.stderr.contains("UNKNOWN_FUNCTION, not retryable"), "{}", run.stderr);
    assert!(run.stderr.contains("trine function create"), "{}", run.stderr);
}

#[test]
fn a_busy_function_is_deleted_by_force_only() {
    let served = Served::start();
    served.json("function create f");
    served.json("invoke f 1 --event");
    let busy = served.refused("function delete f", 75);
    assert_eq!(busy["reason"], "FUNCTION_BUSY");
    assert_eq!(served.json("function delete f --force")["deleted"], "f");
}

//! `trine invoke`.

use crate::program::{Served, Serving};

fn served() -> (Served, Serving) {
    let served = Served::start();
    served.json("function create echo");
    served.json("function create fail --max-retries 0");
    let serving = Serving::start(&served);
    (served, serving)
}

#[test]
fn a_synchronous_answer_is_all_there_is_on_stdout() {
    let (served, _worker) = served();
    let run = served.run(&["invoke", "echo", "{\"a\": [1, 2]}"]).ok();
    assert_eq!(run.stdout, "{\"a\":[1,2]}\n");
    assert_eq!(run.stderr, "");
    let answer = served.json("invoke echo [1]");
    assert_eq!(answer["payload"], serde_json::json!([1]));
    assert_eq!(answer["executed_version"], "$LATEST");
    assert_eq!(answer["function_error"], serde_json::Value::Null);
}

#[test]
fn payloads_come_from_arguments_files_and_stdin() {
    let (served, _worker) = served();
    assert_eq!(served.trine("invoke echo").ok().stdout, "{}\n");
    assert_eq!(served.trine("invoke echo -17").ok().stdout, "-17\n");
    assert_eq!(served.run_with_stdin(&["invoke", "echo", "-"], "\"in\"").ok().stdout, "\"in\"\n");
    let path = served.path("payload.json");
    std::fs::write(&path, "\"file\"").expect("written");
    let path = path.to_str().expect("UTF-8");
    assert_eq!(served.run(&["invoke", "echo", "--file", path]).ok().stdout, "\"file\"\n");
}

#[test]
fn a_function_error_is_an_answer_with_exit_1() {
    let (served, _worker) = served();
    let run = served.trine("invoke fail 1");
    assert_eq!(run.exit, 1, "{run:?}");
    let error: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(error["errorType"], "Broken");
    assert!(run.stderr.contains("the function failed"), "{run:?}");
    let run = served.run(&["--output", "json", "invoke", "fail", "1"]);
    assert_eq!(run.exit, 1, "{run:?}");
    assert_eq!(run.json()["function_error"], "Unhandled");
}

#[test]
fn the_log_is_shown_on_request() {
    let (served, _worker) = served();
    let run = served.trine("invoke echo 5 --log").ok();
    assert_eq!(run.stdout, "5\n");
    assert!(run.stderr.contains("echo of 5"), "{run:?}");
}

#[test]
fn a_dry_run_checks_and_does_nothing() {
    let (served, _worker) = served();
    assert_eq!(served.json("invoke echo 1 --dry-run")["dry_run"], true);
    assert_eq!(served.refused("invoke ghost 1 --dry-run", 66)["reason"], "UNKNOWN_FUNCTION");
    assert_eq!(served.refused("invoke echo 1 --qualifier 7", 66)["reason"], "UNKNOWN_QUALIFIER");
}

#[test]
fn an_event_is_acknowledged_with_its_id() {
    let (served, _worker) = served();
    let run = served.trine("invoke echo 1 --event").ok();
    let id = run.stdout.trim();
    assert_eq!(id.len(), 36, "{run:?}");
    assert!(run.stderr.contains("on the broker's disk, synced"), "{run:?}");
    let accepted = served.json("invoke echo 1 --event --idempotency-key k");
    let again = served.json("invoke echo 1 --event --idempotency-key k");
    assert_eq!(
        (&again["request_id"], &again["duplicate"]),
        (&accepted["request_id"], &true.into())
    );
    let other = served.refused("invoke echo 2 --event --idempotency-key k", 73);
    assert_eq!(other["reason"], "IDEMPOTENCY_MISMATCH");
}

#[test]
fn wait_prints_how_an_event_ended() {
    let (served, _worker) = served();
    let run = served.trine("invoke echo 7 --event --wait").ok();
    assert_eq!(run.stdout, "7\n");
    let run = served.trine("invoke fail 7 --event --wait");
    assert_eq!(run.exit, 1, "{run:?}");
    assert!(run.stdout.contains("\"errorType\":\"Broken\""), "{run:?}");
    assert!(run.stderr.contains("dead: RetriesExhausted after 1 attempt"), "{run:?}");
    let ended = served.json("invoke echo 7 --event --wait");
    assert_eq!((&ended["state"], &ended["response"]), (&"succeeded".into(), &7.into()));
}

#[test]
fn a_deadline_ends_the_waiting_and_not_the_event() {
    let served = Served::start();
    served.json("function create echo");
    let failure = served.refused("invoke echo 1 --event --wait --deadline 50ms", 75);
    assert_eq!(failure["reason"], "DEADLINE_EXPIRED");
    let message = failure["message"].as_str().expect("a sentence");
    assert!(message.contains("trine invocation why"), "{message}");
    let listed = served.json("invocation list --function echo");
    assert_eq!(listed["invocations"][0]["state"], "ready");
}

#[test]
fn without_a_worker_a_call_is_refused_and_an_event_warned_about() {
    let served = Served::start();
    served.json("function create echo");
    let failure = served.refused("invoke echo 1", 75);
    assert_eq!(failure["reason"], "NO_WORKER");
    assert_eq!(failure["retryable"], true);
    let accepted = served.json("invoke echo 1 --event");
    assert_eq!(accepted["warnings"].as_array().map(Vec::len), Some(1), "{accepted}");
    let run = served.trine("invoke echo 1 --event").ok();
    assert!(run.stderr.contains("warning:"), "{run:?}");
}

#[test]
fn a_delay_is_counted_on_the_clock_of_the_broker() {
    let (served, _worker) = served();
    served.json("broker advance 5h");
    let accepted = served.json("invoke echo 1 --event --delay 10m");
    let id = accepted["request_id"].as_str().expect("an id");
    let why = served.json(&format!("invocation why {id}"));
    assert_eq!(why["blocker"], "not_before");
    let now_ms = served.json("broker show")["now_ms"].as_i64().expect("a time");
    assert_eq!(why["until_ms"].as_i64().map(|until_ms| until_ms - now_ms), Some(600_000));
    served.json("broker advance 10m");
    served.json(&format!("invocation show {id}"));
    let ended = served.until_ended(id);
    assert_eq!(ended["state"], "succeeded");
}

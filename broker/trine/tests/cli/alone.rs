//! What the binary does without a broker.

use std::net::TcpListener;

use crate::program::{command, trine};

/// An address at which nobody listens: bound for a moment, then given back.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[test]
fn help_names_every_command_and_exit_code() {
    let run = trine(&["--help"]);
    assert_eq!(run.exit, 0);
    for word in
        ["serve", "demo", "function", "invoke", "invocation", "broker", "bench", "completions"]
    {
        assert!(run.stdout.contains(&format!("\n  {word} ")), "{word}: {}", run.stdout);
    }
    for code in [0, 1, 2, 64, 65, 66, 69, 70, 73, 74, 75, 76, 77, 130] {
        assert!(run.stdout.contains(&format!("\n  {code:>3}  ")), "{code}: {}", run.stdout);
    }
    assert!(!run.stdout.contains('\u{1b}'), "colour in a pipe");
}

#[test]
fn every_command_has_help() {
    for line in [
        "serve",
        "demo",
        "function create",
        "function list",
        "function describe",
        "function update",
        "function delete",
        "invoke",
        "invocation list",
        "invocation show",
        "invocation cancel",
        "invocation redrive",
        "invocation why",
        "broker show",
        "broker advance",
        "bench",
        "completions",
    ] {
        let arguments: Vec<&str> = line.split(' ').chain(["--help"]).collect();
        let run = trine(&arguments);
        assert_eq!(run.exit, 0, "{line}: {}", run.stderr);
        assert!(run.stdout.contains("--broker <URL>"), "{line}: {}", run.stdout);
    }
}

#[test]
fn usage_errors_end_with_2_and_say_what_was_expected() {
    for (line, part) in [
        ("fly", "unrecognized subcommand"),
        ("invoke", "<FUNCTION>"),
        ("invoke f {} --file x.json", "cannot be used with"),
        ("invoke f --wait", "--event"),
        ("invoke f --event --dry-run", "cannot be used with"),
        ("invoke f --deadline 5", "500ms, 3s, 5m, 1h"),
        ("function update f", "nothing to change"),
        ("invocation redrive", "--all"),
        ("invocation redrive 0190 --all", "cannot be used with"),
        ("function create f --on-failure queue:x", "function:NAME"),
        ("--broker localhost:7400 function list", "http://HOST:PORT"),
        ("bench --function f --count 0", "--count"),
        ("bench --function f --payload-bytes 1", "2 to"),
        ("bench --function f --connections 4 --in-flight 2", "nothing to do"),
    ] {
        let run = trine(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(run.exit, 2, "{line}: {run:?}");
        assert!(run.stderr.contains(part), "{line}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{line}: {}", run.stdout);
    }
}

#[test]
fn a_payload_is_checked_before_a_broker_is_asked() {
    let broker = nobody();
    let run = trine(&["--broker", &broker, "invoke", "f", "{\"a\":}"]);
    assert_eq!(run.exit, 65, "{run:?}");
    assert!(run.stderr.contains("is not JSON"), "{}", run.stderr);
    assert!(run.stderr.contains("line 1 column 6"), "{}", run.stderr);
    let run = trine(&["--broker", &broker, "invoke", "f", "--file", "no/such/file.json"]);
    assert_eq!(run.exit, 66, "{run:?}");
    assert!(run.stderr.contains("no/such/file.json"), "{}", run.stderr);
}

#[test]
fn without_a_broker_every_command_ends_with_69() {
    let broker = nobody();
    for line in
        ["function list", "invoke f", "invocation why 0190", "broker show", "bench --function f"]
    {
        let arguments: Vec<&str> =
            ["--broker", &broker].into_iter().chain(line.split(' ')).collect();
        let run = trine(&arguments);
        assert_eq!(run.exit, 69, "{line}: {run:?}");
        assert!(run.stderr.contains(&broker), "{line}: {}", run.stderr);
        assert!(run.stderr.contains("trine serve"), "{line}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{line}: {}", run.stdout);
    }
}

#[test]
fn failures_are_json_for_programs() {
    let broker = nobody();
    let run = trine(&["--broker", &broker, "--output", "json", "function", "list"]);
    assert_eq!(run.exit, 69);
    let failure: serde_json::Value = serde_json::from_str(&run.stderr).expect("JSON");
    assert_eq!(failure["reason"], "UNREACHABLE");
    assert_eq!(failure["retryable"], true);
    assert_eq!(failure["exit"], 69);
}

#[test]
fn the_broker_comes_from_the_environment_and_the_flag_wins() {
    let (first, second) = ("http://127.0.0.1:1", "http://127.0.0.1:2");
    let run = |arguments: &[&str]| {
        let output = command(arguments).env("TRINE_BROKER", first).output().expect("it runs");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert!(run(&["function", "list"]).contains(first));
    assert!(run(&["function", "list", "--broker", second]).contains(second));
}

#[test]
fn colour_is_a_choice() {
    let broker = nobody();
    let run = trine(&["--broker", &broker, "--color", "always", "function", "list"]);
    assert!(run.stderr.contains("\u{1b}["), "{}", run.stderr);
    let run = trine(&["--broker", &broker, "function", "list"]);
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = trine(&["completions", shell]);
        assert_eq!(run.exit, 0, "{shell}");
        assert!(run.stdout.contains("redrive"), "{shell}");
    }
}

//! The contract without our code: a client and a worker in Python, from the published .proto files alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use trine_proto::v1::Reason;
use trine_tests::fixture::broker::Broker;
use trine_tests::fixture::process::Process;
use trine_tests::fixture::run;
use trine_tests::fixture::tools::skip;

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// Only an interpreter that was made for this will do: any other one has no grpcio.
fn python(test: &str) -> Option<PathBuf> {
    let named = std::env::var_os("TRINE_PYTHON").map(PathBuf::from);
    if named.is_none() {
        skip(test, "TRINE_PYTHON is not set");
    }
    named
}

/// Generates the Python code of the contract into `out`, as any user would.
fn generate(python: &Path, out: &Path) {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let mut command = Command::new(python);
    command.args(["-m", "grpc_tools.protoc"]);
    command.arg(format!("-I{}", contract.display()));
    for kind in ["python_out", "grpc_python_out"] {
        command.arg(format!("--{kind}={}", out.display()));
    }
    for file in ["reason", "function", "invocation", "worker", "admin"] {
        command.arg(format!("trine/v1/{file}.proto"));
    }
    succeeded(command.output().unwrap());
}

fn succeeded(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_client_and_a_worker_in_python_need_nothing_but_the_contract() {
    run(async {
        let test = "a_client_and_a_worker_in_python_need_nothing_but_the_contract";
        let Some(python) = python(test) else { return };
        let broker = Broker::start().await;
        let generated = broker.folder().join("generated");
        std::fs::create_dir(&generated).unwrap();
        generate(&python, &generated);
        let address = broker.address().to_string();
        let script = move |name: &str| {
            let mut command = Command::new(&python);
            command.env("PYTHONPATH", &generated).env("PYTHONDONTWRITEBYTECODE", "1");
            command.arg(scripts().join(name)).arg(&address);
            command
        };
        let mut worker = Process::spawn(script("worker.py").arg("4"), "worker.py", broker.folder());
        assert_eq!(worker.line().await.as_deref(), Some("connected"));
        let client = tokio::task::spawn_blocking(move || script("client.py").output().unwrap());
        let seen: Value = serde_json::from_str(&succeeded(client.await.unwrap())).unwrap();
        check(&seen);
        drop(worker);
        let metrics = broker.metrics().await;
        assert_eq!(metrics.of("trine_async_events_received_total", "py-hello"), 1.0);
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
    });
}

fn check(seen: &Value) {
    assert_eq!(seen["arn"], "trine:function:py-hello");
    assert_eq!(seen["defaults"]["timeout_seconds"], "3");
    assert_eq!(seen["call"]["payload"], json!({"hello": "Ada", "from": "python"}));
    assert_eq!(seen["call"]["executed_version"], "$LATEST");
    assert_eq!(seen["call"]["function_error"], "");
    assert_eq!(seen["failure"]["function_error"], "Unhandled");
    assert_eq!(seen["failure"]["payload"]["errorType"], "ValueError");
    assert_eq!(
        seen["event"],
        json!({
            "durability": "DURABILITY_LOCAL_DISK",
            "state": "INVOCATION_STATE_SUCCEEDED",
            "attempts": 1,
            "response": {"hello": "Bob", "from": "python"},
        })
    );
    let unknown = Reason::UnknownFunction as i32;
    assert_eq!(seen["stream"], json!({"7": "a", "9": "b", "8": unknown}));
    for (what, code, reason) in [
        ("unknown", "NOT_FOUND", "UNKNOWN_FUNCTION"),
        ("malformed", "INVALID_ARGUMENT", "MALFORMED_PAYLOAD"),
    ] {
        let refused = &seen[what];
        assert_eq!((&refused["code"], &refused["reason"]), (&json!(code), &json!(reason)));
        assert_eq!(refused["details"], true, "google.rpc.ErrorInfo comes along");
        assert!(!refused["message"].as_str().unwrap().is_empty());
    }
}

//! The contract without our code: a client, a worker and a poller in Python, from the published .proto files alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{
    CustomSource, FunctionSettings, MappingMode, MappingSettings, MappingState, Reason,
    SetMappingModeRequest,
};
use trine_tests::fixture::broker::Broker;
use trine_tests::fixture::process::Process;
use trine_tests::fixture::tools::skip;
use trine_tests::fixture::wait::{soon, until};
use trine_tests::fixture::{LIMIT, run};
use trine_tests::sources::{FUNCTION, Witness};

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
    for file in ["reason", "function", "invocation", "worker", "admin", "mapping", "poller"] {
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

/// The example of a poller for a source that Trine does not know.
fn outbox() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pollers/sources/examples/outbox/poller.py")
}

const ROWS: u64 = 1_000;
const ROWS_OF_A_BATCH: u32 = 20;

/// Rows as a service adds them, few at a time, each time in a transaction of its own.
fn add_rows(table: &rusqlite::Connection, witness: &Witness, count: u64) {
    let rows: Vec<_> = (0..count).map(|_| witness.ledger().offer(0)).collect();
    table.execute_batch("BEGIN").unwrap();
    for row in &rows {
        table.execute("INSERT INTO outbox (payload) VALUES (?1)", [row.text()]).unwrap();
    }
    table.execute_batch("COMMIT").unwrap();
    rows.into_iter().for_each(|row| witness.ledger().produced(row));
}

fn mapping_of(path: &Path) -> (Source, MappingSettings) {
    let configuration = json!({"path": path, "table": "outbox"}).to_string();
    let source = CustomSource { kind: "sqlite-outbox".to_owned(), configuration };
    let settings =
        MappingSettings { batch_size: Some(ROWS_OF_A_BATCH), ..MappingSettings::default() };
    (Source::Custom(source), settings)
}

#[test]
fn a_poller_in_python_reads_a_table_and_goes_on_after_it_was_killed() {
    run(async {
        let test = "a_poller_in_python_reads_a_table_and_goes_on_after_it_was_killed";
        let Some(python) = python(test) else { return };
        let broker = Broker::start().await;
        let generated = broker.folder().join("generated");
        std::fs::create_dir(&generated).unwrap();
        generate(&python, &generated);
        let address = broker.address().to_string();
        let folder = broker.folder().to_owned();
        let start = |name: &str| {
            let mut command = Command::new(&python);
            command.env("PYTHONPATH", &generated).env("PYTHONDONTWRITEBYTECODE", "1");
            Process::spawn(command.arg(outbox()).args([&address, name]), name, &folder)
        };
        let path = broker.folder().join("orders.db");
        let table = rusqlite::Connection::open(&path).unwrap();
        table
            .execute_batch(
                "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT)",
            )
            .unwrap();
        let client = broker.client();
        client.create(FUNCTION, FunctionSettings::default()).await;
        let witness = Witness::new(1);
        let _worker = witness.serve(&broker.url());
        let (source, settings) = mapping_of(&path);
        let mapping = client.create_mapping(FUNCTION, source, settings).await.id;

        let mut poller = start("first");
        assert_eq!(poller.line().await.as_deref(), Some("connected"));
        let mut seen = witness.progress();
        add_rows(&table, &witness, ROWS / 2);
        soon("half of what is there", seen.wait_for(|seen| *seen >= ROWS / 4)).await.unwrap();
        poller.kill();
        let mut poller = start("second");
        assert_eq!(poller.line().await.as_deref(), Some("connected"));
        for _ in 0..ROWS / 2 / 10 {
            add_rows(&table, &witness, 10);
        }
        soon("all rows", seen.wait_for(|seen| *seen == ROWS)).await.unwrap();

        let ledger = witness.ledger().clone();
        assert_eq!((ledger.lost(), ledger.disordered(), ledger.strange()), (0, 0, 0));
        assert!(ledger.duplicates() <= ROWS_OF_A_BATCH.into(), "{}", ledger.duplicates());
        assert_eq!(client.mapping(&mapping).await.activity.unwrap().poller, "second");

        // Taken back: it lets go by itself, in time.
        let mode = MappingMode::Disabled.into();
        let request = SetMappingModeRequest { id: mapping.clone(), mode };
        client.mappings().set_mapping_mode(request).await.unwrap();
        until("a disabled mapping", LIMIT, async || {
            client.mapping(&mapping).await.state() == MappingState::Disabled
        })
        .await;
        let metrics = broker.metrics().await;
        assert_eq!(metrics.value("trine_mapping_leases_overdue_total"), 0.0);
    });
}

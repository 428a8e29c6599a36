//! Runs the real binary, and beside it brokers and workers for it to talk to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use trine_worker::{Context, Error, Worker};

/// Longer than anything takes on a machine that has a lot else to do.
const SOON: Duration = Duration::from_secs(60);

/// What one run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            exit: output.status.code().expect("an exit code, not a signal"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// The only line of stdout, as JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one line expected: {self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The failure on stderr, as JSON.
    pub(crate) fn failure(&self) -> Value {
        serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Itself, if it ended well.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.exit, 0, "{self:?}");
        self
    }
}

/// The binary with an environment that holds nothing of the tester's.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trine"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn trine(arguments: &[&str]) -> Run {
    Run::of(command(arguments).output().expect("the binary runs"))
}

/// A running `trine serve`; killed if a test leaves it behind.
#[derive(Debug)]
pub(crate) struct Served {
    /// Both are taken by `end`.
    child: Option<Child>,
    dir: Option<TempDir>,
    stdout: BufReader<ChildStdout>,
    /// The line that was printed when it was ready.
    pub(crate) ready: Value,
    pub(crate) url: String,
}

impl Served {
    /// With virtual time and an empty embedded store.
    pub(crate) fn start() -> Self {
        Self::with(&["--virtual-time"], "")
    }

    /// With these arguments and this configuration file, in which DIR stands for the test's folder.
    pub(crate) fn with(arguments: &[&str], file: &str) -> Self {
        Self::on(tempfile::tempdir().expect("a folder"), arguments, file)
    }

    /// The same on a folder that may have been another one's before.
    pub(crate) fn on(dir: TempDir, arguments: &[&str], file: &str) -> Self {
        let path = dir.path().join("trine.toml");
        let folder = dir.path().to_str().expect("UTF-8");
        std::fs::write(&path, file.replace("DIR", folder)).expect("written");
        let data = dir.path().join("data");
        let mut child = command(&["serve", "--output", "json", "--listen", "127.0.0.1:0"])
            .arg("--config")
            .arg(path)
            .arg("--data-dir")
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let ready: Value = serde_json::from_str(&line).expect("the ready line is JSON");
        let url = ready["listening"].as_str().expect("an address").to_owned();
        Self { child: Some(child), stdout, ready, url, dir: Some(dir) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.as_ref().expect("not ended").path().join(name)
    }

    /// Runs a command against it. Words are split at blanks, so a payload here has none.
    pub(crate) fn trine(&self, line: &str) -> Run {
        self.run(&line.split(' ').collect::<Vec<_>>())
    }

    /// The same with `--output json`.
    pub(crate) fn json(&self, line: &str) -> Value {
        let arguments: Vec<&str> =
            ["--output", "json"].into_iter().chain(line.split(' ')).collect();
        self.run(&arguments).ok().json()
    }

    /// The failure of a command that must fail with this exit code.
    pub(crate) fn refused(&self, line: &str, exit: i32) -> Value {
        let arguments: Vec<&str> =
            ["--output", "json"].into_iter().chain(line.split(' ')).collect();
        let run = self.run(&arguments);
        assert_eq!(run.exit, exit, "{line}: {run:?}");
        assert!(run.stdout.is_empty(), "{line}: {run:?}");
        run.failure()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let output = command(arguments).env("TRINE_BROKER", &self.url).output();
        Run::of(output.expect("the binary runs"))
    }

    /// The same with something on stdin.
    pub(crate) fn run_with_stdin(&self, arguments: &[&str], stdin: &str) -> Run {
        let mut child = command(arguments)
            .env("TRINE_BROKER", &self.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut pipe = child.stdin.take().expect("piped");
        pipe.write_all(stdin.as_bytes()).expect("written");
        drop(pipe);
        Run::of(child.wait_with_output().expect("it ends"))
    }

    /// Asks for an invocation until it is as wanted.
    pub(crate) fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let line = format!("invocation show {id}");
        self.soon(|| Some(self.json(&line)).filter(|shown| wanted(shown)), &line)
    }

    pub(crate) fn until_ended(&self, id: &str) -> Value {
        let ended = ["succeeded", "dead", "cancelled"];
        self.until(id, |shown| ended.iter().any(|state| shown["state"] == *state))
    }

    /// Reads the metrics until they have this line.
    pub(crate) fn until_metric(&self, line: &str) {
        self.soon(|| self.metrics().lines().any(|found| found == line).then_some(()), line);
    }

    fn metrics(&self) -> String {
        let address = self.url.strip_prefix("http://").expect("http");
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("written");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("UTF-8");
        page
    }

    /// Asks over and over; every question is a round trip, so this does not spin.
    pub(crate) fn soon<T>(&self, ask: impl Fn() -> Option<T>, what: &str) -> T {
        let started = Instant::now();
        while started.elapsed() < SOON {
            if let Some(answer) = ask() {
                return answer;
            }
        }
        panic!("not within {SOON:?}: {what}");
    }

    /// Starts a command against it.
    pub(crate) fn spawn(&self, line: &str) -> Child {
        command(&line.split(' ').collect::<Vec<_>>())
            .env("TRINE_BROKER", &self.url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs")
    }

    /// Sends a signal and waits until it has been heard: a draining broker takes no connections.
    pub(crate) fn drain(&self) {
        self.signal("TERM");
        let address = self.url.strip_prefix("http://").expect("http");
        let refused = || TcpStream::connect(address).err().map(drop);
        self.soon(refused, "no connection is taken");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("not ended").id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// Sends a signal, waits for the end, and returns the exit code, what else was printed, and the
    /// folder.
    pub(crate) fn end(self, signal: &str) -> (Option<i32>, String, TempDir) {
        self.signal(signal);
        self.ended()
    }

    /// Waits for the end.
    pub(crate) fn ended(mut self) -> (Option<i32>, String, TempDir) {
        let mut child = self.child.take().expect("not ended");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("UTF-8");
        let exit = child.wait().expect("it ends").code();
        (exit, rest, self.dir.take().expect("not ended"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail if it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A worker of the SDK in the test's process. It serves `echo`, which answers with its payload,
/// `fail`, which always fails, and `gate`, which waits until the test opens the gate.
#[derive(Debug)]
pub(crate) struct Serving {
    runtime: Runtime,
    gate: Arc<watch::Sender<Gate>>,
}

/// Who stands before the gate.
#[derive(Debug, Default)]
struct Gate {
    entered: u32,
    open: bool,
}

impl Serving {
    pub(crate) fn start(served: &Served) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let gate = Arc::new(watch::Sender::new(Gate::default()));
        let before = gate.clone();
        let worker = Worker::connect(served.url.as_str())
            .function("echo", |payload: Value, context: Context| async move {
                context.log(format!("echo of {payload}"));
                Ok::<_, Error>(payload)
            })
            .function("fail", |_: Value, _: Context| async move {
                Err::<(), _>(Error::new("Broken", "it always fails"))
            })
            .function("gate", move |payload: Value, _: Context| {
                before.send_modify(|gate| gate.entered += 1);
                let mut gate = before.subscribe();
                async move {
                    gate.wait_for(|gate| gate.open).await.expect("the test holds the gate");
                    Ok::<_, Error>(payload)
                }
            })
            .name("test")
            .slots(16);
        let mut connected = worker.connected();
        runtime.spawn(worker.run_until(std::future::pending()));
        runtime
            .block_on(connected.wait_for(|sessions| *sessions > 0))
            .expect("the worker connects");
        Self { runtime, gate }
    }

    /// Waits until somebody stands before the gate.
    pub(crate) fn entered(&self) {
        let mut gate = self.gate.subscribe();
        self.runtime.block_on(gate.wait_for(|gate| gate.entered > 0)).expect("the gate is held");
    }

    pub(crate) fn open(&self) {
        self.gate.send_modify(|gate| gate.open = true);
    }
}

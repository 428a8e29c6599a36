//! A NATS server of the test's own, on a free port of loopback, in a folder of its own.

use std::process::Stdio;

use async_nats::ConnectOptions;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::skip::skip;

/// Ends with the value.
#[derive(Debug)]
pub(crate) struct NatsServer {
    pub(crate) port: u16,
    child: Child,
    folder: TempDir,
}

impl NatsServer {
    /// Starts the server that `TRINE_NATS_SERVER` names, with JetStream and `more` configuration,
    /// and waits until it says that it is ready. `None`, and a word about it, if there is none.
    pub(crate) async fn start(test: &str, more: &str) -> Option<Self> {
        let Some(program) = std::env::var_os("TRINE_NATS_SERVER") else {
            skip(test, "TRINE_NATS_SERVER names no nats-server");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let (port, child) = run(&program, &folder, -1, more).await;
        Some(Self { port, child, folder })
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A client of the test's own.
    pub(crate) async fn client(&self) -> async_nats::Client {
        self.client_of(ConnectOptions::new()).await
    }

    pub(crate) async fn client_of(&self, options: ConnectOptions) -> async_nats::Client {
        options.connect(self.url()).await.unwrap()
    }

    /// Ends the server.
    pub(crate) async fn stop(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again, on the same port.
    pub(crate) async fn restart(&mut self) {
        let program = std::env::var_os("TRINE_NATS_SERVER").unwrap();
        (_, self.child) = run(&program, &self.folder, i32::from(self.port), "").await;
    }
}

async fn run(program: &std::ffi::OsStr, folder: &TempDir, port: i32, more: &str) -> (u16, Child) {
    let config = folder.path().join("nats.conf");
    let store = folder.path().join("jetstream");
    let text =
        format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?} }}\n{more}\n");
    std::fs::write(&config, text).unwrap();
    let mut child = Command::new(program)
        .arg("-c")
        .arg(&config)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut port = None;
    loop {
        let line =
            log.next_line().await.unwrap().expect("the NATS server ended before it was ready");
        if let Some((_, address)) = line.split_once("Listening for client connections on ") {
            port = address.trim().rsplit(':').next().unwrap().parse().ok();
        }
        if line.contains("Server is ready") {
            break;
        }
    }
    // Its log goes on and nobody reads it.
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    (port.unwrap(), child)
}

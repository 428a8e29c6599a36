//! A NATS server of one test: on a free loopback port, in a folder of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::by_hand::until;
use crate::skip;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    program: PathBuf,
    more: String,
    folder: TempDir,
    process: Child,
}

impl Server {
    /// `None` if the program is not there.
    pub(super) async fn start() -> Option<Self> {
        Self::of("TRINE_NATS_SERVER", "").await
    }

    /// The program that the variable names, with more in its configuration.
    pub(super) async fn of(variable: &str, more: &str) -> Option<Self> {
        let program = PathBuf::from(skip::server(variable)?);
        let folder = tempfile::tempdir().expect("a folder");
        let more = format!("max_payload: 8MB\n{more}");
        let (process, address) = launch(&program, folder.path(), None, &more).await;
        Some(Self { address, program, more, folder, process })
    }

    pub(super) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// As a crash would: what the program has not handed to the system is lost.
    pub(super) fn kill(&mut self) {
        self.process.kill().expect("our own child");
        self.process.wait().expect("our own child");
    }

    /// Starts it again at the same address with what it had written.
    pub(super) async fn restart(&mut self) {
        let address = Some(self.address);
        (self.process, _) = launch(&self.program, self.folder.path(), address, &self.more).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn launch(
    program: &Path,
    folder: &Path,
    address: Option<SocketAddr>,
    more: &str,
) -> (Child, SocketAddr) {
    let path = |name: &str| Value::from(folder.join(name).to_string_lossy()).to_string();
    // Without an address the server picks the port and writes it down: picking one for it could be too late.
    let listen = address.map_or_else(|| "127.0.0.1:-1".to_owned(), |known| known.to_string());
    let config = format!(
        "listen: \"{listen}\"\nports_file_dir: {}\njetstream {{ store_dir: {} }}\n{more}",
        path(""),
        path("data"),
    );
    let file = folder.join("nats.conf");
    fs::write(&file, config).expect("the configuration can be written");
    let mut command = Command::new(program);
    command.arg("--config").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let process = command.spawn().expect("the server starts");
    let name = program.file_name().expect("a program").to_string_lossy();
    let ports = folder.join(format!("{name}_{}.ports", process.id()));
    let mut found = None;
    until("the NATS server", async || {
        // The file may be seen half written: then it is not JSON yet.
        let Some(at) = announced(&ports) else { return false };
        found = Some(at);
        TcpStream::connect(at).await.is_ok()
    })
    .await;
    (process, found.expect("it has said where it listens"))
}

/// The client address in the server's ports file: `{"nats":["nats://127.0.0.1:41234"]}`; with TLS the scheme is `tls`.
fn announced(ports: &Path) -> Option<SocketAddr> {
    let ports: Value = serde_json::from_slice(&fs::read(ports).ok()?).ok()?;
    ports["nats"][0].as_str()?.split_once("://")?.1.parse().ok()
}

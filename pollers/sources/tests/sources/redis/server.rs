//! A Redis server of one test, where the shared one must not be stopped or changed: on a free loopback port, in a folder of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::by_hand::until;
use crate::skip;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    program: PathBuf,
    settings: Vec<String>,
    folder: TempDir,
    process: Child,
}

impl Server {
    /// The program that `TRINE_REDIS_SERVER` names, or that is in the path; `None` if there is neither.
    pub(super) async fn start(settings: &[&str]) -> Option<Self> {
        let program = match in_path() {
            Some(program) => program,
            None => skip::server("TRINE_REDIS_SERVER")?.into(),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let settings: Vec<_> = settings.iter().map(|&setting| setting.to_owned()).collect();
        // The port may be somebody else's by the time that the server wants it: then it ends, and another one is picked.
        for _ in 0..10 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            drop(listener);
            if let Some(process) = launch(&program, folder.path(), address, &settings).await {
                return Some(Self { address, program, settings, folder, process });
            }
        }
        panic!("the Redis server does not start");
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().expect("our own child");
        self.process.wait().expect("our own child");
    }

    /// Starts it again at the same address with what it had written.
    pub(super) async fn restart(&mut self) {
        let again = launch(&self.program, self.folder.path(), self.address, &self.settings).await;
        self.process = again.expect("the port is still free");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn in_path() -> Option<PathBuf> {
    if std::env::var_os("TRINE_REDIS_SERVER").is_some() {
        return None;
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("redis-server"))
        .find(|file| file.is_file())
}

/// `None` if it ended at once.
async fn launch(
    program: &Path,
    folder: &Path,
    address: SocketAddr,
    settings: &[String],
) -> Option<Child> {
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--save", "", "--dir"]).arg(folder).args(settings);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // One that was unpacked beside its libraries, and not installed.
    if let Some(root) = program.ancestors().nth(3).filter(|root| root.join("usr/lib").is_dir()) {
        let folders = ["usr/lib", "lib"].map(|lib| root.join(lib));
        let inner =
            folders.iter().filter_map(|lib| std::fs::read_dir(lib).ok()).flatten().flatten();
        let mut all: Vec<_> =
            inner.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        all.extend(folders);
        command.env("LD_LIBRARY_PATH", std::env::join_paths(all).expect("no colons"));
    }
    let mut process = command.spawn().expect("the server starts");
    let mut ended = false;
    until("the Redis server", async || {
        ended = process.try_wait().expect("our own child").is_some();
        ended || answers(address).await
    })
    .await;
    (!ended).then_some(process)
}

/// Whether it has read its data: until then it answers that it is loading.
async fn answers(address: SocketAddr) -> bool {
    let Ok(mut connection) = TcpStream::connect(address).await else { return false };
    let mut answer = [0; 7];
    connection.write_all(b"PING\r\n").await.is_ok()
        && connection.read_exact(&mut answer).await.is_ok()
        && (answer.starts_with(b"+PONG") || answer.starts_with(b"-NOAUTH"))
}

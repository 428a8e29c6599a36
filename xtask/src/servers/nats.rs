//! Owns one NATS server with JetStream on a free loopback port: started, spoken to, ended on drop.
//! Ready means that it greeted us; nothing waits a fixed time.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failure::{During, Failure, Outcome};
use crate::process;

const START_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// When JetStream calls fsync: the one setting that decides what its acknowledgements are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// The server's default: every two minutes.
    Interval,
    /// Before every acknowledgement.
    Always,
}

#[derive(Debug)]
pub struct Nats {
    /// None once the server is left running.
    child: Option<Child>,
    address: SocketAddr,
    version: String,
}

impl Nats {
    /// Starts `program` with everything it writes in `folder`, and returns when it has greeted us.
    pub fn start(program: &Path, folder: &Path, sync: Sync) -> Outcome<Self> {
        fs::create_dir_all(folder).during(folder.display())?;
        let config = folder.join("nats.conf");
        fs::write(&config, configuration(folder, sync)).during(config.display())?;
        let log = File::create(folder.join("log")).during(folder.display())?;
        let mut command = Command::new(program);
        command.arg("--config").arg(&config);
        command.stdin(Stdio::null()).stdout(log.try_clone().during("log")?).stderr(log);
        // Its own group: the interrupt key that ends us must not end a server that is to stay.
        let child = command.process_group(0).spawn().during(program.display())?;
        // From here on dropping `starting` ends the process.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut starting = Self { child: Some(child), address: nowhere, version: String::new() };
        starting.wait_until_ready(folder).map_err(|error| {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            Failure::new(format!("nats-server did not start: {error}\n{}", process::tail(&log, 8)))
        })?;
        Ok(starting)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// Lets the server outlive us. Returns its process id.
    pub fn leave_running(mut self) -> u32 {
        self.child.take().map_or(0, |child| child.id())
    }

    fn wait_until_ready(&mut self, folder: &Path) -> Outcome {
        let Some(child) = &mut self.child else { return Ok(()) };
        let ports = folder.join(format!("nats-server_{}.ports", child.id()));
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            if let Some(status) = child.try_wait().during("wait")? {
                return Err(Failure::new(format!("it ended with {status}")));
            }
            // The file may be seen half written: then it is not JSON yet.
            if let Some(address) = announced(&ports) {
                self.address = address;
                self.version = greeting(address, START_LIMIT.saturating_sub(start.elapsed()))?;
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(Failure::new(format!("no greeting within {} s", START_LIMIT.as_secs())))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail only if the process has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The server picks the port itself and writes it down: picking one for it could be too late.
fn configuration(folder: &Path, sync: Sync) -> String {
    let path = |path: PathBuf| Value::from(path.to_string_lossy()).to_string();
    let sync = match sync {
        Sync::Interval => "",
        Sync::Always => ", sync_interval: always",
    };
    format!(
        "listen: \"127.0.0.1:-1\"\nports_file_dir: {}\njetstream {{ store_dir: {}{sync} }}\n",
        path(folder.to_owned()),
        path(folder.join("data")),
    )
}

/// The client address in the server's ports file: `{"nats":["nats://127.0.0.1:41234"]}`.
fn announced(ports: &Path) -> Option<SocketAddr> {
    let ports: Value = serde_json::from_slice(&fs::read(ports).ok()?).ok()?;
    ports["nats"][0].as_str()?.strip_prefix("nats://")?.parse().ok()
}

/// Connects and reads the line `INFO {…}` with which a NATS server opens. Returns its version.
fn greeting(address: SocketAddr, limit: Duration) -> Outcome<String> {
    let stream = TcpStream::connect_timeout(&address, limit).during(address)?;
    stream.set_read_timeout(Some(limit)).during(address)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).during(address)?;
    version(&line)
        .ok_or_else(|| Failure::new(format!("{address} does not greet like NATS: {line}")))
}

fn version(greeting: &str) -> Option<String> {
    let info: Value = serde_json::from_str(greeting.strip_prefix("INFO ")?).ok()?;
    info["version"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_when_to_sync() {
        let always = configuration(Path::new("a \"b\""), Sync::Always);
        assert!(always.contains(r#"store_dir: "a \"b\"/data", sync_interval: always"#), "{always}");
        assert!(!configuration(Path::new("a"), Sync::Interval).contains("sync_interval"));
    }

    #[test]
    fn the_greeting_tells_the_version() {
        let line = "INFO {\"server_id\":\"X\",\"version\":\"2.15.1\"} \r\n";
        assert_eq!(version(line).as_deref(), Some("2.15.1"));
        assert_eq!(version("HTTP/1.1 400 Bad Request\r\n"), None);
    }

    #[test]
    fn a_program_that_ends_at_once_is_reported_with_its_log() {
        let folder = std::env::temp_dir().join(format!("xtask-nats-{}", std::process::id()));
        let error = Nats::start(Path::new("false"), &folder, Sync::Interval).unwrap_err();
        assert!(error.to_string().contains("it ended with"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}

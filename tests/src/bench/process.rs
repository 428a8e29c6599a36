//! The processes of a benchmark: our broker, its worker, and the peers. Each listens on loopback on a port of its own and
//! ends, by its own pid, when it is dropped. It does not know what is measured.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a server to answer.
const START_WAIT: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// `host:port`.
    pub address: String,
    folder: Option<PathBuf>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// How a nats-server treats the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatsSync {
    /// As it comes: a sync every two minutes.
    Default,
    /// A sync for every message.
    Always,
}

/// The path in an environment variable that `cargo xtask bench` sets.
///
/// # Errors
/// If it is not set.
pub fn tool(variable: &str) -> Result<PathBuf, String> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .ok_or_else(|| format!("{variable} is not set; run this through `cargo xtask bench`"))
}

impl Process {
    /// `trine serve` on the embedded store, in a folder of its own.
    ///
    /// # Errors
    /// If it does not say where it listens.
    pub fn broker() -> Result<Self, String> {
        Self::broker_with(&[])
    }

    /// The same with these variables in its environment.
    ///
    /// # Errors
    /// As [`Process::broker`].
    pub fn broker_with(environment: &[(&str, &str)]) -> Result<Self, String> {
        let folder = scratch("broker")?;
        let mut broker = Self::started(&folder, environment)?;
        broker.folder = Some(folder);
        Ok(broker)
    }

    /// `trine serve` on an existing folder, which stays.
    ///
    /// # Errors
    /// As [`Process::broker`].
    pub fn broker_in(folder: &Path) -> Result<Self, String> {
        Self::started(folder, &[])
    }

    fn started(folder: &Path, environment: &[(&str, &str)]) -> Result<Self, String> {
        let mut command = Command::new(tool("TRINE_BIN")?);
        command
            .args(["--output", "json", "serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join("data"))
            .env("RUST_LOG", "warn")
            .envs(environment.iter().copied());
        let (child, line) = first_line(command)?;
        let told: serde_json::Value =
            serde_json::from_str(&line).map_err(|error| format!("{line:?}: {error}"))?;
        let url = told["listening"].as_str().ok_or("the broker does not say where it listens")?;
        let address = url.trim_start_matches("http://").to_owned();
        Ok(Self { child, address, folder: None })
    }

    /// This program again, as a server of another kind; it prints its address first.
    ///
    /// # Errors
    /// If it does not.
    pub fn own(arguments: &[&str]) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(arguments);
        let (child, line) = first_line(command)?;
        Ok(Self { child, address: line.trim().to_owned(), folder: None })
    }

    /// A nats-server with JetStream.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn nats(sync: NatsSync) -> Result<Self, String> {
        let folder = scratch("nats")?;
        let address = free_address()?;
        let always = if sync == NatsSync::Always { "sync_interval: always" } else { "" };
        let store = folder.join("store");
        let text = format!(
            "listen: {address}\njetstream {{\n  store_dir: \"{}\"\n  {always}\n}}\n",
            store.display()
        );
        let config = folder.join("nats.conf");
        std::fs::write(&config, text).map_err(|error| error.to_string())?;
        let child = Command::new(tool("TRINE_NATS_SERVER")?)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let process = Self { child, address: address.to_string(), folder: Some(folder) };
        wait_for(address)?;
        Ok(process)
    }

    /// Resident memory in bytes, as the kernel counts it.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Processor time used so far, in seconds.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        // Fields after the name in parentheses; utime and stime are the 12th and 13th, in hundredths.
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks = |place: usize| {
            after.split_whitespace().nth(place).and_then(|text| text.parse::<f64>().ok())
        };
        (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
    }

    /// Ends it as a crash would, and forgets its pid.
    pub fn kill(mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_line(mut command: Command) -> Result<(Child, String), String> {
    let program = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut line = String::new();
    let read = BufReader::new(stdout).read_line(&mut line);
    if read.is_err() || line.is_empty() {
        // It has ended or is of no use.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{} ended before it was ready", program.display()));
    }
    Ok((child, line))
}

fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

fn wait_for(address: SocketAddr) -> Result<(), String> {
    let start = Instant::now();
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        if start.elapsed() > START_WAIT {
            return Err(format!("nothing answers on {address}"));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// A new folder beside this program: on a real disk, not in memory.
///
/// # Errors
/// If it cannot be made.
pub fn scratch(name: &str) -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let base = program.parent().ok_or("this program has no folder")?;
    let unique = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    let folder = base.join("bench-scratch").join(format!("{name}-{unique}"));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    Ok(folder)
}

//! NATS with JetStream. Its greeting is the first line of a connection.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::conversation;
use super::product::Fetched;
use super::site::Site;
use crate::failure::Outcome;
use crate::repo::Repo;
use crate::tools::{Cache, Tool};

/// When JetStream calls fsync: the one setting that decides what its acknowledgements are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// The server's default: every two minutes.
    Interval,
    /// Before every acknowledgement.
    Always,
}

#[derive(Debug)]
pub(super) struct Nats {
    program: PathBuf,
    sync: Sync,
}

pub(super) fn fetch(tool: Tool, repo: &Repo, cache: &Cache, sync: Sync) -> Outcome<Nats> {
    Ok(Nats { program: tool.find(repo, cache)?.path, sync })
}

impl Fetched for Nats {
    fn prepare(&self, site: &Site) -> Outcome {
        site.write("nats.conf", &configuration(site.address(0), &site.path("data"), self.sync))
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mut nats = Command::new(&self.program);
        nats.current_dir(site.folder()).arg("--config").arg(site.path("nats.conf"));
        vec![nats]
    }

    fn greet(&self, address: SocketAddr) -> Outcome<String> {
        conversation::hear(address, b"", |heard| version(heard).map(Ok))
    }
}

fn configuration(address: SocketAddr, data: &Path, sync: Sync) -> String {
    let data = Value::from(data.to_string_lossy()).to_string();
    let sync = match sync {
        Sync::Interval => "",
        Sync::Always => ", sync_interval: always",
    };
    format!("listen: \"{address}\"\njetstream {{ store_dir: {data}{sync} }}\n")
}

/// The version in `INFO {…}`, once the line is complete.
fn version(heard: &[u8]) -> Option<String> {
    let line = heard.strip_prefix(b"INFO ")?.strip_suffix(b"\n")?;
    let info: Value = serde_json::from_slice(line).ok()?;
    info["version"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_when_to_sync() {
        let address = SocketAddr::from(([127, 0, 0, 1], 4222));
        let data = Path::new("a \"b\"/data");
        let always = configuration(address, data, Sync::Always);
        assert!(always.contains(r#"store_dir: "a \"b\"/data", sync_interval: always"#), "{always}");
        assert!(!configuration(address, data, Sync::Interval).contains("sync_interval"));
    }

    #[test]
    fn the_greeting_tells_the_version() {
        let line = b"INFO {\"server_id\":\"X\",\"version\":\"2.15.1\"} \r\n";
        assert_eq!(version(line).as_deref(), Some("2.15.1"));
        assert_eq!(version(&line[..30]), None);
        assert_eq!(version(b"HTTP/1.1 400 Bad Request\r\n"), None);
    }
}

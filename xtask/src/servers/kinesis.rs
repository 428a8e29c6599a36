//! kinesis-local, a stand-in for Kinesis, in memory only. Plain HTTP is what clients use; it insists on a port for TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::aws;
use super::product::Fetched;
use super::site::Site;
use crate::failure::{During, Outcome};
use crate::tools::{self, Cache};

const CLIENTS: usize = 0;
const TLS: usize = 1;
/// More than the tests of one run make.
const SHARDS_MAX: &str = "10000";
/// What takes AWS a minute and by default half a second here, and still is no part of the answer.
const SLOW: [&str; 9] = [
    "CREATE_STREAM",
    "DELETE_STREAM",
    "SPLIT_SHARD",
    "MERGE_SHARDS",
    "UPDATE_SHARD_COUNT",
    "REGISTER_STREAM_CONSUMER",
    "DEREGISTER_STREAM_CONSUMER",
    "START_STREAM_ENCRYPTION",
    "STOP_STREAM_ENCRYPTION",
];

#[derive(Debug)]
pub(super) struct Kinesis {
    folder: PathBuf,
    version: String,
}

pub(super) fn fetch(cache: &Cache, pins: &Path) -> Outcome<Kinesis> {
    let folder = tools::npm_modules(cache, "kinesis-local", pins)?.join("kinesis-local");
    let about = folder.join("package.json");
    let text = std::fs::read_to_string(&about).during(about.display())?;
    let package: Value = serde_json::from_str(&text).during(about.display())?;
    let version = package["version"].as_str().unwrap_or_default().to_owned();
    Ok(Kinesis { folder, version })
}

impl Fetched for Kinesis {
    fn ports(&self) -> usize {
        2
    }

    fn prepare(&self, _: &Site) -> Outcome {
        Ok(())
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mut mock = Command::new("node");
        // It reads its certificate from where it is started.
        mock.current_dir(&self.folder).args(["--max-old-space-size=256", "main.js"]);
        mock.env("KINESIS_MOCK_PLAIN_PORT", site.port(CLIENTS).to_string());
        mock.env("KINESIS_MOCK_TLS_PORT", site.port(TLS).to_string());
        mock.env("SHARD_LIMIT", SHARDS_MAX).env("ON_DEMAND_STREAM_COUNT_LIMIT", SHARDS_MAX);
        mock.env("LOG_LEVEL", "WARN");
        for what in SLOW {
            mock.env(format!("{what}_DURATION"), "50ms");
        }
        vec![mock]
    }

    fn greet(&self, address: SocketAddr) -> Outcome<String> {
        aws::ask(address, &aws::STREAMS)?;
        Ok(self.version.clone())
    }
}

//! MiniStack: SQS, DynamoDB and its Streams, Kinesis and more, in one process and in memory only.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::aws;
use super::product::Fetched;
use super::site::Site;
use crate::failure::Outcome;
use crate::tools::{self, Cache};

#[derive(Debug)]
pub(super) struct MiniStack {
    python: PathBuf,
    version: String,
}

pub(super) fn fetch(cache: &Cache, requirements: &Path) -> Outcome<MiniStack> {
    let python = tools::python_interpreter(cache, "ministack", requirements)?;
    let pin = tools::python_pin(requirements)?;
    let version = pin.split_once("==").map_or_else(|| pin.clone(), |(_, v)| v.to_owned());
    Ok(MiniStack { python, version })
}

impl Fetched for MiniStack {
    fn prepare(&self, _: &Site) -> Outcome {
        Ok(())
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mut stack = Command::new(&self.python);
        stack.current_dir(site.folder()).args(["-m", "ministack"]);
        stack.env("GATEWAY_PORT", site.port(0).to_string());
        stack.env("BIND_HOST", "127.0.0.1").env("MINISTACK_HOST", "127.0.0.1");
        stack.env("IOT_MTLS_ENABLED", "0").env("STATE_DIR", site.path("state"));
        stack.env("PYTHONDONTWRITEBYTECODE", "1");
        vec![stack]
    }

    fn greet(&self, address: SocketAddr) -> Outcome<String> {
        aws::ask(address, &aws::QUEUES)?;
        aws::ask(address, &aws::TABLES)?;
        Ok(self.version.clone())
    }
}

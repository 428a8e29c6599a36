//! Redis out of Debian's packages. What it has acknowledged is in its file before the next command, so that it survives
//! its being killed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::conversation;
use super::product::Fetched;
use super::site::Site;
use crate::failure::Outcome;
use crate::tools::{self, Cache};

#[derive(Debug)]
pub(super) struct Redis {
    files: PathBuf,
}

pub(super) fn fetch(cache: &Cache) -> Outcome<Redis> {
    let files = tools::debian_files(cache, "redis", "redis-server", &["redis-", "lib"])?;
    Ok(Redis { files })
}

impl Fetched for Redis {
    fn prepare(&self, _: &Site) -> Outcome {
        Ok(())
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mut redis = Command::new(self.files.join("usr/bin/redis-server"));
        redis.current_dir(site.folder()).env("LD_LIBRARY_PATH", tools::library_path(&self.files));
        redis.args(["--bind", "127.0.0.1", "--port", &site.port(0).to_string()]);
        redis.args(["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]);
        // A new title would be written over its environment.
        redis.args(["--set-proc-title", "no", "--dir"]).arg(site.folder());
        vec![redis]
    }

    fn greet(&self, address: SocketAddr) -> Outcome<String> {
        conversation::hear(address, b"INFO server\r\n", |heard| {
            conversation::between(heard, "redis_version:", '\n')
        })
    }
}

//! Redis out of Debian's packages. What it has acknowledged is in its file before the next command, so that it survives
//! its being killed.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::conversation;
use super::product::Fetched;
use super::site::Site;
use crate::failure::{During, Outcome};
use crate::tools::{self, Cache};

/// The program, for tests that start servers of their own.
pub(super) const PROGRAM: &str = "TRINE_REDIS_SERVER";

const WRAPPER: &str = "redis-server";

#[derive(Debug)]
pub(super) struct Redis {
    files: PathBuf,
}

pub(super) fn fetch(cache: &Cache) -> Outcome<Redis> {
    let files = tools::debian_files(cache, "redis", "redis-server", &["redis-", "lib"])?;
    Ok(Redis { files })
}

impl Fetched for Redis {
    /// Its libraries are not where the system looks for them, and whoever starts the wrapper need not know that.
    fn prepare(&self, site: &Site) -> Outcome {
        let program = self.files.join("usr/bin/redis-server");
        let script = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n",
            tools::library_path(&self.files),
            program.display()
        );
        site.write(WRAPPER, &script)?;
        let path = site.path(WRAPPER);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).during(path.display())
    }

    fn further(&self, site: &Site) -> Vec<(&'static str, String)> {
        vec![(PROGRAM, site.path(WRAPPER).display().to_string())]
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mut redis = Command::new(site.path(WRAPPER));
        redis.current_dir(site.folder());
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

//! RabbitMQ out of Debian's packages, with AMQP 0-9-1 and nothing else. A node needs the port mapper of Erlang; it gets
//! one of its own, so that both end with it. User and password are `guest`.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::conversation;
use super::product::Fetched;
use super::site::Site;
use crate::failure::{During, Failure, Outcome};
use crate::tools::{self, Cache};

/// Above all that tests send, and small enough for one that sends too much.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

const CLIENTS: usize = 0;
const MAPPER: usize = 1;
const NODES: usize = 2;

#[derive(Debug)]
pub(super) struct RabbitMq {
    files: PathBuf,
    /// The folder of Erlang's own programs, which has its version in its name.
    runtime: PathBuf,
}

pub(super) fn fetch(cache: &Cache) -> Outcome<RabbitMq> {
    let files = tools::debian_files(cache, "rabbitmq", "rabbitmq-server", &["erlang-", "lib"])?;
    let erlang = files.join("usr/lib/erlang");
    let runtime = fs::read_dir(&erlang).during(erlang.display())?.flatten().find_map(|entry| {
        let found = entry.file_name().to_string_lossy().starts_with("erts-");
        found.then(|| entry.path().join("bin"))
    });
    let none = || Failure::new(format!("no runtime in {}", erlang.display()));
    Ok(RabbitMq { runtime: runtime.ok_or_else(none)?, files })
}

impl Fetched for RabbitMq {
    fn ports(&self) -> usize {
        3
    }

    fn prepare(&self, site: &Site) -> Outcome {
        let config = format!(
            "listeners.tcp.1 = {}\nlog.console = true\nlog.console.level = warning\n\
             log.file = false\nvm_memory_high_watermark.absolute = 1GB\n\
             max_message_size = {MESSAGE_BYTES_MAX}\n",
            site.address(CLIENTS)
        );
        site.write("rabbitmq.conf", &config)?;
        site.write("plugins", "[].\n")?;
        // The packages' own starter only looks where they would be installed.
        let folder = site.path("bin");
        fs::create_dir_all(&folder).during(folder.display())?;
        let starter = folder.join("erl");
        site.write("bin/erl", "#!/bin/sh\nexec \"$BINDIR/erlexec\" \"$@\"\n")?;
        fs::set_permissions(&starter, fs::Permissions::from_mode(0o755)).during(starter.display())
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mapper_port = site.port(MAPPER).to_string();
        let mut mapper = Command::new(self.runtime.join("epmd"));
        mapper.current_dir(site.folder()).args(["-address", "127.0.0.1", "-port", &mapper_port]);
        let mut node = Command::new(self.files.join("usr/lib/rabbitmq/bin/rabbitmq-server"));
        node.current_dir(site.folder()).env("HOME", site.folder()).env("PATH", path(site));
        node.env("ROOTDIR", self.files.join("usr/lib/erlang")).env("BINDIR", &self.runtime);
        node.env("EMU", "beam").env("PROGNAME", "erl");
        node.env("LD_LIBRARY_PATH", tools::library_path(&self.files));
        node.env("ERL_EPMD_PORT", mapper_port).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        node.env("RABBITMQ_CONF_ENV_FILE", "/dev/null").env("RABBITMQ_NODENAME", "trine@localhost");
        node.env("RABBITMQ_DIST_PORT", site.port(NODES).to_string());
        // So that the script becomes the node instead of watching it; it has no input all the same.
        node.env("RABBITMQ_ALLOW_INPUT", "1");
        let arguments = "-noinput -kernel inet_dist_use_interface {127,0,0,1}";
        node.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", arguments);
        for (variable, name) in [
            ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
            ("RABBITMQ_MNESIA_BASE", "data"),
            ("RABBITMQ_LOG_BASE", "logs"),
        ] {
            node.env(variable, site.path(name));
        }
        vec![mapper, node]
    }

    /// Opens AMQP 0-9-1 and reads what the server starts with.
    fn greet(&self, address: SocketAddr) -> Outcome<String> {
        conversation::hear(address, b"AMQP\0\0\x09\x01", |heard| version(heard).map(Ok))
    }
}

fn path(site: &Site) -> std::ffi::OsString {
    let mut path = site.path("bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

/// In the table of the server's properties: the key `version`, and its value as a long string.
fn version(heard: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\x07versionS";
    let at = heard.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let length = u32::from_be_bytes(heard.get(at..at + 4)?.try_into().ok()?);
    let value = heard.get(at + 4..at + 4 + usize::try_from(length).ok()?)?;
    String::from_utf8(value.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_once_it_is_there() {
        let heard = b"\x01\0\0\0\0\x01\xff\x07versionS\0\0\0\x063.10.8\x08platform";
        assert_eq!(version(heard).as_deref(), Some("3.10.8"));
        assert_eq!(version(&heard[..22]), None);
    }
}

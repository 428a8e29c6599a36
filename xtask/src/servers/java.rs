//! Owns how a Java server is run with little: a small heap, one thread that collects it, the quick compiler only.

use std::process::Command;

use super::site::Site;
use crate::tools::Jars;

/// Java with all of `jars` in its class path; what it runs is for the caller to add.
pub(super) fn command(jars: &Jars, site: &Site, heap: &str) -> Command {
    let mut command = Command::new("java");
    command.current_dir(site.folder()).arg(format!("-Xmx{heap}"));
    command.args([
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Djava.net.preferIPv4Stack=true",
    ]);
    command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    command.arg("-cp").arg(jars.folder.join("*"));
    command
}

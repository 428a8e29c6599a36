//! Apache Kafka in one process that is broker and controller, without anything that waits for a second one.
//! Topics are made by whoever needs them; nothing is made by being asked for.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::product::Fetched;
use super::site::Site;
use super::{conversation, java};
use crate::failure::Outcome;
use crate::process;
use crate::tools::{self, Cache, Jars};

/// Where the simple listener and the controller's listen.
const CLIENTS: usize = 0;
const CONTROLLER: usize = 1;
/// Any will do: a cluster of one meets no other.
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
/// What is the same everywhere. One partition for what Kafka keeps itself is enough for tests and quick to load.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
log.cleaner.dedupe.buffer.size=2097152
";

#[derive(Debug)]
pub(super) struct Kafka(Jars);

pub(super) fn fetch(cache: &Cache, list: &Path) -> Outcome<Kafka> {
    tools::ensure_java()?;
    Ok(Kafka(tools::jars(cache, "kafka", list)?))
}

impl Fetched for Kafka {
    fn ports(&self) -> usize {
        2
    }

    fn prepare(&self, site: &Site) -> Outcome {
        site.write("server.properties", &settings(site))?;
        let mut format = java::command(&self.0, site, "128m");
        format.args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER]);
        process::capture(format.args(["-c", "server.properties"])).map(drop)
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mut kafka = java::command(&self.0, site, "512m");
        kafka.arg("kafka.Kafka").arg(site.path("server.properties"));
        vec![kafka]
    }

    /// Asks for metadata: ready is a broker that knows itself.
    fn greet(&self, address: SocketAddr) -> Outcome<String> {
        // Length 17; request 3 (metadata), version 0; correlation 1; a client id of three letters; no topics: all.
        let words = b"\0\0\0\x11\0\x03\0\0\0\0\0\x01\0\x03ask\0\0\0\0";
        conversation::hear(address, words, |heard| {
            // Length, correlation, number of brokers.
            let brokers = heard.get(8..12)?;
            (brokers != [0; 4]).then(|| self.0.version.clone())
        })
    }
}

fn settings(site: &Site) -> String {
    let (clients, controller) = (site.address(CLIENTS), site.address(CONTROLLER));
    let mut settings = SETTINGS.to_owned();
    for (key, value) in [
        ("listeners", format!("PLAINTEXT://{clients},CONTROLLER://{controller}")),
        ("advertised.listeners", format!("PLAINTEXT://{clients}")),
        ("controller.quorum.voters", format!("1@{controller}")),
        ("log.dirs", site.path("data").display().to_string()),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(settings, "{key}={value}");
    }
    settings
}

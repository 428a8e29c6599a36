//! Apache Kafka in one process that is broker and controller, without anything that waits for a second one.
//! Topics are made by whoever needs them; nothing is made by being asked for.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::product::Fetched;
use super::site::Site;
use super::{conversation, java};
use crate::failure::{Failure, Outcome};
use crate::process;
use crate::tools::{self, Cache, Jars};

/// The address of the listener that wants a password: PLAIN, user `trine`, password `secret`.
pub(super) const SASL: &str = "TRINE_KAFKA_SASL";
/// The address of the listener with TLS that wants a password: SCRAM-SHA-512, the same user.
pub(super) const TLS: &str = "TRINE_KAFKA_TLS";
/// The PEM file of the authority that vouches for it.
pub(super) const AUTHORITY: &str = "TRINE_KAFKA_CA";

/// Where the simple listener, the controller's, the one that wants a password, and the one with TLS listen.
const CLIENTS: usize = 0;
const CONTROLLER: usize = 1;
const GUARDED: usize = 2;
const SECURED: usize = 3;
/// The server's key with its certificate, the certificate alone, and the key's password.
const KEY: &str = "kafka.p12";
const CERTIFICATE: &str = "kafka.pem";
const KEY_PASSWORD: &str = "of-no-secret";
/// Any will do: a cluster of one meets no other.
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
/// What is the same everywhere. A broker that was killed is not let in again before its session has ended, so that is
/// short. One partition for what Kafka keeps itself is enough for tests and quick to load.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT,SECURED:SASL_SSL
listener.name.guarded.sasl.enabled.mechanisms=PLAIN
listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_trine=\"secret\";
listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.ssl.keystore.type=PKCS12
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
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
log.cleaner.dedupe.buffer.size=2097152
";

/// Length 17; request 3 of version 0; correlation 1; a client called `ask`; no topics, which means all. The answer begins
/// with length, correlation, and the number of brokers in four bytes.
const METADATA: &[u8] = b"\0\0\0\x11\0\x03\0\0\0\0\0\x01\0\x03ask\0\0\0\0";
/// Length 18; request 10 of version 0; correlation 1; a client called `ask`; a group of that name. The answer begins with
/// length, correlation, and an error in two bytes.
const COORDINATOR: &[u8] = b"\0\0\0\x12\0\x0a\0\0\0\0\0\x01\0\x03ask\0\x03ask";

#[derive(Debug)]
pub(super) struct Kafka(Jars);

pub(super) fn fetch(cache: &Cache, list: &Path) -> Outcome<Kafka> {
    tools::ensure_java()?;
    Ok(Kafka(tools::jars(cache, "kafka", list)?))
}

impl Fetched for Kafka {
    fn ports(&self) -> usize {
        4
    }

    fn further(&self, site: &Site) -> Vec<(&'static str, String)> {
        vec![
            (SASL, site.address(GUARDED).to_string()),
            (TLS, site.address(SECURED).to_string()),
            (AUTHORITY, site.path(CERTIFICATE).display().to_string()),
        ]
    }

    fn prepare(&self, site: &Site) -> Outcome {
        certify(site)?;
        site.write("server.properties", &settings(site))?;
        let mut format = java::command(&self.0, site, "128m");
        format.args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER]);
        format.args(["--add-scram", "SCRAM-SHA-512=[name=trine,password=secret]"]);
        process::capture(format.args(["-c", "server.properties"])).map(drop)
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mut kafka = java::command(&self.0, site, "512m");
        kafka.arg("kafka.Kafka").arg(site.path("server.properties"));
        vec![kafka]
    }

    /// Ready is a broker that knows itself and has where groups keep their offsets: the first group that asks would wait
    /// for seconds.
    fn greet(&self, address: SocketAddr) -> Outcome<String> {
        let brokers = conversation::hear(address, METADATA, |heard| {
            heard.get(8..12)?.first_chunk().map(|n| Ok(i32::from_be_bytes(*n)))
        })?;
        if brokers == 0 {
            return Err(Failure::new("the broker does not know itself yet"));
        }
        let error = conversation::hear(address, COORDINATOR, |heard| {
            heard.get(8..10)?.first_chunk().map(|n| Ok(i16::from_be_bytes(*n)))
        })?;
        match error {
            0 => Ok(self.0.version.clone()),
            error => Err(Failure::new(format!("no coordinator of groups yet: error {error}"))),
        }
    }
}

/// Makes a key and its certificate for this machine, which vouches for itself. It is the same when the server is started again.
fn certify(site: &Site) -> Outcome {
    if site.path(CERTIFICATE).exists() {
        return Ok(());
    }
    let keytool = || {
        let mut keytool = Command::new("keytool");
        keytool.current_dir(site.folder()).args(["-keystore", KEY, "-storepass", KEY_PASSWORD]);
        keytool.args(["-storetype", "PKCS12", "-alias", "kafka"]);
        keytool
    };
    let mut make = keytool();
    make.args(["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650"]);
    process::capture(make.args(["-dname", "CN=kafka", "-ext", "san=ip:127.0.0.1"]))?;
    let mut export = keytool();
    process::capture(export.args(["-exportcert", "-rfc", "-file", CERTIFICATE])).map(drop)
}

fn settings(site: &Site) -> String {
    let (clients, controller) = (site.address(CLIENTS), site.address(CONTROLLER));
    let (guarded, secured) = (site.address(GUARDED), site.address(SECURED));
    let open = format!("PLAINTEXT://{clients},GUARDED://{guarded},SECURED://{secured}");
    let mut settings = SETTINGS.to_owned();
    for (key, value) in [
        ("listeners", format!("{open},CONTROLLER://{controller}")),
        ("advertised.listeners", open),
        ("listener.name.secured.ssl.keystore.location", site.path(KEY).display().to_string()),
        ("listener.name.secured.ssl.keystore.password", KEY_PASSWORD.to_owned()),
        ("controller.quorum.voters", format!("1@{controller}")),
        ("log.dirs", site.path("data").display().to_string()),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(settings, "{key}={value}");
    }
    settings
}

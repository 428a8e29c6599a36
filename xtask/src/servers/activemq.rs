//! ActiveMQ Classic with a STOMP connector and a journal on the disk. Everyone may connect.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::product::Fetched;
use super::site::Site;
use super::{conversation, java};
use crate::failure::Outcome;
use crate::tools::{self, Cache, Jars};

#[derive(Debug)]
pub(super) struct ActiveMq(Jars);

pub(super) fn fetch(cache: &Cache, list: &Path) -> Outcome<ActiveMq> {
    tools::ensure_java()?;
    Ok(ActiveMq(tools::jars(cache, "activemq", list)?))
}

impl Fetched for ActiveMq {
    fn prepare(&self, _: &Site) -> Outcome {
        Ok(())
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mut broker = java::command(&self.0, site, "256m");
        for place in ["home", "base", "data"] {
            broker.arg(format!("-Dactivemq.{place}={}", site.folder().display()));
        }
        broker.args(["org.apache.activemq.console.command.ShellCommand", "start"]);
        // Relative to the folder that it is started in: a path with a space is no address.
        broker.arg(format!(
            "broker:(stomp://{})?brokerName=trine&persistent=true&dataDirectory=data&useJmx=false\
             &schedulerSupport=true",
            site.address(0)
        ));
        vec![broker]
    }

    fn greet(&self, address: SocketAddr) -> Outcome<String> {
        let words = b"CONNECT\naccept-version:1.2\nhost:localhost\n\n\0";
        conversation::hear(address, words, |heard| {
            conversation::between(heard, "server:ActiveMQ/", '\n')
        })
    }
}

//! ElasticMQ: SQS in one process and in memory only.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::product::Fetched;
use super::site::Site;
use super::{aws, java};
use crate::failure::Outcome;
use crate::tools::{self, Cache, Jars};

#[derive(Debug)]
pub(super) struct ElasticMq(Jars);

pub(super) fn fetch(cache: &Cache, list: &Path) -> Outcome<ElasticMq> {
    tools::ensure_java()?;
    Ok(ElasticMq(tools::jars(cache, "elasticmq", list)?))
}

impl Fetched for ElasticMq {
    fn prepare(&self, _: &Site) -> Outcome {
        Ok(())
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mut server = java::command(&self.0, site, "256m");
        let port = site.port(0);
        // Where it listens, and what it writes into the addresses of queues.
        for (key, value) in [
            ("rest-sqs.bind-hostname", "127.0.0.1"),
            ("rest-sqs.bind-port", &port.to_string()),
            ("node-address.host", "127.0.0.1"),
            ("node-address.port", &port.to_string()),
            ("rest-stats.enabled", "false"),
        ] {
            server.arg(format!("-D{key}={value}"));
        }
        server.arg("org.elasticmq.server.Main");
        vec![server]
    }

    fn greet(&self, address: SocketAddr) -> Outcome<String> {
        aws::ask(address, &aws::QUEUES)?;
        Ok(self.0.version.clone())
    }
}

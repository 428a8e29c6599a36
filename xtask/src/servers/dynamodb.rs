//! DynamoDB Local with Streams, in memory only.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::product::Fetched;
use super::site::Site;
use super::{aws, java};
use crate::failure::Outcome;
use crate::tools::{self, Cache, Jars};

#[derive(Debug)]
pub(super) struct DynamoDb(Jars);

pub(super) fn fetch(cache: &Cache, list: &Path) -> Outcome<DynamoDb> {
    tools::ensure_java()?;
    Ok(DynamoDb(tools::jars(cache, "dynamodb-local", list)?))
}

impl Fetched for DynamoDb {
    fn prepare(&self, _: &Site) -> Outcome {
        Ok(())
    }

    fn commands(&self, site: &Site) -> Vec<Command> {
        let mut server = java::command(&self.0, site, "256m");
        // Its SQLite is native code, which came with the jars.
        server.arg(format!("-Dsqlite4java.library.path={}", self.0.folder.display()));
        server.arg("software.amazon.dynamodb.services.local.main.ServerRunner");
        server.args(["-disableTelemetry", "-inMemory", "-sharedDb", "-port"]);
        server.arg(site.port(0).to_string());
        vec![server]
    }

    fn greet(&self, address: SocketAddr) -> Outcome<String> {
        aws::ask(address, &aws::TABLES)?;
        Ok(self.0.version.clone())
    }
}

//! Owns the servers that the tests of one run share: started in the background, one of each, waited for when the first
//! test needs them, ended with the run. Knows nothing of the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};

use super::product::Product;
use super::server::Server;
use crate::failure::{Failure, Outcome};
use crate::repo::Repo;

const PREFIX: &str = "test-";

#[derive(Debug)]
pub struct Shared {
    /// Everything that they write; gone with them.
    folder: PathBuf,
    starting: Vec<(Product, JoinHandle<Outcome<Server>>)>,
    up: Vec<Server>,
    missing: Vec<(Product, String)>,
}

impl Shared {
    /// Starts `products`, each in a thread of its own, and does not wait.
    pub fn begin(repo: &Repo, products: &[Product]) -> Self {
        let servers = repo.tools_directory().join("servers");
        forget_ended(&servers);
        let folder = servers.join(format!("{PREFIX}{}", std::process::id()));
        let start = |product: Product| {
            let (repo, folder) = (repo.clone(), folder.join(product.name()));
            (product, thread::spawn(move || Server::start(product, &repo, &folder)))
        };
        let starting = products.iter().copied().map(start).collect();
        Self { folder, starting, up: Vec::new(), missing: Vec::new() }
    }

    /// Waits until each is up or is known not to come up.
    pub fn wait(&mut self) {
        for (product, start) in self.starting.drain(..) {
            let panicked = |_| Err(Failure::new("its start panicked"));
            match start.join().unwrap_or_else(panicked) {
                Ok(server) => self.up.push(server),
                Err(failure) => self.missing.push((product, failure.to_string())),
            }
        }
    }

    pub fn up(&self) -> &[Server] {
        &self.up
    }

    pub fn missing(&self) -> impl Iterator<Item = (Product, &str)> {
        self.missing.iter().map(|(product, why)| (*product, why.as_str()))
    }

    /// Hands the addresses to `command`; the variable of a missing server is taken out, never inherited.
    pub fn hand_to(&self, command: &mut Command) {
        let addresses = Product::ALL.into_iter().filter_map(Product::variable);
        for variable in addresses.chain(Product::FURTHER) {
            command.env_remove(variable);
        }
        for server in &self.up {
            if let Some(variable) = server.product().variable() {
                command.env(variable, server.address());
            }
            command.envs(server.further());
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.wait();
        self.up.clear();
        // It may never have been made.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes what runs left that were killed. Their servers have ended with them.
fn forget_ended(servers: &Path) {
    for entry in fs::read_dir(servers).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if run.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_of_a_missing_server_is_not_inherited() {
        let shared = Shared::begin(&Repo::find().unwrap(), &[]);
        let mut command = Command::new("true");
        shared.hand_to(&mut command);
        assert!(command.get_envs().any(|(name, value)| name == "TRINE_KAFKA" && value.is_none()));
    }
}

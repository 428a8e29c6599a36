//! Owns the place of one server: the folder that everything it writes goes to, and its loopback ports. Both stay the
//! same when it is started again.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::failure::{During, Failure, Outcome};

/// Below what the system gives to outgoing connections: none of them sits on the port of a server that is down, not even
/// the connection of a client that tries it again and again.
const PORTS: Range<u16> = 20_000..32_000;
const TRIES: usize = 100;

#[derive(Debug, Clone)]
pub(super) struct Site {
    folder: PathBuf,
    ports: Vec<u16>,
}

impl Site {
    /// Makes the folder and picks `count` free ports.
    pub(super) fn new(folder: &Path, count: usize) -> Outcome<Self> {
        fs::create_dir_all(folder).during(folder.display())?;
        let folder = folder.canonicalize().during(folder.display())?;
        // All are held until all are found, so that no two are the same.
        let held = (0..count).map(|_| free_port()).collect::<Outcome<Vec<_>>>()?;
        Ok(Self { folder, ports: held.iter().map(|(port, _)| *port).collect() })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The address of port number `index`; the first is the one that clients use.
    pub(super) fn address(&self, index: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port(index)))
    }

    pub(super) fn port(&self, index: usize) -> u16 {
        self.ports.get(index).copied().unwrap_or_default()
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Outcome {
        let path = self.path(name);
        fs::write(&path, text).during(path.display())
    }
}

/// A port on which nobody listens, held by the listener. Another run may take it once it is let go; then the server
/// cannot start, and is started on another.
fn free_port() -> Outcome<(u16, TcpListener)> {
    for _ in 0..TRIES {
        let chance = RandomState::new().hash_one(()) % u64::from(PORTS.end - PORTS.start);
        let Ok(chance) = u16::try_from(chance) else { continue };
        let port = PORTS.start + chance;
        // On all addresses: some of the servers listen on all.
        if let Ok(held) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
            return Ok((port, held));
        }
    }
    Err(Failure::new(format!("no free port among {PORTS:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_of_our_range() {
        let folder = std::env::temp_dir().join(format!("xtask-site-{}", std::process::id()));
        let site = Site::new(&folder, 2).unwrap();
        assert_ne!(site.port(0), site.port(1));
        assert!(PORTS.contains(&site.port(0)));
        fs::remove_dir_all(folder).unwrap();
    }
}

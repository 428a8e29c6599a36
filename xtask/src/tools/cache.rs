//! Owns the folder that fetched tools are kept in. A slot is a folder with a stamp that says what it was
//! filled with; another stamp, or none because a fetch was interrupted, means that it is filled anew.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::failure::{During, Outcome};

#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
}

const STAMP: &str = ".stamp";

impl Cache {
    pub fn open(root: PathBuf) -> Outcome<Self> {
        fs::create_dir_all(&root).during(root.display())?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of `name`, holding what `fill` put there under this very `stamp`.
    ///
    /// Two runs in one checkout may want the same tool at once: a file lock lets one fetch and the
    /// other find it.
    pub fn slot(
        &self,
        name: &str,
        stamp: &str,
        fill: impl FnOnce(&Path) -> Outcome,
    ) -> Outcome<PathBuf> {
        let folder = self.root.join(name);
        let lock = self.root.join(format!("{name}.lock"));
        let lock = File::create(&lock).during(lock.display())?;
        lock.lock().during(format!("lock of {name}"))?;
        if fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == stamp) {
            return Ok(folder);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).during(folder.display())?;
        }
        fs::create_dir_all(&folder).during(folder.display())?;
        fill(&folder)?;
        fs::write(folder.join(STAMP), stamp).during(folder.display())?;
        Ok(folder)
    }

    /// Waits until no other run, here or in another process, has a turn of this name. The turn ends when the file is
    /// dropped.
    pub fn turn(&self, name: &str) -> Outcome<File> {
        let path = self.root.join(format!("{name}.turn"));
        let file = File::create(&path).during(path.display())?;
        file.lock().during(path.display())?;
        Ok(file)
    }

    /// Makes the next `slot` fill the folder again.
    pub fn forget(&self, name: &str) {
        // Nothing to forget is as good as forgotten.
        let _ = fs::remove_file(self.root.join(name).join(STAMP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    fn cache(name: &str) -> Cache {
        let root = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        Cache::open(root).unwrap()
    }

    #[test]
    fn a_slot_is_filled_once_per_stamp() {
        let cache = cache("stamp");
        let mut fills = 0;
        for stamp in ["1.0", "1.0", "2.0", "2.0"] {
            let fill = |folder: &Path| {
                fills += 1;
                fs::write(folder.join(stamp), "").during("fill")
            };
            let folder = cache.slot("tool", stamp, fill).unwrap();
            assert!(folder.join(stamp).exists());
        }
        assert_eq!(fills, 2);
        assert!(!cache.root().join("tool/1.0").exists(), "an old version is not left behind");
        fs::remove_dir_all(cache.root()).unwrap();
    }

    #[test]
    fn an_interrupted_fetch_is_done_again() {
        let cache = cache("interrupted");
        let broken = |folder: &Path| {
            fs::write(folder.join("half"), "").during("fill")?;
            Err(Failure::new("connection lost"))
        };
        assert!(cache.slot("tool", "1.0", broken).is_err());
        let folder = cache.slot("tool", "1.0", |_| Ok(())).unwrap();
        assert!(!folder.join("half").exists());
        cache.forget("tool");
        assert!(cache.slot("tool", "1.0", |_| Err(Failure::new("asked"))).is_err());
        fs::remove_dir_all(cache.root()).unwrap();
    }
}

//! A store directory: the shards in it, their owners, and what they acknowledged.
//!
//! Does not know how an engine keeps rows, and never reads a row itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use super::engine::{Engine, State};
use super::lock::Lock;
use super::manifest::Manifest;
use super::mark::Mark;
use super::{Options, durable};
use crate::{Batch, Fence, Key, Place, Seq, Shard, Store, StoreError, Table, Visit};

/// A store in a directory of a local disk, opened by one process at a time.
#[derive(Debug)]
pub struct Directory<E> {
    dir: PathBuf,
    options: Options,
    /// Held while a shard is opened or created, so that it happens once.
    manifest: Mutex<Manifest>,
    open: RwLock<BTreeMap<Shard, Arc<OpenShard<E>>>>,
    // Last, so that it is released after the files are closed.
    _lock: Lock,
}

#[derive(Debug)]
struct OpenShard<E> {
    // Held over a commit's fsync; `get` and `scan` do without it.
    owner: Mutex<Owner>,
    file: E,
    mark: Mark,
}

#[derive(Debug)]
struct Owner {
    state: State,
    /// The error after which nothing may be written any more.
    stopped: Option<StoreError>,
}

impl<E: Engine> Directory<E> {
    /// Opens the directory, creating it if there is none, and every shard in it.
    ///
    /// # Errors
    /// [`Unusable`](StoreError::Unusable) if another process has it, if a newer release wrote it or
    /// if the operating system refuses; [`Corrupt`](StoreError::Corrupt) if anything that must be
    /// there is missing, too short or damaged.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        durable::create_dir(dir).map_err(|error| durable::refused("create", dir, &error))?;
        let lock = Lock::take(dir)?;
        let manifest = Manifest::load(dir, E::NAME)?;
        let shards: Vec<Shard> = manifest.shards().collect();
        let directory = Self {
            dir: dir.to_owned(),
            options,
            manifest: Mutex::new(manifest),
            open: RwLock::default(),
            _lock: lock,
        };
        for shard in shards {
            directory.open_shard(shard)?;
        }
        Ok(directory)
    }

    fn find(&self, shard: Shard) -> Option<Arc<OpenShard<E>>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).get(&shard).cloned()
    }

    fn find_or_create(&self, shard: Shard) -> Result<Arc<OpenShard<E>>, StoreError> {
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = self.find(shard) {
            return Ok(open);
        }
        self.create_shard(shard)?;
        let open = self.open_shard(shard)?;
        manifest.add(shard)?;
        Ok(open)
    }

    /// Mark first, then rows, manifest last: a crash in between leaves files that nobody has used.
    /// What is already there is never written over, so that a manifest restored from an old backup
    /// costs nothing.
    fn create_shard(&self, shard: Shard) -> Result<(), StoreError> {
        let file = file(&self.dir, shard);
        if file.exists() {
            return Ok(());
        }
        Mark::create(&file.with_extension("mark"), shard, &file)?;
        let fresh = file.with_extension("new");
        E::create(&fresh, shard)?;
        durable::rename(&fresh, &file).map_err(|error| durable::refused("name", &file, &error))
    }

    fn open_shard(&self, shard: Shard) -> Result<Arc<OpenShard<E>>, StoreError> {
        let (file, mark, state) = Self::open_files(&self.dir, shard, &self.options)?;
        let owner = Mutex::new(Owner { state, stopped: None });
        let open = Arc::new(OpenShard { owner, file, mark });
        let mut shards = self.open.write().unwrap_or_else(PoisonError::into_inner);
        shards.insert(shard, Arc::clone(&open));
        Ok(open)
    }

    /// Opens what must be there, and accepts it only if nothing that was acknowledged is missing.
    pub(super) fn open_files(
        dir: &Path,
        shard: Shard,
        options: &Options,
    ) -> Result<(E, Mark, State), StoreError> {
        let path = file(dir, shard);
        if !path.exists() {
            return Err(StoreError::Corrupt {
                place: Place::file(path.display()),
                detail: "the file is missing".to_owned(),
            });
        }
        let mark = Mark::open(&path.with_extension("mark"), shard)?;
        let file = E::open(&path, shard, options)?;
        let state = file.state()?;
        mark.verify(state, &path)?;
        file.accept()?;
        // Opening may have created files beside it. SQLite fsyncs the directory for its log, but
        // goes on if that fails.
        durable::sync_parent(&path).map_err(|error| durable::refused("fsync", dir, &error))?;
        Ok((file, mark, state))
    }
}

/// Where the rows of a shard are.
fn file(dir: &Path, shard: Shard) -> PathBuf {
    dir.join(format!("shard-{:05}.db", shard.0))
}

impl<E: Engine> Store for Directory<E> {
    fn acquire(&self, shard: Shard) -> Result<Fence, StoreError> {
        let open = match self.find(shard) {
            Some(open) => open,
            None => self.find_or_create(shard)?,
        };
        let mut owner = open.owner();
        let next = State { fence: Fence(owner.state.fence.0 + 1), ..owner.state };
        open.write(&mut owner, &[], next)?;
        Ok(next.fence)
    }

    fn commit(&self, shard: Shard, fence: Fence, batch: &Batch) -> Result<Seq, StoreError> {
        batch.validate()?;
        let conflict = |newest| StoreError::Conflict { shard, offered: fence, newest };
        let open = self.find(shard).ok_or_else(|| conflict(Fence(0)))?;
        let winners = batch.winners();
        let mut owner = open.owner();
        if owner.state.fence != fence {
            return Err(conflict(owner.state.fence));
        }
        let next = State { seq: Seq(owner.state.seq.0 + 1), ..owner.state };
        open.write(&mut owner, &winners, next)?;
        Ok(next.seq)
    }

    fn scan(&self, shard: Shard, visit: Visit<'_>) -> Result<Seq, StoreError> {
        self.find(shard).map_or(Ok(Seq(0)), |open| open.file.scan(visit))
    }

    fn count(&self, shard: Shard, table: Table) -> Result<u64, StoreError> {
        self.find(shard).map_or(Ok(0), |open| open.file.count(table))
    }

    fn get(&self, shard: Shard, key: Key) -> Result<Option<Bytes>, StoreError> {
        self.find(shard).map_or(Ok(None), |open| open.file.get(key))
    }
}

impl<E: Engine> OpenShard<E> {
    fn owner(&self) -> MutexGuard<'_, Owner> {
        self.owner.lock().unwrap_or_else(|poisoned| {
            // A panic inside the engine: nobody can say how far it got.
            let mut owner = poisoned.into_inner();
            owner.stopped.get_or_insert_with(|| StoreError::Unknown {
                detail: "a thread panicked while it wrote".to_owned(),
            });
            owner
        })
    }

    fn write(
        &self,
        owner: &mut Owner,
        writes: &[&crate::Op],
        next: State,
    ) -> Result<(), StoreError> {
        if let Some(error) = &owner.stopped {
            return Err(StoreError::Unusable {
                detail: format!(
                    "this shard has stopped writing; restart the broker to read what is on disk. \
                     It stopped because of: {error}"
                ),
            });
        }
        match self.file.apply(writes, next) {
            Ok(()) => {
                owner.state = next;
                self.mark.advance(next);
                Ok(())
            }
            Err(error) => {
                owner.stopped = Some(error.clone()).filter(StoreError::is_final);
                Err(error)
            }
        }
    }
}

//! Damage is found and named; it is never read as something else, and never as nothing.
//!
//! A failure prints its seed; `TRINE_SEED=n` runs that one alone, `TRINE_SEEDS=n` the first n.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use trine_store::conformance::{Draw, Scratch};
use trine_store::{
    Batch, Embedded, Fence, Key, Options, Place, Report, Seq, Shard, Store, StoreError, Table,
};
#[cfg(feature = "redb")]
use trine_store::{Directory, RedbFile};

const SHARD: Shard = Shard(0);
const ROWS: u64 = 400;
const SEEDS: u64 = 150;

/// An engine under test, and what it is asked.
struct Engine {
    open: fn(&Path) -> Result<Box<dyn Store>, StoreError>,
    check: fn(&Path) -> Result<Report, StoreError>,
}

/// A directory as a clean shutdown leaves it and as a kill leaves it, with what is in both.
struct Filled {
    engine: Engine,
    closed: Scratch,
    killed: Scratch,
    rows: BTreeMap<Key, Vec<u8>>,
}

/// What came of one damage.
#[derive(Copy, Clone, PartialEq, Debug)]
enum Found {
    /// Everything is there: the damage hit bytes that mean nothing, or that are written twice.
    Harmless,
    AtOpen,
    AtRead,
    /// A row was answered with "there is none", and only the offline check says why.
    ByCheck,
    Silent,
}

impl Engine {
    const SQLITE: Self = Self {
        open: |dir| Ok(Box::new(Embedded::open(dir, Options::default())?)),
        check: Embedded::check,
    };

    #[cfg(feature = "redb")]
    const REDB: Self = Self {
        open: |dir| Ok(Box::new(Directory::<RedbFile>::open(dir, Options::default())?)),
        check: Directory::<RedbFile>::check,
    };
}

impl Filled {
    fn new(engine: Engine) -> Self {
        let mut filled =
            Self { engine, closed: Scratch::new(), killed: Scratch::new(), rows: BTreeMap::new() };
        // One half in the file and one in the log is what a kill leaves.
        drop(filled.fill(0..ROWS / 2));
        let store = filled.fill(ROWS / 2..ROWS);
        copy(filled.closed.path(), filled.killed.path());
        drop(store);
        filled
    }

    fn fill(&mut self, ids: std::ops::Range<u64>) -> Box<dyn Store> {
        let store = (self.engine.open)(self.closed.path()).unwrap();
        let fence = store.acquire(SHARD).unwrap();
        let mut draw = Draw::new(ids.start);
        for id in ids {
            let mut batch = Batch::default();
            for (table, longest) in
                [(Table::Function, 300), (Table::Event, 120), (Table::Payload, 12_000)]
            {
                let length = usize::try_from(1 + draw.below(longest)).unwrap();
                let (key, value) = (Key { table, id }, draw.bytes(length));
                self.rows.insert(key, value.clone());
                batch.put(key, value);
            }
            store.commit(SHARD, fence, &batch).unwrap();
        }
        store
    }

    /// Reads everything, as a start and a run would.
    fn judge(&self, dir: &Path) -> Found {
        let store = match (self.engine.open)(dir) {
            Ok(store) => store,
            Err(StoreError::Corrupt { .. } | StoreError::Unusable { .. }) => return Found::AtOpen,
            Err(error) => panic!("{error}"),
        };
        let mut records = BTreeMap::new();
        let scanned = store.scan(SHARD, &mut |key, bytes| {
            records.insert(key, bytes.to_vec());
            Ok(())
        });
        match scanned {
            Ok(Seq(ROWS)) => {}
            Ok(_) => return Found::Silent,
            Err(StoreError::Corrupt { .. }) => return Found::AtRead,
            Err(error) => panic!("{error}"),
        }
        if !records.iter().eq(self.rows.iter().filter(|(key, _)| key.table.scanned())) {
            return Found::Silent;
        }
        let found = self.judge_blobs(store.as_ref());
        drop(store);
        let unsound = (self.engine.check)(dir).map_or(true, |report| !report.is_sound());
        if found == Found::ByCheck && !unsound { Found::Silent } else { found }
    }

    fn judge_blobs(&self, store: &dyn Store) -> Found {
        for (key, value) in self.rows.iter().filter(|(key, _)| !key.table.scanned()) {
            match store.get(SHARD, *key) {
                Ok(Some(found)) if found == *value => {}
                Ok(Some(_)) => return Found::Silent,
                Ok(None) => return Found::ByCheck,
                Err(StoreError::Corrupt { .. }) => return Found::AtRead,
                Err(error) => panic!("{error}"),
            }
        }
        Found::Harmless
    }

    fn damaged(&self, of: &Scratch, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Scratch {
        let scratch = Scratch::new();
        copy(of.path(), scratch.path());
        let path = scratch.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
        scratch
    }

    /// One piece of damage somewhere.
    fn draw_damage(&self, seed: u64) -> (String, Scratch) {
        let mut draw = Draw::new(seed);
        let of = if draw.below(2) == 0 { &self.closed } else { &self.killed };
        let files = files(of.path());
        let file = files[usize::try_from(draw.below(files.len() as u64)).unwrap()].clone();
        let length = fs::metadata(of.path().join(&file)).unwrap().len();
        let at = usize::try_from(draw.below(length)).unwrap();
        let kind = draw.below(4);
        let scratch = self.damaged(of, &file, |bytes| match kind {
            0 => bytes.truncate(at),
            1 => bytes[at..].iter_mut().take(512).for_each(|byte| *byte = 0),
            _ => bytes[at] ^= 1 << draw.below(8),
        });
        let kind = ["cut", "zeroed", "flipped", "flipped"][usize::try_from(kind).unwrap()];
        (format!("{file} {kind} at {at}"), scratch)
    }

    fn tally(&self) -> BTreeMap<String, u32> {
        let number = |name| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
        let all = 0..number("TRINE_SEEDS").unwrap_or(SEEDS);
        let mut tally = BTreeMap::new();
        for seed in number("TRINE_SEED").map_or(all, |seed| seed..seed + 1) {
            let (what, scratch) = self.draw_damage(seed);
            let found = self.judge(scratch.path());
            println!("seed {seed}: {what}: {found:?}");
            *tally.entry(format!("{found:?}")).or_default() += 1;
        }
        println!("{tally:?}");
        tally
    }
}

/// Names of what damage can hit. The index of the log is built anew from the log by every start.
fn files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != "LOCK" && !name.ends_with("-shm"));
    names.sort();
    names
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn place_of(bytes: &[u8], value: &[u8]) -> usize {
    bytes.windows(24).position(|window| *window == value[..24]).unwrap()
}

#[test]
fn damage_anywhere_is_never_read_as_something_else() {
    let tally = Filled::new(Engine::SQLITE).tally();
    assert_eq!(tally.get("Silent"), None, "{tally:?}");
}

#[cfg(feature = "redb")]
#[test]
fn damage_anywhere_is_never_read_as_something_else_by_redb() {
    let tally = Filled::new(Engine::REDB).tally();
    assert_eq!(tally.get("Silent"), None, "{tally:?}");
}

#[test]
fn a_damaged_record_is_named_by_the_scan_and_a_blob_by_its_get() {
    let filled = Filled::new(Engine::SQLITE);
    for table in [Table::Event, Table::Payload] {
        // The longest one on a page of its own is easy to find in the file.
        let rows = filled.rows.iter().filter(|(key, _)| key.table == table);
        let (key, value) = rows.max_by_key(|(_, value)| value.len()).unwrap();
        let scratch = filled.damaged(&filled.closed, "shard-00000.db", |bytes| {
            let at = place_of(bytes, value);
            bytes[at] ^= 1;
        });
        let store = Embedded::open(scratch.path(), Options::default()).unwrap();
        let named = |outcome: Result<(), StoreError>| {
            let Err(StoreError::Corrupt { place, .. }) = outcome else { panic!("{outcome:?}") };
            assert!(place.file.ends_with("shard-00000.db"), "{place}");
            assert_eq!((place.table, place.id), (Some(table), Some(key.id)), "{place}");
        };
        named(store.get(SHARD, *key).map(|_| ()));
        if table.scanned() {
            named(store.scan(SHARD, &mut |_, _| Ok(())).map(|_| ()));
        }
        drop(store);
        let report = Embedded::check(scratch.path()).unwrap();
        assert_eq!(report.shards[0].problems.len(), 1, "{report:?}");
    }
}

#[test]
fn a_log_that_was_deleted_or_cut_is_missed() {
    let filled = Filled::new(Engine::SQLITE);
    let log = "shard-00000.db-wal";
    // The log has blocks ahead of its frames; cutting those off loses nothing.
    let bytes = fs::read(filled.killed.path().join(log)).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for kept in [0, 10, 32, used / 3, used - 1] {
        let scratch = filled.damaged(&filled.killed, log, |bytes| bytes.truncate(kept));
        expect_missed(scratch.path());
        // What was found is evidence: a second start says the same.
        expect_missed(scratch.path());
    }
    let scratch = filled.damaged(&filled.killed, log, |_| {});
    fs::remove_file(scratch.path().join(log)).unwrap();
    expect_missed(scratch.path());
}

fn expect_missed(dir: &Path) {
    let error = Embedded::open(dir, Options::default()).err().unwrap();
    let StoreError::Corrupt { place: Place { file, .. }, detail } = &error else {
        panic!("{error}");
    };
    assert!(file.ends_with("shard-00000.db"), "{error}");
    assert!(detail.contains(&format!("commit {ROWS} of fence {} was", Fence(2))), "{error}");
}

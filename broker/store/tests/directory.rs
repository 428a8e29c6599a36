//! What a store directory refuses, and how it says so.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::fs;
use std::path::Path;

use trine_store::conformance::Scratch;
use trine_store::{Batch, Embedded, Key, Options, Seq, Shard, Store, StoreError, Table};

const SHARD: Shard = Shard(0);

fn open(dir: &Path) -> Result<Embedded, StoreError> {
    Embedded::open(dir, Options::default())
}

/// A directory with one shard of 300 events that was closed as it should be.
fn filled() -> Scratch {
    let scratch = Scratch::new();
    let store = open(scratch.path()).unwrap();
    let fence = store.acquire(SHARD).unwrap();
    let mut batch = Batch::default();
    for id in 0..300 {
        batch.put(Key { table: Table::Event, id }, vec![7; 100]);
    }
    store.commit(SHARD, fence, &batch).unwrap();
    scratch
}

fn expect_corrupt(dir: &Path, file: &str) -> String {
    match open(dir) {
        Err(StoreError::Corrupt { place, detail }) if place.file.ends_with(file) => detail,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened"),
    }
}

fn expect_unusable(dir: &Path) -> String {
    match open(dir) {
        Err(StoreError::Unusable { detail }) => detail,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened"),
    }
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_directory_has_one_process_at_a_time() {
    let scratch = filled();
    let first = open(scratch.path()).unwrap();
    let sentence = expect_unusable(scratch.path());
    let holder = format!("in use by process {}: stop that broker first", std::process::id());
    assert!(sentence.contains(&holder), "{sentence}");
    assert!(Embedded::check(scratch.path()).is_err(), "a check waits for it too");
    drop(first);
    open(scratch.path()).unwrap();
}

#[test]
fn a_missing_file_is_named() {
    for file in ["shard-00000.db", "shard-00000.mark", "MANIFEST"] {
        let scratch = filled();
        fs::remove_file(scratch.path().join(file)).unwrap();
        let detail = expect_corrupt(scratch.path(), file);
        assert!(detail.contains("missing"), "{detail}");
    }
}

#[test]
fn an_empty_or_short_file_is_named() {
    for file in ["shard-00000.db", "shard-00000.mark", "MANIFEST"] {
        let scratch = filled();
        let path = scratch.path().join(file);
        let length = fs::metadata(&path).unwrap().len();
        for length in [0, 1, length / 2, length - 1] {
            edit(&path, |bytes| bytes.truncate(usize::try_from(length).unwrap()));
            expect_corrupt(scratch.path(), file);
        }
    }
}

#[test]
fn a_newer_format_is_refused_with_advice() {
    let scratch = filled();
    let manifest = scratch.path().join("MANIFEST");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("trine-store 1\n", "trine-store 2\nof another kind\n"))
        .unwrap();
    let sentence = expect_unusable(scratch.path());
    assert!(sentence.contains("start the newer release"), "{sentence}");

    let scratch = filled();
    edit(&scratch.path().join("shard-00000.db"), |bytes| bytes[63] = 3);
    let sentence = expect_unusable(scratch.path());
    assert!(sentence.contains("start the newer release"), "{sentence}");
}

#[test]
fn a_directory_of_another_engine_is_refused() {
    let scratch = Scratch::new();
    open(scratch.path()).unwrap();
    let manifest = scratch.path().join("MANIFEST");
    let text = "trine-store 1\nengine other\n";
    let sum = crc32fast::hash(text.as_bytes());
    fs::write(manifest, format!("{text}crc32 {sum:08x}\n")).unwrap();
    let sentence = expect_unusable(scratch.path());
    assert!(sentence.contains("start it with the engine"), "{sentence}");
}

#[test]
fn a_file_of_another_shard_is_damage() {
    let scratch = filled();
    let store = open(scratch.path()).unwrap();
    store.acquire(Shard(1)).unwrap();
    drop(store);
    let file = |shard: u16| scratch.path().join(format!("shard-{shard:05}.db"));
    fs::copy(file(0), file(1)).unwrap();
    expect_corrupt(scratch.path(), "shard-00001.db");
}

#[test]
fn an_older_copy_of_a_file_is_damage() {
    let scratch = filled();
    let file = scratch.path().join("shard-00000.db");
    let older = fs::read(&file).unwrap();
    let store = open(scratch.path()).unwrap();
    let fence = store.acquire(SHARD).unwrap();
    store.commit(SHARD, fence, &Batch::default()).unwrap();
    drop(store);
    fs::write(&file, older).unwrap();
    let detail = expect_corrupt(scratch.path(), "shard-00000.db");
    assert!(detail.contains("ends at commit 1 of fence 1, but commit 2 of fence 2"), "{detail}");
}

#[test]
fn what_an_interrupted_creation_left_is_used_or_replaced() {
    let scratch = filled();
    fs::write(scratch.path().join("shard-00001.new"), "half a database").unwrap();
    fs::write(scratch.path().join("MANIFEST.new"), "half a manifest").unwrap();
    let store = open(scratch.path()).unwrap();
    store.acquire(Shard(1)).unwrap();
    drop(store);

    // The manifest of before the shard existed: its file is found again, not written over.
    let manifest = scratch.path().join("MANIFEST");
    let text = "trine-store 1\nengine sqlite\n";
    let sum = crc32fast::hash(text.as_bytes());
    fs::write(&manifest, format!("{text}crc32 {sum:08x}\n")).unwrap();
    let store = open(scratch.path()).unwrap();
    store.acquire(SHARD).unwrap();
    assert_eq!(store.scan(SHARD, &mut |_, _| Ok(())).unwrap(), Seq(1));

    // And a shard that was used cannot be created anew because its file is gone.
    fs::remove_file(scratch.path().join("shard-00001.db")).unwrap();
    assert!(matches!(store.acquire(Shard(1)), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_check_counts_everything_and_changes_nothing() {
    let scratch = filled();
    for _ in 0..2 {
        let report = Embedded::check(scratch.path()).unwrap();
        assert!(report.is_sound(), "{report:?}");
        let [shard] = &report.shards[..] else { panic!("{report:?}") };
        assert_eq!((shard.shard, shard.seq, shard.rows, shard.bytes), (SHARD, Seq(1), 300, 30_000));
    }
    assert!(Embedded::check(&scratch.path().join("nowhere")).is_err());
}

//! A disk that is full, and a disk that fails.
//!
//! Full is refused and over as soon as there is space; a failed write or fsync ends the shard. The
//! two tests that need a small file system or `strace` say so and pass where there is none.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use trine_store::conformance::{Draw, Scratch};
use trine_store::{
    Batch, Embedded, Fence, Key, Options, Rejection, Shard, Store, StoreError, Table, Verdict,
};

const SHARD: Shard = Shard(0);
/// Tells the child where to work.
const CHILD_DIR: &str = "TRINE_STORE_CHILD_DIR";
const CHILD_COMMITS: u64 = 12;

fn open(dir: &Path) -> Embedded {
    Embedded::open(dir, Options::default()).unwrap()
}

fn batch(id: u64, bytes: usize) -> Batch {
    let mut batch = Batch::default();
    batch.put(Key { table: Table::Event, id }, id.to_le_bytes().to_vec());
    batch.put(Key { table: Table::Payload, id }, Draw::new(id).bytes(bytes));
    batch
}

/// Commits until one is refused for lack of space; returns the number of those that were not.
fn fill(store: &Embedded, fence: Fence, from: u64) -> u64 {
    for id in from.. {
        match store.commit(SHARD, fence, &batch(id, 20_000)) {
            Ok(_) => {}
            Err(error) => {
                assert!(
                    matches!(error, StoreError::Rejected { cause: Rejection::DiskFull, .. }),
                    "{error}"
                );
                assert_eq!(error.verdict(), Verdict::Retry);
                return id;
            }
        }
    }
    unreachable!("the disk is never full");
}

/// Every event is there with its payload, and nothing else is.
fn expect_exactly(store: &Embedded, ids: impl Iterator<Item = u64>, bytes: usize) {
    let mut found = Vec::new();
    store
        .scan(SHARD, &mut |key, value| {
            assert_eq!(value, key.id.to_le_bytes());
            found.push(key.id);
            Ok(())
        })
        .unwrap();
    assert_eq!(found, ids.collect::<Vec<_>>());
    for id in found {
        let payload = store.get(SHARD, Key { table: Table::Payload, id }).unwrap().unwrap();
        assert_eq!(payload, Draw::new(id).bytes(bytes), "payload {id}");
    }
}

#[test]
fn a_file_at_its_bound_refuses_and_goes_on_when_rows_are_deleted() {
    let scratch = Scratch::new();
    let options = Options { file_bytes_max: Some(1 << 20), ..Options::default() };
    let store = Embedded::open(scratch.path(), options).unwrap();
    let fence = store.acquire(SHARD).unwrap();
    let full = fill(&store, fence, 0);
    assert!(full > 20, "{full}");
    expect_exactly(&store, 0..full, 20_000);
    let mut finished = Batch::default();
    for id in 0..10 {
        finished.delete(Key { table: Table::Event, id });
        finished.delete(Key { table: Table::Payload, id });
    }
    store.commit(SHARD, fence, &finished).unwrap();
    let again = fill(&store, fence, full);
    assert!(again > full + 5, "{again}");
    drop(store);
    expect_exactly(&open(scratch.path()), 10..again, 20_000);
}

/// A file system of 8 MiB, unmounted on drop.
struct Small(Scratch);

impl Small {
    fn mount() -> Option<Self> {
        let scratch = Scratch::new();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(scratch.path())
            .output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(scratch))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // A mount that stays is visible in its name; there is nothing better to do here.
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_until_there_is_space_again() {
    let Some(small) = Small::mount() else {
        return println!("SKIPPED: mounting a small file system needs root");
    };
    let dir = small.0.path().join("store");
    let ballast = small.0.path().join("ballast");
    fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let store = open(&dir);
    let fence = store.acquire(SHARD).unwrap();
    let full = fill(&store, fence, 0);
    assert_eq!(fill(&store, fence, full), full, "still full");
    expect_exactly(&store, 0..full, 20_000);

    // A restart while it is full finds everything, too.
    drop(store);
    let store = open(&dir);
    expect_exactly(&store, 0..full, 20_000);

    fs::remove_file(ballast).unwrap();
    let fence = store.acquire(SHARD).unwrap();
    let again = fill(&store, fence, full);
    assert!(again > full + 5, "{again}");
    drop(store);
    expect_exactly(&open(&dir), 0..again, 20_000);
}

/// Runs the child below with the n-th of these system calls failing; `None` without strace.
fn child_with_fault(dir: &Path, fault: &str) -> Option<Output> {
    let this = std::env::current_exe().unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={fault}")]);
    strace.arg(this).args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    strace.env(CHILD_DIR, dir).output().ok()
}

/// What [`child_with_fault`] runs; it says what became of every commit. Run with the others it has
/// no directory to work in, and nothing to do.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let store = match Embedded::open(Path::new(&dir), Options::default()) {
        Ok(store) => store,
        Err(error) => return println!("\nopen {:?}", error.verdict()),
    };
    let fence = match store.acquire(SHARD) {
        Ok(fence) => fence,
        Err(error) => return println!("\nacquire {:?}", error.verdict()),
    };
    for id in 0..CHILD_COMMITS {
        match store.commit(SHARD, fence, &batch(id, 5000)) {
            Ok(_) => println!("\ncommit {id} Ok"),
            Err(error) => println!("\ncommit {id} {:?}", error.verdict()),
        }
    }
}

/// A directory whose shard exists, so that the first system calls are already those of a start.
fn prepared() -> Scratch {
    let scratch = Scratch::new();
    open(scratch.path()).acquire(SHARD).unwrap();
    scratch
}

/// What the child said of each commit; empty if it did not get that far.
fn said(output: &Output) -> BTreeMap<u64, String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let commits = text.lines().filter_map(|line| line.strip_prefix("commit "));
    commits
        .filter_map(|line| line.split_once(' '))
        .map(|(id, verdict)| (id.parse().unwrap(), verdict.to_owned()))
        .collect()
}

#[test]
fn a_write_without_space_is_refused_wherever_it_happens() {
    let mut refused = 0;
    for n in 1..=30 {
        let scratch = prepared();
        let fault = format!("pwrite64:error=ENOSPC:when={n}");
        let Some(output) = child_with_fault(scratch.path(), &fault) else {
            return println!("SKIPPED: failing a system call needs strace");
        };
        let said = said(&output);
        assert!(
            said.values().all(|verdict| verdict == "Ok" || verdict == "Retry"),
            "write {n}: {said:?}"
        );
        refused += said.values().filter(|verdict| *verdict == "Retry").count();
        let kept = said.iter().filter(|(_, verdict)| *verdict == "Ok").map(|(id, _)| *id);
        expect_exactly(&open(scratch.path()), kept, 5000);
    }
    assert!(refused > 5, "the fault met {refused} commits only");
}

#[test]
fn a_disk_that_failed_once_is_not_trusted_again() {
    for (call, last) in [("fsync,fdatasync", 20), ("pwrite64", 25)] {
        let mut stopped = 0;
        for n in 1..=last {
            let scratch = prepared();
            let fault = format!("{call}:error=EIO:when={n}");
            let Some(output) = child_with_fault(scratch.path(), &fault) else {
                return println!("SKIPPED: failing a system call needs strace");
            };
            let said = said(&output);
            if let Some(at) = said.values().position(|verdict| verdict != "Ok") {
                stopped += 1;
                assert_eq!(said[&(at as u64)], "Unknown", "{call} {n}: {said:?}");
                let refused = said.values().skip(at + 1).all(|verdict| verdict == "GiveUp");
                assert!(refused, "{call} {n}: {said:?}");
            }
            expect_acknowledged(scratch.path(), &said, &format!("{call} {n}"));
        }
        assert!(stopped > 5, "the fault met {stopped} commits only");
    }
}

#[test]
fn a_creation_that_failed_is_made_good_by_the_next_start() {
    for (call, last) in [("fsync,fdatasync", 26), ("pwrite64", 50)] {
        for n in (1..=last).step_by(4) {
            let scratch = Scratch::new();
            let fault = format!("{call}:error=EIO:when={n}");
            let Some(output) = child_with_fault(scratch.path(), &fault) else {
                return println!("SKIPPED: failing a system call needs strace");
            };
            expect_acknowledged(scratch.path(), &said(&output), &format!("{call} {n}"));
            open(scratch.path()).acquire(SHARD).unwrap();
        }
    }
}

/// What was answered `Ok` is there; of the rest at most the one that nobody knows about.
fn expect_acknowledged(dir: &Path, said: &BTreeMap<u64, String>, what: &str) {
    let kept = said.values().filter(|verdict| *verdict == "Ok").count() as u64;
    let store = open(dir);
    let mut found = 0;
    store
        .scan(SHARD, &mut |key, _| {
            assert_eq!(key.id, found, "{what}");
            found += 1;
            Ok(())
        })
        .unwrap();
    let most = if said.len() as u64 > kept { kept + 1 } else { kept };
    assert!((kept..=most).contains(&found), "{what}: {found} rows, {said:?}");
    expect_exactly(&store, 0..found, 5000);
}

//! How fast the engines are under the load of a shard, in ratios taken within one run.
//!
//! ```text
//! cargo run --release -p trine-store --features conformance,redb --example store_bench -- DIR
//! ```
//!
//! Owns the load: an event is accepted by one small record and one payload, and finished by
//! deleting both or, if it is tried again, by writing the record anew. `DIR` should be on the disk
//! that is meant; it is emptied. Every row is durable before its commit counts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use trine_store::conformance::Draw;
use trine_store::{Batch, Embedded, Fence, Key, Options, Shard, Store, StoreError, Table};
#[cfg(feature = "redb")]
use trine_store::{Directory, RedbFile};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
type Open = fn(&Path) -> Result<Box<dyn Store>, StoreError>;

const SHARD: Shard = Shard(0);
const RECORD_BYTES: usize = 100;
const PAYLOAD_BYTES: [usize; 2] = [128, 1024];
const GROUPS: [u64; 6] = [1, 8, 64, 128, 512, 2048];
const ROUNDS: usize = 3;
/// How long one cell accepts, and the most events it takes.
const CELL_TIME: Duration = Duration::from_millis(1500);
const CELL_EVENTS_MAX: u64 = 200_000;
const SCAN_EVENTS: u64 = 1_000_000;
/// Events waiting while others come and go.
const BACKLOG_EVENTS: u64 = 10_240;

const ENGINES: &[(&str, Open)] = &[
    ("sqlite", |dir| Ok(Box::new(Embedded::open(dir, Options::default())?))),
    #[cfg(feature = "redb")]
    ("redb", |dir| Ok(Box::new(Directory::<RedbFile>::open(dir, Options::default())?))),
];

fn main() -> Outcome<()> {
    let dir = PathBuf::from(env::args_os().nth(1).ok_or("name a directory to work in")?);
    println!("| engine | payload B | group | accept/s | retry/s | finish/s | accept p50 | p99 |");
    println!("|---|---|---|---|---|---|---|---|");
    for payload in PAYLOAD_BYTES {
        for group in GROUPS {
            cells(&dir, payload, group)?;
        }
    }
    println!("\n| engine | what | figure |\n|---|---|---|");
    for (name, open) in ENGINES {
        scan(name, *open, &fresh(&dir, name)?)?;
        churn(name, *open, &fresh(&dir, name)?)?;
    }
    Ok(())
}

/// Each engine in turn, several times over, so that a noisy neighbour hits all of them.
fn cells(dir: &Path, payload: usize, group: u64) -> Outcome<()> {
    let mut cells: Vec<Vec<Cell>> = ENGINES.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for ((name, open), cells) in ENGINES.iter().zip(&mut cells) {
            cells.push(cell(*open, &fresh(dir, name)?, payload, group)?);
        }
    }
    for ((name, _), mut cells) in ENGINES.iter().zip(cells) {
        cells.sort_by(|a, b| a.accept.total_cmp(&b.accept));
        let Cell { accept, retry, finish, p50, p99 } = &cells[cells.len() / 2];
        let range = format!("{:.0}..{:.0}", cells[0].accept, cells[cells.len() - 1].accept);
        println!(
            "| {name} | {payload} | {group} | {accept:.0} ({range}) | {retry:.0} | {finish:.0} \
             | {p50:.2?} | {p99:.2?} |"
        );
    }
    Ok(())
}

/// Events a second, and how long a commit of accepts took.
struct Cell {
    accept: f64,
    retry: f64,
    finish: f64,
    p50: Duration,
    p99: Duration,
}

fn cell(open: Open, dir: &Path, payload: usize, group: u64) -> Outcome<Cell> {
    let store = open(dir)?;
    let fence = store.acquire(SHARD)?;
    let mut draw = Draw::new(payload as u64 ^ group);
    let (mut events, mut accepting) = (0, Vec::new());
    let started = Instant::now();
    while started.elapsed() < CELL_TIME && events < CELL_EVENTS_MAX {
        let batch =
            batch(events..events + group, |batch, id| accept(batch, id, payload, &mut draw));
        accepting.push(commit(store.as_ref(), fence, &batch)?);
        events += group;
    }
    let mut retrying = Duration::ZERO;
    let mut finishing = Duration::ZERO;
    for first in (0..events).step_by(usize::try_from(group)?) {
        let again = batch(first..first + group, |batch, id| {
            batch.put(event(id), draw.bytes(RECORD_BYTES));
        });
        retrying += commit(store.as_ref(), fence, &again)?;
    }
    for first in (0..events).step_by(usize::try_from(group)?) {
        finishing += commit(store.as_ref(), fence, &batch(first..first + group, finish))?;
    }
    let rate = |took: Duration| events as f64 / took.as_secs_f64();
    let (accept, retry, finish) = (rate(accepting.iter().sum()), rate(retrying), rate(finishing));
    accepting.sort();
    let at = |share: usize| accepting[(accepting.len() - 1) * share / 100];
    Ok(Cell { accept, retry, finish, p50: at(50), p99: at(99) })
}

/// What a restart costs with a long queue.
fn scan(name: &str, open: Open, dir: &Path) -> Outcome<()> {
    let mut draw = Draw::new(1);
    let store = open(dir)?;
    let fence = store.acquire(SHARD)?;
    for first in (0..SCAN_EVENTS).step_by(2000) {
        let batch = batch(first..first + 2000, |batch, id| accept(batch, id, 128, &mut draw));
        store.commit(SHARD, fence, &batch)?;
    }
    drop(store);
    let before = resident_mib()?;
    let started = Instant::now();
    let store = open(dir)?;
    let opened = started.elapsed();
    let mut rows = 0_u64;
    store.scan(SHARD, &mut |_, _| {
        rows += 1;
        Ok(())
    })?;
    let scanned = started.elapsed() - opened;
    println!("| {name} | open with {SCAN_EVENTS} events, 128 B payloads | {opened:.2?} |");
    println!("| {name} | scan of {rows} records | {scanned:.2?} |");
    println!("| {name} | resident memory added | {} MiB |", resident_mib()?.saturating_sub(before));
    println!("| {name} | bytes on disk | {} MiB |", disk_mib(dir)?);
    let started = Instant::now();
    for id in (0..SCAN_EVENTS).step_by(100) {
        store.get(SHARD, payload(id))?.ok_or("a payload is missing")?;
    }
    println!("| {name} | get of one payload | {:.2?} |", started.elapsed() / 10_000);
    Ok(())
}

/// What the file comes to when a million events pass through a short queue.
fn churn(name: &str, open: Open, dir: &Path) -> Outcome<()> {
    let mut draw = Draw::new(2);
    let store = open(dir)?;
    let fence = store.acquire(SHARD)?;
    let started = Instant::now();
    for first in (0..SCAN_EVENTS).step_by(512) {
        let mut batch = batch(first..first + 512, |batch, id| accept(batch, id, 1024, &mut draw));
        for id in first.saturating_sub(BACKLOG_EVENTS)..(first + 512).saturating_sub(BACKLOG_EVENTS)
        {
            finish(&mut batch, id);
        }
        store.commit(SHARD, fence, &batch)?;
    }
    let rate = SCAN_EVENTS as f64 / started.elapsed().as_secs_f64();
    println!(
        "| {name} | accept and finish, 1 KiB, group 512, backlog {BACKLOG_EVENTS} | {rate:.0}/s |"
    );
    println!("| {name} | bytes on disk after it, running | {} MiB |", disk_mib(dir)?);
    drop(store);
    println!("| {name} | bytes on disk after it, closed | {} MiB |", disk_mib(dir)?);
    Ok(())
}

fn commit(store: &dyn Store, fence: Fence, batch: &Batch) -> Result<Duration, StoreError> {
    let started = Instant::now();
    store.commit(SHARD, fence, batch)?;
    Ok(started.elapsed())
}

fn batch(ids: std::ops::Range<u64>, mut fill: impl FnMut(&mut Batch, u64)) -> Batch {
    let mut batch = Batch::default();
    ids.for_each(|id| fill(&mut batch, id));
    batch
}

fn accept(batch: &mut Batch, id: u64, bytes: usize, draw: &mut Draw) {
    batch.put(event(id), draw.bytes(RECORD_BYTES));
    batch.put(payload(id), draw.bytes(bytes));
}

fn finish(batch: &mut Batch, id: u64) {
    batch.delete(event(id));
    batch.delete(payload(id));
}

const fn event(id: u64) -> Key {
    Key { table: Table::Event, id }
}

const fn payload(id: u64) -> Key {
    Key { table: Table::Payload, id }
}

fn fresh(dir: &Path, name: &str) -> Outcome<PathBuf> {
    let dir = dir.join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    Ok(dir)
}

fn disk_mib(dir: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes >> 20)
}

fn resident_mib() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib >> 10)
}

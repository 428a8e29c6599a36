//! Kills a writing process again and again, and looks for anything that was promised and is gone.
//!
//! ```text
//! cargo run --release -p trine-store --features conformance,redb --example store_crash -- \
//!     DIR sqlite|redb KILLS SEED
//! ```
//!
//! The child commits without a pause and reports each commit that was answered `Ok`. The parent
//! kills it at a drawn moment, often while it is still recovering from the kill before, and
//! compares a copy of what is left with what the seed says must be there: every row of every
//! acknowledged commit, nothing of half a commit. The child goes on in the original, so crashes
//! pile up as they do in life. SIGKILL leaves the kernel's cache alone: this is not a power cut.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use trine_store::conformance::Draw;
use trine_store::{Batch, Embedded, Fence, Key, Op, Options, Seq, Shard, Store, Table};
#[cfg(feature = "redb")]
use trine_store::{Directory, RedbFile};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const SHARD: Shard = Shard(0);
/// A commit finishes what the one this many before it accepted.
const LAG: u64 = 40;
/// Ids of one commit start at its number times this.
const IDS: u64 = 256;
/// The longest the child lives once it has committed, in microseconds.
const LIFE_US_MAX: u64 = 60_000;
/// One in this many kills is aimed at the recovery.
const EARLY_IN: u64 = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments[..] {
        ["child", dir, engine, seed] => child(Path::new(dir), engine, seed),
        [dir, engine, kills, seed] => parent(Path::new(dir), engine, kills, seed),
        _ => Err("usage: store_crash DIR sqlite|redb KILLS SEED".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn open(dir: &Path, engine: &str) -> Outcome<Box<dyn Store>> {
    Ok(match engine {
        "sqlite" => Box::new(Embedded::open(dir, Options::default())?),
        #[cfg(feature = "redb")]
        "redb" => Box::new(Directory::<RedbFile>::open(dir, Options::default())?),
        _ => return Err("no such engine in this build".into()),
    })
}

/// What commit `number` writes: a function of the seed, so that the parent knows it too.
fn batch(seed: u64, number: u64) -> Batch {
    let mut draw = Draw::new(seed ^ number.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut batch = Batch::default();
    for id in accepted(seed, number) {
        // Now and then a payload of many pages.
        let longest = if draw.below(400) == 0 { 400_000 } else { 1200 };
        let payload = draw.below(longest) as usize;
        batch.put(Key { table: Table::Event, id }, draw.bytes(100));
        batch.put(Key { table: Table::Payload, id }, draw.bytes(payload));
    }
    for id in accepted(seed, number.wrapping_sub(LAG / 2)).step_by(3) {
        batch.put(Key { table: Table::Event, id }, draw.bytes(110));
    }
    for id in accepted(seed, number.wrapping_sub(LAG)) {
        batch.delete(Key { table: Table::Event, id });
        batch.delete(Key { table: Table::Payload, id });
    }
    batch
}

fn accepted(seed: u64, number: u64) -> std::ops::Range<u64> {
    // Numbers before the first one wrapped around and accepted nothing.
    let count = match number {
        1..=0xffff_ffff => 1 + Draw::new(seed.wrapping_add(number)).below(64),
        _ => 0,
    };
    let first = number.wrapping_mul(IDS);
    first..first + count
}

fn child(dir: &Path, engine: &str, seed: &str) -> Outcome<()> {
    let seed = seed.parse()?;
    let store = open(dir, engine)?;
    let mut out = io::stdout().lock();
    let Fence(fence) = store.acquire(SHARD)?;
    writeln!(out, "fence {fence}")?;
    let Seq(mut number) = store.scan(SHARD, &mut |_, _| Ok(()))?;
    writeln!(out, "found {number}")?;
    loop {
        number += 1;
        let Seq(seq) = store.commit(SHARD, Fence(fence), &batch(seed, number))?;
        writeln!(out, "ack {seq}")?;
    }
}

/// What the child said before it died.
#[derive(Default)]
struct Said {
    fence: Option<u64>,
    acknowledged: Option<u64>,
}

/// What has been promised so far, and what that means for the rows.
struct Promised {
    seed: u64,
    seq: u64,
    fence: u64,
    /// Rows as of `at`, which trails the promise until the next comparison.
    rows: BTreeMap<Key, Vec<u8>>,
    at: u64,
}

#[derive(Default)]
struct Figures {
    kills: u64,
    while_recovering: u64,
    unasked: u64,
    rows: u64,
    recoveries: Vec<Duration>,
}

fn parent(dir: &Path, engine: &str, kills: &str, seed: &str) -> Outcome<()> {
    let (kills, seed): (u64, u64) = (kills.parse()?, seed.parse()?);
    let (live, copy) = (dir.join("live"), dir.join("copy"));
    remove(&live)?;
    let mut promised = Promised { seed, seq: 0, fence: 0, rows: BTreeMap::new(), at: 0 };
    let mut figures = Figures::default();
    let mut draw = Draw::new(seed);
    println!("{engine}, seed {seed}, {kills} kills");
    while figures.kills < kills {
        round(&live, engine, &mut draw, &mut promised, &mut figures)?;
        remove(&copy)?;
        copy_files(&live, &copy)?;
        let verified = verify(&copy, engine, &mut promised, &mut figures);
        verified.map_err(|error| {
            format!("kill {} with seed {seed}: {error}; see {}", figures.kills, copy.display())
        })?;
        if figures.kills.is_multiple_of(100) {
            println!("  {} kills, {} commits", figures.kills, promised.seq);
        }
    }
    report(engine, &promised, &mut figures);
    Ok(())
}

/// One child, from its start to its violent end.
fn round(
    dir: &Path,
    engine: &str,
    draw: &mut Draw,
    promised: &mut Promised,
    figures: &mut Figures,
) -> Outcome<()> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .arg(dir)
        .args([engine, &promised.seed.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let started = Instant::now();
    let pipe = child.stdout.take().ok_or("the child has no pipe")?;
    let (ready, lines) = listen(pipe);
    let typical = figures.recoveries.last().copied().unwrap_or_default().as_micros() as u64;
    if draw.below(EARLY_IN) == 0 {
        // Somewhere between the start of the process and the end of its recovery.
        wait(&lines, started, Duration::from_micros(draw.below(3000 + 2 * typical)));
    } else {
        // Its first word says that it has recovered; a child that fails closes the pipe instead.
        let _ = ready.recv();
        wait(&lines, Instant::now(), Duration::from_micros(draw.below(LIFE_US_MAX)));
    }
    let said = kill(child, &lines)?;
    figures.kills += 1;
    match said.fence {
        None => figures.while_recovering += 1,
        Some(fence) if fence <= promised.fence => {
            return Err(format!("fence {fence} after fence {}", promised.fence).into());
        }
        Some(fence) => promised.fence = fence,
    }
    promised.seq = promised.seq.max(said.acknowledged.unwrap_or(0));
    Ok(())
}

/// Reads what the child says until it is dead. The first channel speaks once, with the first line.
fn listen(pipe: ChildStdout) -> (Receiver<()>, Receiver<Said>) {
    let (first, ready) = mpsc::channel();
    let (last, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut said = Said::default();
        // A line that was cut short by the kill does not parse, and promises nothing.
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            match line.split_once(' ') {
                Some(("fence", number)) => said.fence = number.parse().ok(),
                Some(("ack", number)) => said.acknowledged = number.parse().ok(),
                _ => {}
            }
            let _ = first.send(());
        }
        // Nobody listens only if the parent has given up.
        let _ = last.send(said);
    });
    (ready, lines)
}

/// Lets time pass; the child is only heard of at its end.
fn wait(lines: &Receiver<Said>, from: Instant, time: Duration) {
    let left = time.saturating_sub(from.elapsed());
    assert!(lines.recv_timeout(left).is_err(), "the child ended by itself");
}

fn kill(mut child: Child, lines: &Receiver<Said>) -> Outcome<Said> {
    child.kill()?;
    child.wait()?;
    Ok(lines.recv()?)
}

/// Opens what is left and compares it, row by row, with what must be there.
fn verify(dir: &Path, engine: &str, promised: &mut Promised, figures: &mut Figures) -> Outcome<()> {
    if !dir.join("MANIFEST").exists() && promised.fence == 0 {
        return Ok(());
    }
    let started = Instant::now();
    let store = open(dir, engine)?;
    let mut found = Vec::new();
    let Seq(seq) = store.scan(SHARD, &mut |key, bytes| {
        found.push((key, bytes.to_vec()));
        Ok(())
    })?;
    figures.recoveries.push(started.elapsed());
    if seq < promised.seq {
        return Err(
            format!("LOST: commit {} was acknowledged, {seq} is there", promised.seq).into()
        );
    }
    if seq > promised.seq + 1 {
        return Err(format!("commit {seq} is there, only {} were asked", promised.seq + 1).into());
    }
    figures.unasked += seq - promised.seq;
    promised.replay(seq);
    let records = promised.rows.iter().filter(|(key, _)| key.table.scanned());
    if !records.map(|(key, value)| (*key, value.clone())).eq(found) {
        return Err(format!("TORN: the records are not those of commit {seq}").into());
    }
    figures.rows += promised.rows.len() as u64;
    promised.compare_blobs(store.as_ref())?;
    let Fence(fence) = store.acquire(SHARD)?;
    if fence <= promised.fence {
        return Err(format!("fence {fence} after fence {}", promised.fence).into());
    }
    Ok(())
}

impl Promised {
    fn replay(&mut self, to: u64) {
        for number in self.at + 1..=to {
            for op in batch(self.seed, number).ops {
                match op {
                    Op::Put(key, value) => _ = self.rows.insert(key, value.to_vec()),
                    Op::Delete(key) => _ = self.rows.remove(&key),
                }
            }
        }
        (self.at, self.seq) = (to, to);
    }

    fn compare_blobs(&self, store: &dyn Store) -> Outcome<()> {
        for (key, value) in self.rows.iter().filter(|(key, _)| !key.table.scanned()) {
            if store.get(SHARD, *key)?.as_deref() != Some(value) {
                return Err(format!("TORN: blob {key} is not that of commit {}", self.seq).into());
            }
        }
        // Those that were deleted last are the ones that might come back.
        for number in self.seq.saturating_sub(2 * LAG)..=self.seq.saturating_sub(LAG) {
            for id in accepted(self.seed, number) {
                let key = Key { table: Table::Payload, id };
                if store.get(SHARD, key)?.is_some() {
                    return Err(format!("TORN: blob {key} was deleted and is back").into());
                }
            }
        }
        Ok(())
    }
}

fn report(engine: &str, promised: &Promised, figures: &mut Figures) {
    figures.recoveries.sort();
    let at = |share: usize| {
        figures.recoveries.get((figures.recoveries.len() - 1) * share / 100).copied()
    };
    println!(
        "| {engine} | {} | {} | {} | {} | {} | 0 | 0 | {:.1?} | {:.1?} |",
        figures.kills,
        figures.while_recovering,
        promised.seq,
        figures.unasked,
        figures.rows,
        at(50).unwrap_or_default(),
        at(100).unwrap_or_default(),
    );
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn remove(dir: &Path) -> io::Result<()> {
    if dir.exists() { fs::remove_dir_all(dir) } else { Ok(()) }
}

//! Looks for anything that a store promised and does not keep.
//!
//! ```text
//! cargo run --release -p trine-store --features conformance,redb --example store_crash -- \
//!     kill  DIR sqlite|redb KILLS SEED
//!     power DIR sqlite|redb COMMITS IMAGES SEED
//! ```
//!
//! `kill` ends a writing process with SIGKILL, again and again; `power` pulls the plug on a
//! recorded one. Both know from the seed what must be there afterwards. `DIR` is emptied; for
//! `power` it may be in memory.

mod kill;
mod power;
mod workload;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

#[cfg(feature = "redb")]
use trine_store::{Directory, RedbFile};
use trine_store::{Embedded, Options};
use trine_store::{Fence, Seq, Store};

use crate::workload::SHARD;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments[..] {
        ["child", dir, engine, seed, commits] => child(Path::new(dir), engine, seed, commits),
        ["kill", dir, engine, kills, seed] => kill::run(Path::new(dir), engine, kills, seed),
        ["power", dir, engine, commits, images, seed] => {
            power::run(Path::new(dir), engine, commits, images, seed)
        }
        _ => Err("see the first lines of this example for its arguments".into()),
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

/// Commits what the seed says, going on after what it finds, and reports every `Ok`.
fn child(dir: &Path, engine: &str, seed: &str, commits: &str) -> Outcome<()> {
    let (seed, commits): (u64, u64) = (seed.parse()?, commits.parse()?);
    let store = open(dir, engine)?;
    let mut out = io::stdout().lock();
    let Fence(fence) = store.acquire(SHARD)?;
    writeln!(out, "fence {fence}")?;
    let Seq(found) = store.scan(SHARD, &mut |_, _| Ok(()))?;
    for number in (found + 1..).take(usize::try_from(commits)?) {
        let batch = workload::batch(seed, number)?;
        let Seq(seq) = store.commit(SHARD, Fence(fence), &batch)?;
        writeln!(out, "ack {seq}")?;
    }
    Ok(())
}

/// Makes the directory empty.
fn empty(dir: &Path) -> io::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)
}

//! SIGKILL at a drawn moment, often during the recovery from the kill before.
//!
//! The child goes on in the directory that was killed, so crashes pile up as they do in life; a
//! copy of it is judged. The kernel's cache survives: a power cut is another matter.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use trine_store::conformance::Draw;

use crate::workload::Promised;
use crate::{Outcome, empty, open};

/// The longest the child lives once it has recovered, in microseconds.
const LIFE_US_MAX: u64 = 60_000;
/// One in this many kills is aimed at the recovery.
const EARLY_IN: u64 = 4;
/// How long a process takes to get to its recovery, roughly, in microseconds.
const START_US: u64 = 3000;

#[derive(Default)]
struct Figures {
    kills: u64,
    while_recovering: u64,
    unacknowledged: u64,
    rows: u64,
    recoveries: Vec<Duration>,
}

/// What the child said before it died.
#[derive(Default)]
struct Said {
    fence: Option<u64>,
    acknowledged: Option<u64>,
}

pub(crate) fn run(dir: &Path, engine: &str, kills: &str, seed: &str) -> Outcome<()> {
    let (kills, seed): (u64, u64) = (kills.parse()?, seed.parse()?);
    let (live, copy) = (dir.join("live"), dir.join("copy"));
    empty(&live)?;
    let (mut promised, mut figures) = (Promised::new(seed), Figures::default());
    let mut draw = Draw::new(seed);
    println!("{engine}, seed {seed}, {kills} kills");
    while figures.kills < kills {
        round(&live, engine, &mut draw, &mut promised, &mut figures)?;
        empty(&copy)?;
        copy_files(&live, &copy)?;
        judge(&copy, engine, &mut promised, &mut figures).map_err(|error| {
            format!("kill {} with seed {seed}: {error}; see {}", figures.kills, copy.display())
        })?;
        if figures.kills.is_multiple_of(100) {
            println!("  {} kills, {} commits", figures.kills, promised.seq);
        }
    }
    figures.print(engine, promised.seq);
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
        .args([engine, &promised.seed.to_string(), "1000000"])
        .stdout(Stdio::piped())
        .spawn()?;
    let started = Instant::now();
    let (first, last) = listen(child.stdout.take().ok_or("the child has no pipe")?);
    let typical = figures.recoveries.last().map_or(0, Duration::as_micros);
    if draw.below(EARLY_IN) == 0 {
        let recovered = START_US + 2 * u64::try_from(typical)?;
        wait(&last, started, Duration::from_micros(draw.below(recovered)))?;
    } else {
        // Its first word says that it has recovered; a child that fails closes the pipe instead.
        let _ = first.recv();
        wait(&last, Instant::now(), Duration::from_micros(draw.below(LIFE_US_MAX)))?;
    }
    let said = kill(child, &last)?;
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

/// Reads what the child says. The first channel speaks with its first line, the second at its end.
fn listen(pipe: ChildStdout) -> (Receiver<()>, Receiver<Said>) {
    let (first, spoke) = mpsc::channel();
    let (last, ended) = mpsc::channel();
    thread::spawn(move || {
        let mut said = Said::default();
        let mut lines = BufReader::new(pipe);
        let mut line = String::new();
        // A line that the kill cut short promises nothing.
        while matches!(lines.read_line(&mut line), Ok(1..)) && line.ends_with('\n') {
            match line.trim_end().split_once(' ') {
                Some(("fence", number)) => said.fence = number.parse().ok(),
                Some(("ack", number)) => said.acknowledged = number.parse().ok(),
                _ => {}
            }
            line.clear();
            // Nobody listens any more to what comes after the first line.
            let _ = first.send(());
        }
        let _ = last.send(said);
    });
    (spoke, ended)
}

/// Lets time pass; a child that comes to an end by itself has failed.
fn wait(ended: &Receiver<Said>, from: Instant, time: Duration) -> Outcome<()> {
    match ended.recv_timeout(time.saturating_sub(from.elapsed())) {
        Ok(_) => Err("the child ended by itself".into()),
        Err(_) => Ok(()),
    }
}

fn kill(mut child: Child, ended: &Receiver<Said>) -> Outcome<Said> {
    child.kill()?;
    child.wait()?;
    Ok(ended.recv()?)
}

fn judge(dir: &Path, engine: &str, promised: &mut Promised, figures: &mut Figures) -> Outcome<()> {
    let started = Instant::now();
    let store = open(dir, engine)?;
    figures.recoveries.push(started.elapsed());
    let kept = promised.verify(store.as_ref())?;
    figures.unacknowledged += kept.unacknowledged;
    figures.rows += kept.rows;
    Ok(())
}

impl Figures {
    fn print(&mut self, engine: &str, commits: u64) {
        self.recoveries.sort();
        let at = |share: usize| self.recoveries[(self.recoveries.len() - 1) * share / 100];
        println!(
            "{engine}: {} kills ({} while recovering), {commits} commits, of them {} found without \
             having been acknowledged, {} rows compared, 0 lost, 0 torn, recovery {:.1?} median, \
             {:.1?} longest",
            self.kills,
            self.while_recovering,
            self.unacknowledged,
            self.rows,
            at(50),
            at(100),
        );
    }
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

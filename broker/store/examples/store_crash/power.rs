//! Power cuts, from a recording of what a process asked of its disk.
//!
//! `strace` writes down every write, fsync and change of a name; a cut is simulated after any of
//! them. What was fsynced is there. Of the rest, every write may have reached the disk or not, in
//! any order, whole or by sectors of 512 bytes; changes of names survive in the order they were
//! made, up to some point. Each image is opened and judged like the rest of a kill.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use trine_store::conformance::Draw;

use crate::workload::Promised;
use crate::{Outcome, empty, open};

const SECTOR_BYTES: usize = 512;
/// The recorded process is started this many times, so that the recording has restarts in it.
const STARTS: u64 = 3;

/// One line of the recording that matters.
enum Step {
    Open { name: String, created: bool, truncated: bool },
    Rename { from: String, to: String },
    Unlink { name: String },
    Write { name: String, at: Option<usize>, bytes: Vec<u8> },
    Truncate { name: String, length: usize },
    Sync { name: String },
    Say(String),
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

/// A file: what is on the disk, and what was asked since.
#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
    length: usize,
}

/// A directory in the same two states; a name stands for an index into `contents`.
#[derive(Default)]
struct Disk {
    contents: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<(String, Option<usize>)>,
}

/// How much of what was not fsynced survives.
#[derive(Copy, Clone)]
enum Survival {
    Nothing,
    Everything,
    SomeWrites,
    SomeSectors,
}

pub(crate) fn run(
    dir: &Path,
    engine: &str,
    commits: &str,
    images: &str,
    seed: &str,
) -> Outcome<()> {
    let (images, seed): (u64, u64) = (images.parse()?, seed.parse()?);
    let (live, image) = (dir.join("live"), dir.join("image"));
    empty(&live)?;
    let mut steps = Vec::new();
    for _ in 0..STARTS {
        steps.extend(record(dir, &live, engine, commits, seed)?);
    }
    let (mut disk, mut draw) = (Disk::default(), Draw::new(seed));
    let (mut promised, mut fence, mut seq) = (Promised::new(seed), 0, 0);
    let (mut judged, mut unacknowledged) = (0_u64, 0);
    let total = steps.len() as u64;
    for (at, step) in steps.into_iter().enumerate() {
        if let Step::Say(line) = &step {
            match line.split_once(' ') {
                Some(("fence", number)) => fence = number.parse()?,
                Some(("ack", number)) => seq = number.parse()?,
                _ => {}
            }
        }
        disk.apply(step)?;
        let due = (at as u64 + 1) * images / total;
        while judged < due {
            judged += 1;
            empty(&image)?;
            disk.cut(&image, &mut draw)?;
            (promised.fence, promised.seq) = (fence, seq);
            let verdict = open(&image, engine).and_then(|store| promised.verify(store.as_ref()));
            unacknowledged += verdict
                .map_err(|error| format!("cut {judged} after step {at}, seed {seed}: {error}"))?
                .unacknowledged;
        }
    }
    println!(
        "{engine}: {judged} power cuts over {total} steps and {seq} commits, {unacknowledged} \
         found without having been acknowledged, 0 lost, 0 torn"
    );
    Ok(())
}

fn record(dir: &Path, live: &Path, engine: &str, commits: &str, seed: u64) -> Outcome<Vec<Step>> {
    let log = dir.join("strace");
    let calls = "trace=openat,rename,unlink,write,pwrite64,ftruncate,fsync,fdatasync";
    let status = Command::new("strace")
        .args(["-f", "-y", "-xx", "-qq", "-s", "99999999", "-e", calls, "-o"])
        .arg(&log)
        .arg(env::current_exe()?)
        .arg("child")
        .arg(live)
        .args([engine, &seed.to_string(), commits])
        .stdout(std::process::Stdio::null())
        .status()?;
    if !status.success() {
        return Err("the recorded process failed".into());
    }
    let text = fs::read_to_string(&log)?;
    let live = live.to_str().ok_or("the directory's name is not text")?;
    let mut steps = Vec::new();
    for line in text.lines() {
        steps.extend(parse(line, live)?);
    }
    Ok(steps)
}

/// `12 pwrite64(5</dir/file>, "\x00\x01", 2, 4096) = 2`, with every string in hexadecimal.
fn parse(line: &str, live: &str) -> Outcome<Option<Step>> {
    let Some((head, result)) = line.rsplit_once(" = ") else { return Ok(None) };
    if result.starts_with('-') {
        return Ok(None);
    }
    let (_, call) = head.split_once(' ').ok_or("a line without a process")?;
    let (call, arguments) = call.trim_start().split_once('(').ok_or("a line without a call")?;
    let arguments = arguments.trim_end().trim_end_matches(')');
    let mut strings = arguments.split('"').skip(1).step_by(2).map(decode);
    let mut string = || strings.next().ok_or("a call without a string")?;
    let last = || arguments.rsplit(", ").next().and_then(|number| number.parse().ok());
    let of_file = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    let of_file = of_file.map(|(name, _)| decode(name)).transpose()?;
    let within = |name: Vec<u8>| {
        let name = String::from_utf8_lossy(&name).into_owned();
        let name = name.strip_prefix(live)?.trim_start_matches('/').to_owned();
        Some(name)
    };
    Ok(match call {
        "openat" => within(string()?).map(|name| Step::Open {
            name,
            created: arguments.contains("O_CREAT"),
            truncated: arguments.contains("O_TRUNC"),
        }),
        "rename" => {
            let (from, to) = (within(string()?), within(string()?));
            from.zip(to).map(|(from, to)| Step::Rename { from, to })
        }
        "unlink" => within(string()?).map(|name| Step::Unlink { name }),
        "write" | "pwrite64" => {
            let (bytes, at) = (string()?, last().filter(|_| call == "pwrite64"));
            if arguments.starts_with("1<") {
                Some(Step::Say(String::from_utf8_lossy(&bytes).trim_end().to_owned()))
            } else {
                of_file.and_then(within).map(|name| Step::Write { name, at, bytes })
            }
        }
        "ftruncate" => of_file
            .and_then(within)
            .zip(last())
            .map(|(name, length)| Step::Truncate { name, length }),
        "fsync" | "fdatasync" => of_file.and_then(within).map(|name| Step::Sync { name }),
        _ => None,
    })
}

fn decode(hex: &str) -> Outcome<Vec<u8>> {
    let bytes = hex.split("\\x").skip(1);
    bytes.map(|byte| Ok(u8::from_str_radix(byte, 16)?)).collect()
}

impl Disk {
    fn apply(&mut self, step: Step) -> Outcome<()> {
        match step {
            Step::Open { name, created, truncated } => self.open(name, created, truncated),
            Step::Rename { from, to } => {
                let content = self.names.remove(&from).ok_or("renamed what is not there")?;
                self.names.insert(to.clone(), content);
                self.pending_names.push((to, Some(content)));
                self.pending_names.push((from, None));
            }
            Step::Unlink { name } => {
                self.names.remove(&name);
                self.pending_names.push((name, None));
            }
            Step::Write { name, at, bytes } => {
                let content = self.content(&name)?;
                let at = at.unwrap_or(content.length);
                content.length = content.length.max(at + bytes.len());
                content.pending.push(Change::Write { at, bytes });
            }
            Step::Truncate { name, length } => {
                let content = self.content(&name)?;
                content.length = length;
                content.pending.push(Change::Truncate { length });
            }
            // The directory itself has the empty name.
            Step::Sync { name } if name.is_empty() => {
                for (name, content) in self.pending_names.drain(..) {
                    set(&mut self.durable_names, name, content);
                }
            }
            Step::Sync { name } => {
                let content = self.content(&name)?;
                for change in std::mem::take(&mut content.pending) {
                    change.apply(&mut content.durable, |_| true);
                }
            }
            Step::Say(_) => {}
        }
        Ok(())
    }

    fn open(&mut self, name: String, created: bool, truncated: bool) {
        match self.names.get(&name) {
            Some(content) if truncated => {
                let content = &mut self.contents[*content];
                content.length = 0;
                content.pending.push(Change::Truncate { length: 0 });
            }
            None if created => {
                let content = self.contents.len();
                self.contents.push(Content::default());
                self.names.insert(name.clone(), content);
                self.pending_names.push((name, Some(content)));
            }
            _ => {}
        }
    }

    fn content(&mut self, name: &str) -> Outcome<&mut Content> {
        let content = self.names.get(name).ok_or_else(|| format!("{name} was never opened"))?;
        Ok(&mut self.contents[*content])
    }

    /// Writes what a cut at this point might leave.
    fn cut(&self, dir: &Path, draw: &mut Draw) -> Outcome<()> {
        let survival = match draw.below(6) {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            2 | 3 => Survival::SomeWrites,
            _ => Survival::SomeSectors,
        };
        let mut names = self.durable_names.clone();
        let kept = match survival {
            Survival::Nothing => 0,
            Survival::Everything => self.pending_names.len(),
            _ => usize::try_from(draw.below(self.pending_names.len() as u64 + 1))?,
        };
        for (name, content) in &self.pending_names[..kept] {
            set(&mut names, name.clone(), *content);
        }
        // The index of SQLite's log lives in shared memory and is worthless after a cut.
        for (name, content) in names.iter().filter(|(name, _)| !name.ends_with("-shm")) {
            fs::write(dir.join(name), self.contents[*content].after(survival, draw))?;
        }
        Ok(())
    }
}

impl Content {
    fn after(&self, survival: Survival, draw: &mut Draw) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match survival {
                Survival::Nothing => {}
                Survival::Everything => change.apply(&mut bytes, |_| true),
                Survival::SomeWrites => {
                    let whole = draw.below(2) == 0;
                    change.apply(&mut bytes, |_| whole);
                }
                Survival::SomeSectors => change.apply(&mut bytes, |_| draw.below(2) == 0),
            }
        }
        bytes
    }
}

impl Change {
    /// Applies the sectors that are kept; a truncation has one.
    fn apply(&self, to: &mut Vec<u8>, mut keep: impl FnMut(usize) -> bool) {
        match self {
            Self::Truncate { length } => {
                if keep(0) {
                    to.resize(*length, 0);
                }
            }
            Self::Write { at, bytes } => {
                let mut done = 0;
                while done < bytes.len() {
                    let from = at + done;
                    let sector = from / SECTOR_BYTES;
                    let end = bytes.len().min((sector + 1) * SECTOR_BYTES - at);
                    if keep(sector) {
                        let until = at + end;
                        if to.len() < until {
                            to.resize(until, 0);
                        }
                        to[from..until].copy_from_slice(&bytes[done..end]);
                    }
                    done = end;
                }
            }
        }
    }
}

fn set(names: &mut BTreeMap<String, usize>, name: String, content: Option<usize>) {
    match content {
        Some(content) => _ = names.insert(name, content),
        None => _ = names.remove(&name),
    }
}

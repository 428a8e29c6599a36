//! Delivery into files of JSON lines in the operator's folder.
//!
//! One thread writes all files: they are on one disk, and what waits while it syncs is written with
//! the next sync. A file is opened for each batch and not kept open, so that one that was moved
//! away (log rotation) is simply made anew, and so that no number of names holds descriptors.
//! A file is only ever appended to; nothing in it is changed, whatever state a crash left it in.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// Records that wait for the thread, at most; the next ones wait outside, as long as a delivery may.
const WAITING_MAX: usize = 64;

/// Bytes that are written before they are synced, at most (and one record more).
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Longest file name, in bytes, as file systems have it.
const NAME_BYTES_MAX: usize = 255;

/// A plain file name: a file directly in the folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileName(String);

impl FileName {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(format!("a file destination's name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        if matches!(name, "." | "..")
            || name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
        {
            return Err("a file destination's name is a plain file name, without folders; the \
                        broker's configuration says in which folder it lies"
                .to_owned());
        }
        Ok(Self(name.to_owned()))
    }
}

/// The writing thread's other end.
#[derive(Debug)]
pub(super) struct Files(Result<mpsc::Sender<Line>, String>);

/// A record on its way to the disk.
#[derive(Debug)]
struct Line {
    name: FileName,
    json: Bytes,
    written: oneshot::Sender<Result<(), String>>,
}

impl Files {
    /// Files in `folder`, which is made when the first record comes. The thread ends after the last
    /// record once this is dropped.
    pub(super) fn new(folder: PathBuf) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("trine-files".to_owned());
        let spawned = thread.spawn(move || write_all(&folder, receiver));
        Self(spawned.map(|_| sender).map_err(|error| error.to_string()))
    }

    /// Appends `json` as one line to the file `name`; it is on disk when this returns `Ok`.
    ///
    /// # Errors
    /// A sentence, if that is not certain. The record may be in the file all the same, whole or
    /// torn, and will be in it again.
    pub(super) async fn append(&self, name: &FileName, json: Bytes) -> Result<(), String> {
        let sender = self.0.as_ref().map_err(Clone::clone)?;
        let (written, result) = oneshot::channel();
        let gone = || "the thread that writes files has ended".to_owned();
        let line = Line { name: name.clone(), json, written };
        sender.send(line).await.map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn write_all(folder: &Path, mut receiver: mpsc::Receiver<Line>) {
    while let Some(first) = receiver.blocking_recv() {
        let mut bytes = first.json.len();
        let mut batch: BTreeMap<FileName, Vec<Line>> = BTreeMap::new();
        batch.entry(first.name.clone()).or_default().push(first);
        while bytes < BATCH_BYTES_MAX
            && let Ok(next) = receiver.try_recv()
        {
            bytes += next.json.len();
            batch.entry(next.name.clone()).or_default().push(next);
        }
        for (name, lines) in batch {
            let result = append(folder, &name, lines.iter().map(|line| &line.json));
            let result = result.map_err(|error| format!("file {}: {error}", name.0));
            for line in lines {
                // Whoever gave up waiting will offer the record again.
                let _ = line.written.send(result.clone());
            }
        }
    }
}

fn append<'a>(
    folder: &Path,
    name: &FileName,
    records: impl Iterator<Item = &'a Bytes>,
) -> io::Result<()> {
    let mut file = open(folder, &folder.join(&name.0))?;
    let mut lines = Vec::new();
    if is_torn(&mut file)? {
        lines.push(b'\n');
    }
    for record in records {
        // JSON holds line breaks only between its tokens, where a space does as well.
        let flat = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
        lines.extend(record.iter().map(flat));
        lines.push(b'\n');
    }
    file.write_all(&lines)?;
    file.sync_data()
}

fn open(folder: &Path, path: &Path) -> io::Result<File> {
    match fs::metadata(path) {
        // Opening a pipe would wait for its reader, and with it every other file.
        Ok(there) if !there.is_file() => {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    fs::create_dir_all(folder)?;
    let file = options.create(true).open(path)?;
    // The name of a new file is durable only with its folder, that of a new folder with its own.
    sync_folder(folder)?;
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_folder(parent)?;
    }
    Ok(file)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether the last line has no end: a crash, or a full disk, cut it off.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_in_the_folder() {
        for name in ["a", "failures.jsonl", "...", "ä b", ".hidden", &"x".repeat(255)] {
            assert!(FileName::parse(name).is_ok(), "{name}");
        }
        let long = "x".repeat(256);
        for name in
            ["", ".", "..", "/etc/passwd", "a/b", "../a", "a\\b", "a\0", "a\nb", "a\u{7f}", &long]
        {
            FileName::parse(name).expect_err(name);
        }
    }
}

//! Places in a file that a person names, and how many lines are between two of them. It blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::position::{FileIdentity, FilePosition, MARK_BYTES_MAX, Mark};
use super::rotation::{open, unreadable};
use crate::{SeekTo, SourceError};

const CHUNK_BYTES: u64 = 64 * 1024;

/// Most bytes that are read to count the lines in them.
const COUNTED_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The file at a path, to be looked at once.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    path: &'a Path,
    file: File,
    identity: FileIdentity,
    length: u64,
}

impl<'a> Measured<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, SourceError> {
        let (file, metadata) = open(path)?;
        Ok(Self { path, file, identity: FileIdentity::of(&metadata), length: metadata.len() })
    }

    pub(crate) const fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Where the line begins that `to` names.
    pub(crate) fn find(&self, to: &SeekTo) -> Result<FilePosition, SourceError> {
        match to {
            SeekTo::Start => Ok(FilePosition::start_of(self.identity)),
            SeekTo::End => self.end(),
            SeekTo::Position(text) => self.named(text),
            SeekTo::Timestamp(_) => Err(SourceError::configuration(
                "lines of a file carry no time: seek to the byte where a line begins, to the start or to the end",
            )),
        }
    }

    /// After the last complete line: half a line will be the next one.
    pub(crate) fn end(&self) -> Result<FilePosition, SourceError> {
        let mut end = self.length;
        while end > 0 {
            let start = end.saturating_sub(CHUNK_BYTES);
            let chunk = self.read(start, end)?;
            if let Some(at) = chunk.iter().rposition(|&byte| byte == b'\n') {
                return self.at(start + at as u64 + 1);
            }
            end = start;
        }
        Ok(FilePosition::start_of(self.identity))
    }

    /// The line that begins at a byte: its number, or a position as a mapping shows it.
    fn named(&self, text: &str) -> Result<FilePosition, SourceError> {
        let shown = self.path.display();
        let offset = match (text.trim().parse(), FilePosition::from_line(text)) {
            (Ok(offset), _) => offset,
            (_, Some((_, position))) if position.file == self.identity => position.offset,
            (_, Some(_)) => {
                return Err(SourceError::configuration(format!(
                    "the position is one in another file than the one that is at {shown} now; name a byte of this one"
                )));
            }
            _ => {
                return Err(SourceError::configuration(format!(
                    "the position is {text:?}, expected the number of the byte where a line of {shown} begins"
                )));
            }
        };
        if offset > self.length {
            let length = self.length;
            return Err(SourceError::configuration(format!(
                "{shown} has {length} bytes: it has no byte {offset}"
            )));
        }
        if offset > 0 && self.read(offset - 1, offset)? != *b"\n" {
            return Err(SourceError::configuration(format!(
                "no line of {shown} begins at byte {offset}: events carry where their line begins as offset"
            )));
        }
        self.at(offset)
    }

    fn at(&self, offset: u64) -> Result<FilePosition, SourceError> {
        let before = self.read(offset.saturating_sub(MARK_BYTES_MAX as u64), offset)?;
        Ok(FilePosition { file: self.identity, offset, mark: Mark::of(&before) })
    }

    /// Lines that are records from one offset to another. `None`: too far apart to count.
    pub(crate) fn records(&self, from: u64, to: u64) -> Result<Option<u64>, SourceError> {
        if to.saturating_sub(from) > COUNTED_BYTES_MAX {
            return Ok(None);
        }
        let (mut records, mut blank, mut at) = (0, true, from);
        while at < to {
            let next = to.min(at + CHUNK_BYTES);
            for byte in self.read(at, next)? {
                if byte == b'\n' {
                    records += u64::from(!blank);
                    blank = true;
                } else {
                    blank &= byte.is_ascii_whitespace();
                }
            }
            at = next;
        }
        Ok(Some(records))
    }

    /// The bytes between two offsets, fewer if the file has shrunk.
    fn read(&self, from: u64, to: u64) -> Result<Vec<u8>, SourceError> {
        let length = usize::try_from(to - from).unwrap_or(usize::MAX); // a chunk
        let mut bytes = vec![0; length];
        match self.file.read_exact_at(&mut bytes, from) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            Err(error) => Err(unreadable(self.path, &error)),
        }
    }
}

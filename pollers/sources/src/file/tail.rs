//! Reads a file that grows, is truncated, moved away and replaced: from a position on, line by line. It
//! blocks, and does not wait: at the end of the file it says so.
//!
//! ```text
//! the path names          the open file        what happens
//! the open file           has more             it is read
//! the open file           shrank or differs    notice; on from the start of the new content
//! the open file           has no more          that is all for now
//! another file            has no more          after a grace: notice; its last line, then the next file
//! nothing                 has no more          that is all for now
//! ```

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use trine_poll_engine::{BATCH_BYTES_MAX, Millis};

use super::event::{EventWriter, Written};
use super::lines::{Line, Lines, Text};
use super::position::{FileIdentity, FilePosition, MARK_BYTES_MAX, Mark};
use super::rotation::{find, open, successor, unreadable};
use crate::{Content, Notice, Position, Received, Record, SourceError, Want};

/// How long a file that was moved away must be quiet before it counts as finished, in milliseconds: a
/// writer goes on with the old file until it is told of the new one.
pub(crate) const ROTATION_GRACE_MS: Millis = 1_000;

const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks of one pass, so that a line without an end cannot keep a pass from ending.
const CHUNKS_MAX: u32 = 256;

/// A line that is longer is longer as an event too.
const LINE_BYTES_MAX: usize = 6 * 1024 * 1024;
const _: () = assert!(LINE_BYTES_MAX as u64 == BATCH_BYTES_MAX);

/// The place in the file, and what was read from it and not given yet.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    /// As it is written into positions.
    path_text: Arc<str>,
    events: EventWriter,
    current: Current,
    /// Was read, but did not fit into what was wanted.
    next: Option<Record>,
    notices: Vec<Notice>,
    /// Since when the path has named another file while this one was quiet.
    moved_since: Option<Millis>,
    chunk: Vec<u8>,
}

#[derive(Debug)]
struct Current {
    file: File,
    identity: FileIdentity,
    lines: Lines,
    /// Of what stands before the current line.
    mark: Mark,
    /// When the file was last written before the newest bytes were read, milliseconds since the Unix epoch: those of a line are at
    /// least as old.
    written_at_ms: Option<i64>,
}

/// What a pass brought.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) received: Received,
    /// It ended for its length; there may be more to read at once.
    pub(crate) cut_short: bool,
}

impl Tail {
    /// The file at `path` after a position, or from its start.
    pub(crate) fn open(
        path: &Path,
        path_text: &Arc<str>,
        events: EventWriter,
        after: Option<&FilePosition>,
    ) -> Result<Self, SourceError> {
        let mut notices = Vec::new();
        let current = match after {
            Some(position) => Current::resume(path, position, &mut notices)?,
            None => Current::from_start(path)?,
        };
        Ok(Self {
            path: path.to_owned(),
            path_text: Arc::clone(path_text),
            events,
            current,
            next: None,
            notices,
            moved_since: None,
            chunk: vec![0; CHUNK_BYTES],
        })
    }

    /// Where it stands: right after it was opened, where it began.
    pub(crate) fn position(&self) -> FilePosition {
        let Current { identity, mark, ref lines, .. } = self.current;
        FilePosition { file: identity, offset: lines.line_start(), mark }
    }

    /// What there is now, up to what is wanted.
    pub(crate) fn read(&mut self, now: Millis, want: Want) -> Result<Pass, SourceError> {
        let mut taken = Taken::new(want);
        let (mut chunks, mut at_end) = (0, false);
        while self.take_lines(&mut taken) && chunks < CHUNKS_MAX {
            if self.fill()? {
                chunks += 1;
            } else if !taken.records.is_empty() || !self.finish_moved(now, &mut taken)? {
                at_end = true;
                break;
            }
        }
        let notices = std::mem::take(&mut self.notices);
        // Only at its end is it known how many lines are left.
        let lag_records = at_end.then_some(0);
        let received = Received { records: taken.records, notices, lag_records, ended: false };
        Ok(Pass { received, cut_short: chunks == CHUNKS_MAX })
    }

    /// Takes lines that were read. Whether more are wanted when there are no more of them.
    fn take_lines(&mut self, taken: &mut Taken) -> bool {
        loop {
            let record = match self.next.take() {
                Some(record) => record,
                None => match self.current.next_line() {
                    Some(line) => match self.record(line) {
                        Some(record) => record,
                        None => continue,
                    },
                    None => return !taken.is_full(),
                },
            };
            if let Some(surplus) = taken.push(record) {
                self.next = Some(surplus);
                return false;
            }
        }
    }

    /// The record of a line; `None` if it is blank.
    fn record(&self, line: Line) -> Option<Record> {
        let Line { start, end, mark, text } = line;
        let Current { identity, written_at_ms, .. } = self.current;
        let id = format!("{}-{start}", identity.inode);
        let too_large = |bytes| (Bytes::new(), Content::TooLarge(bytes));
        let (body, content) = match text {
            Text::TooLong(bytes) => too_large(bytes),
            Text::Whole(whole) => match self.events.event(&id, start, &whole)? {
                Written { event, .. } if event.len() as u64 > BATCH_BYTES_MAX => {
                    too_large(event.len() as u64)
                }
                Written { event, body } => (body, Content::Event(event)),
            },
        };
        let position = FilePosition { file: identity, offset: end, mark };
        Some(Record {
            position: Position::new(&position.to_line(&self.path_text)),
            identifier: id.into(),
            arrived_at_ms: written_at_ms,
            key: None,
            body,
            content,
        })
    }

    /// Reads some more of the file, or begins it anew if it is not what it was. Whether either happened.
    fn fill(&mut self) -> Result<bool, SourceError> {
        let path = &self.path;
        let failed = |error| unreadable(path, &error);
        let metadata = self.current.file.metadata().map_err(failed)?;
        let (length, at) = (metadata.len(), self.current.lines.read_end());
        if length == at {
            return Ok(false);
        }
        let changed = if length < at {
            Some(format!("shrank from {at} to {length} bytes"))
        } else if self.current.differs().map_err(failed)? {
            Some("has other content than what was read of it".to_owned())
        } else {
            None
        };
        if let Some(changed) = changed {
            let path = path.display();
            let message =
                format!("{path} {changed}: it is read from its start; what was not read is lost");
            self.notices.push(Notice { message, gap: true });
            self.current.begin_anew();
            return Ok(true);
        }
        let read = self.current.file.read_at(&mut self.chunk, at).map_err(failed)?;
        self.current.lines.push(&self.chunk[..read]);
        self.current.written_at_ms = written_at_ms(&metadata);
        self.moved_since = None;
        Ok(read > 0)
    }

    /// Goes on with the file that the path names now, once the open one is finished. Whether it did.
    fn finish_moved(&mut self, now: Millis, taken: &mut Taken) -> Result<bool, SourceError> {
        let named = match fs::metadata(&self.path) {
            Ok(metadata) => Some(FileIdentity::of(&metadata)),
            // Between the two steps of a rotation, or for good: the old file is all there is.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(&self.path, &error)),
        };
        if named.is_none_or(|named| named == self.current.identity) {
            self.moved_since = None;
            return Ok(false);
        }
        let since = *self.moved_since.get_or_insert(now);
        if now < since + ROTATION_GRACE_MS {
            return Ok(false);
        }
        let (identity, failed) = (self.current.identity, |error| unreadable(&self.path, &error));
        let finished_at = self.current.file.metadata().and_then(|metadata| metadata.modified());
        let next = successor(&self.path, identity, finished_at.map_err(failed)?)?;
        let new = Current::from_start(&next)?;
        let last = self.current.lines.last_line().and_then(|line| self.record(line));
        if let Some(surplus) = last.and_then(|record| taken.push(record)) {
            self.next = Some(surplus);
        }
        let (path, next) = (self.path.display(), next.display());
        let message = format!("{path} was moved away and read to its end; next is {next}");
        self.notices.push(Notice { message, gap: false });
        self.current = new;
        self.moved_since = None;
        Ok(true)
    }
}

impl Current {
    fn from_start(path: &Path) -> Result<Self, SourceError> {
        let (file, metadata) = open(path)?;
        Ok(Self::at(file, &metadata, 0, Mark::default()))
    }

    fn at(file: File, metadata: &Metadata, offset: u64, mark: Mark) -> Self {
        let lines = Lines::new(offset, LINE_BYTES_MAX);
        let (identity, written_at_ms) = (FileIdentity::of(metadata), written_at_ms(metadata));
        Self { file, identity, lines, mark, written_at_ms }
    }

    /// The file of `position`, wherever it was moved to within its folder; the one at `path` from its
    /// start if that is gone or not what it was.
    fn resume(
        path: &Path,
        position: &FilePosition,
        notices: &mut Vec<Notice>,
    ) -> Result<Self, SourceError> {
        let shown = path.display();
        let mut gap = |message| notices.push(Notice { message, gap: true });
        let Some((file, metadata)) = find(path, position.file)? else {
            let current = Self::from_start(path)?;
            gap(format!(
                "{shown} is another file than the one that was read to {position}, which is gone: it is \
                 read from its start; what was not read of the old one is lost"
            ));
            return Ok(current);
        };
        let current = Self::at(file, &metadata, position.offset, position.mark);
        let differs = current.differs().map_err(|error| unreadable(path, &error))?;
        if metadata.len() < position.offset || differs {
            let mut current = current;
            current.begin_anew();
            gap(format!(
                "{shown} has other content than what was read to {position}: it is read from its start; \
                 what was not read is lost"
            ));
            return Ok(current);
        }
        Ok(current)
    }

    fn next_line(&mut self) -> Option<Line> {
        let line = self.lines.next_line()?;
        self.mark = line.mark;
        Some(line)
    }

    fn begin_anew(&mut self) {
        self.lines = Lines::new(0, LINE_BYTES_MAX);
        self.mark = Mark::default();
    }

    /// Whether something else stands in the file now where something was read before.
    fn differs(&self) -> io::Result<bool> {
        let partial = self.lines.last_read();
        let (length, end) = if partial.is_empty() {
            (self.mark.bytes as usize, self.lines.read_end())
        } else {
            (partial.len(), self.lines.read_end())
        };
        let mut there = [0; MARK_BYTES_MAX];
        let there = &mut there[..length];
        match self.file.read_exact_at(there, end - length as u64) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
            Err(error) => return Err(error),
        }
        Ok(if partial.is_empty() { Mark::of(there) != self.mark } else { there != partial })
    }
}

/// What a pass has taken so far.
struct Taken {
    want: Want,
    records: Vec<Record>,
    bytes: u64,
}

impl Taken {
    const fn new(want: Want) -> Self {
        Self { want, records: Vec::new(), bytes: 0 }
    }

    /// Gives the record back if it is too much.
    fn push(&mut self, record: Record) -> Option<Record> {
        let bytes = self.bytes.saturating_add(record.content.bytes()).saturating_add(1);
        let first = self.records.is_empty();
        if !first && (self.is_full() || bytes > self.want.bytes_max) {
            return Some(record);
        }
        self.bytes = bytes;
        self.records.push(record);
        None
    }

    fn is_full(&self) -> bool {
        self.records.len() as u64 >= u64::from(self.want.records_max)
            || self.bytes >= self.want.bytes_max
    }
}

fn written_at_ms(metadata: &Metadata) -> Option<i64> {
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

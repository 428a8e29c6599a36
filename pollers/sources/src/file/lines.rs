//! Cuts bytes into lines, with a bound on what it keeps. It does not know files.

use bytes::{Buf as _, Bytes, BytesMut};

use super::position::{MARK_BYTES_MAX, Mark};

/// Bytes that were read, up to the end of the line that is not complete.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// Where the current line begins in the file.
    start: u64,
    /// Bytes of the current line that were dropped, because it is too long to be kept.
    dropped: u64,
    /// Bytes of the buffer in which there is no line end.
    searched: usize,
    line_bytes_max: usize,
}

/// A complete line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it begins.
    pub(crate) start: u64,
    /// Where the next one begins.
    pub(crate) end: u64,
    /// What stands right before that.
    pub(crate) mark: Mark,
    pub(crate) text: Text,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// Without its line end.
    Whole(Bytes),
    /// So many bytes that it was not kept.
    TooLong(u64),
}

impl Lines {
    /// Lines of a file from `start` on, where a line begins.
    pub(crate) fn new(start: u64, line_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), start, dropped: 0, searched: 0, line_bytes_max }
    }

    /// Where the current line begins in the file.
    pub(crate) const fn line_start(&self) -> u64 {
        self.start
    }

    /// Where in the file the bytes go on that are wanted next.
    pub(crate) fn read_end(&self) -> u64 {
        self.start + self.dropped + self.buffer.len() as u64
    }

    /// The last bytes that were read and are still known: for a look whether the file is still the same.
    pub(crate) fn last_read(&self) -> &[u8] {
        &self.buffer[self.buffer.len().saturating_sub(MARK_BYTES_MAX)..]
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete line.
    pub(crate) fn next_line(&mut self) -> Option<Line> {
        let unsearched = &self.buffer[self.searched..];
        let Some(at) = unsearched.iter().position(|&byte| byte == b'\n') else {
            self.searched = self.buffer.len();
            self.drop_overlong();
            return None;
        };
        let length = self.searched + at;
        Some(self.cut(length, 1))
    }

    /// The line that has no end, of a file that nobody writes to any more.
    pub(crate) fn last_line(&mut self) -> Option<Line> {
        let length = self.buffer.len();
        (length > 0).then(|| self.cut(length, 0))
    }

    /// Takes `length` bytes and the line end after them out of the buffer.
    fn cut(&mut self, length: usize, line_end: usize) -> Line {
        let mut raw = self.buffer.split_to(length + line_end);
        let start = self.start;
        let mark = Mark::of(&raw);
        raw.truncate(length);
        let text = match self.dropped + length as u64 {
            bytes if bytes > self.line_bytes_max as u64 => Text::TooLong(bytes),
            _ => Text::Whole(raw.freeze()),
        };
        self.start = start + self.dropped + (length + line_end) as u64;
        self.dropped = 0;
        self.searched = 0;
        Line { start, end: self.start, mark, text }
    }

    /// Keeps no more of a line that is too long than the mark after it may need.
    fn drop_overlong(&mut self) {
        if self.buffer.len() > self.line_bytes_max.max(MARK_BYTES_MAX) || self.dropped > 0 {
            let surplus = self.buffer.len().saturating_sub(MARK_BYTES_MAX);
            self.buffer.advance(surplus);
            self.dropped += surplus as u64;
            self.searched = self.buffer.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `text`, read `chunk` bytes at a time, as (start, text or length).
    fn cut(text: &[u8], chunk: usize, line_bytes_max: usize) -> Vec<(u64, Result<Vec<u8>, u64>)> {
        let mut lines = Lines::new(100, line_bytes_max);
        let mut cut = Vec::new();
        for part in text.chunks(chunk) {
            lines.push(part);
            while let Some(line) = lines.next_line() {
                let before_end = &text[..usize::try_from(line.end - 100).unwrap()];
                let mark = &before_end[before_end.len() - line.mark.bytes as usize..];
                assert_eq!(Mark::of(mark), line.mark);
                assert!(line.mark.bytes > 0);
                cut.push((
                    line.start,
                    match line.text {
                        Text::Whole(bytes) => Ok(bytes.to_vec()),
                        Text::TooLong(length) => Err(length),
                    },
                ));
            }
            assert!(lines.buffer.len() <= line_bytes_max.max(MARK_BYTES_MAX) + chunk);
        }
        assert_eq!(lines.read_end(), 100 + text.len() as u64);
        cut
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_come() {
        let text = b"one\n\ntwo\r\nhalf";
        let expected =
            vec![(100, Ok(b"one".to_vec())), (104, Ok(vec![])), (105, Ok(b"two\r".to_vec()))];
        for chunk in 1..=text.len() {
            assert_eq!(cut(text, chunk, 50), expected, "{chunk} bytes at a time");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_not_kept() {
        let long = vec![b'x'; 2_000];
        let text = [b"a\n", long.as_slice(), b"\nb\n"].concat();
        let expected =
            vec![(100, Ok(b"a".to_vec())), (102, Err(2_000)), (2_103, Ok(b"b".to_vec()))];
        for chunk in [1, 7, 300, 5_000] {
            assert_eq!(cut(&text, chunk, 500), expected, "{chunk} bytes at a time");
        }
        let exact = [vec![b'x'; 500], b"\n".to_vec()].concat();
        assert_eq!(cut(&exact, 64, 500), [(100, Ok(vec![b'x'; 500]))]);
    }

    #[test]
    fn the_last_line_of_a_finished_file_needs_no_end() {
        let mut lines = Lines::new(0, 10);
        lines.push(b"a\nrest");
        assert_eq!(lines.next_line().unwrap().end, 2);
        assert_eq!(lines.next_line(), None);
        let last = lines.last_line().unwrap();
        assert_eq!((last.start, last.end, last.text), (2, 6, Text::Whole("rest".into())));
        assert_eq!(lines.last_line(), None);
    }
}

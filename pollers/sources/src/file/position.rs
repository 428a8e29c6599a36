//! Where in which file a line ends, in a form that is still right when the file is another one by then.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

/// Bytes before a position that are remembered by their checksum.
pub(crate) const MARK_BYTES_MAX: usize = 256;

/// The end of a line that was read: where the next one begins.
///
/// A file is known by its inode, as long as it lives; inodes of removed files are given out again, and
/// a file may be truncated and grow beyond the offset while nobody looks. So a position also carries a
/// checksum of the last bytes before it: where those are others now, the position means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePosition {
    pub(crate) file: FileIdentity,
    pub(crate) offset: u64,
    pub(crate) mark: Mark,
}

/// Which file, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What stands right before an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) bytes: u32,
    pub(crate) crc32: u32,
}

/// The text that the broker keeps. Fields are never renamed; an unknown one means a newer Trine wrote it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: String,
    device: u64,
    inode: u64,
    offset: u64,
    mark_bytes: u32,
    mark_crc32: u32,
}

impl FilePosition {
    /// The very start of a file.
    pub(crate) fn start_of(file: FileIdentity) -> Self {
        Self { file, offset: 0, mark: Mark::default() }
    }

    /// As a line of text, for the file at `path`.
    pub(crate) fn to_line(&self, path: &str) -> String {
        let Self { file: FileIdentity { device, inode }, offset, mark } = *self;
        let Mark { bytes: mark_bytes, crc32: mark_crc32 } = mark;
        let path = path.to_owned();
        let line = Line { path, device, inode, offset, mark_bytes, mark_crc32 };
        serde_json::to_string(&line).expect("numbers and a text always are JSON")
    }

    /// The path that it belongs to, and the position. `None`: this is no such line.
    pub(crate) fn from_line(line: &str) -> Option<(String, Self)> {
        let line: Line = serde_json::from_str(line).ok()?;
        let Line { path, device, inode, offset, mark_bytes, mark_crc32 } = line;
        let file = FileIdentity { device, inode };
        let mark = Mark { bytes: mark_bytes, crc32: mark_crc32 };
        let sound = mark.bytes as usize <= MARK_BYTES_MAX && u64::from(mark.bytes) <= offset;
        sound.then_some((path, Self { file, offset, mark }))
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of inode {}", self.offset, self.file.inode)
    }
}

impl FileIdentity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl Mark {
    /// Of the end of `before`, which are bytes right before an offset.
    pub(crate) fn of(before: &[u8]) -> Self {
        let tail = &before[before.len().saturating_sub(MARK_BYTES_MAX)..];
        let bytes = u32::try_from(tail.len()).unwrap_or(0); // at most MARK_BYTES_MAX
        Self { bytes, crc32: crc32fast::hash(tail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_as_a_line() {
        let file = FileIdentity { device: u64::MAX, inode: 7 };
        let position = FilePosition { file, offset: 300, mark: Mark::of(&[1; 300]) };
        let line = position.to_line("/a \"b\"\n");
        assert!(!line.contains('\n'));
        assert_eq!(FilePosition::from_line(&line), Some(("/a \"b\"\n".to_owned(), position)));
    }

    #[test]
    fn the_longest_position_fits_where_positions_are_kept() {
        let file = FileIdentity { device: u64::MAX, inode: u64::MAX };
        let mark = Mark { bytes: u32::MAX, crc32: u32::MAX };
        let position = FilePosition { file, offset: u64::MAX, mark };
        assert!(position.to_line(&"x".repeat(3_500)).len() <= 4_096);
    }

    #[test]
    fn lines_that_are_no_position_are_not_read_as_one() {
        let good = r#"{"path":"a","device":1,"inode":2,"offset":9,"mark_bytes":9,"mark_crc32":3}"#;
        assert!(FilePosition::from_line(good).is_some());
        for (from, to) in [
            ("\"offset\":9", "\"offset\":8"),
            ("\"offset\":9", "\"offset\":-1"),
            ("\"inode\":2,", ""),
            ("}", ",\"later\":1}"),
            ("{", ""),
        ] {
            assert_eq!(FilePosition::from_line(&good.replace(from, to)), None, "{to}");
        }
    }

    #[test]
    fn a_mark_is_that_of_the_last_bytes() {
        let long: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        assert_eq!(Mark::of(&long), Mark::of(&long[1_000 - MARK_BYTES_MAX..]));
        assert_ne!(Mark::of(b"a\n"), Mark::of(b"b\n"));
        assert_eq!(Mark::of(b""), Mark::default());
    }
}

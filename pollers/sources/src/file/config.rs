//! What a mapping says of its file, checked. It does not look at the disk.

use std::path::{self, Path, PathBuf};

use trine_proto::v1::FileSource;

use crate::{SourceError, Start};

/// Longest path in bytes of JSON: it is part of every event and of every position, which has at most 4096 bytes.
const PATH_JSON_BYTES_MAX: usize = 3_500;

/// A file that can be followed.
#[derive(Clone, Debug)]
pub(crate) struct FileConfig {
    /// Absolute, and the same as text.
    pub(crate) path: PathBuf,
    pub(crate) path_text: String,
    pub(crate) begin: Begin,
}

/// Where a file is begun that was never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Start,
    End,
}

impl FileConfig {
    /// The checked form.
    pub(crate) fn new(config: &FileSource, start: Start) -> Result<Self, SourceError> {
        let (path, path_text) = absolute(Path::new(&config.path))?;
        let begin = match start {
            Start::TrimHorizon => Begin::Start,
            Start::Latest => Begin::End,
            Start::AtTimestamp(_) => {
                return Err(SourceError::configuration(
                    "a file cannot be begun at a time, because its lines carry none: use the starting position \
                     TRIM_HORIZON or LATEST",
                ));
            }
        };
        Ok(Self { path, path_text, begin })
    }
}

fn absolute(given: &Path) -> Result<(PathBuf, String), SourceError> {
    let wrong = |expected: &str| {
        SourceError::configuration(format!("path is {:?}, expected {expected}", given.display()))
    };
    if given.file_name().is_none() {
        return Err(wrong("the path of a file"));
    }
    let path =
        path::absolute(given).map_err(|_| wrong("a path in a working directory that exists"))?;
    // The path is part of every event, which is JSON.
    let text = path.to_str().ok_or_else(|| wrong("a path in UTF-8"))?.to_owned();
    if serde_json::Value::from(text.as_str()).to_string().len() > PATH_JSON_BYTES_MAX {
        return Err(wrong("a path of at most 3500 bytes"));
    }
    Ok((path, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, start: Start) -> Result<FileConfig, String> {
        FileConfig::new(&FileSource { path: path.to_owned() }, start)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_good_path_is_taken_and_becomes_absolute() {
        let config = check("orders.jsonl", Start::Latest).unwrap();
        assert!(config.path.is_absolute() && config.path_text.ends_with("/orders.jsonl"));
        assert_eq!(config.begin, Begin::End);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        for (path, start, expected) in [
            ("", Start::Latest, "path is \"\", expected the path of a file"),
            ("..", Start::Latest, "path is \"..\", expected the path of a file"),
            (&"a/".repeat(2_000), Start::Latest, "expected a path of at most 3500 bytes"),
            ("a", Start::AtTimestamp(1), "cannot be begun at a time"),
        ] {
            let says = check(path, start).unwrap_err();
            assert!(says.contains(expected), "{says}");
        }
    }
}

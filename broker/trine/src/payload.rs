//! The payload of an invocation: where it is read from and the checks that give a better error
//! here than after a round trip.
//!
//! The broker checks again; it does not trust a client.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::exit::Exit;

/// Where a payload comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PayloadSource {
    /// No payload: the function gets `{}`.
    Empty,
    /// The text itself.
    Argument(String),
    Stdin,
    File(PathBuf),
}

/// Why there is no payload.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("cannot read the payload from {from}: {cause}")]
    Unreadable { from: String, cause: std::io::Error },
    #[error(
        "the payload from {from} is not JSON: {cause}; expected one JSON value \
         (a text needs its quotes: '\"text\"')"
    )]
    Malformed { from: String, cause: serde_json::Error },
    #[error("the payload from {from} is not JSON: it is not UTF-8 text")]
    NotText { from: String },
    #[error(
        "the payload from {from} is larger than {bytes_max} bytes, which is the limit for {kind} invocations"
    )]
    TooLarge { from: String, bytes_max: usize, kind: &'static str },
}

impl PayloadError {
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Unreadable { .. } => Exit::NotFound,
            Self::Malformed { .. } | Self::NotText { .. } | Self::TooLarge { .. } => Exit::Input,
        }
    }
}

/// The limit that applies to a payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PayloadLimit {
    pub(crate) bytes_max: usize,
    /// "synchronous" or "asynchronous".
    pub(crate) kind: &'static str,
}

impl PayloadSource {
    /// From the positional argument, where `-` means stdin, and `--file`. Clap lets only one of
    /// them through.
    pub(crate) fn choose(argument: Option<String>, file: Option<PathBuf>) -> Self {
        match (argument, file) {
            (_, Some(path)) if path == Path::new("-") => Self::Stdin,
            (_, Some(path)) => Self::File(path),
            (Some(text), None) if text == "-" => Self::Stdin,
            (Some(text), None) => Self::Argument(text),
            (None, None) => Self::Empty,
        }
    }

    /// Reads the payload and checks it. Never reads more than the limit and one byte.
    pub(crate) fn read(&self, limit: PayloadLimit) -> Result<Bytes, PayloadError> {
        let text = match self {
            Self::Empty => return Ok(Bytes::new()),
            Self::Argument(text) => Ok(text.clone().into_bytes()),
            Self::Stdin => read_bounded(std::io::stdin().lock(), limit),
            Self::File(path) => {
                std::fs::File::open(path).and_then(|file| read_bounded(file, limit))
            }
        };
        let from = self.to_string();
        let text = text.map_err(|cause| PayloadError::Unreadable { from: from.clone(), cause })?;
        if text.len() > limit.bytes_max {
            let PayloadLimit { bytes_max, kind } = limit;
            return Err(PayloadError::TooLarge { from, bytes_max, kind });
        }
        if text.is_empty() {
            return Ok(Bytes::new());
        }
        let Ok(json) = std::str::from_utf8(&text) else {
            return Err(PayloadError::NotText { from });
        };
        serde_json::from_str::<IgnoredAny>(json)
            .map_err(|cause| PayloadError::Malformed { from, cause })?;
        Ok(Bytes::from(text))
    }
}

impl std::fmt::Display for PayloadSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("nowhere"),
            Self::Argument(_) => f.write_str("the command line"),
            Self::Stdin => f.write_str("stdin"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

fn read_bounded(from: impl Read, limit: PayloadLimit) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    from.take(limit.bytes_max as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: PayloadLimit = PayloadLimit { bytes_max: 20, kind: "synchronous" };

    fn read(text: &str) -> Result<Bytes, PayloadError> {
        PayloadSource::Argument(text.to_owned()).read(LIMIT)
    }

    #[test]
    fn any_json_value_is_a_payload() {
        for text in ["{}", "[1,2]", "\"a\"", "null", " 1.5e3 ", "{\"a\":\"\\u00e9\"}"] {
            assert_eq!(read(text).expect(text), text);
        }
        assert!(PayloadSource::Empty.read(LIMIT).is_ok_and(|payload| payload.is_empty()));
    }

    #[test]
    fn says_where_a_fault_is() {
        let error = read("{\"a\":}").expect_err("malformed");
        assert!(error.to_string().contains("the command line"), "{error}");
        assert!(error.to_string().contains("line 1 column 6"), "{error}");
        assert_eq!(error.exit(), Exit::Input);
        let error = read("{} {}").expect_err("two values");
        assert!(error.to_string().contains("trailing characters"), "{error}");
        let error = read("hello").expect_err("no quotes");
        assert!(error.to_string().contains("needs its quotes"), "{error}");
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("latin1.json");
        std::fs::write(&path, b"\"\xe9\"").expect("written");
        let error = PayloadSource::File(path).read(LIMIT).expect_err("not UTF-8");
        assert!(error.to_string().contains("not UTF-8"), "{error}");
    }

    #[test]
    fn stops_at_the_limit() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("large.json");
        for (len, fits) in [(20, true), (21, false), (10_000, false)] {
            std::fs::write(&path, format!("{:len$}", 1)).expect("written");
            let result = PayloadSource::File(path.clone()).read(LIMIT);
            assert_eq!(result.is_ok(), fits, "{len}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = PayloadSource::File("no/such.json".into()).read(LIMIT).expect_err("missing");
        assert!(error.to_string().contains("no/such.json"), "{error}");
        assert_eq!(error.exit(), Exit::NotFound);
    }

    #[test]
    fn a_dash_is_stdin() {
        let choose = PayloadSource::choose;
        assert_eq!(choose(None, None), PayloadSource::Empty);
        assert_eq!(choose(Some("-".into()), None), PayloadSource::Stdin);
        assert_eq!(choose(None, Some("-".into())), PayloadSource::Stdin);
        assert_eq!(choose(None, Some("a".into())), PayloadSource::File("a".into()));
    }
}

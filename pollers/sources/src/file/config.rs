//! What a user may set of a file poller, and the checked form of it.

use std::path::{self, PathBuf};
use std::time::Duration;

use trine_poll_engine::BatchLimits;

use crate::InvalidOption;
use crate::target::{Target, is_word};

/// Longest name of a poller, in characters.
const NAME_MAX: usize = 64;

/// What a file poller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePollerOptions {
    /// Names the poller in its events, its checkpoint and its log lines: 1 to 64 characters
    /// `[a-zA-Z0-9-_]`. The checkpoint is found by it, so it stays the same over restarts.
    pub name: String,
    /// The file to read, UTF-8. A relative path counts from the working directory.
    pub path: PathBuf,
    /// The function to invoke: 1 to 64 characters `[a-zA-Z0-9-_]`.
    pub function: String,
    /// A version or alias of it. `None`: `$LATEST`.
    pub qualifier: Option<String>,
    /// Most records of a batch, 1..=10000; Lambda's default for streams is 100 (LS 4.2).
    pub batch_size: u32,
    /// How long a batch may wait for more records, 0..=300 s; Lambda's default for streams is 0: a batch
    /// is what was there (LS 4.2). Parts of a millisecond do not count.
    pub batch_window: Duration,
    /// The folder for the checkpoint, made if it does not exist. It belongs on a disk that survives.
    pub state_dir: PathBuf,
}

/// Options that can be used.
#[derive(Clone, Debug)]
pub(crate) struct FileConfig {
    pub(crate) name: String,
    /// Absolute, and the same as text.
    pub(crate) path: PathBuf,
    pub(crate) path_text: String,
    pub(crate) target: Target,
    pub(crate) batch: BatchLimits,
    pub(crate) state_dir: PathBuf,
}

impl FilePollerOptions {
    /// The checked form, or everything that is wrong.
    pub(crate) fn check(self) -> Result<FileConfig, Vec<InvalidOption>> {
        let mut wrong = Vec::new();
        if !is_word(&self.name, NAME_MAX) {
            let expected = "1 to 64 characters [a-zA-Z0-9-_]";
            wrong.push(InvalidOption::new("name", &self.name, expected));
        }
        if self.state_dir.as_os_str().is_empty() {
            wrong.push(InvalidOption::new("state_dir", "", "a folder for the checkpoint"));
        }
        let path = kept(absolute(&self.path), &mut wrong);
        let target = kept(Target::new(&self.function, self.qualifier.as_deref()), &mut wrong);
        let batch = kept(limits(self.batch_size, self.batch_window), &mut wrong);
        match (path, target, batch) {
            (Some((path, path_text)), Some(target), Some(batch)) if wrong.is_empty() => {
                let Self { name, state_dir, .. } = self;
                Ok(FileConfig { name, path, path_text, target, batch, state_dir })
            }
            _ => Err(wrong),
        }
    }
}

fn kept<T>(part: Result<T, Vec<InvalidOption>>, wrong: &mut Vec<InvalidOption>) -> Option<T> {
    part.map_err(|found| wrong.extend(found)).ok()
}

fn absolute(given: &path::Path) -> Result<(PathBuf, String), Vec<InvalidOption>> {
    let wrong =
        |expected: &str| vec![InvalidOption::new("path", &given.to_string_lossy(), expected)];
    if given.file_name().is_none() {
        return Err(wrong("the path of a file"));
    }
    let path =
        path::absolute(given).map_err(|_| wrong("a path in a working directory that exists"))?;
    // The path is part of every event, which is JSON.
    let text = path.to_str().ok_or_else(|| wrong("a path in UTF-8"))?.to_owned();
    Ok((path, text))
}

fn limits(batch_size: u32, batch_window: Duration) -> Result<BatchLimits, Vec<InvalidOption>> {
    // Rounded up, so that a wrong 300.5 s is not taken for a right 300 s.
    let window_ms = batch_window.as_nanos().div_ceil(1_000_000);
    let window_ms = u64::try_from(window_ms).unwrap_or(u64::MAX);
    BatchLimits::new(batch_size, window_ms).map_err(|wrong| {
        let name = |engines: &str| match engines {
            "batch_window_ms" => "batch_window in milliseconds",
            _ => "batch_size",
        };
        wrong.iter().map(|wrong| InvalidOption::out_of_range(wrong, name(wrong.name))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> FilePollerOptions {
        FilePollerOptions {
            name: "orders".to_owned(),
            path: "orders.jsonl".into(),
            function: "handle-order".to_owned(),
            qualifier: None,
            batch_size: 100,
            batch_window: Duration::ZERO,
            state_dir: "state".into(),
        }
    }

    fn complaint(change: impl FnOnce(&mut FilePollerOptions)) -> String {
        let mut options = options();
        change(&mut options);
        let wrong = options.check().map(|_| ()).unwrap_err();
        wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn good_options_are_taken_and_the_path_becomes_absolute() {
        let config = options().check().unwrap();
        assert!(config.path.is_absolute() && config.path_text.ends_with("/orders.jsonl"));
        for (batch_size, seconds) in [(1, 0), (10_000, 300)] {
            let batch_window = Duration::from_secs(seconds);
            FilePollerOptions { batch_size, batch_window, ..options() }.check().unwrap();
        }
    }

    #[test]
    fn each_wrong_option_is_named_with_what_was_expected() {
        for (complaint, expected) in [
            (
                complaint(|o| o.name = "a/b".to_owned()),
                "name is \"a/b\", expected 1 to 64 characters",
            ),
            (complaint(|o| o.path = "".into()), "path is \"\", expected the path of a file"),
            (complaint(|o| o.path = "..".into()), "path is \"..\", expected the path of a file"),
            (complaint(|o| o.function.clear()), "function is \"\", expected a name of 1 to 64"),
            (complaint(|o| o.qualifier = Some("a b".to_owned())), "qualifier is \"a b\", expected"),
            (complaint(|o| o.batch_size = 0), "batch_size is 0, expected 1..=10000"),
            (complaint(|o| o.batch_size = 10_001), "batch_size is 10001, expected 1..=10000"),
            (
                complaint(|o| o.batch_window = Duration::from_micros(300_000_001)),
                "batch_window in milliseconds is 300001, expected 0..=300000",
            ),
            (complaint(|o| o.state_dir = "".into()), "state_dir is \"\", expected a folder"),
        ] {
            assert!(complaint.starts_with(expected), "{complaint}");
        }
    }

    #[test]
    fn all_wrong_options_are_told_at_once() {
        let says = complaint(|o| {
            o.name.clear();
            o.function = "no way".to_owned();
            o.batch_size = 0;
            o.batch_window = Duration::from_secs(301);
        });
        assert_eq!(says.matches("expected").count(), 4, "{says}");
    }
}

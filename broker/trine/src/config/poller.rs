//! The keys of pollers: one entry of `[[poller.file]]` for each file that is tailed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trine_pollers::FilePollerOptions;

use crate::config::resolver::Resolver;

/// Records in a batch: 1 to 10 000, 100 for streams (LS 4.2).
const BATCH_SIZE_MAX: u32 = 10_000;
const BATCH_SIZE_DEFAULT: u32 = 100;

/// Longest time to gather a batch, in milliseconds; by default a batch is what was there (LS 4.2).
const BATCH_WINDOW_MS_MAX: u64 = 300_000;
const BATCH_WINDOW_MS_DEFAULT: u64 = 0;

/// The pollers of this broker. `data_dir` is where checkpoints are kept unless the configuration
/// says otherwise.
pub(crate) fn resolve(resolver: &mut Resolver, data_dir: &Path) -> Vec<FilePollerOptions> {
    let state_dir = resolver.value("poller.state_dir", data_dir.join("pollers"));
    let mut names = BTreeSet::new();
    let mut pollers = Vec::new();
    for item in resolver.list("poller.file") {
        let key = |name: &str| format!("{item}.{name}");
        let name = resolver.required(&key("name"), |name: &String| {
            if !names.insert(name.clone()) {
                return Err(
                    "another poller has this name; the checkpoint is kept under it".to_owned()
                );
            }
            plain_name(name)
        });
        let path = resolver.required(&key("path"), |path: &PathBuf| names_a_file(path));
        let function = resolver.required(&key("function"), |name: &String| plain_name(name));
        let qualifier =
            resolver.optional(&key("qualifier"), |qualifier: &String| match qualifier.as_str() {
                "$LATEST" => Ok(()),
                other => plain_name(other),
            });
        let batch_size =
            resolver.within(&key("batch_size"), BATCH_SIZE_DEFAULT, 1..=BATCH_SIZE_MAX);
        let batch_window_ms = resolver.within(
            &key("batch_window_ms"),
            BATCH_WINDOW_MS_DEFAULT,
            0..=BATCH_WINDOW_MS_MAX,
        );
        if let (Some(name), Some(path), Some(function)) = (name, path, function) {
            pollers.push(FilePollerOptions {
                name,
                path,
                function,
                qualifier,
                batch_size,
                batch_window: Duration::from_millis(batch_window_ms),
                state_dir: state_dir.clone(),
            });
        }
    }
    pollers
}

fn names_a_file(path: &Path) -> Result<(), String> {
    match path.file_name() {
        Some(_) => Ok(()),
        None => Err("expected the path of a file".to_owned()),
    }
}

fn plain_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=64).contains(&name.len()) && name.chars().all(legal) {
        return Ok(());
    }
    Err("expected a name: 1 to 64 of a-z A-Z 0-9 - _".to_owned())
}

//! Servers that may be missing; `cargo xtask test` hands their addresses over in the environment.

use std::fs::File;
use std::io::Write;

/// The address that the environment variable `variable` holds. If it is not set, that is noted as skipped: the test returns then.
pub(crate) fn server(variable: &str) -> Option<String> {
    if let Ok(address) = std::env::var(variable) {
        return Some(address);
    }
    let test = std::thread::current().name().unwrap_or("a test of sources").to_owned();
    let line = format!("{test}: {variable} is not set");
    eprintln!("SKIP {line}");
    // libtest has no word for it. `TRINE_SKIPS` names the file that the runner reads.
    if let Some(path) = std::env::var_os("TRINE_SKIPS") {
        let noted = File::options()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| writeln!(file, "{line}"));
        noted.expect("the skip can be noted: one that nobody hears of hides a hole");
    }
    None
}

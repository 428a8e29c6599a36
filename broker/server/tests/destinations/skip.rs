//! Servers that tests need and that may be missing. `cargo xtask test` starts them and hands over their addresses.

use std::io::Write as _;

/// What the environment variable says; without it the test `test` is noted as skipped: it returns then.
pub(crate) fn server(test: &str, variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok();
    if found.is_none() {
        skip(test, &format!("{variable} names no server"));
    }
    found
}

/// Says that `test` did not run, to people and to `cargo xtask test`.
pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    if let Some(skips) = std::env::var_os("TRINE_SKIPS") {
        let mut skips = std::fs::OpenOptions::new().create(true).append(true).open(skips).unwrap();
        writeln!(skips, "{test}: {why}").unwrap();
    }
}

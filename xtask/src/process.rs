//! Owns how other programs are run: cargo with a clean environment, output captured or streamed.
//! Knows nothing of which programs there are.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::failure::{During, Failure, Outcome};

/// A cargo command at `root`.
///
/// `cargo run` puts the variables of the xtask package into our environment. Build scripts that watch
/// them (ring's does) would run again under us, and again when cargo is next called by hand.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_our_package) {
            command.env_remove(name);
        }
    }
    command
}

fn is_of_our_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|p| variable.starts_with(p))
        || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&variable)
}

/// Runs with our own standard streams; a non-zero exit is a failure.
pub fn run(command: &mut Command) -> Outcome {
    let status = command.status().during(shown(command))?;
    require(status, command)
}

/// Runs quietly and returns standard output; on failure the error carries the end of what it said.
pub fn capture(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output().during(shown(command))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = tail(&String::from_utf8_lossy(&said), 12);
        return Err(Failure::new(format!(
            "{} ended with {}\n{said}",
            shown(command),
            output.status
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs with standard output handed over line by line, as it comes; standard error is ours.
pub fn stream(command: &mut Command, mut line: impl FnMut(&str)) -> Outcome<ExitStatus> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().during(shown(command))?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut bytes = Vec::new();
        // Bytes, not `lines()`: a test may print what is not UTF-8, and that must not end the run.
        while reader.read_until(b'\n', &mut bytes).during(shown(command))? > 0 {
            line(String::from_utf8_lossy(&bytes).trim_end_matches('\n'));
            bytes.clear();
        }
    }
    child.wait().during(shown(command))
}

/// The command as a person would type it, for messages.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn require(status: ExitStatus, command: &Command) -> Outcome {
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{} ended with {status}", shown(command))))
}

/// The last `count` lines of `text`.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_says_what_it_said() {
        let error = capture(Command::new("sh").args(["-c", "echo broken >&2; exit 3"]));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("broken") && text.contains('3'), "{text}");
    }

    #[test]
    fn lines_arrive_one_by_one_and_bytes_do_not_stop_them() {
        let mut seen = Vec::new();
        let status = stream(Command::new("printf").arg(r"one\n\377\nthree"), |line| {
            seen.push(line.to_owned());
        });
        assert!(status.unwrap().success());
        assert_eq!(seen, ["one", "\u{fffd}", "three"]);
    }

    #[test]
    fn only_variables_of_a_package_are_dropped() {
        assert!(is_of_our_package("CARGO_PKG_NAME") && is_of_our_package("CARGO_MANIFEST_DIR"));
        assert!(!is_of_our_package("CARGO_TARGET_DIR") && !is_of_our_package("CARGO_INCREMENTAL"));
    }
}

//! Runs the real binary.

use std::process::{Command, Output, Stdio};

/// What one run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            exit: output.status.code().expect("an exit code, not a signal"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// The binary with an environment that holds nothing of the tester's.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trine"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn trine(arguments: &[&str]) -> Run {
    Run::of(command(arguments).output().expect("the binary runs"))
}

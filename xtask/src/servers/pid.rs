//! Owns the ending of a process that an earlier run of ours started. A number alone proves nothing, as
//! the system gives numbers out again: the process must have been started with our folder.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};
use crate::process;

const POLL: Duration = Duration::from_millis(10);
const GRACE: Duration = Duration::from_secs(10);

/// Whether process `pid` runs and names `folder` in its command line.
pub(super) fn runs_in(pid: u32, folder: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let folder = folder.to_string_lossy();
    String::from_utf8_lossy(&line).split('\0').any(|word| word.contains(folder.as_ref()))
}

/// Asks the process to end, waits, and kills it if it does not.
pub(super) fn end(pid: u32) -> Outcome {
    for signal in ["TERM", "KILL"] {
        // The shell's own kill: the program of that name is not on every machine. Its failure means
        // that the process has gone, which the loop sees.
        let _ = process::capture(Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]));
        let start = Instant::now();
        while start.elapsed() < GRACE {
            if !runs(pid) {
                return Ok(());
            }
            thread::sleep(POLL);
        }
    }
    Err(Failure::new(format!("process {pid} does not end")))
}

/// A process that has ended but was not waited for has no command line any more.
fn runs(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_process_is_ours_only_with_our_folder() {
        // It ends by itself when this test does, whatever happens here.
        let mut command = Command::new("sh");
        command.args(["-c", "echo up; read line", "in/our/folder"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Once it speaks, its command line is there; right after `spawn` it may not be.
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();

        assert!(runs_in(child.id(), Path::new("our/folder")));
        assert!(!runs_in(child.id(), Path::new("other/folder")));
        end(child.id()).unwrap();
        child.wait().unwrap();
        assert!(!runs_in(child.id(), Path::new("our/folder")));
    }
}

//! Owns signals to processes and to their groups, and the question whether a process is one of ours. A number alone
//! proves nothing, as the system gives numbers out again: the process must have been started with our folder.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};
use crate::process;

const POLL: Duration = Duration::from_millis(10);
const GRACE: Duration = Duration::from_secs(10);

/// The variable in which every server finds its folder. It has no use for it; we find the server by it.
pub(super) const FOLDER: &str = "TRINE_SERVER_FOLDER";

/// Whether process `pid` runs and was started for `folder`.
pub(super) fn runs_in(pid: u32, folder: &Path) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let wanted = format!("{FOLDER}={}", folder.display());
    runs(pid) && environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
}

/// Asks the leader of a group to end, waits, and kills the group: then also what the leader has left.
pub(super) fn end(pid: u32) -> Outcome {
    signal("TERM", &pid.to_string());
    if !ends(pid) {
        kill(pid);
        if !ends(pid) {
            return Err(Failure::new(format!("process {pid} does not end")));
        }
    }
    kill(pid);
    Ok(())
}

/// Kills every process of the group that `pid` leads, and waits until they are gone: until then they hold their ports. What cannot be
/// killed is left after a while.
pub(super) fn kill(pid: u32) {
    signal("KILL", &format!("-{pid}"));
    let start = Instant::now();
    while group_runs(pid) && start.elapsed() < GRACE {
        thread::sleep(POLL);
    }
}

/// Whether any process of the group runs. One that has ended and was not waited for does not.
fn group_runs(group: u32) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let states = processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    states.into_iter().any(|stat| {
        // `pid (name) state parent group …`, and the name may hold anything.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let mut fields = after.split_whitespace();
        let ended = matches!(fields.next(), Some("Z" | "X"));
        !ended && fields.nth(1).and_then(|field| field.parse().ok()) == Some(group)
    })
}

fn signal(name: &str, target: &str) {
    // The shell's own kill: the program of that name is not on every machine. Its failure means that there is no such
    // process any more.
    let kill = format!("kill -s {name} -- {target}");
    let _ = process::capture(Command::new("sh").args(["-c", &kill]));
}

fn ends(pid: u32) -> bool {
    let start = Instant::now();
    while runs(pid) {
        if start.elapsed() > GRACE {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

/// A process that has ended but was not waited for has no command line any more.
fn runs(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_process_is_ours_only_with_our_folder() {
        // It ends by itself when this test does, whatever happens here.
        let mut command = Command::new("sh");
        command.args(["-c", "echo up; read line"]).env(FOLDER, "our/folder").process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Once it speaks, its environment is there; right after `spawn` it may not be.
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();

        assert!(runs_in(child.id(), Path::new("our/folder")));
        assert!(!runs_in(child.id(), Path::new("our")));
        end(child.id()).unwrap();
        child.wait().unwrap();
        assert!(!runs_in(child.id(), Path::new("our/folder")));
    }
}

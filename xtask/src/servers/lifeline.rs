//! Owns the promise that servers end with us, however we end: a shell that waits for the end of a pipe which only we
//! hold, and then kills them. Knows process groups by number, and nothing of what they run.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::failure::{During, Outcome};

/// Kills the groups that its arguments number once its input ends.
const WAIT: &str = r#"read -r line; for group; do kill -s KILL -- "-$group"; done 2>/dev/null"#;

#[derive(Debug)]
pub(super) struct Lifeline(Child);

impl Lifeline {
    pub(super) fn new(groups: &[u32]) -> Outcome<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", WAIT, "lifeline"]).args(groups.iter().map(u32::to_string));
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Its own group: the interrupt key that ends us must not end it first.
        shell.process_group(0).spawn().during("lifeline").map(Self)
    }
}

/// Dropped, it is cut: the servers may live on.
impl Drop for Lifeline {
    fn drop(&mut self) {
        // Before its pipe closes, which is when the child is dropped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", "read line"]).stdin(Stdio::piped()).process_group(0);
        command.spawn().unwrap()
    }

    #[test]
    fn a_server_ends_when_the_pipe_does() {
        let mut server = sleeper();
        let mut lifeline = Lifeline::new(&[server.id()]).unwrap();
        // As the system does when we end.
        drop(lifeline.0.stdin.take());
        assert!(!server.wait().unwrap().success());
        lifeline.0.wait().unwrap();
    }

    #[test]
    fn a_server_outlives_a_lifeline_that_was_cut() {
        let mut server = sleeper();
        drop(Lifeline::new(&[server.id()]).unwrap());
        assert!(server.try_wait().unwrap().is_none());
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

//! The handle of a running poller. It does not know which source the poller reads.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{PollerState, PollerStatus, ShutdownError};

/// Commands that wait for the runner. It takes them between steps, so few ever do.
const COMMANDS_MAX: usize = 8;

/// Longest wait for units to be dropped.
const ABANDON_WAIT: Duration = Duration::from_secs(1);

/// What a person wants of a poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Pause,
    Resume,
    /// Let what is in flight end.
    Stop,
    /// Drop it.
    Abandon,
}

/// A running poller.
///
/// Dropping it stops the poller too, but then nobody waits for what is in flight.
#[derive(Debug)]
#[must_use = "the poller stops when its handle is dropped"]
pub struct PollerHandle {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<PollerStatus>,
    task: JoinHandle<()>,
}

/// The runner's ends of the channels.
#[derive(Debug)]
pub(crate) struct Controls {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) status: watch::Sender<PollerStatus>,
}

impl PollerHandle {
    /// A handle for what `run` spawns with the other ends.
    pub(crate) fn start(run: impl FnOnce(Controls) -> JoinHandle<()>) -> Self {
        let (commands, taken) = mpsc::channel(COMMANDS_MAX);
        let (said, status) = watch::channel(PollerStatus::default());
        let task = run(Controls { commands: taken, status: said });
        Self { commands, status, task }
    }

    /// What the poller does and has done, now.
    #[must_use]
    pub fn status(&self) -> PollerStatus {
        let mut status = self.status.borrow().clone();
        if self.task.is_finished() && status.state != PollerState::Stopped {
            status.state = PollerState::Broken;
        }
        status
    }

    /// The status and all its changes. It closes when the poller has ended.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<PollerStatus> {
        self.status.clone()
    }

    /// Starts no new batch from now on. What is in flight ends and is settled.
    pub async fn pause(&self) {
        self.command(Command::Pause).await;
    }

    /// Goes on after a pause.
    pub async fn resume(&self) {
        self.command(Command::Resume).await;
    }

    /// Stops: nothing new is read or sent, what is in flight ends and is settled, within `deadline`.
    /// Returns the last status.
    ///
    /// # Errors
    /// [`ShutdownError`], if something was still in flight then or the poller had broken before. In
    /// both cases it has ended, and what is not settled comes again after the next start.
    pub async fn shutdown(mut self, deadline: Duration) -> Result<PollerStatus, ShutdownError> {
        let stopped = async {
            self.command(Command::Stop).await;
            (&mut self.task).await
        };
        match timeout(deadline, stopped).await {
            Ok(Ok(())) => Ok(self.status.borrow().clone()),
            Ok(Err(_)) => Err(ShutdownError::Broken),
            Err(_) => {
                let state = self.status.borrow().state;
                self.command(Command::Abandon).await;
                // It ends at once, unless a source blocks a thread where it should wait.
                if timeout(ABANDON_WAIT, &mut self.task).await.is_err() {
                    self.task.abort();
                }
                Err(ShutdownError::DeadlinePassed { state })
            }
        }
    }

    async fn command(&self, command: Command) {
        // A runner that has ended takes no commands and needs none.
        let _ = self.commands.send(command).await;
    }
}

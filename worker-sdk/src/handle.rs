//! The handle of a worker that runs beside the program that started it. It does not know what the worker serves.

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::run_error::RunError;
use crate::worker::Worker;

/// A worker that serves, started by [`Worker::start`].
///
/// Dropping it drains the worker too, but then nobody waits for what runs.
#[derive(Debug)]
#[must_use = "the worker drains when its handle is dropped"]
pub struct WorkerHandle {
    drain: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

impl WorkerHandle {
    pub(crate) async fn start(worker: Worker) -> Result<Self, RunError> {
        let mut connected = worker.connected();
        let (drain, asked) = oneshot::channel();
        let running = tokio::spawn(worker.run_until(async move {
            // An error means that the handle was dropped: then it is over as well.
            let _ = asked.await;
        }));
        let handle = Self { drain, running };
        if connected.wait_for(|sessions| *sessions > 0).await.is_err() {
            let why = handle.shutdown().await;
            return why.map(|()| unreachable!("only a drain ends a worker without an error"));
        }
        Ok(handle)
    }

    /// Drains: the broker sends no more, what runs has [`Worker::grace`] to finish, then the worker
    /// goes.
    ///
    /// # Errors
    ///
    /// Those of [`Worker::run_until`]; also of a worker that ended before it was asked to.
    pub async fn shutdown(self) -> Result<(), RunError> {
        // A worker that has ended needs no asking.
        let _ = self.drain.send(());
        match self.running.await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only the end of the whole runtime cancels it, and then nothing is left to wait for.
                Err(_) => Ok(()),
            },
        }
    }
}

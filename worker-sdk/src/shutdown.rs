//! The shutdown of a worker: its phases, and the signals that start them.
//!
//! It does not know what a session does in a phase.

use std::io;

use tokio_util::sync::CancellationToken;

/// Serving, then draining, then cut off: each phase is entered once and never left.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    drain: CancellationToken,
    cut: CancellationToken,
}

impl Shutdown {
    /// Take nothing more, finish what runs.
    pub(crate) fn drain(&self) {
        self.drain.cancel();
    }

    /// Stop what still runs.
    pub(crate) fn cut(&self) {
        self.drain.cancel();
        self.cut.cancel();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Resolves when draining has begun.
    pub(crate) async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Resolves when what still runs is to be stopped.
    pub(crate) async fn cutting(&self) {
        self.cut.cancelled().await;
    }
}

/// The signals by which a process is asked to end: SIGTERM and SIGINT, Ctrl-C elsewhere.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next of the signals.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

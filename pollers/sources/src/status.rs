//! What a poller says of itself. Plain values: whoever has the handle exports them under whatever
//! names it likes.

use std::fmt;
use std::time::Duration;

use trine_poll_engine::Phase;

/// What a poller does and has done, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollerStatus {
    /// What it does.
    pub state: PollerState,
    /// What stands in its way. `None` again as soon as that has been overcome.
    pub last_error: Option<String>,
    /// The last thing that happened to the source and was no error, for example a rotation.
    pub last_notice: Option<String>,
    /// How far the source is settled, durably, in this run of the poller. `None`: nothing was settled yet.
    pub checkpoint: Option<String>,
    /// What it has done.
    pub counts: PollerCounts,
}

/// What a poller does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PollerState {
    /// The source is being connected.
    #[default]
    Connecting,
    /// The source cannot be reached, or is not there yet; it is tried again by itself.
    WaitingForSource,
    /// It reads, and there is nothing.
    Polling,
    /// Records wait for more of them, or for the end of their window.
    Gathering,
    /// The function runs.
    Invoking,
    /// A batch waits to be sent again.
    Retrying,
    /// The checkpoint is being stored, or waits to be stored again.
    Settling,
    /// Someone paused it.
    Paused,
    /// It finishes what is in flight.
    Stopping,
    /// It has ended.
    Stopped,
    /// It ended by a defect of its own.
    Broken,
}

impl PollerState {
    pub(crate) const fn of(phase: Phase) -> Self {
        match phase {
            Phase::Connecting => Self::Connecting,
            Phase::SourceDown { .. } => Self::WaitingForSource,
            Phase::Polling => Self::Polling,
            Phase::Gathering => Self::Gathering,
            Phase::Invoking { .. } => Self::Invoking,
            Phase::Retrying { .. } => Self::Retrying,
            Phase::Settling { .. } => Self::Settling,
            Phase::Paused => Self::Paused,
            Phase::Stopping => Self::Stopping,
            Phase::Stopped => Self::Stopped,
        }
    }
}

impl fmt::Display for PollerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connecting => "connecting",
            Self::WaitingForSource => "waiting for the source",
            Self::Polling => "polling",
            Self::Gathering => "gathering",
            Self::Invoking => "invoking",
            Self::Retrying => "retrying",
            Self::Settling => "settling",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Broken => "broken",
        })
    }
}

/// What a poller has done since it started. The first five are CloudWatch's (LS 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollerCounts {
    /// `PolledEventCount`: records read.
    pub polled_events: u64,
    /// `InvokedEventCount`: records that reached the function, each time they did.
    pub invoked_events: u64,
    /// `FailedInvokeEventCount`: of those, the ones whose batch failed.
    pub failed_invoke_events: u64,
    /// `DroppedEventCount`: records that were skipped for good: larger than any payload (LS 4.3).
    pub dropped_events: u64,
    /// `IteratorAge`: age of the last record of the newest batch when it was handed over; of a file, at
    /// least this. `None`: there was no batch yet.
    pub iterator_age: Option<Duration>,
    /// Batches that succeeded.
    pub succeeded_batches: u64,
    /// Batches that did not reach the function because concurrency was used up, each time.
    pub throttled_batches: u64,
    /// Batches that did not reach it for lack of a worker or a slot, each time.
    pub no_capacity_batches: u64,
    /// Batches that the broker refused, each time.
    pub refused_batches: u64,
    /// Batches of which nobody knows whether they reached it, each time.
    pub lost_batches: u64,
    /// Checkpoints that could not be stored.
    pub checkpoint_failures: u64,
    /// Times that the source was lost or could not be connected.
    pub source_losses: u64,
    /// Times that records of the source may have been lost or may come twice, for example because the
    /// file was truncated.
    pub source_gaps: u64,
}

//! Everything that takes time, each as a unit of work of its own: connecting, receiving, invoking, settling, reporting. A unit never
//! decides; what it came to is one [`Done`].

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use trine_poll_engine::{BatchId, Key, ShardId, Ticket};
use trine_proto::v1::ParkReport;

use crate::invoke::Reply;
use crate::reports::Answered;
use crate::source::{Change, Places, Received, Source, Unit};
use crate::{Problem, SourceError};

/// Longest wait for a source to connect.
pub(super) const CONNECT_WAIT: Duration = Duration::from_secs(60);

/// Longest wait for verdicts or a commit to be durable.
pub(super) const SETTLE_WAIT: Duration = Duration::from_secs(60);

/// What a receive may take beyond the wait that it was told.
pub(super) const RECEIVE_GRACE: Duration = Duration::from_secs(60);

/// How long a new connection has to open the shards that the one before it had open.
pub(super) const REOPEN_WAIT: Duration = Duration::from_secs(60);

/// What a unit came to.
pub(super) enum Done {
    Connected(Result<Arc<dyn Source>, SourceError>),
    /// Where the end was when the mapping began, as the broker keeps it now.
    EndFound(Result<Places, SourceError>),
    EndNotKept(Answered),
    /// Of the connection with this number.
    Changed(u64, Result<Change, SourceError>),
    /// The connection with this number has had time to open what was open before.
    ReopenWaitOver(u64),
    Received(u64, ShardId, Result<Received, SourceError>),
    Answered(ShardId, BatchId, Reply),
    Settled(ShardId, Ticket, Result<(), SourceError>),
    /// A commit in the source.
    Committed(ShardId, Ticket, Result<(), SourceError>),
    /// A checkpoint at the broker.
    Kept(ShardId, Ticket, Answered),
    Finished(ShardId, Answered),
    Forgotten(Answered),
    Delivered(ShardId, Ticket, Answered),
    Parked(ShardId, Ticket, Answered),
    StillParked(Box<ParkReport>, Answered),
    UnparkSettled(ShardId, Ticket, Key, u64, Answered),
}

/// The units that are under way.
#[derive(Default)]
pub(super) struct Units {
    running: JoinSet<Done>,
}

impl Units {
    /// Only a unit that holds nothing may be aborted by what this returns.
    pub(super) fn spawn(
        &mut self,
        unit: impl Future<Output = Done> + Send + 'static,
    ) -> AbortHandle {
        self.running.spawn(unit)
    }

    /// The next one that ends; waits for ever if there is none. May be dropped while it waits.
    ///
    /// # Errors
    /// With the panic of a unit: nobody knows any more what it left undone.
    pub(super) async fn next(&mut self) -> Result<Done, String> {
        loop {
            match self.running.join_next().await {
                Some(Ok(done)) => return Ok(done),
                // Nobody wanted it any more.
                Some(Err(error)) if error.is_cancelled() => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => pending().await,
            }
        }
    }
}

/// Waits for the source with a bound.
pub(super) async fn bounded<T>(
    what: &str,
    wait: Duration,
    unit: Unit<'_, T>,
) -> Result<T, SourceError> {
    timeout(wait, unit).await.unwrap_or_else(|_| {
        let says = format!("the source did not finish {what} within {} s", wait.as_secs());
        Err(SourceError::new(Problem::Unreachable, says))
    })
}

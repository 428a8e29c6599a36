//! Everything that takes time, each as a unit of work of its own: connecting, receiving, invoking, settling, reporting. A unit never
//! decides; what it came to is one [`Done`].
//!
//! They all run within the task of their mapping. As tasks of their own, each would wake another thread that finds nothing more to do:
//! three times a batch, on the way that a batch in strict order waits for (`cargo xtask bench --only drain_jetstream`). Mappings still
//! spread over all threads.

use std::any::Any;
use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::timeout;
use trine_poll_engine::{BatchId, Key, ShardId, Ticket};
use trine_proto::v1::ParkReport;

use crate::invoke::Reply;
use crate::reports::Answered;
use crate::source::{Change, Places, Received, Sought, Source, Unit};
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
    /// Where the end was when the mapping began.
    EndFound(Result<Vec<Sought>, SourceError>),
    /// As the broker keeps it now.
    EndKept(Places),
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
    running: FuturesUnordered<BoxFuture<'static, End>>,
}

/// How a unit ended.
enum End {
    Done(Done),
    /// Nobody wanted it any more.
    Aborted,
    Panicked(String),
}

impl Units {
    pub(super) fn start(&mut self, unit: impl Future<Output = Done> + Send + 'static) {
        // After a panic the mapping tells once more how it is, and ends.
        let ended = AssertUnwindSafe(unit).catch_unwind().map(|ended| match ended {
            Ok(done) => End::Done(done),
            Err(panic) => End::Panicked(text_of(&*panic)),
        });
        self.running.push(ended.boxed());
    }

    /// One that may be given up. Only for a unit that holds nothing.
    pub(super) fn start_abortable(
        &mut self,
        unit: impl Future<Output = Done> + Send + 'static,
    ) -> AbortHandle {
        let (abort, registration) = AbortHandle::new_pair();
        let unit = AssertUnwindSafe(Abortable::new(unit, registration)).catch_unwind();
        let ended = unit.map(|ended| match ended {
            Ok(Ok(done)) => End::Done(done),
            Ok(Err(_)) => End::Aborted,
            Err(panic) => End::Panicked(text_of(&*panic)),
        });
        self.running.push(ended.boxed());
        abort
    }

    /// The next one that ends; waits for ever if there is none. May be dropped while it waits.
    ///
    /// # Errors
    /// With the panic of a unit: nobody knows any more what it left undone.
    pub(super) async fn next(&mut self) -> Result<Done, String> {
        loop {
            match self.running.next().await {
                Some(End::Done(done)) => return Ok(done),
                Some(End::Aborted) => {}
                Some(End::Panicked(panic)) => return Err(panic),
                None => pending().await,
            }
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
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

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn units_end_in_any_order_and_one_that_panics_is_told() {
        let mut units = Units::default();
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        units.start(async move {
            let _ = told.await;
            Done::ReopenWaitOver(1)
        });
        units.start(ready(Done::ReopenWaitOver(2)));
        assert!(matches!(units.next().await, Ok(Done::ReopenWaitOver(2))));
        tell.send(()).unwrap();
        assert!(matches!(units.next().await, Ok(Done::ReopenWaitOver(1))));
        units.start(async { panic!("no {}", "way") });
        assert_eq!(units.next().await.err().as_deref(), Some("no way"));
    }

    #[tokio::test]
    async fn one_that_is_given_up_is_dropped_and_never_ends() {
        let mut units = Units::default();
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let abort = units.start_abortable(async move {
            let _held = held;
            pending().await
        });
        abort.abort();
        units.start(ready(Done::ReopenWaitOver(1)));
        let mut ended = 0;
        while tokio::time::timeout(Duration::from_millis(1), units.next()).await.is_ok() {
            ended += 1;
        }
        assert_eq!(ended, 1);
        assert!(dropped.await.is_err());
    }
}

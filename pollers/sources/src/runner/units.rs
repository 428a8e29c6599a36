//! The units of work that take time: connect, receive, invoke, settle. Each is a task of its own, has a
//! bound, and ends with exactly one answer, also when it panics. It does not know what the answers mean.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;
use trine_poll_engine::{Answer, BatchId};

use crate::invoke::{Invoker, Reply};
use crate::source::{Connect, Received, Settled, Source, SourceError, Want};

/// Longest that a source may take beyond the wait it was told, and for connecting and settling at all.
/// After that it counts as broken.
const SOURCE_WAIT: Duration = Duration::from_secs(30);

/// The answer of a unit.
pub(super) enum Done<S: Source> {
    Connected(Result<S, SourceError>),
    Received(Result<Received<S::Position>, SourceError>),
    Answered(BatchId, Reply),
    Settled(Result<(), SourceError>),
}

/// What a unit is, for when it cannot say so itself any more.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Connect,
    Receive,
    Invoke(BatchId),
    Settle,
}

/// Units that run.
pub(super) struct Units<S: Source> {
    tasks: JoinSet<Done<S>>,
    kinds: HashMap<Id, Kind>,
}

impl<S: Source> Units<S> {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), kinds: HashMap::new() }
    }

    pub(super) fn connect<C>(&mut self, connect: Arc<C>, after: Option<S::Position>)
    where
        C: Connect<Source = S>,
    {
        self.spawn(Kind::Connect, async move {
            Done::Connected(bounded("connect", SOURCE_WAIT, connect.connect(after)).await)
        });
    }

    pub(super) fn receive(&mut self, source: Option<Arc<S>>, want: Want) {
        self.spawn(Kind::Receive, async move {
            let Some(source) = source else { return Done::Received(Err(unconnected())) };
            let wait = want.wait + SOURCE_WAIT;
            Done::Received(bounded("receive", wait, source.receive(want)).await)
        });
    }

    pub(super) fn invoke(&mut self, invoker: Arc<Invoker>, batch: BatchId, payload: Bytes) {
        let invoke = async move { Done::Answered(batch, invoker.invoke(payload).await) };
        self.spawn(Kind::Invoke(batch), invoke);
    }

    pub(super) fn settle(&mut self, source: Option<Arc<S>>, verdicts: Vec<Settled<S::Position>>) {
        self.spawn(Kind::Settle, async move {
            let Some(source) = source else { return Done::Settled(Err(unconnected())) };
            Done::Settled(bounded("settle", SOURCE_WAIT, source.settle(verdicts)).await)
        });
    }

    /// The next answer; waits for ever while no unit runs. May be given up and called again.
    pub(super) async fn next(&mut self) -> Done<S> {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, done))) => {
                self.kinds.remove(&id);
                done
            }
            Some(Err(error)) => match self.kinds.remove(&error.id()) {
                Some(kind) => panicked(kind),
                None => pending().await, // every unit that was spawned is in the table
            },
            None => pending().await,
        }
    }

    /// Drops all units where they are, and waits until they are gone with everything they held.
    pub(super) async fn abandon(&mut self) {
        self.tasks.shutdown().await;
    }

    fn spawn(&mut self, kind: Kind, unit: impl Future<Output = Done<S>> + Send + 'static) {
        let id = self.tasks.spawn(unit).id();
        self.kinds.insert(id, kind);
    }
}

fn panicked<S: Source>(kind: Kind) -> Done<S> {
    let says =
        |what: &str| format!("a defect of the poller ended {what}; see the log for the panic");
    match kind {
        Kind::Connect => Done::Connected(Err(SourceError::new(says("connect")))),
        Kind::Receive => Done::Received(Err(SourceError::new(says("receive")))),
        Kind::Settle => Done::Settled(Err(SourceError::new(says("settle")))),
        Kind::Invoke(batch) => {
            Done::Answered(batch, Reply { answer: Answer::Lost, error: says("an invocation") })
        }
    }
}

async fn bounded<T>(
    what: &str,
    wait: Duration,
    unit: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    timeout(wait, unit).await.unwrap_or_else(|_| {
        let says = format!("the source did not finish {what} within {} s", wait.as_secs());
        Err(SourceError::new(says))
    })
}

/// Cannot happen: the engine asks a source for nothing before it is connected.
fn unconnected() -> SourceError {
    SourceError::new("the source was never connected")
}

//! What a poller tells its broker within one session, and the answers that come back. It does not know what is told about.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use trine_proto::v1::{
    CheckpointReport, FailureReport, ParkReport, PollerServiceSessionRequest, ReportAnswer,
    ReportOutcome, StatusReport,
};

/// Frames that wait for the connection. A report waits when there are more.
const OUTBOX_MAX: usize = 256;

/// The way to the broker, for everything in this session.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    outbox: mpsc::Sender<PollerServiceSessionRequest>,
    waiting: Arc<Waiting>,
}

/// Who waits for which answer. Guarded by a lock that is held for a look-up only.
#[derive(Debug, Default)]
struct Waiting {
    next_ticket: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<ReportAnswer>>>,
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Done,
    /// Somebody else holds the mapping.
    StaleFence,
    Failed(String),
    /// The bound on parked records is reached.
    Full(String),
    /// The session ended before there was an answer: perhaps it was done.
    Lost,
}

impl Reports {
    /// Both ends of the way.
    pub(crate) fn new() -> (Self, mpsc::Receiver<PollerServiceSessionRequest>) {
        let (outbox, frames) = mpsc::channel(OUTBOX_MAX);
        (Self { outbox, waiting: Arc::new(Waiting::default()) }, frames)
    }

    /// Sends a frame; false if the session has ended.
    pub(crate) async fn send(&self, frame: PollerServiceSessionRequest) -> bool {
        self.outbox.send(frame).await.is_ok()
    }

    /// Tells how a mapping is, unless the connection is busy: then gives the report back, and the next one says more.
    pub(crate) fn status(&self, status: StatusReport) -> Option<StatusReport> {
        let frame = PollerServiceSessionRequest { statuses: vec![status], ..Default::default() };
        let refused = self.outbox.try_send(frame).err()?;
        let (mpsc::error::TrySendError::Full(mut frame)
        | mpsc::error::TrySendError::Closed(mut frame)) = refused;
        frame.statuses.pop()
    }

    /// A sign of life, unless the connection is so busy that it has some already.
    pub(crate) fn beat(&self) {
        // A full outbox is full of frames, each of which is a sign of life.
        let _ = self.outbox.try_send(PollerServiceSessionRequest::default());
    }

    pub(crate) async fn checkpoint(&self, mut report: CheckpointReport) -> Answered {
        let answer = self.ticket(&mut report.ticket);
        self.asked(
            PollerServiceSessionRequest { checkpoints: vec![report], ..Default::default() },
            answer,
        )
        .await
    }

    pub(crate) async fn park(&self, mut report: ParkReport) -> Answered {
        let answer = self.ticket(&mut report.ticket);
        self.asked(
            PollerServiceSessionRequest { parks: vec![report], ..Default::default() },
            answer,
        )
        .await
    }

    pub(crate) async fn failure(&self, mut report: FailureReport) -> Answered {
        let answer = self.ticket(&mut report.ticket);
        self.asked(
            PollerServiceSessionRequest { failures: vec![report], ..Default::default() },
            answer,
        )
        .await
    }

    /// Hands an answer of the broker to who waits for it.
    pub(crate) fn answered(&self, answer: ReportAnswer) {
        // Who asked may have been abandoned meanwhile.
        if let Some(waiting) = self.waiting.lock().remove(&answer.ticket) {
            let _ = waiting.send(answer);
        }
    }

    /// The session has ended: nobody gets an answer any more.
    pub(crate) fn close(&self) {
        self.waiting.lock().clear();
    }

    fn ticket(&self, ticket: &mut u64) -> Expected {
        *ticket = self.waiting.next_ticket.fetch_add(1, Ordering::Relaxed) + 1;
        let (waiting, answer) = oneshot::channel();
        self.waiting.lock().insert(*ticket, waiting);
        Expected { ticket: *ticket, waiting: Arc::clone(&self.waiting), answer }
    }

    async fn asked(&self, frame: PollerServiceSessionRequest, mut expected: Expected) -> Answered {
        if !self.send(frame).await {
            return Answered::Lost;
        }
        match (&mut expected.answer).await {
            Ok(answer) => Answered::of(answer),
            Err(_) => Answered::Lost,
        }
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<ReportAnswer>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is waited for; forgotten with whoever waits.
struct Expected {
    ticket: u64,
    waiting: Arc<Waiting>,
    answer: oneshot::Receiver<ReportAnswer>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.ticket);
    }
}

impl Answered {
    fn of(answer: ReportAnswer) -> Self {
        match answer.outcome() {
            ReportOutcome::Done => Self::Done,
            ReportOutcome::StaleFence => Self::StaleFence,
            ReportOutcome::Full => Self::Full(answer.error),
            ReportOutcome::Failed | ReportOutcome::Unspecified => Self::Failed(answer.error),
        }
    }
}

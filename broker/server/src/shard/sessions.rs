//! Worker sessions at the shard: what they say goes into the engine, what the engine has for them is gathered over a
//! batch, one parcel a session. It knows neither the wire nor who gets which attempt.

use bytes::Bytes;
use tokio::sync::mpsc;
use trine_engine::{Answer, AttemptResult, Input, Lease, WorkerId};
use trine_proto::v1::outcome::Result as Given;
use trine_proto::v1::{Outcome, OutcomeStopped, Reason};

use crate::refusal::{from_engine, refuse};
use crate::shard::Shard;
use crate::shard::message::{Joined, Joining, Member, SessionNews, WorkerFrame};

/// The open sessions, at the places that the engine gave to their workers.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    places: Vec<Option<Session>>,
    /// Those that have news in this batch.
    fresh: Vec<u32>,
}

/// The outbox is unbounded in type only: a worker gets no more than it has slots for.
#[derive(Debug)]
struct Session {
    generation: u32,
    outbox: mpsc::UnboundedSender<SessionNews>,
    news: SessionNews,
    /// It stands in [`Sessions::fresh`].
    listed: bool,
}

impl Sessions {
    pub(super) fn open(&mut self, worker: WorkerId, outbox: mpsc::UnboundedSender<SessionNews>) {
        let index = worker.index as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        let news = SessionNews::default();
        self.places[index] =
            Some(Session { generation: worker.generation, outbox, news, listed: false });
    }

    fn close(&mut self, worker: WorkerId) {
        if let Some(place) = self.places.get_mut(worker.index as usize)
            && place.as_ref().is_some_and(|session| session.generation == worker.generation)
        {
            *place = None;
        }
    }

    /// What the batch has for a worker so far, to be added to; `None`: it has left.
    pub(super) fn news(&mut self, worker: WorkerId) -> Option<&mut SessionNews> {
        let session = self.places.get_mut(worker.index as usize)?.as_mut()?;
        if session.generation != worker.generation {
            return None;
        }
        if !std::mem::replace(&mut session.listed, true) {
            self.fresh.push(worker.index);
        }
        Some(&mut session.news)
    }

    /// Tells all of them that the broker goes.
    pub(super) fn say_draining(&mut self) {
        for (place, index) in self.places.iter_mut().zip(0..) {
            let Some(session) = place else { continue };
            session.news.draining = true;
            if !std::mem::replace(&mut session.listed, true) {
                self.fresh.push(index);
            }
        }
    }

    pub(super) fn flush(&mut self) {
        for index in self.fresh.drain(..) {
            let Some(Some(session)) = self.places.get_mut(index as usize) else { continue };
            session.listed = false;
            // A closed session says so itself, by leaving.
            let _ = session.outbox.send(std::mem::take(&mut session.news));
        }
    }
}

impl Shard {
    /// The engine's answer to a session that joins.
    pub(super) fn joined(&mut self, joining: Joining, answer: Answer) {
        let Joining { outbox, shard, reply } = joining;
        let joined = match answer {
            Answer::Joined { worker, unknown } => {
                self.sessions.open(worker, outbox);
                Ok(Joined { member: Member::new(shard, worker), unknown })
            }
            Answer::Refused(refusal) => Err(from_engine(refusal, "the worker's functions")),
            _ => Err(refuse(Reason::Internal, "The session got another answer than its own.")),
        };
        // A session whose client is gone leaves by not taking its membership.
        let _ = reply.send(joined);
    }

    pub(super) fn worker_frame(&mut self, worker: WorkerId, frame: WorkerFrame) {
        if let Some(through) = frame.started_through {
            self.step(Input::Started { worker, through });
        }
        for outcome in frame.outcomes {
            let Outcome { entry, fence, result, log_tail } = outcome;
            let lease = Lease { index: entry, fence };
            let (result, response) = given(result);
            self.at_hand.response = response;
            self.at_hand.log_tail = log_tail;
            self.step(Input::Outcome { worker, lease, result });
        }
        if let Some(slots) = frame.slots {
            self.step(Input::WorkerSlots { worker, slots });
        }
        if frame.draining {
            self.step(Input::WorkerDraining { worker });
        }
    }

    pub(super) fn worker_left(&mut self, worker: WorkerId) {
        self.sessions.close(worker);
        self.step(Input::WorkerLeft { worker });
    }
}

/// An outcome as the engine sees it, and its bytes.
fn given(result: Option<Given>) -> (AttemptResult, Bytes) {
    match result {
        Some(Given::Response(bytes)) => {
            (AttemptResult::Response { bytes: bytes.len() as u64 }, bytes)
        }
        Some(Given::FunctionError(bytes)) => {
            (AttemptResult::FunctionError { bytes: bytes.len() as u64 }, bytes)
        }
        Some(Given::Stopped(OutcomeStopped { timed_out })) => {
            (AttemptResult::Stopped { timed_out }, Bytes::new())
        }
        Some(Given::Returned(_)) => (AttemptResult::Returned, Bytes::new()),
        // An outcome without a result: the worker's answer is nothing, which is `null` (LS 1.2).
        None => (AttemptResult::Response { bytes: 4 }, Bytes::from_static(b"null")),
    }
}

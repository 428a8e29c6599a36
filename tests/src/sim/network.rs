//! Owns sessions as the network sees them: frames on their way, in order and late; sessions that break and come back.

use trine_engine::{Answer, Caller, Dispatch, Input, Millis, WorkerId};

use super::ledger::{Call, Judged};
use super::plan::name;
use super::store::ensure;
use super::worker::{Deed, FromWorker, ToWorker};
use super::world::{Happening, World};

/// A session that is open on the broker's side.
#[derive(Debug)]
pub(super) struct Link {
    worker: usize,
    /// When the last frame of each direction arrives: none overtakes another.
    to_worker_at: Millis,
    from_worker_at: Millis,
}

impl World {
    pub(super) fn reply(&mut self, caller: Caller, answer: &Answer) -> Judged {
        let Some(worker) = self.joining.remove(&caller.tag) else { return Ok(()) };
        let Answer::Joined { worker: session, .. } = answer else {
            // The broker drains: it is tried again.
            self.after(2_000, Happening::Connects { worker });
            return Ok(());
        };
        self.workers[worker].joined(*session);
        let link = Link { worker, to_worker_at: self.now, from_worker_at: self.now };
        let before = self.links.insert(*session, link);
        ensure(before.is_none(), || format!("{session:?} is open already"))
    }

    pub(super) fn send_attempt(&mut self, dispatch: Dispatch) -> Judged {
        self.sent_in_step += 1;
        let at_hand = self.memory.contains(&dispatch.entry);
        let stored = self.store.durable.has_payload(dispatch.payload_seq);
        ensure(at_hand || stored, || format!("no payload for {dispatch:?}"))?;
        let worker = dispatch.worker;
        if !self.calm && self.network.chance(1) {
            self.after(0, Happening::NotSent { worker, lease: dispatch.lease });
        } else {
            self.send_to(worker, ToWorker::Attempt(dispatch));
        }
        Ok(())
    }

    pub(super) fn send_to(&mut self, session: WorkerId, frame: ToWorker) {
        let way = self.network.span(self.plan.way_ms);
        let Some(link) = self.links.get_mut(&session) else { return };
        link.to_worker_at = link.to_worker_at.max(self.now + way);
        let span = link.to_worker_at - self.now;
        self.after(span, Happening::ToWorker { session, frame });
    }

    pub(super) fn send_from(&mut self, worker: usize, frame: FromWorker) {
        let way = self.network.span(self.plan.way_ms);
        let Some(session) = self.workers[worker].session else { return };
        let Some(link) = self.links.get_mut(&session) else { return };
        link.from_worker_at = link.from_worker_at.max(self.now + way);
        let span = link.from_worker_at - self.now;
        self.after(span, Happening::FromWorker { session, frame });
    }

    pub(super) fn reaches_worker(&mut self, session: WorkerId, frame: ToWorker) -> Judged {
        let Some(link) = self.links.get(&session) else { return Ok(()) };
        let worker = link.worker;
        if self.workers[worker].session != Some(session) {
            return Ok(());
        }
        let twice = self.sabotaged_frame(&frame);
        let deeds = self.workers[worker].receives(frame.clone(), self.calm);
        self.deeds(worker, deeds)?;
        if twice {
            let deeds = self.workers[worker].receives(frame, true);
            self.deeds(worker, deeds)?;
        }
        Ok(())
    }

    pub(super) fn deeds(&mut self, worker: usize, deeds: Vec<Deed>) -> Judged {
        for deed in deeds {
            match deed {
                Deed::Starts(lease) => {
                    if let Some(session) = self.workers[worker].session {
                        self.ledger.handler_started(session, lease)?;
                    }
                }
                Deed::Sends(frame, after) => {
                    self.after(after, Happening::WorkerSends { worker, frame });
                }
                Deed::Returns(lease, after) => {
                    self.after(after, Happening::HandlerEnds { worker, lease });
                }
                Deed::Dies => self.worker_dies(worker),
            }
        }
        Ok(())
    }

    fn worker_dies(&mut self, worker: usize) {
        self.lose_session(worker);
        self.workers[worker].restart();
    }

    /// The session breaks: the broker notices after a while, the worker at once.
    pub(super) fn lose_session(&mut self, worker: usize) {
        let Some(session) = self.workers[worker].session else { return };
        self.workers[worker].cut();
        let (notice, back) = (self.network.span(5_000), self.network.span(10_000));
        self.after(notice, Happening::SessionOver { session });
        self.after(back, Happening::Connects { worker });
    }

    pub(super) fn connect(&mut self, worker: usize) -> Judged {
        if self.workers[worker].session.is_some() {
            return Ok(());
        }
        let caller = self.new_caller();
        let slots = self.workers[worker].slots;
        let functions = self.workers[worker].functions.iter().map(|text| name(text)).collect();
        self.joining.insert(caller.tag, worker);
        self.ledger.calls(caller.tag, Call::Join { slots });
        self.input(Input::WorkerJoined { caller, functions, slots })
    }

    pub(super) fn reaches_broker(&mut self, session: WorkerId, frame: FromWorker) -> Judged {
        if !self.links.contains_key(&session) || self.sabotaged_outcome(&frame) {
            return Ok(());
        }
        self.input(match frame {
            // News of a session that is over is no news of the next one.
            FromWorker::Started { session: of, .. } if of != session => return Ok(()),
            FromWorker::Started { through, .. } => Input::Started { worker: session, through },
            FromWorker::Outcome { lease, result } => {
                Input::Outcome { worker: session, lease, result }
            }
            FromWorker::Slots(slots) => Input::WorkerSlots { worker: session, slots },
            FromWorker::Draining => Input::WorkerDraining { worker: session },
        })
    }
}

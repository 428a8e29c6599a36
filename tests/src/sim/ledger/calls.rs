//! Owns who waits for which answer, and whether the answer is true when it is given: everybody is told once, and
//! nobody before the disk has it.

use trine_engine::{
    Answer, Caller, Dispatch, End, FunctionError, FunctionId, FunctionName, FunctionSettings,
    Lease, Refusal, RequestId, SettingsChange,
};

use super::super::store::{Durable, ensure};
use super::events::Asked;
use super::{Active, Finish, Judged, Ledger};

/// What a caller waits for.
#[derive(Debug)]
pub(in super::super) enum Call {
    Sync { id: RequestId },
    Event { id: RequestId, asked: Asked },
    Cancel { id: RequestId },
    Redrive { id: RequestId, new: RequestId },
    Create { name: FunctionName, settings: FunctionSettings },
    Update { function: FunctionId, change: Box<SettingsChange> },
    Delete { function: FunctionId },
    Join { slots: u32 },
}

/// A synchronous invocation.
#[derive(Debug)]
pub(super) struct SyncCall {
    function: FunctionId,
    pub(super) lease: Option<Lease>,
    pub(super) done: bool,
}

impl Ledger {
    pub(in super::super) fn calls(&mut self, tag: u64, call: Call) {
        self.calls.insert(tag, call);
    }

    pub(in super::super) fn calls_sync(&mut self, tag: u64, id: RequestId, function: FunctionId) {
        self.calls.insert(tag, Call::Sync { id });
        self.syncs.insert(id, SyncCall { function, lease: None, done: false });
    }

    /// The caller of a synchronous invocation that has not started gets no answer, and wants none.
    pub(super) fn caller_gone(&mut self, caller: Caller, id: RequestId) {
        if let Some(sync) = self.syncs.get_mut(&id)
            && sync.lease.is_none()
            && !sync.done
        {
            sync.done = true;
            self.calls.remove(&caller.tag);
        }
    }

    pub(super) fn asked(&self, id: RequestId) -> Option<&Asked> {
        self.calls.values().find_map(|call| match call {
            Call::Event { id: asked, asked: as_asked } if *asked == id => Some(as_asked),
            _ => None,
        })
    }

    pub(super) fn sync_starts(&mut self, dispatch: &Dispatch) -> Judged {
        let Some(sync) = self.syncs.get_mut(&dispatch.request_id) else { return Ok(()) };
        let right = !sync.done
            && sync.lease.is_none()
            && dispatch.attempt == 1
            && sync.function == dispatch.function;
        ensure(right, || format!("I2: {dispatch:?} of {sync:?}"))?;
        sync.lease = Some(dispatch.lease);
        Ok(())
    }

    pub(super) fn replied(&mut self, caller: Caller, answer: &Answer, durable: &Durable) -> Judged {
        let Some(call) = self.calls.remove(&caller.tag) else {
            return Err(format!("{answer:?} for nobody"));
        };
        if let Answer::Refused(refusal) = answer {
            return self.refusing(&call, *refusal, durable);
        }
        match (&call, answer) {
            (Call::Sync { id }, Answer::Succeeded { request_id }) if id == request_id => {
                self.answered(*id, None)
            }
            (Call::Sync { id }, Answer::Failed { request_id, error }) if id == request_id => {
                self.answered(*id, Some(*error))
            }
            (Call::Event { id, asked }, Answer::Accepted { request_id, duplicate, .. }) => {
                self.accepted(*id, asked, *request_id, *duplicate)
            }
            (Call::Cancel { id }, Answer::Cancelled { request_id }) if id == request_id => {
                self.cancel_answered(*id)
            }
            (Call::Redrive { id, new }, Answer::Redriven { new_request_id }) => {
                self.redrive_answered(*id, *new, *new_request_id)
            }
            (_, Answer::Function { function }) => self.put(call, *function),
            (Call::Delete { function }, Answer::Deleted) => {
                let gone = self.active.remove(function);
                let there =
                    |active: &Active| durable.functions.values().any(|f| f.name == active.name);
                ensure(gone.as_ref().is_some_and(|active| !there(active)), || {
                    format!("{gone:?} is said to be deleted")
                })
            }
            (Call::Join { slots }, Answer::Joined { worker, .. }) => self.joined(*worker, *slots),
            _ => Err(format!("{answer:?} answers {call:?}")),
        }
    }

    fn answered(&mut self, id: RequestId, error: Option<FunctionError>) -> Judged {
        self.counts.answered += 1;
        let finish = self.ended_by(id)?;
        let wanted = match error {
            None => Finish::Answered,
            Some(FunctionError::Reported) => Finish::Failed,
            Some(FunctionError::TimedOut { .. }) => Finish::TimedOut,
            Some(FunctionError::WorkerLost) => Finish::Lost,
            Some(FunctionError::ResponseTooLarge) => Finish::TooLarge,
        };
        ensure(finish == Some(wanted), || format!("{id} is answered {error:?}, was {finish:?}"))?;
        self.sync_done(id)
    }

    fn sync_done(&mut self, id: RequestId) -> Judged {
        let Some(sync) = self.syncs.get_mut(&id) else { return Err(format!("{id} is unknown")) };
        ensure(!std::mem::replace(&mut sync.done, true), || format!("{id} is answered twice"))
    }

    fn accepted(
        &mut self,
        id: RequestId,
        asked: &Asked,
        request_id: RequestId,
        duplicate: bool,
    ) -> Judged {
        let Some(event) = self.events.get_mut(&request_id) else {
            return Err(format!("I1: {request_id} is accepted and not there"));
        };
        ensure(event.saved, || format!("I1: {request_id} is acknowledged before it is durable"))?;
        if duplicate {
            let same = event.idempotency == asked.idempotency && event.function == asked.function;
            return ensure(same && asked.idempotency.is_some() && id != request_id, || {
                format!("{id} is no duplicate of {event:?}")
            });
        }
        self.counts.accepted += 1;
        let first = !std::mem::replace(&mut event.told, true);
        ensure(first && id == request_id, || format!("{id} is acknowledged as {request_id}"))
    }

    fn cancel_answered(&mut self, id: RequestId) -> Judged {
        if let Some(event) = self.events.get(&id) {
            return ensure(event.end == Some(End::Cancelled) && event.end_saved, || {
                format!("{id} is said to be cancelled: {event:?}")
            });
        }
        let done = self.syncs.get(&id).is_some_and(|sync| sync.done);
        ensure(done, || format!("{id} is cancelled, its caller still waits"))
    }

    fn redrive_answered(
        &mut self,
        id: RequestId,
        new: RequestId,
        as_new: Option<RequestId>,
    ) -> Judged {
        if as_new.is_none() {
            return Ok(());
        }
        let event = self.events.get_mut(&new);
        let there = event.is_some_and(|event| {
            event.told = true;
            event.saved
        });
        ensure(there && as_new == Some(new), || format!("{id} is redriven as {as_new:?}"))
    }

    /// Settings that are durable are in force from here on: what was asked for and nothing else.
    fn put(&mut self, call: Call, function: FunctionId) -> Judged {
        let (name, settings) = match call {
            Call::Create { name, settings } => (name, settings),
            Call::Update { function: updated, change } if updated == function => {
                let known = self.active.get(&function);
                let Some(known) = known else { return Err(format!("{function:?} is gone")) };
                (known.name.clone(), change.of(known.settings.clone()))
            }
            call => return Err(format!("{call:?} is answered with {function:?}")),
        };
        let saved = self.functions_saved.get(&name);
        ensure(saved == Some(&settings), || {
            format!("settings: {name} is to have {settings:?}, durable is {saved:?}")
        })?;
        self.active.insert(function, Active { name, settings });
        Ok(())
    }

    fn refusing(&mut self, call: &Call, refusal: Refusal, durable: &Durable) -> Judged {
        self.counts.refused += 1;
        match call {
            Call::Sync { id } => {
                let running = self.syncs.get(id).is_some_and(|sync| sync.lease.is_some());
                let cancelled = refusal == Refusal::InvocationCancelled;
                ensure(!running || cancelled, || format!("{id} runs and is refused {refusal:?}"))?;
                if cancelled {
                    self.cancelled(*id);
                }
                self.sync_done(*id)
            }
            Call::Event { id, .. } => {
                let there = durable.events.values().any(|record| record.request_id == *id);
                let known = self.events.contains_key(id);
                ensure(!there && !known, || format!("{id} is refused {refusal:?} and durable"))
            }
            Call::Redrive { new, .. } => {
                let known = self.events.contains_key(new);
                ensure(!known, || format!("{new} is refused {refusal:?} and there"))
            }
            _ => Ok(()),
        }
    }
}

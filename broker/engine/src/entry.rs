//! One invocation as the engine holds it. About 120 bytes: a million of them wait in memory.
//!
//! ```text
//! sync:   Placing ──slot──▶ Running ──outcome──▶ gone
//!            ▲──never started──┘
//! event:  Saving(accept) ─▶ Scheduled ─▶ Ready ─▶ Running ─┬─ success ───────────▶ Saving(end)
//!                              ▲   not_before / retry wait  ├─ failure, again ────▶ Saving(retry) ─▶ Scheduled
//!                              │                            ├─ failure, last ─────▶ Saving(end)
//!                              └────────────────────────────┴─ never started: Ready, or Scheduled
//!         Saving(end) ─┬─ destination ─▶ Delivering ─▶ Saving(delivery) ─▶ Ended ─▶ Saving(redrive) ─▶ Ended
//!                      └─ none ────────▶ Ended ─▶ gone (forgotten)
//!         Delivering ──not taken──▶ Redelivering ──its time──▶ Delivering
//!         cancelled, too old, switched off: from Scheduled, Ready or Running to Saving(end)
//! ```

use crate::record::{Delivery, Ended, EventRecord, EventStage, Idempotency};
use crate::slab::NONE;
use crate::{Caller, EventSeq, FunctionName, Millis, RequestId};

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) request_id: RequestId,
    pub(crate) accepted_at: Millis,
    pub(crate) age_from: Millis,
    /// Number and store key; 0 for a synchronous invocation.
    pub(crate) seq: u64,
    pub(crate) payload_seq: u64,
    /// Synchronous only: who waits.
    pub(crate) caller: Caller,
    /// Synchronous only: end of the caller's patience.
    pub(crate) deadline: Millis,
    pub(crate) revision: u64,
    pub(crate) state: State,
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) function: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) prev: u32,
    pub(crate) next: u32,
    /// Place in the lease table while running.
    pub(crate) lease: u32,
    /// Attempts that were spent.
    pub(crate) attempts: u32,
    pub(crate) hops: u8,
    /// How often an attempt came back unstarted.
    pub(crate) returns: u8,
    pub(crate) event: bool,
    /// The last attempt failed and its error object is stored.
    pub(crate) failed: bool,
    /// The payload under `payload_seq` is this entry's to delete.
    pub(crate) owns_payload: bool,
    /// Its end is on the disk, so clients may see it.
    pub(crate) end_saved: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A mutation of it is on its way to the disk; `After` says what follows.
    Saving,
    /// Event: waits for its time; its timer is set.
    Scheduled { due_at: Millis, retry: bool },
    /// Event: in its function's ready queue.
    Ready,
    /// Synchronous: holds concurrency, waits in its function's placing queue; its timer is set.
    Placing,
    /// Under the lease `lease`.
    Running,
    /// Ended, its record is with the shell.
    Delivering,
    /// Ended, its record waits for its next try; its timer is set.
    Redelivering { until: Millis },
    /// In a history queue.
    Ended,
}

/// What most entries never have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    pub(crate) ended: Option<Ended>,
    pub(crate) idempotency: Option<Box<Idempotency>>,
    pub(crate) redriven_from: Option<RequestId>,
    pub(crate) delivery_tries: u32,
}

impl Entry {
    pub(crate) fn new(
        request_id: RequestId,
        function: u32,
        now: Millis,
        payload_bytes: u32,
    ) -> Self {
        Self {
            request_id,
            accepted_at: now,
            age_from: now,
            seq: 0,
            payload_seq: 0,
            caller: Caller { edge: 0, tag: 0 },
            deadline: Millis::MAX,
            revision: 0,
            state: State::Saving,
            rare: None,
            function,
            payload_bytes,
            prev: NONE,
            next: NONE,
            lease: NONE,
            attempts: 0,
            hops: 0,
            returns: 0,
            event: false,
            failed: false,
            owns_payload: true,
            end_saved: false,
        }
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.rare.as_ref()?.ended.as_ref()
    }

    /// The durable form of an event at `stage`.
    pub(crate) fn record(&self, function: &FunctionName, stage: EventStage) -> EventRecord {
        let rare = self.rare.as_deref();
        EventRecord {
            seq: EventSeq(self.seq),
            request_id: self.request_id,
            function: function.clone(),
            accepted_at: self.accepted_at,
            age_from: self.age_from,
            payload_seq: EventSeq(self.payload_seq),
            payload_bytes: self.payload_bytes,
            attempts: self.attempts,
            hops: self.hops,
            failed: self.failed,
            stage,
            idempotency: rare.and_then(|rare| rare.idempotency.clone()),
            redriven_from: rare.and_then(|rare| rare.redriven_from),
        }
    }

    /// The stage that a record of this entry has now.
    pub(crate) fn stage(&self) -> EventStage {
        match (self.ended(), self.state) {
            (Some(ended), _) => EventStage::Ended(ended.clone()),
            (None, State::Scheduled { due_at, retry }) => EventStage::Waiting { due_at, retry },
            (None, _) => EventStage::Waiting { due_at: self.age_from, retry: self.failed },
        }
    }

    /// Its record is still to be delivered: with its payload it counts against the queue bounds as before its end.
    pub(crate) fn is_pending(&self) -> bool {
        self.ended().is_some_and(|ended| ended.delivery == Delivery::Pending)
    }

    /// Whether it has not ended, and so counts as queued.
    pub(crate) fn is_live(&self) -> bool {
        self.ended().is_none()
    }
}

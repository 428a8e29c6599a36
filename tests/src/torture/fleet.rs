//! The workers of a torture run: SDK workers that note each run of a handler, and find their broker again by
//! themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Semaphore;
use trine_worker::{Context, Error, Worker};

use super::functions::Role;
use crate::fixture::serving::Serving;
use crate::ledger::{Ending, Entry, EventId, Notes, RunId};

const SLOTS: u32 = 16;

/// What an event or a call of a run carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Payload {
    Event(EventId),
    Call(EventId),
    /// Runs until as many of it as there are slots run, and is not noted.
    Meet(u32),
}

impl Payload {
    pub(super) fn json(self) -> String {
        match self {
            Self::Event(EventId(event)) => format!("{{\"event\":{event}}}"),
            Self::Call(EventId(call)) => format!("{{\"call\":{call}}}"),
            Self::Meet(limit) => format!("{{\"meet\":{limit}}}"),
        }
    }
}

/// What all handlers share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) notes: Notes,
    /// Kills so far.
    pub(super) epoch: Arc<AtomicU32>,
    runs: Arc<AtomicU64>,
    /// Handlers that have come to meet, and the gate that opens once they are complete.
    pub(super) met: Arc<AtomicU32>,
    gate: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(notes: Notes) -> Self {
        Self {
            notes,
            epoch: Arc::default(),
            runs: Arc::default(),
            met: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    async fn handle(self, role: Role, payload: Bytes, context: Context) -> Result<Bytes, Error> {
        let (event, sync) = match serde_json::from_slice(&payload)? {
            Payload::Event(event) => (event, false),
            Payload::Call(call) => (call, true),
            Payload::Meet(limit) => return self.meet(limit, payload).await,
        };
        let run = RunId(self.runs.fetch_add(1, Ordering::Relaxed));
        self.notes.note(Entry::Started {
            run,
            event,
            function: context.function().to_owned(),
            request_id: context.request_id().to_owned(),
            attempt: context.attempt(),
            epoch: self.epoch.load(Ordering::SeqCst),
            sync,
        });
        let mut running = Running { run, how: Ending::Dropped, notes: self.notes.clone() };
        // Long enough for a kill to find some of them running.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let fails = role.fails(context.attempt());
        running.how = if fails { Ending::Failed } else { Ending::Answered };
        // Noted before the answer leaves: whoever starts because of it is noted after it.
        drop(running);
        if fails { Err(Error::new("Torture.Failed", "as it was told to")) } else { Ok(payload) }
    }

    async fn meet(&self, limit: u32, payload: Bytes) -> Result<Bytes, Error> {
        if self.met.fetch_add(1, Ordering::SeqCst) + 1 >= limit {
            self.gate.close();
        }
        // It is opened by being closed; there is nothing to acquire.
        let _ = self.gate.acquire().await;
        Ok(payload)
    }
}

/// Notes the end of a run, however it ends.
struct Running {
    run: RunId,
    how: Ending,
    notes: Notes,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.notes.note(Entry::Ended { run: self.run, how: self.how });
    }
}

/// Starts a worker that serves every function.
pub(super) async fn serve(url: &str, shared: &Shared) -> Serving {
    let worker = Role::ALL.into_iter().fold(Worker::connect(url), |worker, role| {
        let shared = shared.clone();
        let handler =
            move |payload, context: Context| shared.clone().handle(role, payload, context);
        worker.function_raw(role.name(), handler)
    });
    Serving::start(worker.slots(SLOTS)).await
}

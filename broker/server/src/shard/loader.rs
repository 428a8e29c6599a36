//! Reads payloads of waiting events from the store, on a thread of its own: a disk read must not hold up
//! heartbeats (reliability.md, lesson 8). It does not know what the payloads are for.

use std::io;
use std::sync::mpsc;

use trine_engine::{Dispatch, EventSeq};
use trine_store::Shard as StoreShard;
use trine_store::record::{PayloadEnvelope, decode_payload};

use crate::shard::call::Extra;
use crate::shard::message::{Loaded, Message, ShardHandle};
use crate::shard::saving::payload_key;
use crate::store::SharedStore;

/// Bounded by the slots of the connected workers: only attempts that hold a lease are loaded for.
#[derive(Debug)]
pub(crate) struct Loader {
    requests: mpsc::Sender<Vec<Dispatch>>,
    open: Vec<Dispatch>,
    under_way: usize,
}

impl Loader {
    /// # Errors
    /// If the system has no thread left.
    pub(crate) fn start(
        store: SharedStore,
        shard: StoreShard,
        inbox: ShardHandle,
    ) -> io::Result<Self> {
        let (requests, received) = mpsc::channel::<Vec<Dispatch>>();
        std::thread::Builder::new().name(format!("load-{shard}")).spawn(move || {
            for dispatches in received {
                let loaded = dispatches.into_iter().map(|dispatch| {
                    let loaded = load(&store, shard, dispatch.payload_seq);
                    (dispatch, loaded)
                });
                if inbox.blocking_send(Message::Loaded(loaded.collect())).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { requests, open: Vec::new(), under_way: 0 })
    }

    pub(crate) fn load(&mut self, dispatch: Dispatch) {
        self.under_way += 1;
        self.open.push(dispatch);
    }

    pub(crate) fn flush(&mut self) {
        if !self.open.is_empty() {
            // The thread ends only when the shard's inbox is gone.
            let _ = self.requests.send(std::mem::take(&mut self.open));
        }
    }

    pub(crate) fn returned(&mut self, count: usize) {
        self.under_way -= count;
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.under_way > 0
    }
}

fn load(store: &SharedStore, shard: StoreShard, seq: u64) -> Result<Loaded, String> {
    let found = store.get(shard, payload_key(EventSeq(seq))).map_err(|error| error.to_string())?;
    let bytes = found.ok_or_else(|| format!("payload {seq} is not in the store"))?;
    let envelope = decode_payload(bytes).map_err(|error| error.to_string())?;
    let PayloadEnvelope { payload, traceparent, tracestate, qualified } = envelope;
    let traced = !traceparent.is_empty() || !tracestate.is_empty();
    let extra = traced.then(|| Box::new(Extra { traceparent, tracestate, ..Extra::default() }));
    Ok(Loaded { payload, extra, qualified })
}

//! Clients that wait for a change of an invocation. It does not know what changed.

use std::collections::HashMap;

use tokio::sync::oneshot;
use trine_engine::{Engine, RequestId};

/// Watches kept, at most; beyond it a watcher is told at once and asks again.
const WATCHES_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Watches {
    by_request: HashMap<RequestId, Vec<Watch>>,
    count: usize,
    changed: Vec<RequestId>,
}

#[derive(Debug)]
struct Watch {
    after_revision: u64,
    reply: oneshot::Sender<()>,
}

impl Watches {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_request.is_empty()
    }

    pub(crate) fn add(
        &mut self,
        request_id: RequestId,
        after_revision: u64,
        reply: oneshot::Sender<()>,
    ) {
        if self.count >= WATCHES_MAX {
            self.drop_given_up();
        }
        if self.count >= WATCHES_MAX {
            // Told at once: it asks again.
            let _ = reply.send(());
            return;
        }
        self.count += 1;
        self.by_request.entry(request_id).or_default().push(Watch { after_revision, reply });
        self.changed.push(request_id);
    }

    pub(crate) fn changed(&mut self, request_id: RequestId) {
        if self.by_request.contains_key(&request_id) {
            self.changed.push(request_id);
        }
    }

    /// Tells those whose invocation has changed, or is gone.
    pub(crate) fn look(&mut self, engine: &Engine) {
        for request_id in self.changed.drain(..) {
            let Some(watches) = self.by_request.get_mut(&request_id) else { continue };
            let before = watches.len();
            let revision = engine.invocation(request_id).map(|view| view.revision);
            let mut kept = Vec::new();
            for watch in watches.drain(..) {
                if revision.is_none_or(|revision| revision > watch.after_revision) {
                    // A watcher that gave up needs no telling.
                    let _ = watch.reply.send(());
                } else if !watch.reply.is_closed() {
                    kept.push(watch);
                }
            }
            self.count -= before - kept.len();
            if kept.is_empty() {
                self.by_request.remove(&request_id);
            } else {
                *watches = kept;
            }
        }
    }

    fn drop_given_up(&mut self) {
        self.by_request.retain(|_, watches| {
            watches.retain(|watch| !watch.reply.is_closed());
            !watches.is_empty()
        });
        self.count = self.by_request.values().map(Vec::len).sum();
    }
}

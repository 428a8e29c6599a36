//! Poller sessions at the task: what the registry has for them is gathered over a batch, one parcel a session. It knows
//! neither the wire nor who gets which mapping.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use trine_engine::Millis;
use trine_engine::mapping::{
    Checkpoint, MappingId, MappingView, ParkedKeyView, PollerId, ReportOutcome,
};
use trine_proto::v1::SeekTarget;
use trine_store::record::ParkedEnvelope;

/// What one batch has for one poller, in the order in which it is applied.
#[derive(Debug, Default)]
pub(crate) struct PollerNews {
    pub(crate) assignments: Vec<AssignmentNews>,
    pub(crate) revocations: Vec<(MappingId, u64, Millis)>,
    /// Ticket, outcome, error.
    pub(crate) answers: Vec<(u64, ReportOutcome, String)>,
    pub(crate) seeks: Vec<SeekNews>,
    pub(crate) unparks: Vec<UnparkNews>,
    pub(crate) draining: bool,
}

#[derive(Debug)]
pub(crate) struct AssignmentNews {
    pub(crate) view: Box<MappingView>,
    pub(crate) fence: u64,
    pub(crate) paused: bool,
    pub(crate) checkpoints: Vec<(Arc<str>, Checkpoint)>,
    pub(crate) parked: Vec<ParkedKeyView>,
}

#[derive(Debug)]
pub(crate) struct SeekNews {
    pub(crate) ticket: u64,
    pub(crate) mapping: MappingId,
    pub(crate) fence: u64,
    pub(crate) target: SeekTarget,
    pub(crate) preview: bool,
}

#[derive(Debug)]
pub(crate) struct UnparkNews {
    pub(crate) mapping: MappingId,
    pub(crate) fence: u64,
    pub(crate) shard: Arc<str>,
    pub(crate) key: Arc<[u8]>,
    pub(crate) records: Vec<ParkedEnvelope>,
    pub(crate) left: u64,
    pub(crate) dropped: u64,
}

/// The open sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: BTreeMap<PollerId, Session>,
    /// Those that have news in this batch.
    fresh: BTreeSet<PollerId>,
}

/// The outbox is unbounded in type only: a poller gets the mappings that it takes, and an answer for each report that
/// its edge let in.
#[derive(Debug)]
struct Session {
    outbox: mpsc::UnboundedSender<PollerNews>,
    news: PollerNews,
}

impl Sessions {
    pub(super) fn open(&mut self, poller: PollerId, outbox: mpsc::UnboundedSender<PollerNews>) {
        self.open.insert(poller, Session { outbox, news: PollerNews::default() });
    }

    pub(super) fn close(&mut self, poller: PollerId) {
        self.open.remove(&poller);
    }

    /// What the batch has for a poller so far, to be added to; `None`: it has left.
    pub(super) fn news(&mut self, poller: PollerId) -> Option<&mut PollerNews> {
        let session = self.open.get_mut(&poller)?;
        self.fresh.insert(poller);
        Some(&mut session.news)
    }

    /// Answers a report; an empty error means that it was done.
    pub(super) fn answer(&mut self, poller: PollerId, ticket: u64, error: &str) {
        let outcome = if error.is_empty() { ReportOutcome::Done } else { ReportOutcome::Failed };
        if let Some(news) = self.news(poller) {
            news.answers.push((ticket, outcome, error.to_owned()));
        }
    }

    pub(super) fn flush(&mut self) {
        while let Some(poller) = self.fresh.pop_first() {
            let Some(session) = self.open.get_mut(&poller) else { continue };
            // A closed session says so itself, by leaving.
            let _ = session.outbox.send(std::mem::take(&mut session.news));
        }
    }
}

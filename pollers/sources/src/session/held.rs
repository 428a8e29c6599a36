//! The mappings that a poller holds, what runs of each, and when it is given up. It does not talk to the broker.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use trine_proto::v1::{Assignment, SeekOrder};

use crate::SourceError;
use crate::plan::Plan;
use crate::runner::{Command, Ended};
use crate::source::{Places, Sought};

/// The mappings that this poller holds.
#[derive(Default)]
pub(crate) struct Mappings {
    pub(super) held: HashMap<String, Held>,
    /// Runners and seeks; each gives back the id of its mapping.
    pub(super) working: JoinSet<Worked>,
    pub(super) ids: HashMap<Id, String>,
    /// Assignments of which more is to come, by mapping.
    pub(super) coming: HashMap<String, Assignment>,
}

/// One mapping that this poller holds.
pub(super) struct Held {
    pub(super) fence: u64,
    pub(super) plan: Option<Arc<Plan>>,
    pub(super) paused: bool,
    pub(super) commands: Option<mpsc::Sender<Command>>,
    /// What comes once the runner has ended.
    pub(super) then: Then,
    /// When a runner that was told to stop is dropped.
    pub(super) abandon_at: Option<Instant>,
    pub(super) places: Places,
    pub(super) abort: Option<tokio::task::AbortHandle>,
}

pub(super) enum Then {
    Nothing,
    Release,
    Seek(SeekOrder),
}

pub(super) enum Worked {
    Ran(Ended),
    /// Told already.
    Previewed,
    Sought {
        ticket: u64,
        result: Result<Vec<Sought>, SourceError>,
    },
}

impl Mappings {
    /// The whole of an assignment that came in several frames; `None` while more of it is to come.
    pub(super) fn gathered(&mut self, mut part: Assignment) -> Option<Assignment> {
        let id = part.mapping.as_ref()?.id.clone();
        if let Some(mut before) =
            self.coming.remove(&id).filter(|before| before.fence == part.fence)
        {
            // Only the first of them says more of the mapping than its id.
            before.checkpoints.append(&mut part.checkpoints);
            before.parked.append(&mut part.parked);
            before.more = part.more;
            part = before;
        }
        if part.more {
            self.coming.insert(id, part);
            return None;
        }
        Some(part)
    }

    /// The mapping, if it is held under this fence.
    pub(super) fn held_under(&mut self, id: &str, fence: u64) -> Option<&mut Held> {
        self.held.get_mut(id).filter(|held| held.fence == fence)
    }

    /// Drops everything of a mapping.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(held) = self.held.remove(id)
            && let Some(abort) = held.abort
        {
            abort.abort();
        }
    }

    /// Drops everything: the session is gone, and with it the right to any mapping.
    pub(crate) async fn abandon(&mut self) {
        self.held.clear();
        self.coming.clear();
        self.ids.clear();
        self.working.shutdown().await;
    }

    pub(super) fn stop_all(&mut self, until: Instant) {
        self.held.values_mut().for_each(|held| held.stop(Then::Release, until));
        // Nothing of these runs: there is nobody to wait for.
        self.held.retain(|_, held| held.abort.is_some());
    }

    pub(super) fn next_abandon(&self) -> Option<Instant> {
        self.held.values().filter_map(|held| held.abandon_at).min()
    }

    pub(super) fn abandon_due(&mut self, now: Instant) {
        for held in self.held.values_mut() {
            if held.abandon_at.is_some_and(|at| now >= at) {
                held.abandon_at = None;
                if let Some(abort) = &held.abort {
                    abort.abort();
                }
            }
        }
    }
}

impl Held {
    pub(super) fn new(fence: u64, paused: bool) -> Self {
        Self {
            fence,
            plan: None,
            paused,
            commands: None,
            then: Then::Nothing,
            abandon_at: None,
            places: Places::new(),
            abort: None,
        }
    }

    pub(super) fn pause(&mut self, paused: bool) {
        if self.paused != paused {
            self.paused = paused;
            self.command(if paused { Command::Pause } else { Command::Resume });
        }
    }

    pub(super) fn stop(&mut self, then: Then, until: Instant) {
        self.then = then;
        self.abandon_at = Some(until);
        self.command(Command::Stop);
    }

    pub(super) fn command(&self, command: Command) {
        if let Some(commands) = &self.commands
            && commands.try_send(command).is_err()
            && let Some(abort) = &self.abort
        {
            // Only a mapping that does not come to take commands any more has so many waiting.
            abort.abort();
        }
    }
}

//! The shard's alarm, and the walk through virtual time. It does not know what is due.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use trine_engine::{Input, Millis};

use crate::clock::monotonic;

use crate::shard::Shard;
use crate::shard::message::Advance;

/// How long a walk through virtual time waits, at each timer, for workers and destinations that the timer set going.
const QUIET_WAIT_MAX: Duration = Duration::from_millis(250);

/// How often a walk looks whether they are done.
const QUIET_LOOK: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Advancing {
    target: Millis,
    /// Stop at the first timer.
    one: bool,
    fired: u64,
    /// Since when it stands at the present time.
    standing_since: Instant,
    reply: oneshot::Sender<(Millis, u64)>,
}

impl Shard {
    /// How long the task may sleep; `None`: until a message comes.
    pub(super) fn alarm(&self) -> Option<Duration> {
        let timer = self.engine.next_deadline().and_then(|at| self.clock.until(at));
        let walk = self.advancing.is_some().then_some(QUIET_LOOK);
        let disk = self.saving.next_offer().map(|at| at.saturating_duration_since(monotonic()));
        [timer, walk, disk].into_iter().flatten().min()
    }

    pub(super) fn advance(&mut self, to: Advance, reply: oneshot::Sender<(Millis, u64)>) {
        let now = self.clock.now();
        let (target, one) = match to {
            Advance::By(by_ms) => (now.saturating_add(by_ms), false),
            Advance::ToNextTimer => (Millis::MAX, true),
        };
        if let Some(earlier) = self.advancing.take() {
            // Two clients move one clock: the first one is told how far it came.
            let _ = earlier.reply.send((now, earlier.fired));
        }
        let standing_since = monotonic();
        self.advancing = Some(Advancing { target, one, fired: 0, standing_since, reply });
    }

    /// Moves virtual time to the next timer once everything at the present time is worked through.
    pub(super) fn advance_if_quiet(&mut self) {
        while let Some(walk) = &mut self.advancing {
            self.saving.submit();
            // What a full disk refused is not waited for: it may stay full for as long as time stands still.
            let busy = self.saving.is_waiting() || self.loader.is_busy();
            let waits = self.engine.account().leases > 0 || self.deliveries.is_busy();
            let patient = walk.standing_since.elapsed() < QUIET_WAIT_MAX;
            if busy || (waits && patient) {
                return;
            }
            let next = self.engine.next_deadline().filter(|at| *at <= walk.target);
            match next {
                Some(at) if !(walk.one && walk.fired > 0) => {
                    self.clock.advance_to(at);
                    self.now = self.clock.now();
                    walk.standing_since = monotonic();
                    if self.fires()
                        && let Some(walk) = &mut self.advancing
                    {
                        walk.fired += 1;
                    }
                }
                _ => return self.arrive(),
            }
        }
    }

    /// Steps the engine at the present time; true if that had a consequence.
    fn fires(&mut self) -> bool {
        let before = self.effects_seen;
        self.step(Input::Tick);
        self.next_deliveries();
        self.effects_seen > before
    }

    fn arrive(&mut self) {
        let Some(walk) = self.advancing.take() else { return };
        if !walk.one {
            self.clock.advance_to(walk.target);
            self.now = self.clock.now();
        }
        // The client may have given up waiting.
        let _ = walk.reply.send((self.clock.now(), walk.fired));
    }
}

//! What a shard does now, in one word, for people and for `describe`. It decides nothing.

use crate::run::Run;
use crate::{Millis, Shard};

/// What a shard does now. The first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has ended.
    Stopped,
    /// It finishes what is in flight.
    Stopping,
    /// The function runs.
    Invoking {
        /// 1 for the first.
        attempt: u32,
    },
    /// The checkpoint is being stored, or waits to be stored again.
    Settling {
        /// When it is tried again. `None`: it runs now.
        retry_at: Option<Millis>,
    },
    /// Someone paused it.
    Paused,
    /// A batch waits to be sent again.
    Retrying {
        /// The attempt that comes next.
        attempt: u32,
        /// When.
        retry_at: Millis,
    },
    /// The source is gone and waits to be built anew.
    SourceDown {
        /// When it is tried again.
        retry_at: Millis,
    },
    /// The source is being built.
    Connecting,
    /// Records wait for more of them, or for the end of their window.
    Gathering,
    /// It reads, and has nothing.
    Polling,
}

impl Phase {
    pub(crate) fn of(shard: &Shard) -> Self {
        let working = shard.flight.running().map(|(_, attempt)| Self::Invoking { attempt });
        match shard.run {
            Run::Stopped => return Self::Stopped,
            Run::Stopping => return Self::Stopping,
            Run::Running | Run::Paused => {}
        }
        if let Some(working) = working {
            return working;
        }
        if !shard.checkpoint.is_clean() {
            return Self::Settling { retry_at: shard.checkpoint.waiting_until() };
        }
        if shard.run == Run::Paused {
            return Self::Paused;
        }
        if let Some((_, attempt, retry_at)) = shard.flight.waiting() {
            return Self::Retrying { attempt, retry_at };
        }
        if let Some(retry_at) = shard.link.down_until() {
            return Self::SourceDown { retry_at };
        }
        match (shard.link.connecting(), shard.gather.count()) {
            (true, _) => Self::Connecting,
            (false, 0) => Self::Polling,
            (false, _) => Self::Gathering,
        }
    }
}

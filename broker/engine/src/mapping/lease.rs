//! The grant of a mapping to one poller, under a fence that was never used before. It does not know who should get
//! which mapping.
//!
//! | stage | what | next |
//! |---|---|---|
//! | held | the poller reads the source | asked back, or ended with the poller |
//! | asked back | the poller lets what runs end | ended: released, gone, or `drain_ms` over |

use crate::Millis;

/// A poller's session; the shell counts them and uses no number twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PollerId(pub u64);

#[derive(Debug)]
pub(super) struct MappingLease {
    pub(super) poller: PollerId,
    pub(super) fence: u64,
    /// What the poller was told last.
    pub(super) paused: bool,
    pub(super) asked_back: Option<AskedBack>,
}

/// A lease that was asked back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AskedBack {
    /// When it ends by itself.
    pub(super) until: Millis,
    /// Who is to have the mapping next; unset: it is not being moved.
    pub(super) to: Option<PollerId>,
}

/// Fencing numbers: the store's epoch above, a count below, so that they grow over restarts too.
#[derive(Debug)]
pub(super) struct Fences {
    last: u64,
}

impl Fences {
    pub(super) fn of_epoch(epoch: u64) -> Self {
        Self { last: epoch << 32 }
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

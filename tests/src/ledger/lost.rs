//! Where in the run events were lost: at its beginning, in its middle or at its end. A lost suffix
//! speaks of writes that were not synced, a lost prefix of a log that was cut, a hole of a lost update.

use std::collections::BTreeSet;

use super::EventId;

/// Acknowledged events that were never seen to end, by their place among the acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    /// Before the first survivor.
    pub prefix: Vec<EventId>,
    /// Between survivors.
    pub middle: Vec<EventId>,
    /// After the last survivor.
    pub suffix: Vec<EventId>,
}

impl Lost {
    /// Those of `acked`, in the order of their acknowledgement, that did not survive. If none did, all
    /// of them are a suffix.
    pub(super) fn of(acked: &[EventId], survived: &BTreeSet<EventId>) -> Self {
        let lives = |event: &EventId| survived.contains(event);
        let first = acked.iter().position(lives).unwrap_or(0);
        let after_last = acked.iter().rposition(lives).map_or(0, |last| last + 1);
        let middle = acked[first..after_last].iter().filter(|event| !lives(event));
        Self {
            prefix: acked[..first].to_vec(),
            middle: middle.copied().collect(),
            suffix: acked[after_last..].to_vec(),
        }
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.prefix.len() + self.middle.len() + self.suffix.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    pub fn all(&self) -> impl Iterator<Item = EventId> + '_ {
        self.prefix.iter().chain(&self.middle).chain(&self.suffix).copied()
    }
}

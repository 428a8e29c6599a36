//! Tells the log when the disk refuses commits, and when it takes them again. What is done about it is the shards' affair.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use trine_store::{Committed, Verdict};

/// How long nothing may have been refused before the log says that all is well: a disk that is nearly full takes small commits between
/// the large ones that it refuses.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// Shared by all who commit. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Option<Instant>>>);

/// What is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Full,
    Well,
}

impl Disk {
    /// Takes note of a commit, of which somebody hears at `now`.
    pub(crate) fn note(&self, committed: &Committed, now: Instant) {
        let refused = match &committed.outcome {
            Ok(_) => None,
            Err(error) if error.verdict() == Verdict::Retry => Some(error),
            // It ends the shard, which says so.
            Err(_) => return,
        };
        match (self.turn(refused.is_some(), now), refused) {
            (Some(Turn::Full), Some(error)) => tracing::warn!(
                %error,
                "the store refuses to keep anything until there is room: make some; what cannot be kept is refused to its \
                 caller, and what was accepted before waits"
            ),
            (Some(Turn::Well), _) => tracing::info!("the store has room again"),
            _ => {}
        }
    }

    fn turn(&self, refused: bool, now: Instant) -> Option<Turn> {
        let mut last_refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refused {
            let known = last_refused.replace(now);
            return known.is_none().then_some(Turn::Full);
        }
        last_refused.take_if(|last| now.duration_since(*last) >= WELL_AFTER).map(|_| Turn::Well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_again_and_again_is_told_once_and_its_end_once() {
        let disk = Disk::default();
        let begun = crate::clock::monotonic();
        let told = |refused, after_s| disk.turn(refused, begun + Duration::from_secs(after_s));
        assert_eq!(told(false, 0), None);
        assert_eq!(told(true, 1), Some(Turn::Full));
        assert_eq!([told(false, 2), told(true, 3), told(false, 12)], [None; 3]);
        assert_eq!(told(false, 13), Some(Turn::Well));
        assert_eq!(told(false, 30), None);
        assert_eq!(told(true, 31), Some(Turn::Full));
    }
}

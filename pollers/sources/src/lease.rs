//! How long this poller may still act for its broker: until it has heard nothing for the length of a lease. A process that was stopped
//! and goes on, or one that is cut off, must not send what somebody else reads by now. It does not know mappings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::monotonic;

/// That of one session; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    began: Instant,
    length: Duration,
    /// When the broker was last heard, milliseconds after `began`. Relaxed: it guards nothing but itself.
    heard_ms: Arc<AtomicU64>,
}

impl Lease {
    /// One that begins now.
    pub(crate) fn new(length: Duration) -> Self {
        Self { began: monotonic(), length, heard_ms: Arc::default() }
    }

    /// The broker was heard now.
    pub(crate) fn renew(&self) {
        let heard_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(heard_ms, Ordering::Relaxed);
    }

    /// When it ends if the broker stays silent.
    pub(crate) fn ends_at(&self) -> Instant {
        self.began + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed)) + self.length
    }

    /// Whether the broker has been silent for too long.
    pub(crate) fn is_over(&self) -> bool {
        monotonic() >= self.ends_at()
    }

    /// How long the broker may be silent.
    pub(crate) fn length(&self) -> Duration {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_silence_and_goes_on_with_every_word() {
        let lease = Lease::new(Duration::from_millis(1_000));
        let seen_by_another = lease.clone();
        tokio::time::advance(Duration::from_millis(900)).await;
        lease.renew();
        tokio::time::advance(Duration::from_millis(999)).await;
        assert!(!seen_by_another.is_over());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(seen_by_another.is_over());
    }
}

//! The one reader of the operating system's clock in this crate.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use trine_poll_engine::Millis;

/// Milliseconds since a poller started, on the clock that never goes backwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    pub(crate) fn now(&self) -> Millis {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// When `millis` comes on the runtime's clock.
    pub(crate) fn at(&self, millis: Millis) -> Instant {
        self.epoch + Duration::from_millis(millis)
    }
}

/// How long ago a time stamp of the wall clock was; zero if it lies in the future.
#[cfg(feature = "file")]
pub(crate) fn age_of(stamp: SystemTime) -> Duration {
    SystemTime::now().duration_since(stamp).unwrap_or_default()
}

/// A number that differs from start to start and from machine to machine, to spread waits with.
pub(crate) fn salt() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

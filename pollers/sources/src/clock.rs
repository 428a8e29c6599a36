//! The one reader of the operating system's clock in this crate.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Milliseconds since the Unix epoch that never go backwards: the wall clock at start, and the monotonic clock from then on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_ms: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_ms: millis(since) }
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> u64 {
        self.started_ms.saturating_add(millis(self.started.elapsed()))
    }

    /// When `at_ms` comes on the runtime's clock.
    pub(crate) fn at(&self, at_ms: u64) -> Instant {
        self.started + Duration::from_millis(at_ms.saturating_sub(self.started_ms))
    }
}

/// The wall clock, milliseconds since the Unix epoch: for what people wrote down, not for waiting.
#[cfg(feature = "activemq")]
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Now on the clock that never goes backwards: for waiting.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// A number that differs from start to start and from machine to machine, to spread waits with.
pub(crate) fn salt() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

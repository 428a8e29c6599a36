//! The broker's clock: the only reader of the machine's.
//!
//! Real time is the wall clock as it was at the start plus the monotonic clock since: a wall clock that jumps
//! moves no timer. Virtual time stands still until it is moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trine_engine::Millis;

/// Tells the time, in milliseconds since the Unix epoch.
#[derive(Debug, Clone)]
pub(crate) enum Clock {
    /// The machine's.
    Real { wall_at_start: Millis, start: Instant },
    /// Moved by `AdvanceTime` only.
    Virtual { now: Arc<AtomicU64> },
}

impl Clock {
    pub(crate) fn real() -> Self {
        Self::Real { wall_at_start: wall_ms(), start: Instant::now() }
    }

    pub(crate) fn virtual_time() -> Self {
        Self::Virtual { now: Arc::new(AtomicU64::new(wall_ms())) }
    }

    pub(crate) fn now(&self) -> Millis {
        match self {
            Self::Real { wall_at_start, start } => {
                wall_at_start + u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
            }
            Self::Virtual { now } => now.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self, Self::Virtual { .. })
    }

    /// Moves virtual time forward; real time moves by itself.
    pub(crate) fn advance_to(&self, to: Millis) {
        if let Self::Virtual { now } = self {
            now.fetch_max(to, Ordering::Relaxed);
        }
    }

    /// How long to sleep until `at`; virtual time is not slept through.
    pub(crate) fn until(&self, at: Millis) -> Option<Duration> {
        match self {
            Self::Real { .. } => Some(Duration::from_millis(at.saturating_sub(self.now()))),
            Self::Virtual { .. } => None,
        }
    }
}

/// The monotonic clock of the machine, for waits that virtual time does not govern.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// The wall clock of the machine, for signatures that others compare with theirs; virtual time means nothing to them.
#[cfg(feature = "sqs")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// The wall clock; zero for a machine that believes to be before 1970.
fn wall_ms() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

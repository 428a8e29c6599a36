//! Whether a shard may be asked for records now. It does not know how many.
//!
//! ```text
//! Ready    --ask-->         Asked    effect Receive
//! Asked    --read-->        Ready
//! Asked    --read early-->  Resting  with nothing, long before its wait was over
//! Asked    --failed-->      Resting
//! Asked    --gone-->        Ready    the source went: no answer comes
//! Resting  --due-->         Ready
//! ```

use crate::{Backoff, Millis};

/// A read that returned nothing is not repeated sooner than this: a source that does not wait must not
/// be asked in a loop.
const REST_MS: Millis = 20;

#[derive(Debug)]
pub(crate) struct Receive {
    state: State,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Asked { at: Millis, wait_ms: Millis },
    Resting { until: Millis },
}

impl Receive {
    pub(crate) const fn new() -> Self {
        Self { state: State::Ready, failures: 0 }
    }

    pub(crate) fn is_ready(&mut self, now: Millis) -> bool {
        if matches!(self.state, State::Resting { until } if until <= now) {
            transition!("Resting --due--> Ready");
            self.state = State::Ready;
        }
        self.state == State::Ready
    }

    pub(crate) fn asked(&mut self, now: Millis, wait_ms: Millis) {
        debug_assert_eq!(self.state, State::Ready);
        transition!("Ready --ask--> Asked");
        self.state = State::Asked { at: now, wait_ms };
    }

    /// Whether this was waited for.
    pub(crate) fn read(&mut self, now: Millis, nothing: bool) -> bool {
        let State::Asked { at, wait_ms } = self.state else { return false };
        self.failures = 0;
        let until = at.saturating_add(wait_ms.min(REST_MS));
        self.state = if nothing && now < until {
            transition!("Asked --read early--> Resting");
            State::Resting { until }
        } else {
            transition!("Asked --read--> Ready");
            State::Ready
        };
        true
    }

    /// When it is asked again. `None`: nobody waited for this.
    pub(crate) fn failed(&mut self, now: Millis, backoff: Backoff, salt: u64) -> Option<Millis> {
        let State::Asked { .. } = self.state else { return None };
        transition!("Asked --failed--> Resting");
        self.failures = self.failures.saturating_add(1);
        let until = now.saturating_add(backoff.wait_ms(self.failures, salt));
        self.state = State::Resting { until };
        Some(until)
    }

    /// The source went: no answer comes.
    pub(crate) fn gone(&mut self) {
        if self.is_asked() {
            transition!("Asked --gone--> Ready");
            self.state = State::Ready;
        }
    }

    pub(crate) const fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked { .. })
    }

    pub(crate) const fn until(&self) -> Option<Millis> {
        match self.state {
            State::Resting { until } => Some(until),
            _ => None,
        }
    }
}

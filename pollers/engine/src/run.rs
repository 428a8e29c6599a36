//! Whether the mapping may begin new work: what people want of it.
//!
//! ```text
//! Running   --pause-->   Paused     nothing new is read or sent
//! Paused    --resume-->  Running
//! Running   --stop-->    Stopping   what is in flight ends, nothing is tried again
//! Paused    --stop-->    Stopping
//! Stopping  --quiet-->   Stopped    effect Stopped
//! ```
//!
//! Asking for what already is changes nothing: people press buttons twice.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Running,
    Paused,
    Stopping,
    Stopped,
}

impl Run {
    /// Whether this changed anything.
    pub(crate) fn pause(&mut self) -> bool {
        let changes = *self == Self::Running;
        if changes {
            transition!("Running --pause--> Paused");
            *self = Self::Paused;
        }
        changes
    }

    /// Whether this changed anything.
    pub(crate) fn resume(&mut self) -> bool {
        let changes = *self == Self::Paused;
        if changes {
            transition!("Paused --resume--> Running");
            *self = Self::Running;
        }
        changes
    }

    /// Whether this changed anything.
    pub(crate) fn stop(&mut self) -> bool {
        match self {
            Self::Running => transition!("Running --stop--> Stopping"),
            Self::Paused => transition!("Paused --stop--> Stopping"),
            Self::Stopping | Self::Stopped => return false,
        }
        *self = Self::Stopping;
        true
    }

    /// Nothing is in flight any more.
    pub(crate) fn quiet(&mut self) {
        debug_assert_eq!(*self, Self::Stopping);
        transition!("Stopping --quiet--> Stopped");
        *self = Self::Stopped;
    }

    /// Whether new work may begin.
    pub(crate) const fn may_start(self) -> bool {
        matches!(self, Self::Running)
    }

    /// Whether the end was asked for.
    pub(crate) const fn is_ending(self) -> bool {
        matches!(self, Self::Stopping | Self::Stopped)
    }
}

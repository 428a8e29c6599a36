//! When a shard is read again (LS 4.6, 4.7). Pure: it is told how the last read went.

use std::time::Duration;

/// How often a shard is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// After a read that brought nothing.
    pub(crate) idle: Duration,
    /// After one that brought all there was. Readers of one shard share a few reads a second.
    pub(crate) busy: Duration,
    /// After one that was throttled.
    pub(crate) throttled: Duration,
}

/// How a read went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Went {
    /// It brought records, and there are more.
    More,
    /// It brought nothing, but there are records further on.
    Further,
    /// It brought all there was.
    All,
    /// There was nothing.
    Nothing,
    Throttled,
}

impl Pace {
    /// How long the shard is left alone.
    pub(crate) fn rest(&self, went: Went) -> Duration {
        match went {
            Went::More => Duration::ZERO,
            Went::Further | Went::All => self.busy,
            Went::Nothing => self.idle,
            Went::Throttled => self.throttled,
        }
    }
}

impl Went {
    /// A read that asked for `asked` records and brought `brought`.
    pub(crate) fn of(asked: usize, brought: usize, more: bool) -> Self {
        match brought {
            0 if more => Self::Further,
            0 => Self::Nothing,
            _ if more || brought >= asked => Self::More,
            _ => Self::All,
        }
    }
}

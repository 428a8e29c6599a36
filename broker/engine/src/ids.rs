//! Names of things: request ids, handles into the engine's tables, units of time.
//!
//! Handles are plain numbers to everybody outside; only the tables that gave them out can tell
//! whether they are still good.

use std::fmt;

/// Milliseconds since the Unix epoch. The shell's clock is the only source of it.
pub type Millis = u64;

/// Identity of an invocation over all its attempts (a UUID, made by the shell).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            id >> 96,
            (id >> 80) & 0xffff,
            (id >> 64) & 0xffff,
            (id >> 48) & 0xffff,
            id & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name {
            /// Place in the table; dense, so that the shell can keep its own table beside it.
            pub index: u32,
            /// Tells this tenant of the place from earlier and later ones.
            pub generation: u32,
        }
    };
}

handle!(
    /// A function that exists, or existed while invocations of it are remembered.
    FunctionId
);
handle!(
    /// A connected worker session.
    WorkerId
);
handle!(
    /// An invocation that the engine knows.
    EntryId
);

/// The broker's grant of an attempt to a slot. `fence` grows with every lease of a shard and is
/// never used twice, so an outcome under an older lease of the same place is told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Lease {
    /// Place in the lease table.
    pub index: u32,
    /// Fencing number.
    pub fence: u64,
}

/// Number of an accepted event: its key in the store and its age among the others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EventSeq(pub u64);

/// Who waits for an answer. The engine hands it back; it tells one from another, and reads nothing into it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Caller {
    /// Which edge connection.
    pub edge: u32,
    /// Which call on it.
    pub tag: u64,
}

/// Number of an [`Effect::Persist`](crate::Effect::Persist), counted from 1.
pub type PersistNumber = u64;

//! What a run wants from a source: something to read for a mapping, and a way to write into it. It does not know how the source
//! is started or taken away.

use futures_util::future::BoxFuture;
use trine_proto::v1::MappingSettings;
use trine_proto::v1::source_config::Source;

use super::Record;

/// Why something could not be set up or written, for people.
pub type Trouble = String;

/// A topic, queue, stream or file on a real server.
pub trait Field: Send + Sync {
    /// What a mapping of it reads.
    fn source(&self) -> Source;

    /// What a mapping of it needs set, beside what bounds the records in flight.
    fn settings(&self) -> MappingSettings {
        MappingSettings::default()
    }

    /// Variables in the environment of its poller: secrets and credentials.
    fn environment(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Which order a function may count on.
    fn order(&self) -> Order;

    /// How it is read.
    fn reading(&self) -> Reading;

    /// A new producer: the one from before a restart of the server is of no use.
    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, Trouble>>;
}

/// Writes into a field.
pub trait Producer: Send {
    /// Writes the records in their order and returns when the source has confirmed all of them.
    ///
    /// # Errors
    /// When it has not: nobody knows which of them are there.
    fn send<'a>(&'a mut self, records: &'a [Record]) -> BoxFuture<'a, Result<(), Trouble>>;
}

/// How a field is read, and so what bounds the records in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// So many shards, each for itself, never far beyond its checkpoint.
    Shards(u32),
    /// Each record for itself, so many batches at a time.
    Queue,
}

/// Which order a function may count on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// That of everything that was produced: one shard, or one without keys.
    All,
    /// That of each of this many keys.
    Key(u32),
    /// None; keys are only for telling records apart.
    None,
}

impl Order {
    /// Keys that records are produced with.
    #[must_use]
    pub fn keys(self) -> u32 {
        match self {
            Self::All | Self::None => 1,
            Self::Key(keys) => keys,
        }
    }

    #[must_use]
    pub fn is_kept(self) -> bool {
        self != Self::None
    }
}

/// For errors of client libraries.
pub(super) fn trouble(what: &str) -> impl Fn(&dyn std::fmt::Display) -> Trouble + '_ {
    move |error| format!("{what}: {error}")
}

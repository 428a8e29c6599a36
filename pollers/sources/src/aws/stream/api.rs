//! What a stream of shards is to its reader: three requests, and how a record is written. It does not know when they are made.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde_json::Value;

use super::{Cursor, Pace};
use crate::{Record, ShardName, SourceError, Unit};

/// What a request gives.
pub(crate) type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// One service, and a connection to one of its streams.
pub(crate) trait Api: Sized + Send + Sync + 'static {
    /// The stream and how it is reached, checked.
    type Config: fmt::Debug + Send + Sync + 'static;
    /// A record as the service gives it.
    type Raw: Send + 'static;

    /// The kind of source.
    const KIND: &'static str;
    /// How often a shard is read.
    const PACE: Pace;
    /// Most records of one read.
    const READ_RECORDS_MAX: u32;
    /// Whether an iterator can begin at a time. If not, everything is read and what is older is left out.
    const ITERATES_BY_TIME: bool;
    /// Whether it says so when the record of an iterator was trimmed.
    const TELLS_TRIMMED: bool;

    /// A new connection. Fails if the stream cannot be read.
    fn connect(config: &Self::Config) -> Unit<'_, Self>;

    /// All shards that the stream has now.
    fn shards(&self) -> Call<'_, Vec<Listed>>;

    /// Where a shard is read from `from` on.
    fn iterator<'a>(&'a self, shard: &'a ShardName, from: &'a Cursor) -> Call<'a, String>;

    /// The records at an iterator, 1..=[`READ_RECORDS_MAX`](Self::READ_RECORDS_MAX).
    fn read<'a>(&'a self, iterator: &'a str, records_max: u32) -> Call<'a, Portion<Self::Raw>>;

    fn sequence_number(raw: &Self::Raw) -> &str;

    /// When it arrived, milliseconds since the Unix epoch.
    fn arrived_at_ms(raw: &Self::Raw) -> Option<i64>;

    /// The record as the function will see it.
    fn record(&self, shard: &ShardName, raw: Self::Raw) -> Record;

    /// See [`Connect::batch_member`](crate::Connect::batch_member).
    fn batch_member(
        config: &Self::Config,
        shard: &ShardName,
        given_up: &[&Record],
    ) -> (&'static str, Value);
}

/// A shard that the stream has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) shard: ShardName,
    /// None, one, or two for a shard that two were merged into.
    pub(crate) parents: Vec<ShardName>,
    /// It will get no more records.
    pub(crate) closed: bool,
}

/// What a read brought.
#[derive(Debug)]
pub(crate) struct Portion<R> {
    pub(crate) raw: Vec<R>,
    /// `None`: the shard has ended.
    pub(crate) next: Option<String>,
    /// More records are there already.
    pub(crate) more: bool,
}

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It came too early.
    Throttled,
    /// The iterator was not used for too long.
    Expired,
    /// There is nothing at this place: it was trimmed, or belongs to another stream.
    Lost(String),
    /// The connection or the configuration.
    Broken(SourceError),
}

impl Refusal {
    /// What it means where nothing can be done about it.
    pub(crate) fn into_error(self, call: &str) -> SourceError {
        match self {
            Self::Throttled => SourceError::unreachable(format!("{call} was throttled")),
            Self::Expired => SourceError::unreachable(format!("{call}: the iterator expired")),
            Self::Lost(why) => SourceError::configuration(format!("{call}: {why}")),
            Self::Broken(error) => error,
        }
    }
}

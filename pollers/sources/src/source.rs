//! What an adapter is to the runner: a connector that makes connections, a connection that opens shards, a reader
//! of one shard. It does not know batches, functions or attempts.
//!
//! ```text
//! Connect --connect--> Source --next_change--> Opened(Reader) --receive--> records
//!                                              Revoked, …              --settle / commit--> durable
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::{Descriptor, SourceError};

/// What an adapter's methods return. Boxed, so that the runner is compiled once and not once a source.
pub type Unit<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// Makes connections for one mapping, the first time and each time after one broke.
pub trait Connect: fmt::Debug + Send + Sync + 'static {
    /// What this source can do.
    fn descriptor(&self) -> Descriptor;

    /// A new connection. It reads each shard on after its place; a shard without one begins where the source keeps the
    /// place itself ([`Keeper::Source`](crate::Keeper)) or else at the mapping's starting position.
    ///
    /// # Errors
    /// When the source cannot be used now. It is tried again later, for ever.
    fn connect(&self, places: Places) -> Unit<'_, Arc<dyn Source>>;

    /// Where reading would go on if it were moved to `target`; unless `preview`, moves it. No connection of this mapping is open
    /// meanwhile. `places` are the present ones of all shards known to the broker.
    ///
    /// # Errors
    /// When the source cannot seek, the target does not exist, or the source cannot be used now.
    fn seek(&self, places: Places, target: Target, preview: bool) -> Unit<'_, Vec<Sought>>;

    /// The member of an on-failure record that says which records were given up, for example `KinesisBatchInfo` and its
    /// object (LS 4.6, 4.8). Called with at least one record, all of `shard`.
    fn batch_member(&self, shard: &ShardName, given_up: &[&Record]) -> (&'static str, Value);

    /// The same for an on-failure record about a single one, as a destination of the source's own kind gets it (LS 4.8). `None`: there is no such
    /// form of it.
    fn record_member(
        &self,
        _shard: &ShardName,
        _given_up: &Record,
    ) -> Option<(&'static str, Value)> {
        None
    }
}

/// One connection. When it breaks, the runner drops it and has another one made: a connection does not heal itself, unless its
/// client library does so without losing or repeating records.
pub trait Source: Send + Sync + 'static {
    /// The next shard that is to be read, or no longer. Waits for ever if there is nothing new; may be dropped while it waits,
    /// without losing a change.
    fn next_change(&self) -> Unit<'_, Change>;
}

/// What happened to the shards of a connection. A queue is one shard that is opened once.
pub enum Change {
    /// Read this one from now on.
    Opened(Opened),
    /// Read this one no more: it belongs to somebody else now. What is in flight should end and be settled first; dropping
    /// `released` says that it has, or never will. The adapter waits for that with a bound.
    Revoked {
        /// Which one.
        shard: ShardName,
        /// Dropped when the shard is free.
        released: tokio::sync::oneshot::Sender<()>,
    },
    /// The source has no such shard any more, and will never have it again: its place need not be kept.
    Forgotten(ShardName),
    /// Something people should know.
    Notice(Notice),
}

/// A shard that is to be read.
pub struct Opened {
    /// Its name, unique within the mapping and the same for ever: `topic-0`, `shardId-000000000000`, or the queue's name.
    pub shard: ShardName,
    /// How it is read.
    pub reader: Arc<dyn Reader>,
    /// Around the records in a payload.
    pub envelope: Envelope,
    /// How long the source leaves a record to whoever received it, if it is not settled. `None`: as long as the connection lives.
    pub lease: Option<Duration>,
}

/// One shard of one connection.
///
/// The runner calls `receive` at most once at a time, and `settle` and `commit` at any time meanwhile: none may wait for the other.
/// It waits for each with a bound and takes the connection for broken when that is over.
pub trait Reader: Send + Sync + 'static {
    /// The next records, in order. Returns as soon as it has any, and with none when `want.wait` is over. Never fetches more from
    /// the source than it is asked for, unless what is fetched too early does no harm to anybody (no lease runs, no other reader waits
    /// for it).
    ///
    /// # Errors
    /// When the connection is broken. The records given before stay good if the descriptor says so.
    fn receive(&self, want: Want) -> Unit<'_, Received>;

    /// Takes verdicts on single records ([`Settling::PerRecord`](crate::Settling) only) and makes them durable before it returns.
    ///
    /// # Errors
    /// When they are not durable, or nobody knows. The same verdicts may then come again.
    fn settle(&self, verdicts: Vec<Settled>) -> Unit<'_, ()>;

    /// Everything up to and including this record has ended: makes that durable in the source before it returns. Called only
    /// for [`Settling::LowWater`](crate::Settling) with [`Keeper::Source`](crate::Keeper).
    ///
    /// # Errors
    /// When it is not durable, or nobody knows. The same or a later one may then come.
    fn commit(&self, through: Position) -> Unit<'_, ()>;

    /// The shard has ended ([`Received::ended`]) and everything in it is settled, durably. A connection opens its children now.
    fn finish(&self);
}

/// The name of a shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardName(Arc<str>);

/// Where a record is, in the source's own words: an offset, a sequence number, a receipt. Only its adapter reads it; people see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position(Arc<str>);

/// How far a shard has been settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Go on after this one.
    After(Position),
    /// It has ended and was settled to its end.
    Ended,
}

/// The places of the shards of a mapping. A shard that is not in it was never settled.
pub type Places = BTreeMap<ShardName, Place>;

/// How much a receive may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// At most this many records, at least 1.
    pub records_max: u32,
    /// At most this many bytes of records, except that a single record may be larger. A source that cannot tell sizes beforehand
    /// goes by the number of records.
    pub bytes_max: u64,
    /// How long to wait for the first record.
    pub wait: Duration,
}

/// What a receive brought.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// In order; empty if there is nothing.
    pub records: Vec<Record>,
    /// There will never be another record in this shard.
    pub ended: bool,
    /// Records that the source has after these. `None`: it cannot tell.
    pub lag_records: Option<u64>,
    /// What people should know about the source.
    pub notices: Vec<Notice>,
}

/// One record as the function will see it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it is.
    pub position: Position,
    /// How the function names it in `batchItemFailures`: a message id, a sequence number; for Kafka `topic-0:100`.
    pub identifier: Arc<str>,
    /// When it came into the source, milliseconds since the Unix epoch. `None`: the source cannot tell.
    pub arrived_at_ms: Option<i64>,
    /// Records of one key are kept in order where the mapping asks for it. `None`: it has no key and is in order with nobody, except
    /// where the whole shard is.
    pub key: Option<Bytes>,
    /// What the record carries, before it is wrapped in JSON or base64: filters look at it (LS 4.4).
    pub body: Bytes,
    /// What it adds to a payload.
    pub content: Content,
}

/// What a record adds to a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The JSON text of one element of the payload, metadata included.
    Event(Bytes),
    /// It is larger than any payload (LS 4.3), this many bytes, and was not kept.
    TooLarge(u64),
}

/// What surrounds the records in a payload. Between two of them stands a comma.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Before the first record: `{"Records":[`.
    pub open: Arc<str>,
    /// After the last: `]}`. Its last character closes the object: members of a tumbling window come before it.
    pub close: Arc<str>,
}

/// Something that happened to the source, for a log and for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// A sentence.
    pub message: String,
    /// Whether records may have been lost in the source or may come twice because of it.
    pub gap: bool,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Where it is.
    pub position: Position,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a record that is settled by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The function took it, or a filter dropped it: never again.
    Done,
    /// It was given up by a declared rule: to where the source puts what nobody could process, if it has such a place.
    Rejected,
    /// The function failed: the source redelivers it by its own rules.
    Failed,
    /// It was never sent: again as soon as possible, without counting against it where the source allows that.
    Released,
    /// It is still held: its lease starts anew.
    Held,
}

/// Where a mapping is to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `None`: all shards.
    pub shard: Option<ShardName>,
    /// The record to go on with.
    pub to: SeekTo,
}

/// The record to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// Exactly this one, in the source's own words, from a person.
    Position(String),
    /// The first at or after this time, milliseconds since the Unix epoch.
    Timestamp(i64),
    /// The oldest that is there.
    Start,
    /// The next that comes.
    End,
}

/// What a seek does to one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// Which one.
    pub shard: ShardName,
    /// What was settled last, for people; empty if nothing was.
    pub from: String,
    /// The record it goes on with, for people.
    pub to: String,
    /// Records that will be read again. `None`: the source cannot tell.
    pub read_again: Option<u64>,
    /// Records that will never be read. `None`: the source cannot tell.
    pub skipped: Option<u64>,
    /// What the broker keeps from now on. `None`: the source keeps it, and nothing of it is kept by the broker.
    pub place: Option<Place>,
}

impl ShardName {
    /// A name, 1..=512 bytes by what adapters make of it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Position {
    /// A position, at most 4096 bytes by what adapters make of it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Envelope {
    /// `{"Records":[…]}`, as streams and queues of AWS have it.
    #[must_use]
    pub fn records() -> Self {
        Self { open: "{\"Records\":[".into(), close: "]}".into() }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.open.len() + self.close.len()) as u64
    }
}

impl Content {
    /// How many bytes it adds to a payload.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        match self {
            Self::Event(event) => event.len() as u64,
            Self::TooLarge(bytes) => *bytes,
        }
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(opened) => f.debug_tuple("Opened").field(&opened.shard).finish(),
            Self::Revoked { shard, .. } => {
                f.debug_struct("Revoked").field("shard", shard).finish_non_exhaustive()
            }
            Self::Forgotten(shard) => f.debug_tuple("Forgotten").field(shard).finish(),
            Self::Notice(notice) => f.debug_tuple("Notice").field(notice).finish(),
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("shard", &self.shard)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

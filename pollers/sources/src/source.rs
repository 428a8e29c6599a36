//! What an adapter is to the runner: three methods, and how to make one anew. It does not know
//! batches, functions or attempts.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use trine_poll_engine::{BATCH_BYTES_MAX, Verdict};

use crate::Descriptor;

/// One kind of stream or queue that can be read.
///
/// A value of this trait is one connection. When it breaks, the runner drops it and has
/// [`Connect::connect`] make another one: a source does not heal itself.
///
/// The runner calls `receive` at most once at a time and `settle` at most once at a time, but settles
/// while a receive waits: one must not wait for the other. It waits for both with a bound and takes
/// the source for broken when that is over.
pub trait Source: Send + Sync + 'static {
    /// Where a record is: enough to settle it, to go on after it, and to tell people.
    type Position: Clone + fmt::Debug + fmt::Display + Send + Sync + 'static;

    /// What this source can do.
    fn descriptor(&self) -> Descriptor;

    /// The next records, in order. Returns as soon as it has any, and with none when `want.wait` is over.
    ///
    /// # Errors
    /// When the source is broken. The records given before stay good.
    fn receive(
        &self,
        want: Want,
    ) -> impl Future<Output = Result<Received<Self::Position>, SourceError>> + Send;

    /// Takes verdicts, in the order of the records, and makes them durable before it returns.
    ///
    /// # Errors
    /// When they are not durable, or nobody knows. The same verdicts then come again.
    fn settle(
        &self,
        verdicts: Vec<Settled<Self::Position>>,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// Makes a source, the first time and each time after it broke.
pub trait Connect: Send + Sync + 'static {
    /// What it makes.
    type Source: Source;

    /// A source that gives the record after `after` next; without it, the one after the last that was
    /// durably settled.
    ///
    /// # Errors
    /// When the source cannot be reached now. It is tried again later.
    fn connect(
        &self,
        after: Option<<Self::Source as Source>::Position>,
    ) -> impl Future<Output = Result<Self::Source, SourceError>> + Send;
}

/// How much a receive may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// At most this many records, at least 1.
    pub records_max: u32,
    /// At most this many bytes of records, except that a single record may be larger.
    pub bytes_max: u64,
    /// How long to wait for the first record.
    pub wait: Duration,
}

/// What a receive brought.
#[derive(Clone, Debug)]
pub struct Received<P> {
    /// In order; empty if there is nothing.
    pub records: Vec<Record<P>>,
    /// What people should know about the source.
    pub notices: Vec<Notice>,
}

/// One record as the function will see it.
#[derive(Clone, Debug)]
pub struct Record<P> {
    /// Where it is.
    pub position: P,
    /// How old it was when it was read: at least this; zero if the source cannot tell.
    pub age: Duration,
    content: Content,
}

/// What a record adds to a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The JSON text of one element of the payload, metadata included.
    Event(Bytes),
    /// It is larger than any payload (LS 4.3), this many bytes, and was not kept.
    TooLarge(u64),
}

impl<P> Record<P> {
    /// A record with this JSON text.
    #[must_use]
    pub const fn new(position: P, age: Duration, event: Bytes) -> Self {
        Self { position, age, content: Content::Event(event) }
    }

    /// A record that is larger than any payload. `bytes` is taken for larger than that if it is not,
    /// so that no batch can ever hold a record without content.
    #[must_use]
    pub fn too_large(position: P, age: Duration, bytes: u64) -> Self {
        Self { position, age, content: Content::TooLarge(bytes.max(BATCH_BYTES_MAX + 1)) }
    }

    /// What it adds to a payload.
    #[must_use]
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// How many bytes it adds to a payload.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        match &self.content {
            Content::Event(event) => event.len() as u64,
            Content::TooLarge(bytes) => *bytes,
        }
    }
}

/// Something that happened to the source, for a log and for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// A sentence.
    pub message: String,
    /// Whether records may have been lost or may come twice because of it.
    pub gap: bool,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled<P> {
    /// Where it is.
    pub position: P,
    /// What became of it.
    pub verdict: Verdict,
}

/// A source that cannot be used now. The runner tries again, for ever: a cause that only a person can
/// remove is removed without a restart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    message: String,
}

impl SourceError {
    /// With a sentence that says what is wrong, what was expected and what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

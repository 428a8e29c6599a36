//! The source under test, with a hand on the world behind it.

use std::future::Future;
use std::sync::Arc;

use crate::Connect;

/// A kind of source, and the world that it reads: a topic, queue, stream or file of its own, empty at first.
pub trait Subject: Send {
    /// A connector as a new process would have it, of the same mapping each time. It begins with the oldest record.
    fn connector(&mut self) -> Arc<dyn Connect>;

    /// Makes the world have one more record with this key, where it has keys, and this text, which is a JSON string. It is durable in
    /// the source when this returns.
    fn produce(&mut self, key: &str, text: &str) -> impl Future<Output = ()> + Send;

    /// The text that [`produce`](Self::produce) was given, out of an event made of it.
    fn text(&self, event: &[u8]) -> String;

    /// Largest record that the source itself takes, in bytes: Kafka's and others' own bound may be below any payload.
    fn record_bytes_max(&self) -> usize;
}

//! The function of a run and its worker: it notes each record that it is given in the ledger and succeeds. It outlives the broker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use trine_worker::{Context, Error, Worker};

use super::{Ledger, records_of};
use crate::fixture::serving::Serving;

/// Its name.
pub const FUNCTION: &str = "witness";

const SLOTS: u32 = 16;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Witness {
    ledger: Arc<Mutex<Ledger>>,
    /// Records seen at least once.
    seen: Arc<watch::Sender<u64>>,
}

impl Witness {
    #[must_use]
    pub fn new(keys: u32) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::new(keys)));
        Self { ledger, seen: Arc::new(watch::Sender::new(0)) }
    }

    /// Held for a look only.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whenever it has seen more.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.seen.subscribe()
    }

    /// Notes the records of one event, in its order.
    ///
    /// # Errors
    /// If the event is not JSON or holds no record: it then comes again, and the run does not end well.
    pub fn note(&self, event: &[u8]) -> Result<(), Error> {
        let records = records_of(event)?;
        if records.is_empty() {
            return Err(Error::new("Witness.NoRecords", "an event without a record"));
        }
        let mut ledger = self.ledger();
        records.into_iter().for_each(|record| {
            ledger.seen(record);
        });
        self.seen.send_replace(ledger.seen_count());
        Ok(())
    }

    /// A worker that serves the function, wherever the broker is.
    #[must_use]
    pub fn serve(&self, url: &str) -> Serving {
        let witness = self.clone();
        let handler = move |event: Bytes, _: Context| {
            let noted = witness.note(&event);
            async move { noted.map(|()| Bytes::from_static(b"null")) }
        };
        Serving::start_unconnected(
            Worker::connect(url).function_raw(FUNCTION, handler).slots(SLOTS),
        )
    }
}

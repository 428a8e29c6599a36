//! Who writes the records of a run into its source: in bursts, never far ahead of who reads, and not while the source is away. It knows
//! what the source has confirmed, and nothing of the broker.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::field::{Field, Producer, Trouble};
use super::{Record, Witness};

/// Records that are written at a time.
const BURST: u64 = 100;

/// Records that wait in the source, about: enough that every fault finds some, not so many that the run is about a full source.
const BACKLOG: u64 = 10_000;

/// Times that a burst is sent.
const SENDS_MAX: u32 = 100;

/// Between two of them.
const SEND_AGAIN: Duration = Duration::from_millis(300);

/// Who writes, or takes the source away, holds it. Counts how often it was away.
pub(super) type Gate = Arc<Mutex<u32>>;

/// A production that runs; aborted when it is dropped.
pub(super) struct Production(JoinHandle<Result<u64, Trouble>>);

impl Production {
    pub(super) fn begin(
        field: &Arc<dyn Field>,
        witness: &Witness,
        gate: &Gate,
        records: u64,
    ) -> Self {
        let (field, witness) = (Arc::clone(field), witness.clone());
        let writing = Writing { field, witness, gate: Arc::clone(gate), open: None, sent_again: 0 };
        Self(tokio::spawn(writing.write(records)))
    }

    /// Records that were sent a second time because nobody knew whether the source had them. A production whose run was given up is
    /// given up too.
    pub(super) async fn end(mut self, complete: bool) -> Result<u64, Trouble> {
        if !complete && !self.0.is_finished() {
            return Ok(0);
        }
        (&mut self.0).await.unwrap_or_else(|error| Err(format!("the production ended: {error}")))
    }
}

impl Drop for Production {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Writing {
    field: Arc<dyn Field>,
    witness: Witness,
    gate: Gate,
    /// The producer, and how often the source was away when it was made.
    open: Option<(u32, Box<dyn Producer>)>,
    sent_again: u64,
}

impl Writing {
    async fn write(mut self, records: u64) -> Result<u64, Trouble> {
        let keys = self.field.order().keys();
        let mut next_key = (0..keys).cycle();
        let mut written = 0;
        while written < records {
            room(&self.witness, written).await;
            let count = BURST.min(records - written);
            let burst: Vec<_> = {
                let mut ledger = self.witness.ledger();
                next_key.by_ref().zip(0..count).map(|(key, _)| ledger.offer(key)).collect()
            };
            self.burst(&burst).await?;
            written += count;
        }
        Ok(self.sent_again)
    }

    async fn burst(&mut self, records: &[Record]) -> Result<(), Trouble> {
        let gate = Arc::clone(&self.gate);
        let outages = gate.lock().await;
        let mut trouble = Trouble::new();
        for sent in 0..SENDS_MAX {
            if sent > 0 {
                tokio::time::sleep(SEND_AGAIN).await; // tidy: allow sleeps: the source says no, and is asked again
            }
            match self.send(*outages, records).await {
                Ok(()) => {
                    let mut ledger = self.witness.ledger();
                    records.iter().for_each(|record| ledger.produced(*record));
                    return Ok(());
                }
                Err(error) => trouble = error,
            }
        }
        Err(format!("the source did not take records {SENDS_MAX} times: {trouble}"))
    }

    async fn send(&mut self, outages: u32, records: &[Record]) -> Result<(), Trouble> {
        let producer = match self.open.take() {
            Some((at, producer)) if at == outages => producer,
            _ => self.field.producer().await?,
        };
        let (_, producer) = self.open.insert((outages, producer));
        let sent = producer.send(records).await;
        if sent.is_err() {
            // Perhaps the source has all of them.
            self.sent_again += records.len() as u64;
            self.open = None;
        }
        sent
    }
}

/// Waits until the backlog is small enough for another burst.
async fn room(witness: &Witness, written: u64) {
    let mut seen = witness.progress();
    // The sender is the witness.
    let _ = seen.wait_for(|seen| written.saturating_sub(*seen) < BACKLOG).await;
}

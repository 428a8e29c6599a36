//! What the shard does once commits have ended: well, refused, or in a way that ends the shard as well. It does not
//! know what was in them.

use trine_engine::Input;
use trine_store::{Committed, StoreError, Verdict};

use crate::clock::monotonic;
use crate::shard::Shard;
use crate::shard::saving::Settled;

impl Shard {
    /// Waits for what the store takes, so that nothing of it goes unanswered; what it refused is offered once more.
    pub(super) async fn finish(mut self) -> Result<(), StoreError> {
        self.end_batch();
        self.saving.offer_again();
        while self.saving.is_waiting() {
            let Some(committed) = self.committed.recv().await else {
                return Err(self.commits_ended());
            };
            self.settle(committed)?;
            self.end_batch();
            if !self.saving.is_refused() {
                self.saving.offer_again();
            }
        }
        Ok(())
    }

    /// Whoever waits for a commit that may or may not be on the disk must not be told to try again.
    fn tell_unknown(&mut self, error: &StoreError) {
        if error.verdict() == Verdict::Unknown {
            self.step(Input::StoreLost);
            self.let_go();
        }
    }

    pub(super) fn settle(&mut self, committed: Committed) -> Result<(), StoreError> {
        self.metrics.commit(committed.took, committed.batches, committed.ops, committed.bytes);
        let settled = match self.saving.committed(&committed, monotonic()) {
            Ok(settled) => settled,
            Err(error) => {
                tracing::error!(%error, "the store failed; the shard stops");
                self.tell_unknown(&error);
                return Err(error);
            }
        };
        if committed.outcome.is_err() {
            self.metrics.store_rejected();
        }
        for settled in settled {
            match settled {
                Settled::Persisted { from, through } => {
                    self.step(Input::Persisted { from, through });
                }
                Settled::Rejected { number } => self.step(Input::PersistRejected { number }),
            }
        }
        Ok(())
    }

    /// The thread that commits is gone, with whatever it had in hand: a defect, and to the shard a store that failed.
    pub(super) fn commits_ended(&mut self) -> StoreError {
        let detail = "the thread that writes to the store ended without an answer";
        let error = StoreError::Unknown { detail: detail.to_owned() };
        tracing::error!(%error, "the store is out of reach; the shard stops");
        self.tell_unknown(&error);
        error
    }
}

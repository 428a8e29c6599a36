//! From the registry's mutations to the store and back: which rows a mutation means, and which numbers a commit
//! settles. It does not know why something is saved.
//!
//! Simpler than that of the engine: whatever the store refuses is refused to whoever asked, and comes again from there.

use std::collections::VecDeque;

use bytes::Bytes;
use trine_engine::PersistNumber;
use trine_engine::mapping::{MappingMutation, Put, Row};
use trine_store::record::{
    encode_checkpoint, encode_mapping, encode_parked_key, encode_parked_record,
};
use trine_store::{Batch, COMMIT_BYTES_MAX, Committed, Committer, Key, StoreError, Table, Verdict};

/// What a commit means for the registry.
#[derive(Debug)]
pub(super) enum Settled {
    Persisted { from: PersistNumber, through: PersistNumber },
    Rejected { from: PersistNumber, through: PersistNumber },
}

#[derive(Debug)]
pub(super) struct Saving {
    committer: Committer,
    batch: Batch,
    /// Numbers in the batch.
    open: Option<(PersistNumber, PersistNumber)>,
    next_ticket: u64,
    submitted: VecDeque<(u64, PersistNumber, PersistNumber)>,
}

impl Saving {
    pub(super) fn new(committer: Committer) -> Self {
        let batch = Batch::default();
        Self { committer, batch, open: None, next_ticket: 1, submitted: VecDeque::new() }
    }

    /// Takes a mutation into the batch that [`Saving::submit`] hands in. No commit is larger than it may be, or than
    /// one mutation.
    pub(super) fn add(
        &mut self,
        number: PersistNumber,
        mutation: MappingMutation,
        payloads: &mut impl Iterator<Item = Bytes>,
    ) {
        let from = self.batch.ops.len();
        rows(mutation, payloads, &mut self.batch);
        if from > 0 && self.batch.bytes() > COMMIT_BYTES_MAX {
            let ops = self.batch.ops.split_off(from);
            self.submit();
            self.batch.ops = ops;
        }
        let first = self.open.map_or(number, |(first, _)| first);
        self.open = Some((first, number));
    }

    /// Hands in what was added since, if anything.
    pub(super) fn submit(&mut self) {
        let Some((from, through)) = self.open.take() else { return };
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.committer.submit(ticket, std::mem::take(&mut self.batch));
        self.submitted.push_back((ticket, from, through));
    }

    /// Submitted and not answered yet.
    pub(super) fn is_waiting(&self) -> bool {
        !self.submitted.is_empty()
    }

    /// What the commit means for the registry.
    ///
    /// # Errors
    /// The store's error, if the task must stop.
    pub(super) fn committed(&mut self, committed: &Committed) -> Result<Vec<Settled>, StoreError> {
        let mut settled = Vec::new();
        while let Some((_, from, through)) =
            self.submitted.pop_front_if(|(ticket, ..)| *ticket <= committed.up_to_ticket)
        {
            settled.push(match &committed.outcome {
                Ok(_) => Settled::Persisted { from, through },
                Err(error) if error.verdict() == Verdict::Retry => {
                    Settled::Rejected { from, through }
                }
                Err(error) => return Err(error.clone()),
            });
        }
        Ok(settled)
    }
}

fn rows(mutation: MappingMutation, payloads: &mut impl Iterator<Item = Bytes>, batch: &mut Batch) {
    let key = |table, id| Key { table, id };
    for put in mutation.puts {
        match put {
            Put::Mapping(record) => {
                batch.put(key(Table::Mapping, record.number), encode_mapping(&record));
            }
            Put::Checkpoint(record) => {
                batch.put(key(Table::Checkpoint, record.number), encode_checkpoint(&record));
            }
            Put::ParkedKey(record) => {
                batch.put(key(Table::ParkedKey, record.number), encode_parked_key(&record));
            }
            Put::ParkedRecord(row) => {
                let payload = payloads.next().unwrap_or_default();
                batch.put(key(Table::ParkedPayload, row.number), payload);
                batch.put(key(Table::ParkedRecord, row.number), encode_parked_record(&row));
            }
        }
    }
    for row in mutation.deletes {
        match row {
            Row::Mapping(number) => batch.delete(key(Table::Mapping, number)),
            Row::Checkpoint(number) => batch.delete(key(Table::Checkpoint, number)),
            Row::ParkedKey(number) => batch.delete(key(Table::ParkedKey, number)),
            Row::ParkedRecord(number) => {
                batch.delete(key(Table::ParkedRecord, number));
                batch.delete(key(Table::ParkedPayload, number));
            }
        }
    }
}

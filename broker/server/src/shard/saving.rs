//! From the engine's mutations to the store and back: which rows a mutation means, and which numbers a commit
//! settles. It does not know why something is saved.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use trine_engine::{
    EventRecord, EventSeq, FunctionRecord, Mutation, OnRejection, PersistNumber, ResponseAtHand,
};
use trine_store::record::{encode_event, encode_function};
use trine_store::{Batch, Committed, Committer, Key, Op, StoreError, Table, Verdict};

/// What a commit means for the engine.
#[derive(Debug)]
pub(crate) enum Settled {
    Persisted { from: PersistNumber, through: PersistNumber },
    Rejected { number: PersistNumber },
}

/// Bytes that belong to the input being stepped, encoded for the store.
#[derive(Debug, Default)]
pub(crate) struct AtHand {
    pub(crate) payload: Option<Bytes>,
    pub(crate) response: Option<Bytes>,
}

#[derive(Debug)]
pub(crate) struct Saving {
    committer: Committer,
    batch: Batch,
    open: Submitted,
    next_ticket: u64,
    submitted: VecDeque<Submitted>,
    /// Mutations that the store refused and that are offered again with the next batch.
    again: Vec<(PersistNumber, Vec<Op>)>,
    /// The disk was full at the last commit: wait before offering again.
    pub(crate) refused: bool,
}

/// Which mutations a ticket stands for.
#[derive(Debug, Default)]
struct Submitted {
    ticket: u64,
    /// New ones, a range without gaps.
    range: Option<(PersistNumber, PersistNumber)>,
    /// The rows of those that must not be refused, and of those offered again.
    repeatable: Vec<(PersistNumber, Vec<Op>)>,
}

impl Saving {
    pub(crate) fn new(committer: Committer) -> Self {
        Self {
            committer,
            batch: Batch::default(),
            open: Submitted::default(),
            next_ticket: 1,
            submitted: VecDeque::new(),
            again: Vec::new(),
            refused: false,
        }
    }

    /// Takes a mutation into the batch that [`Saving::submit`] hands in.
    pub(crate) fn add(&mut self, number: PersistNumber, mutation: Mutation, at_hand: &AtHand) {
        let from = self.batch.ops.len();
        let on_rejection = mutation.on_rejection();
        rows(mutation, at_hand, &mut self.batch);
        if on_rejection == OnRejection::Repeat {
            let ops = self.batch.ops[from..].to_vec();
            self.open.repeatable.push((number, ops));
        }
        let first = self.open.range.map_or(number, |(first, _)| first);
        self.open.range = Some((first, number));
    }

    /// Hands in what was added since, if anything.
    pub(crate) fn submit(&mut self) {
        if self.open.range.is_none() {
            return;
        }
        self.hand_in();
    }

    /// Offers again what the store refused.
    pub(crate) fn offer_again(&mut self) {
        self.refused = false;
        if self.again.is_empty() {
            return;
        }
        for (number, ops) in std::mem::take(&mut self.again) {
            self.batch.ops.extend(ops.iter().cloned());
            self.open.repeatable.push((number, ops));
        }
        self.hand_in();
    }

    fn hand_in(&mut self) {
        let mut submitted = std::mem::take(&mut self.open);
        submitted.ticket = self.next_ticket;
        self.next_ticket += 1;
        self.committer.submit(submitted.ticket, std::mem::take(&mut self.batch));
        self.submitted.push_back(submitted);
    }

    /// What the commit means for the engine.
    ///
    /// # Errors
    /// The store's error, if the shard must stop.
    pub(crate) fn committed(&mut self, committed: &Committed) -> Result<Vec<Settled>, StoreError> {
        let mut settled = Vec::new();
        while let Some(submitted) =
            self.submitted.pop_front_if(|first| first.ticket <= committed.up_to_ticket)
        {
            match &committed.outcome {
                Ok(_) => Self::durable(&submitted, &mut settled),
                Err(error) if error.verdict() == Verdict::Retry => {
                    self.refused = true;
                    self.rejected(submitted, &mut settled);
                }
                Err(error) => return Err(error.clone()),
            }
        }
        Ok(settled)
    }

    fn durable(submitted: &Submitted, settled: &mut Vec<Settled>) {
        if let Some((from, through)) = submitted.range {
            settled.push(Settled::Persisted { from, through });
        }
        let offered_again = submitted.repeatable.iter().map(|(number, _)| *number);
        let outside = |number: &PersistNumber| {
            submitted.range.is_none_or(|(from, through)| *number < from || *number > through)
        };
        settled.extend(
            offered_again
                .filter(outside)
                .map(|number| Settled::Persisted { from: number, through: number }),
        );
    }

    fn rejected(&mut self, submitted: Submitted, settled: &mut Vec<Settled>) {
        let repeats: BTreeSet<PersistNumber> =
            submitted.repeatable.iter().map(|(number, _)| *number).collect();
        if let Some((from, through)) = submitted.range {
            let refused = (from..=through).filter(|number| !repeats.contains(number));
            settled.extend(refused.map(|number| Settled::Rejected { number }));
        }
        self.again.extend(submitted.repeatable);
    }
}

fn rows(mutation: Mutation, at_hand: &AtHand, batch: &mut Batch) {
    match mutation {
        Mutation::Accept(record) => {
            let payload = at_hand.payload.clone().unwrap_or_default();
            batch.put(payload_key(record.payload_seq), payload);
            put_event(batch, &record);
        }
        Mutation::Retry { record, .. } => {
            put_response(batch, record.seq, at_hand);
            put_event(batch, &record);
        }
        Mutation::End { record, keep_payload, response } => {
            if response != ResponseAtHand::None {
                put_response(batch, record.seq, at_hand);
            }
            if !keep_payload {
                batch.delete(payload_key(record.payload_seq));
            }
            put_event(batch, &record);
        }
        Mutation::Delivery { record, keep_payload } => {
            if !keep_payload {
                batch.delete(payload_key(record.payload_seq));
            }
            put_event(batch, &record);
        }
        Mutation::Redrive { old, new } => {
            put_event(batch, &old);
            put_event(batch, &new);
        }
        Mutation::Forget { seq, payload } => {
            batch.delete(Key { table: Table::Event, id: seq.0 });
            batch.delete(response_key(seq));
            if let Some(payload) = payload {
                batch.delete(payload_key(payload));
            }
        }
        Mutation::PutFunction(record) => put_function(batch, &record),
        Mutation::DeleteFunction { number } => {
            batch.delete(Key { table: Table::Function, id: number });
        }
        Mutation::Barrier => {}
    }
}

pub(crate) fn payload_key(seq: EventSeq) -> Key {
    Key { table: Table::Payload, id: seq.0 }
}

pub(crate) fn response_key(seq: EventSeq) -> Key {
    Key { table: Table::Response, id: seq.0 }
}

fn put_response(batch: &mut Batch, seq: EventSeq, at_hand: &AtHand) {
    if let Some(response) = &at_hand.response {
        batch.put(response_key(seq), response.clone());
    }
}

fn put_event(batch: &mut Batch, record: &EventRecord) {
    batch.put(Key { table: Table::Event, id: record.seq.0 }, encode_event(record));
}

fn put_function(batch: &mut Batch, record: &FunctionRecord) {
    batch.put(Key { table: Table::Function, id: record.number }, encode_function(record));
}

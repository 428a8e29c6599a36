//! From the engine's mutations to the store and back: which rows a mutation means, and which numbers a commit
//! settles. It does not know why something is saved.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use trine_engine::{
    EventRecord, EventSeq, FunctionRecord, Mutation, OnRejection, PersistNumber, ResponseAtHand,
};
use trine_store::record::{encode_event, encode_function};
use trine_store::{
    Batch, COMMIT_BYTES_MAX, Committed, Committer, Key, Op, StoreError, Table, Verdict,
};

/// Wait before the disk is offered again what it had no room for.
const OFFER_AGAIN: Duration = Duration::from_secs(1);

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
    /// Length of its values, in bytes.
    bytes: usize,
    open: Submitted,
    next_ticket: u64,
    submitted: VecDeque<Submitted>,
    /// Mutations that the store refused and that are offered again.
    again: Vec<(PersistNumber, Vec<Op>)>,
    /// When; fixed by the first refusal, so that neither traffic nor timers move it.
    next_offer: Option<Instant>,
    /// The disk was full at the last commit.
    refused: bool,
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
            bytes: 0,
            open: Submitted::default(),
            next_ticket: 1,
            submitted: VecDeque::new(),
            again: Vec::new(),
            next_offer: None,
            refused: false,
        }
    }

    /// Takes a mutation into the batch that [`Saving::submit`] hands in. What would make it larger than one commit may
    /// be goes into the next one: no commit is larger than that, or than one mutation.
    pub(crate) fn add(&mut self, number: PersistNumber, mutation: Mutation, at_hand: &AtHand) {
        let mut from = self.batch.ops.len();
        let on_rejection = mutation.on_rejection();
        rows(mutation, at_hand, &mut self.batch);
        let bytes = bytes_of(&self.batch.ops[from..]);
        if from > 0 && self.bytes + bytes > COMMIT_BYTES_MAX {
            let ops = self.batch.ops.split_off(from);
            self.submit();
            self.batch.ops = ops;
            from = 0;
        }
        self.bytes += bytes;
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

    /// When what the store refused is to be offered again; `None`: nothing was.
    pub(crate) fn next_offer(&self) -> Option<Instant> {
        self.next_offer
    }

    /// Submitted and not answered yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.submitted.is_empty()
    }

    /// The disk was full at the last commit.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Offers again what the store refused, if its time has come.
    pub(crate) fn offer_if_due(&mut self, now: Instant) {
        if self.next_offer.is_some_and(|at| at <= now) {
            self.offer_again();
        }
    }

    /// Offers again what the store refused.
    pub(crate) fn offer_again(&mut self) {
        self.next_offer = None;
        if self.again.is_empty() {
            return;
        }
        self.submit();
        for (number, ops) in std::mem::take(&mut self.again) {
            let bytes = bytes_of(&ops);
            if !self.batch.is_empty() && self.bytes + bytes > COMMIT_BYTES_MAX {
                self.hand_in();
            }
            self.bytes += bytes;
            self.batch.ops.extend(ops.iter().cloned());
            self.open.repeatable.push((number, ops));
        }
        self.hand_in();
    }

    fn hand_in(&mut self) {
        let mut submitted = std::mem::take(&mut self.open);
        submitted.ticket = self.next_ticket;
        self.next_ticket += 1;
        self.bytes = 0;
        self.committer.submit(submitted.ticket, std::mem::take(&mut self.batch));
        self.submitted.push_back(submitted);
    }

    /// What the commit, of which the shard hears at `now`, means for the engine.
    ///
    /// # Errors
    /// The store's error, if the shard must stop.
    pub(crate) fn committed(
        &mut self,
        committed: &Committed,
        now: Instant,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut settled = Vec::new();
        self.refused = committed.outcome.is_err();
        while let Some(submitted) =
            self.submitted.pop_front_if(|first| first.ticket <= committed.up_to_ticket)
        {
            match &committed.outcome {
                Ok(_) => Self::durable(&submitted, &mut settled),
                Err(error) if error.verdict() == Verdict::Retry => {
                    self.rejected(submitted, &mut settled);
                    if !self.again.is_empty() {
                        self.next_offer.get_or_insert(now + OFFER_AGAIN);
                    }
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

fn bytes_of(ops: &[Op]) -> usize {
    ops.iter().map(Op::bytes).sum()
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};

    use trine_engine::{EventStage, FunctionName, RequestId};
    use trine_store::{Memory, Rejection, Shard, Store};

    use super::*;

    fn saving() -> (Saving, Receiver<Committed>) {
        let store = Arc::new(Memory::new());
        let fence = store.acquire(Shard(0)).expect("a store in memory");
        let (tell, told) = channel();
        // A test that has ended wants to know nothing more.
        let done = Box::new(move |committed| drop(tell.send(committed)));
        let committer = Committer::start(store, Shard(0), fence, done).expect("a thread");
        (Saving::new(committer), told)
    }

    fn record(seq: u64) -> EventRecord {
        EventRecord {
            seq: EventSeq(seq),
            request_id: RequestId(seq.into()),
            function: FunctionName::new("f").expect("a name"),
            accepted_at: 0,
            age_from: 0,
            payload_seq: EventSeq(seq),
            payload_bytes: 0,
            attempts: 0,
            hops: 0,
            failed: false,
            stage: EventStage::Waiting { due_at: 0, retry: false },
            idempotency: None,
            redriven_from: None,
        }
    }

    /// A commit of everything so far that found the disk full.
    fn full() -> Committed {
        let detail = "no room".to_owned();
        Committed {
            from_ticket: 1,
            up_to_ticket: u64::MAX,
            outcome: Err(StoreError::Rejected { cause: Rejection::DiskFull, detail }),
            batches: 1,
            ops: 1,
            bytes: 1,
            took: Duration::ZERO,
        }
    }

    fn forget(seq: u64) -> Mutation {
        Mutation::Forget { seq: EventSeq(seq), payload: None }
    }

    #[test]
    fn no_commit_is_larger_than_its_bound() {
        const PAYLOAD_BYTES: usize = 1 << 20;
        const EVENTS: u64 = 40;
        let (mut saving, told) = saving();
        let payload = Some(Bytes::from(vec![7; PAYLOAD_BYTES]));
        let at_hand = AtHand { payload, response: None };
        (1..=EVENTS).for_each(|seq| saving.add(seq, Mutation::Accept(record(seq)), &at_hand));
        saving.submit();
        let mut settled = Vec::new();
        while saving.is_waiting() {
            let committed = told.recv().expect("the committer answers");
            assert!(committed.bytes <= COMMIT_BYTES_MAX, "{} bytes", committed.bytes);
            settled.extend(saving.committed(&committed, crate::clock::monotonic()).expect("room"));
        }
        let mut next = 1;
        for settled in settled {
            let Settled::Persisted { from, through } = settled else { panic!("{settled:?}") };
            assert_eq!(from, next, "in order, without gaps");
            next = through + 1;
        }
        assert_eq!(next, EVENTS + 1);
    }

    #[test]
    fn the_next_offer_is_fixed_by_the_first_refusal() {
        let (mut saving, _told) = saving();
        let start = crate::clock::monotonic();
        let later = |ms| start + Duration::from_millis(ms);
        saving.add(1, forget(1), &AtHand::default());
        saving.submit();
        assert!(saving.committed(&full(), start).expect("a full disk").is_empty());
        assert_eq!(saving.next_offer(), Some(start + OFFER_AGAIN));
        saving.add(2, forget(2), &AtHand::default());
        saving.submit();
        assert!(saving.committed(&full(), later(700)).expect("a full disk").is_empty());
        assert_eq!(saving.next_offer(), Some(start + OFFER_AGAIN), "traffic does not put it off");
        saving.offer_if_due(later(999));
        assert!(!saving.is_waiting(), "too early");
        saving.offer_if_due(later(1_000));
        assert!(saving.is_waiting() && saving.next_offer().is_none());
        let well = Committed { outcome: Ok(trine_store::Seq(1)), ..full() };
        let settled = saving.committed(&well, later(1_001)).expect("room");
        assert_eq!(settled.len(), 2, "{settled:?}");
        assert!(!saving.is_refused() && !saving.is_waiting());
    }
}

//! Owns what a store would hold after the mutations so far, and says where a mutation contradicts it.

use std::collections::{BTreeMap, BTreeSet};

use trine_engine::{
    Delivery, End, EventRecord, EventSeq, EventStage, FunctionRecord, Mutation, ResponseAtHand,
};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) functions: BTreeMap<u64, FunctionRecord>,
    pub(crate) events: BTreeMap<EventSeq, EventRecord>,
    payloads: BTreeSet<EventSeq>,
    responses: BTreeSet<EventSeq>,
}

impl Ledger {
    pub(crate) fn has_payload(&self, seq: u64) -> bool {
        self.payloads.contains(&EventSeq(seq))
    }

    pub(crate) fn apply(&mut self, mutation: &Mutation) {
        match mutation {
            Mutation::Accept(record) => {
                assert_eq!(record.seq, record.payload_seq, "a new event has its own payload");
                assert!(self.payloads.insert(record.seq), "{record:?} has a payload already");
                let before = self.events.insert(record.seq, record.clone());
                assert_eq!(before, None, "its number is taken");
            }
            Mutation::Retry { record, .. } => {
                self.replace(record);
                self.responses.insert(record.seq);
            }
            Mutation::End { record, keep_payload, response } => {
                self.replace(record);
                if *response != ResponseAtHand::None {
                    self.responses.insert(record.seq);
                }
                self.keep(record, *keep_payload);
            }
            Mutation::Delivery { record, keep_payload } => {
                self.replace(record);
                self.keep(record, *keep_payload);
            }
            Mutation::Redrive { old, new } => {
                assert_eq!(old.payload_seq, new.payload_seq, "the payload changes hands");
                self.replace(old);
                self.events.insert(new.seq, new.clone());
            }
            Mutation::Forget { seq, payload } => {
                assert!(self.events.remove(seq).is_some(), "{seq:?} is not there to be forgotten");
                self.responses.remove(seq);
                if let Some(payload) = payload {
                    assert!(self.payloads.remove(payload), "{payload:?} was deleted before");
                }
            }
            Mutation::PutFunction(record) => {
                self.functions.insert(record.number, record.clone());
            }
            Mutation::DeleteFunction { number } => {
                assert!(self.functions.remove(number).is_some(), "{number} is not there");
            }
            Mutation::Barrier => {}
        }
    }

    fn replace(&mut self, record: &EventRecord) {
        let before = self.events.insert(record.seq, record.clone()).expect("the event is there");
        assert_eq!(before.request_id, record.request_id, "an identity never changes (I5)");
        let ended = matches!(before.stage, EventStage::Ended(_));
        assert!(!ended || matches!(record.stage, EventStage::Ended(_)), "an end is an end (I1)");
    }

    fn keep(&mut self, record: &EventRecord, keep_payload: bool) {
        assert!(self.payloads.contains(&record.payload_seq), "{record:?} lost its payload before");
        if !keep_payload {
            self.payloads.remove(&record.payload_seq);
        }
    }

    /// Every payload has one owner that still needs it, and every owner its payload.
    pub(crate) fn check(&self) {
        let mut needed = BTreeSet::new();
        for record in self.events.values().filter(|record| needs_payload(record)) {
            assert!(needed.insert(record.payload_seq), "{:?} has two owners", record.payload_seq);
        }
        assert_eq!(needed, self.payloads, "payloads needed, and kept");
    }
}

fn needs_payload(record: &EventRecord) -> bool {
    match &record.stage {
        EventStage::Waiting { .. } => true,
        EventStage::Ended(ended) => match (ended.end, ended.delivery) {
            (End::Redriven { .. }, _) => false,
            (End::Dead(_), _) | (_, Delivery::Pending | Delivery::Undelivered) => true,
            _ => false,
        },
    }
}

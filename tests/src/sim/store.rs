//! Owns the model of a store: what is durable, what is on its way, and the contradictions that a mutation can hold.
//!
//! Mutations are committed in the order in which they were given, in groups, late. A full disk refuses a group as a
//! whole: what may be refused is, the rest is offered again. A crash loses what was not committed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use trine_engine::{
    Delivery, End, EventRecord, EventSeq, EventStage, FunctionRecord, Mutation, OnRejection,
    PersistNumber, ResponseAtHand,
};

/// Mutations in one commit, at most.
const GROUP_MAX: usize = 16;

/// What a commit came to.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pub(super) taken: Vec<(PersistNumber, Mutation)>,
    pub(super) refused: Vec<(PersistNumber, Mutation)>,
}

/// What survives the process.
#[derive(Debug, Default, Clone)]
pub(super) struct Durable {
    pub(super) functions: BTreeMap<u64, FunctionRecord>,
    pub(super) events: BTreeMap<EventSeq, EventRecord>,
    payloads: BTreeSet<EventSeq>,
    responses: BTreeSet<EventSeq>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) durable: Durable,
    /// Given and not yet part of a commit.
    gathered: VecDeque<(PersistNumber, Mutation)>,
    /// The commit under way.
    group: Vec<(PersistNumber, Mutation)>,
    pub(super) full: bool,
}

impl Store {
    pub(super) fn give(&mut self, number: PersistNumber, mutation: Mutation) {
        self.gathered.push_back((number, mutation));
    }

    /// Begins a commit if none is under way and there is something to commit.
    pub(super) fn begin(&mut self) -> bool {
        if !self.group.is_empty() || self.gathered.is_empty() {
            return false;
        }
        let count = self.gathered.len().min(GROUP_MAX);
        self.group.extend(self.gathered.drain(..count));
        true
    }

    /// Ends the commit under way.
    pub(super) fn finish(&mut self) -> Result<Committed, String> {
        let group = std::mem::take(&mut self.group);
        let mut committed = Committed::default();
        if self.full {
            for (number, mutation) in group.into_iter().rev() {
                match mutation.on_rejection() {
                    OnRejection::Refuse => committed.refused.push((number, mutation)),
                    OnRejection::Repeat => self.gathered.push_front((number, mutation)),
                }
            }
            committed.refused.reverse();
            return Ok(committed);
        }
        for (number, mutation) in group {
            self.durable.apply(&mutation)?;
            committed.taken.push((number, mutation));
        }
        Ok(committed)
    }

    /// The process ends. `written`: the commit under way had reached the disk, and nobody heard of it.
    pub(super) fn crash(&mut self, written: bool) -> Result<Vec<Mutation>, String> {
        let full = std::mem::take(&mut self.full);
        let group = std::mem::take(&mut self.group);
        self.gathered.clear();
        if full || !written {
            return Ok(Vec::new());
        }
        let mutations: Vec<_> = group.into_iter().map(|(_, mutation)| mutation).collect();
        mutations.iter().try_for_each(|mutation| self.durable.apply(mutation))?;
        Ok(mutations)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.group.is_empty() && self.gathered.is_empty()
    }
}

impl Durable {
    pub(super) fn has_payload(&self, seq: u64) -> bool {
        self.payloads.contains(&EventSeq(seq))
    }

    fn apply(&mut self, mutation: &Mutation) -> Result<(), String> {
        match mutation {
            Mutation::Accept(record) => {
                let new = self.payloads.insert(record.seq);
                let before = self.events.insert(record.seq, record.clone());
                ensure(new && before.is_none(), || format!("{record:?} is there already"))
            }
            Mutation::Retry { record, .. } => {
                self.responses.insert(record.seq);
                self.replace(record)
            }
            Mutation::End { record, keep_payload, response } => {
                if *response != ResponseAtHand::None {
                    self.responses.insert(record.seq);
                }
                let before = self.events.get(&record.seq).map(|before| &before.stage);
                ensure(matches!(before, Some(EventStage::Waiting { .. })), || {
                    format!("I1: {:?} ends twice", record.request_id)
                })?;
                self.replace(record)?;
                self.keep(record, *keep_payload)
            }
            Mutation::Delivery { record, keep_payload } => {
                self.replace(record)?;
                self.keep(record, *keep_payload)
            }
            Mutation::Redrive { old, new } => {
                self.replace(old)?;
                let before = self.events.insert(new.seq, new.clone());
                ensure(before.is_none() && old.payload_seq == new.payload_seq, || {
                    format!("{new:?} does not continue {old:?}")
                })
            }
            Mutation::Forget { seq, payload } => {
                let before = self.events.remove(seq).map(|before| before.stage);
                self.responses.remove(seq);
                let own = payload.is_none_or(|payload| self.payloads.remove(&payload));
                ensure(own && before.as_ref().is_some_and(is_settled), || {
                    format!("{seq:?} is forgotten as {before:?}")
                })
            }
            Mutation::PutFunction(record) => {
                self.functions.insert(record.number, record.clone());
                Ok(())
            }
            Mutation::DeleteFunction { number } => {
                let before = self.functions.remove(number);
                ensure(before.is_some(), || format!("function {number} is not there"))
            }
            Mutation::Barrier => Ok(()),
        }
    }

    fn replace(&mut self, record: &EventRecord) -> Result<(), String> {
        let before = self.events.insert(record.seq, record.clone());
        let same = before.is_some_and(|before| before.request_id == record.request_id);
        ensure(same, || format!("I5: {record:?} takes the place of another"))
    }

    fn keep(&mut self, record: &EventRecord, keep_payload: bool) -> Result<(), String> {
        let there = self.payloads.contains(&record.payload_seq);
        if !keep_payload {
            self.payloads.remove(&record.payload_seq);
        }
        ensure(there, || format!("{record:?} has no payload"))
    }

    /// Every payload has one owner that still needs it, and every such owner its payload.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut needed = BTreeSet::new();
        for record in self.events.values().filter(|record| needs_payload(&record.stage)) {
            let first = needed.insert(record.payload_seq);
            ensure(first, || format!("{:?} has two owners", record.payload_seq))?;
        }
        ensure(needed == self.payloads, || {
            format!("payloads {needed:?} are needed, {:?} kept", self.payloads)
        })
    }
}

fn needs_payload(stage: &EventStage) -> bool {
    let EventStage::Ended(ended) = stage else { return true };
    match (ended.end, ended.delivery) {
        (End::Redriven { .. }, _) => false,
        (End::Dead(_), _) => true,
        (_, delivery) => matches!(delivery, Delivery::Pending | Delivery::Undelivered),
    }
}

fn is_settled(stage: &EventStage) -> bool {
    matches!(stage, EventStage::Ended(ended) if ended.delivery != Delivery::Pending)
}

pub(super) fn ensure(holds: bool, says: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(says()) }
}

//! A registry with a disk of its own and a clock that is moved by hand: what scripts and simulation stand on.

use std::collections::{BTreeMap, VecDeque};

use crate::mapping::{
    Checkpoint, CheckpointRecord, CheckpointReport, Counts, Definition, MappingAnswer,
    MappingEffect, MappingId, MappingInput, MappingLimits, MappingMode, MappingMutation,
    MappingRecord, MappingRefusal, MappingState, Moment, NewPoller, ParkReport, ParkedKeyRecord,
    ParkedRecordRow, PollerId, Put, Registry, ReportOutcome, Row, Status, Under,
};
use crate::{Caller, FunctionName, PersistNumber};

/// Rows that are durable.
#[derive(Debug, Default, Clone)]
pub(super) struct Disk {
    pub(super) mappings: BTreeMap<u64, MappingRecord>,
    pub(super) checkpoints: BTreeMap<u64, CheckpointRecord>,
    pub(super) keys: BTreeMap<u64, ParkedKeyRecord>,
    pub(super) records: BTreeMap<u64, ParkedRecordRow>,
}

impl Disk {
    fn apply(&mut self, mutation: MappingMutation) {
        for put in mutation.puts {
            match put {
                Put::Mapping(record) => _ = self.mappings.insert(record.number, *record),
                Put::Checkpoint(record) => _ = self.checkpoints.insert(record.number, record),
                Put::ParkedKey(record) => _ = self.keys.insert(record.number, record),
                Put::ParkedRecord(row) => _ = self.records.insert(row.number, row),
            }
        }
        for row in mutation.deletes {
            match row {
                Row::Mapping(number) => _ = self.mappings.remove(&number),
                Row::Checkpoint(number) => _ = self.checkpoints.remove(&number),
                Row::ParkedKey(number) => _ = self.keys.remove(&number),
                Row::ParkedRecord(number) => _ = self.records.remove(&number),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mappings.is_empty()
            && self.checkpoints.is_empty()
            && self.keys.is_empty()
            && self.records.is_empty()
    }
}

pub(super) struct House {
    pub(super) registry: Registry,
    pub(super) disk: Disk,
    limits: MappingLimits,
    epoch: u64,
    pub(super) now: u64,
    unwritten: VecDeque<(PersistNumber, MappingMutation)>,
    /// What came out and was not taken yet, without writes.
    pub(super) out: Vec<MappingEffect>,
    next_tag: u64,
    /// Writes are durable as soon as they are asked for.
    pub(super) quick: bool,
}

pub(super) fn limits() -> MappingLimits {
    MappingLimits {
        mappings_max: 20,
        pollers_max: 6,
        drain_ms: 1_000,
        seek_wait_ms: 1_000,
        counts_age_ms: 1_000,
        moves_max: 2,
        checkpoints_max: 4,
        checkpoint_bytes_max: 200,
        parked_keys_max: 4,
        parked_key_bytes_max: 100,
        parked_records_max: 30,
        parked_bytes_max: 300,
        unpark_records_max: 3,
        unpark_bytes_max: 1_000,
        unpark_keys_max: 2,
    }
}

pub(super) fn definition(function: &str, kind: &str, source: &str) -> Definition {
    Definition {
        function: FunctionName::new(function).unwrap(),
        qualifier: "".into(),
        kind: kind.into(),
        source: source.into(),
        reader: None,
        document: source.as_bytes().into(),
    }
}

pub(super) fn at(position: &str) -> Checkpoint {
    Checkpoint { position: position.into(), ..Checkpoint::default() }
}

impl House {
    pub(super) fn new() -> Self {
        Self::with(limits())
    }

    pub(super) fn with(limits: MappingLimits) -> Self {
        Self {
            registry: Registry::new(limits.clone(), 1),
            disk: Disk::default(),
            limits,
            epoch: 1,
            now: 1_000,
            unwritten: VecDeque::new(),
            out: Vec::new(),
            next_tag: 0,
            quick: true,
        }
    }

    pub(super) fn step(&mut self, input: MappingInput) {
        let now = Moment { clock: 5_000_000 + self.now, monotonic: self.now };
        let mut effects = Vec::new();
        self.registry.step(now, input, &mut effects);
        for effect in effects {
            match effect {
                MappingEffect::Persist { number, mutation } => {
                    self.unwritten.push_back((number, mutation));
                }
                other => self.out.push(other),
            }
        }
        if let Err(broken) = self.registry.check() {
            panic!("{broken}");
        }
        if self.quick {
            self.write();
        }
    }

    /// The oldest writes become durable, all that there are.
    pub(super) fn write(&mut self) {
        while self.write_some(usize::MAX) {}
    }

    /// The oldest `count` become durable in one commit; false if there was none.
    pub(super) fn write_some(&mut self, count: usize) -> bool {
        let count = count.min(self.unwritten.len());
        let written: Vec<_> = self.unwritten.drain(..count).collect();
        let (Some((from, _)), Some((through, _))) = (written.first(), written.last()) else {
            return false;
        };
        let (from, through) = (*from, *through);
        written.into_iter().for_each(|(_, mutation)| self.disk.apply(mutation));
        self.step(MappingInput::Persisted { from, through });
        true
    }

    /// The disk refuses the oldest write.
    pub(super) fn refuse(&mut self) -> bool {
        let Some((number, _)) = self.unwritten.pop_front() else { return false };
        self.step(MappingInput::PersistRejected { number });
        true
    }

    /// A crash: what was not durable never was.
    pub(super) fn restart(&mut self) {
        self.epoch += 1;
        self.unwritten.clear();
        self.out.clear();
        self.registry = Registry::new(self.limits.clone(), self.epoch);
        let Disk { mappings, checkpoints, keys, records } = self.disk.clone();
        mappings.into_values().for_each(|record| self.registry.restore_mapping(record));
        for record in checkpoints.into_values() {
            self.registry.restore_checkpoint(record).unwrap();
        }
        for record in keys.into_values() {
            self.registry.restore_parked_key(record).unwrap();
        }
        for row in records.into_values() {
            self.registry.restore_parked_record(row).unwrap();
        }
        self.registry.restored();
        self.step(MappingInput::Tick);
    }

    pub(super) fn caller(&mut self) -> Caller {
        self.next_tag += 1;
        Caller { edge: 0, tag: self.next_tag }
    }

    /// The answer to the last caller.
    pub(super) fn answer(&mut self) -> Option<MappingAnswer> {
        let wanted = self.next_tag;
        let is_it = |effect: &MappingEffect| matches!(effect, MappingEffect::Reply { caller, .. } if caller.tag == wanted);
        let place = self.out.iter().position(is_it)?;
        match self.out.remove(place) {
            MappingEffect::Reply { answer, .. } => Some(answer),
            _ => None,
        }
    }

    pub(super) fn refusal(&mut self) -> Option<MappingRefusal> {
        match self.answer() {
            Some(MappingAnswer::Refused(refusal)) => Some(refusal),
            _ => None,
        }
    }

    /// Asks for a mapping; the state that the answer shows.
    pub(super) fn create(&mut self, id: u128, kind: &str) -> Option<MappingState> {
        let definition = definition("f", kind, &id.to_string());
        self.create_as(id, definition, MappingMode::Enabled)
    }

    pub(super) fn create_as(
        &mut self,
        id: u128,
        definition: Definition,
        mode: MappingMode,
    ) -> Option<MappingState> {
        let caller = self.caller();
        self.step(MappingInput::Create { caller, id: MappingId(id), definition, mode });
        self.shown()
    }

    /// The state that the answer to the last change shows; it stays if it is none.
    pub(super) fn shown(&mut self) -> Option<MappingState> {
        let wanted = self.next_tag;
        let shown = self.out.iter().find_map(|effect| match effect {
            MappingEffect::Reply { caller, answer: MappingAnswer::Changed(view) }
                if caller.tag == wanted =>
            {
                Some(view.state)
            }
            _ => None,
        });
        shown.inspect(|_| drop(self.answer()))
    }

    pub(super) fn mode(&mut self, id: u128, mode: MappingMode) -> Option<MappingState> {
        let caller = self.caller();
        self.step(MappingInput::SetMode { caller, id: MappingId(id), mode });
        self.shown()
    }

    pub(super) fn delete(&mut self, id: u128) -> Option<MappingState> {
        let caller = self.caller();
        self.step(MappingInput::Delete { caller, id: MappingId(id) });
        self.shown()
    }

    pub(super) fn state(&self, id: u128) -> Option<MappingState> {
        self.registry.mapping(MappingId(id)).map(|view| view.state)
    }

    pub(super) fn join(&mut self, poller: u64, kinds: &[&str], mappings_max: u32) -> bool {
        let caller = self.caller();
        let hello = NewPoller {
            name: format!("p{poller}").into(),
            kinds: kinds.iter().map(|kind| (*kind).into()).collect(),
            mappings_max,
        };
        self.step(MappingInput::PollerJoined { caller, poller: PollerId(poller), hello });
        matches!(self.answer(), Some(MappingAnswer::Joined))
    }

    pub(super) fn leave(&mut self, poller: u64) {
        self.step(MappingInput::PollerLeft { poller: PollerId(poller) });
    }

    /// Who has the mapping, under which fence.
    pub(super) fn holder(&self, id: u128) -> Option<(String, u64)> {
        let holder = self.registry.mapping(MappingId(id))?.holder?;
        Some((holder.poller.to_string(), holder.fence))
    }

    pub(super) fn under(&self, poller: u64, id: u128) -> Under {
        let fence = self.holder(id).map_or(0, |(_, fence)| fence);
        Under { poller: PollerId(poller), mapping: MappingId(id), fence }
    }

    pub(super) fn release(&mut self, under: Under) {
        self.step(MappingInput::Release { under });
    }

    pub(super) fn checkpoint(&mut self, under: Under, shard: &str, checkpoint: Checkpoint) {
        let checkpoint = Some(checkpoint);
        let report = CheckpointReport { ticket: 1, shard: shard.into(), checkpoint };
        self.step(MappingInput::Checkpoint { under, report });
    }

    /// The source has no such shard any more.
    pub(super) fn forget(&mut self, under: Under, shard: &str) {
        let report = CheckpointReport { ticket: 1, shard: shard.into(), checkpoint: None };
        self.step(MappingInput::Checkpoint { under, report });
    }

    pub(super) fn park(&mut self, under: Under, key: &str, records: &[u32], error: &str) {
        let report = ParkReport {
            ticket: 2,
            shard: "s".into(),
            key: key.as_bytes().into(),
            records: records.to_vec(),
            error: error.into(),
            settled: 0,
        };
        self.step(MappingInput::Park { under, report });
    }

    pub(super) fn settle(&mut self, under: Under, key: &str, settled: u32, error: &str) {
        let report = ParkReport {
            ticket: 3,
            shard: "s".into(),
            key: key.as_bytes().into(),
            records: Vec::new(),
            error: error.into(),
            settled,
        };
        self.step(MappingInput::Park { under, report });
    }

    pub(super) fn unpark(&mut self, id: u128, key: &str, skip_first: bool) {
        let caller = self.caller();
        let (shard, key) = ("s".into(), key.as_bytes().into());
        let id = MappingId(id);
        self.step(MappingInput::Unpark { caller, id, shard, key, skip_first });
    }

    pub(super) fn status(&mut self, under: Under, added: Counts) {
        let status = Status { live: true, ..Status::default() };
        self.step(MappingInput::Status { under, status, added });
    }

    pub(super) fn tick_after(&mut self, ms: u64) {
        self.now += ms;
        self.step(MappingInput::Tick);
    }

    /// Outcomes of reports, in order, and takes them.
    pub(super) fn outcomes(&mut self) -> Vec<ReportOutcome> {
        let mut outcomes = Vec::new();
        self.out.retain(|effect| match effect {
            MappingEffect::Answer { outcome, .. } => {
                outcomes.push(*outcome);
                false
            }
            _ => true,
        });
        outcomes
    }

    /// What pollers were given and asked for, in words, and takes it.
    pub(super) fn orders(&mut self) -> Vec<String> {
        let mut orders = Vec::new();
        self.out.retain(|effect| {
            orders.push(match effect {
                MappingEffect::Assign { poller, mapping, paused, new, .. } => {
                    let paused = if *paused { " paused" } else { "" };
                    let again = if *new { "" } else { " again" };
                    format!("p{} gets {}{paused}{again}", poller.0, mapping.0)
                }
                MappingEffect::Revoke { poller, mapping, .. } => {
                    format!("p{} is asked for {}", poller.0, mapping.0)
                }
                MappingEffect::Unpark { poller, records, left, .. } => {
                    format!("p{} sends {} again, {left} left", poller.0, records.len())
                }
                MappingEffect::SayDraining { poller } => format!("p{} hears the end", poller.0),
                _ => return true,
            });
            false
        });
        orders
    }
}

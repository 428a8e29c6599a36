//! How far each shard of a mapping has been settled: written under the fence of the holder, answered when durable.
//! It does not know what a position means, nor whether it goes forward: sources may order theirs as they like.

use std::sync::Arc;

use super::effect::{MappingEffect, MappingFact, ReportOutcome};
use super::input::{CheckpointReport, Under};
use super::lease::PollerId;
use super::mapping::Kept;
use super::record::{Checkpoint, CheckpointRecord, MappingMutation, MappingRecord, Put, Row};
use super::registry::{Out, Pending, Registry};
use super::status::{Counts, Status};

pub(super) fn answer(
    poller: PollerId,
    ticket: u64,
    outcome: ReportOutcome,
    error: &'static str,
    out: Out<'_>,
) {
    out.push(MappingEffect::Answer { poller, ticket, outcome, error });
}

pub(super) const NO_ROOM_ON_DISK: &str =
    "The broker's disk took nothing (is it full?); it is reported again.";

impl Registry {
    /// The mapping's number, or the answer that somebody else has it.
    pub(super) fn fenced(&self, under: Under, ticket: u64, out: Out<'_>) -> Option<u64> {
        let held = self.holds(under);
        if held.is_none() {
            let error = "The mapping is not this poller's under this fence; stop everything of it.";
            answer(under.poller, ticket, ReportOutcome::StaleFence, error, out);
            out.push(MappingEffect::Fact(MappingFact::StaleFence { mapping: under.mapping }));
        }
        held
    }

    pub(super) fn checkpoint(&mut self, under: Under, report: CheckpointReport, out: Out<'_>) {
        let CheckpointReport { ticket, shard, checkpoint } = report;
        let Some(number) = self.fenced(under, ticket, out) else { return };
        let poller = under.poller;
        let Some(checkpoint) = checkpoint else {
            return self.forget(number, poller, ticket, &shard, out);
        };
        if self.is_going(number, &shard) {
            let error = "The shard's checkpoint is being forgotten; report it again.";
            return answer(poller, ticket, ReportOutcome::Failed, error, out);
        }
        let Some((record, bytes_before)) = self.keep(number, shard, checkpoint) else {
            let error = "The mapping has as many checkpoints, or bytes of them, as it may have.";
            return answer(poller, ticket, ReportOutcome::Full, error, out);
        };
        let (shard, checkpoint) = (Arc::clone(&record.shard), record.checkpoint.clone());
        if let Some(mapping) = self.mappings.get_mut(&number) {
            mapping.writing += 1;
        }
        let then = Pending::Checkpoint {
            mapping: number,
            poller,
            ticket,
            shard,
            checkpoint,
            bytes_before,
        };
        self.persist(MappingMutation::put(Put::Checkpoint(record)), then, out);
    }

    /// Takes the row of a shard away that the source does not have any more: sources that split their shards would fill the room for
    /// checkpoints in the end, and then nothing could be settled.
    fn forget(&mut self, number: u64, poller: PollerId, ticket: u64, shard: &str, out: Out<'_>) {
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        let known = mapping.checkpoints.get_key_value(shard).map(|(name, _)| Arc::clone(name));
        // That the shard has ended says that others may send what is parked of it; the poller asks again with its next connection.
        let is_parked = mapping.parked.keys.keys().any(|(parked, _)| **parked == *shard);
        let Some(shard) = known.filter(|_| !is_parked) else {
            return answer(poller, ticket, ReportOutcome::Done, "", out);
        };
        let Some(kept) = mapping.checkpoints.get_mut(&shard) else { return };
        if kept.going || kept.checkpoint.is_none() {
            let error = "The shard's checkpoint is being written; report it again.";
            return answer(poller, ticket, ReportOutcome::Failed, error, out);
        }
        kept.going = true;
        mapping.writing += 1;
        let deletes = vec![Row::Checkpoint(kept.number)];
        let mutation = MappingMutation { puts: Vec::new(), deletes };
        let then = Pending::Forget { mapping: number, poller, ticket, shard };
        self.persist(mutation, then, out);
    }

    fn is_going(&self, number: u64, shard: &str) -> bool {
        let mapping = self.mappings.get(&number);
        mapping.and_then(|mapping| mapping.checkpoints.get(shard)).is_some_and(|kept| kept.going)
    }

    pub(super) fn forgotten(
        &mut self,
        number: u64,
        poller: PollerId,
        ticket: u64,
        shard: &str,
        out: Out<'_>,
    ) {
        if let Some(mapping) = self.mappings.get_mut(&number)
            && let Some(kept) = mapping.checkpoints.remove(shard)
        {
            mapping.checkpoint_bytes -= kept.bytes;
        }
        answer(poller, ticket, ReportOutcome::Done, "", out);
        self.write_ended(number, out);
    }

    pub(super) fn forget_refused(
        &mut self,
        number: u64,
        poller: PollerId,
        ticket: u64,
        shard: &str,
        out: Out<'_>,
    ) {
        let mapping = self.mappings.get_mut(&number);
        if let Some(kept) = mapping.and_then(|mapping| mapping.checkpoints.get_mut(shard)) {
            kept.going = false;
        }
        answer(poller, ticket, ReportOutcome::Failed, NO_ROOM_ON_DISK, out);
        self.write_ended(number, out);
    }

    /// Makes room for a checkpoint that is about to be written; with the bytes that its shard took before.
    pub(super) fn keep(
        &mut self,
        number: u64,
        shard: Box<str>,
        checkpoint: Checkpoint,
    ) -> Option<(CheckpointRecord, u64)> {
        let limits = &self.limits;
        let mapping = self.mappings.get_mut(&number)?;
        let bytes = checkpoint.bytes(&shard);
        let known = mapping.checkpoints.get_key_value(&*shard);
        // Its row goes, and the new one would go with it.
        if known.is_some_and(|(_, kept)| kept.going) {
            return None;
        }
        let before = known.map_or(0, |(_, kept)| kept.bytes);
        let total = mapping.checkpoint_bytes - before + bytes;
        if total > limits.checkpoint_bytes_max
            || (known.is_none() && mapping.checkpoints.len() >= limits.checkpoints_max)
        {
            return None;
        }
        let shard = known.map_or_else(|| shard.into(), |(name, _)| Arc::clone(name));
        mapping.checkpoint_bytes = total;
        let next = &mut self.next_checkpoint;
        let kept = mapping.checkpoints.entry(Arc::clone(&shard)).or_insert_with(|| {
            let number = *next;
            *next += 1;
            Kept { number, checkpoint: None, bytes: 0, going: false }
        });
        kept.bytes = bytes;
        let record = CheckpointRecord { number: kept.number, mapping: number, shard, checkpoint };
        Some((record, before))
    }

    pub(super) fn checkpoint_written(
        &mut self,
        number: u64,
        poller: PollerId,
        ticket: u64,
        shard: &str,
        checkpoint: Checkpoint,
        out: Out<'_>,
    ) {
        self.put_checkpoint(number, shard, checkpoint);
        answer(poller, ticket, ReportOutcome::Done, "", out);
        self.write_ended(number, out);
    }

    pub(super) fn put_checkpoint(&mut self, number: u64, shard: &str, checkpoint: Checkpoint) {
        let mapping = self.mappings.get_mut(&number);
        if let Some(kept) = mapping.and_then(|mapping| mapping.checkpoints.get_mut(shard)) {
            kept.checkpoint = Some(checkpoint);
        }
    }

    pub(super) fn checkpoint_refused(
        &mut self,
        number: u64,
        poller: PollerId,
        ticket: u64,
        shard: &str,
        bytes_before: u64,
        out: Out<'_>,
    ) {
        self.unkeep(number, shard, bytes_before);
        answer(poller, ticket, ReportOutcome::Failed, NO_ROOM_ON_DISK, out);
        self.write_ended(number, out);
    }

    /// A checkpoint was not written after all.
    pub(super) fn unkeep(&mut self, number: u64, shard: &str, bytes_before: u64) {
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        let Some(kept) = mapping.checkpoints.get_mut(shard) else { return };
        // Another write of the shard may be under way: its bytes are what is counted then.
        let settled = kept.checkpoint.as_ref().map_or(bytes_before, |held| held.bytes(shard));
        mapping.checkpoint_bytes = mapping.checkpoint_bytes - kept.bytes + settled;
        kept.bytes = settled;
    }

    pub(super) fn status(&mut self, under: Under, status: Status, added: &Counts, out: Out<'_>) {
        let Some(number) = self.holds(under) else {
            out.push(MappingEffect::Fact(MappingFact::StaleFence { mapping: under.mapping }));
            return;
        };
        if let Some(mapping) = self.mappings.get_mut(&number) {
            mapping.status = Some(status);
            mapping.told_at = Some(self.now.clock);
        }
        if !added.is_zero() {
            self.count(number, added);
        }
    }

    pub(super) fn failure(&mut self, under: Under, ticket: u64, out: Out<'_>) {
        if self.fenced(under, ticket, out).is_some() {
            let (poller, mapping) = (under.poller, under.mapping);
            out.push(MappingEffect::Deliver { poller, ticket, mapping });
        }
    }

    pub(super) fn write_counts(&mut self, number: u64, out: Out<'_>) {
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        mapping.counts_due = false;
        if mapping.record.deleting {
            // Its row goes, and must not come again.
            return;
        }
        // A change that is being written would be undone by what is known now.
        if mapping.transition.is_some() && !mapping.written {
            return self.count(number, &Counts::default());
        }
        let record: MappingRecord = mapping.record.clone();
        let mutation = MappingMutation::put(Put::Mapping(Box::new(record)));
        self.persist(mutation, Pending::Counts, out);
    }
}

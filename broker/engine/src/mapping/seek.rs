//! Moving the place of a mapping: only its holder can, because only it can ask the source. It does not know the target.

use super::effect::{MappingAnswer, MappingEffect, MappingRefusal};
use super::input::{SeekReport, ShardSeek};
use super::lease::PollerId;
use super::mapping::MappingId;
use super::record::{Checkpoint, MappingMutation, Put};
use super::registry::{Out, Pending, Registry, Timer, refuse};
use crate::{Caller, Millis};

#[derive(Debug)]
pub(super) struct Seek {
    pub(super) caller: Caller,
    mapping: u64,
    poller: PollerId,
    preview: bool,
    until: Millis,
    /// What was moved, once the poller has said so.
    shards: Vec<ShardSeek>,
    /// By shard: what is being written, and the bytes before.
    kept: Vec<(Box<str>, Checkpoint, u64)>,
}

impl Registry {
    pub(super) fn seek(&mut self, caller: Caller, id: MappingId, preview: bool, out: Out<'_>) {
        let found =
            self.find(id).and_then(|number| Some((number, self.mappings.get_mut(&number)?)));
        let Some((number, mapping)) = found else {
            return refuse(caller, MappingRefusal::Unknown, out);
        };
        if self.draining {
            return refuse(caller, MappingRefusal::ShuttingDown, out);
        }
        if mapping.transition.is_some() || mapping.record.deleting || mapping.seek.is_some() {
            return refuse(caller, MappingRefusal::Busy, out);
        }
        let Some(lease) = mapping.lease.as_ref().filter(|lease| lease.asked_back.is_none()) else {
            return refuse(caller, MappingRefusal::NoPoller, out);
        };
        let (poller, fence) = (lease.poller, lease.fence);
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        mapping.seek = Some(ticket);
        out.push(MappingEffect::Seek { poller, ticket, mapping: id, fence, preview });
        let until = self.after(self.limits.seek_wait_ms, Timer::Seek { ticket });
        let (shards, kept) = (Vec::new(), Vec::new());
        let seek = Seek { caller, mapping: number, poller, preview, until, shards, kept };
        self.seeks.insert(ticket, seek);
    }

    pub(super) fn seek_done(
        &mut self,
        poller: PollerId,
        ticket: u64,
        report: SeekReport,
        out: Out<'_>,
    ) {
        if self.seeks.get(&ticket).is_none_or(|seek| seek.poller != poller) {
            return;
        }
        let Some(mut seek) = self.end_seek(ticket) else { return };
        let SeekReport { shards, checkpoints, error } = report;
        if !error.is_empty() {
            return refuse(seek.caller, MappingRefusal::SeekFailed(error), out);
        }
        seek.shards = shards;
        if seek.preview || checkpoints.is_empty() {
            return seek.reply(out);
        }
        let mut mutation = MappingMutation::default();
        for (shard, checkpoint) in checkpoints {
            let Some((record, before)) = self.keep(seek.mapping, shard, checkpoint) else {
                for (shard, _, before) in &seek.kept {
                    self.unkeep(seek.mapping, shard, *before);
                }
                let error = "The mapping would have more checkpoints than it may have.".into();
                return refuse(seek.caller, MappingRefusal::SeekFailed(error), out);
            };
            seek.kept.push(((*record.shard).into(), record.checkpoint.clone(), before));
            mutation.puts.push(Put::Checkpoint(record));
        }
        if let Some(mapping) = self.mappings.get_mut(&seek.mapping) {
            mapping.writing += 1;
        }
        self.persist(mutation, Pending::Sought(Box::new(seek)), out);
    }

    pub(super) fn sought(&mut self, mut seek: Seek, out: Out<'_>) {
        for (shard, checkpoint, _) in std::mem::take(&mut seek.kept) {
            self.put_checkpoint(seek.mapping, &shard, checkpoint);
        }
        let number = seek.mapping;
        seek.reply(out);
        self.write_ended(number, out);
    }

    pub(super) fn sought_refused(&mut self, seek: Seek, out: Out<'_>) {
        for (shard, _, before) in &seek.kept {
            self.unkeep(seek.mapping, shard, *before);
        }
        refuse(seek.caller, MappingRefusal::StoreUnavailable, out);
        self.write_ended(seek.mapping, out);
    }

    /// Nobody holds the mapping any more.
    pub(super) fn seek_lost(&mut self, ticket: u64, out: Out<'_>) {
        if let Some(seek) = self.end_seek(ticket) {
            refuse(seek.caller, MappingRefusal::NoPoller, out);
        }
    }

    pub(super) fn seek_over(&mut self, ticket: u64, out: Out<'_>) {
        if let Some(seek) = self.end_seek(ticket) {
            refuse(seek.caller, MappingRefusal::PollerSilent, out);
        }
    }

    fn end_seek(&mut self, ticket: u64) -> Option<Seek> {
        let seek = self.seeks.remove(&ticket)?;
        self.timers.remove(&(seek.until, Timer::Seek { ticket }));
        if let Some(mapping) = self.mappings.get_mut(&seek.mapping)
            && mapping.seek == Some(ticket)
        {
            mapping.seek = None;
        }
        Some(seek)
    }
}

impl Seek {
    fn reply(self, out: Out<'_>) {
        let answer = MappingAnswer::Sought { shards: self.shards, done: !self.preview };
        out.push(MappingEffect::Reply { caller: self.caller, answer });
    }
}

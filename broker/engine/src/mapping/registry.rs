//! The registry: all mappings, all pollers, and the order in which writes come back. It hands inputs on to the files
//! that own them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::change::{Change, SourceKey};
use super::effect::{MappingAnswer, MappingEffect, MappingRefusal};
use super::erase::Erasing;
use super::input::MappingInput;
use super::lease::{Fences, PollerId};
use super::mapping::{Mapping, MappingId};
use super::poller::Poller;
use super::record::{Checkpoint, MappingMutation};
use super::restore::KeyPlaces;
use super::seek::Seek;
use super::status::Counts;
use super::unpark::Settle;
use crate::{Caller, Millis, PersistNumber};

/// Two readings of one moment: what is told to people, and what waits are measured with. The broker's clock may be
/// virtual and stand still; a poller that does not answer is a process that does not, whatever that clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The broker's clock, milliseconds since the Unix epoch.
    pub clock: Millis,
    /// Milliseconds of the machine's monotonic clock since any start.
    pub monotonic: Millis,
}

/// Bounds of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingLimits {
    /// Mappings, at most.
    pub mappings_max: u32,
    /// Connected pollers, at most.
    pub pollers_max: u32,
    /// How long a poller that was asked for a mapping may let what runs end.
    pub drain_ms: Millis,
    /// Longest wait for a poller's answer to a seek.
    pub seek_wait_ms: Millis,
    /// How long counts may be newer than what is on disk.
    pub counts_age_ms: Millis,
    /// Mappings that are moved between pollers at a time.
    pub moves_max: u32,
    /// Shards of a mapping with a checkpoint, at most.
    pub checkpoints_max: usize,
    /// Bytes of all checkpoints of a mapping, at most.
    pub checkpoint_bytes_max: u64,
    /// Parked keys of a mapping, at most.
    pub parked_keys_max: usize,
    /// Bytes of the keys that are parked of a mapping, at most.
    pub parked_key_bytes_max: u64,
    /// Parked records of a mapping, at most.
    pub parked_records_max: u64,
    /// Bytes of the records that are parked of a mapping, at most.
    pub parked_bytes_max: u64,
    /// Records of one key that are sent again at a time.
    pub unpark_records_max: usize,
    /// Their bytes, unless one record alone has more.
    pub unpark_bytes_max: u64,
    /// Keys of a mapping whose records are sent again at a time.
    pub unpark_keys_max: usize,
}

impl Default for MappingLimits {
    fn default() -> Self {
        Self {
            mappings_max: 10_000,
            pollers_max: 1_000,
            drain_ms: 30_000,
            seek_wait_ms: 150_000,
            counts_age_ms: 10_000,
            moves_max: 32,
            checkpoints_max: 10_000,
            checkpoint_bytes_max: 64 << 20,
            parked_keys_max: 10_000,
            parked_key_bytes_max: 16 << 20,
            parked_records_max: 100_000,
            parked_bytes_max: 256 << 20,
            unpark_records_max: 100,
            unpark_bytes_max: 1 << 20,
            unpark_keys_max: 32,
        }
    }
}

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A lease that was asked back ends.
    Drain { mapping: u64, fence: u64 },
    /// Nobody answered a seek.
    Seek { ticket: u64 },
    /// Counts are written.
    Counts { mapping: u64 },
    /// Rows of a mapping on its way out go.
    Erase { mapping: u64 },
}

/// What waits for a write.
#[derive(Debug)]
pub(super) enum Pending {
    Change(Box<Change>),
    Checkpoint {
        mapping: u64,
        poller: PollerId,
        ticket: u64,
        shard: Arc<str>,
        checkpoint: Checkpoint,
        /// What was kept of the shard before, in bytes; comes back if the write is refused.
        bytes_before: u64,
    },
    Forget {
        mapping: u64,
        poller: PollerId,
        ticket: u64,
        shard: Arc<str>,
    },
    Park(Box<super::parked::Parking>),
    Settle(Box<Settle>),
    Sought(Box<Seek>),
    Counts,
    Erase(Erasing),
}

/// All mappings and pollers of a broker.
#[derive(Debug)]
pub struct Registry {
    pub(super) limits: MappingLimits,
    pub(super) now: Moment,
    /// By number, which is the order in which they were made.
    pub(super) mappings: BTreeMap<u64, Mapping>,
    pub(super) by_id: BTreeMap<MappingId, u64>,
    /// By source, function and qualifier, of all that are not on their way out.
    pub(super) by_source: BTreeMap<SourceKey, u64>,
    /// Numbers of those that nobody holds and somebody should.
    pub(super) waiting: BTreeSet<u64>,
    pub(super) pollers: BTreeMap<PollerId, Poller>,
    /// Rows of mappings on their way out that the disk refused to take away.
    pub(super) erase_again: BTreeMap<u64, Erasing>,
    /// Mappings that are on their way from one poller to another.
    pub(super) moving: u32,
    pub(super) fences: Fences,
    pub(super) seeks: BTreeMap<u64, Seek>,
    pub(super) next_ticket: u64,
    pub(super) timers: BTreeSet<(Millis, Timer)>,
    pending: VecDeque<(PersistNumber, Pending)>,
    next_persist: PersistNumber,
    pub(super) next_mapping: u64,
    pub(super) next_checkpoint: u64,
    pub(super) next_parked_key: u64,
    pub(super) next_parked_record: u64,
    pub(super) draining: bool,
    /// While rows are put in.
    pub(super) key_places: KeyPlaces,
}

/// Registries above this are not checked at every step of a debug build.
const CHECKED_MAPPINGS_MAX: usize = 64;

pub(super) type Out<'o> = &'o mut Vec<MappingEffect>;

impl Registry {
    /// An empty one; what is on disk is put in by `restore_…`, in the order of the tables, and then `restored`.
    ///
    /// `epoch` must be larger than that of every registry before it on the same store.
    #[must_use]
    pub fn new(limits: MappingLimits, epoch: u64) -> Self {
        Self {
            limits,
            now: Moment { clock: 0, monotonic: 0 },
            mappings: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_source: BTreeMap::new(),
            waiting: BTreeSet::new(),
            pollers: BTreeMap::new(),
            erase_again: BTreeMap::new(),
            moving: 0,
            fences: Fences::of_epoch(epoch),
            seeks: BTreeMap::new(),
            next_ticket: 0,
            timers: BTreeSet::new(),
            pending: VecDeque::new(),
            next_persist: 1,
            next_mapping: 1,
            next_checkpoint: 1,
            next_parked_key: 1,
            next_parked_record: 1,
            draining: false,
            key_places: KeyPlaces::new(),
        }
    }

    /// Takes one input; what comes of it is added to `out`.
    pub fn step(&mut self, now: Moment, input: MappingInput, out: &mut Vec<MappingEffect>) {
        self.now = now;
        match input {
            MappingInput::Create { caller, id, definition, mode } => {
                self.create(caller, id, definition, mode, out);
            }
            MappingInput::Update { caller, id, revision, definition } => {
                self.update(caller, id, revision, definition, out);
            }
            MappingInput::SetMode { caller, id, mode } => self.set_mode(caller, id, mode, out),
            MappingInput::Delete { caller, id } => self.delete(caller, id, out),
            MappingInput::Seek { caller, id, preview } => self.seek(caller, id, preview, out),
            MappingInput::Unpark { caller, id, shard, key, skip_first } => {
                self.unpark(caller, id, &shard, &key, skip_first, out);
            }
            MappingInput::PollerJoined { caller, poller, hello } => {
                self.poller_joined(caller, poller, hello, out);
            }
            MappingInput::PollerDraining { poller } => self.poller_draining(poller, out),
            MappingInput::PollerLeft { poller } => self.poller_left(poller, out),
            MappingInput::Checkpoint { under, report } => self.checkpoint(under, report, out),
            MappingInput::Park { under, report } => self.park(under, report, out),
            MappingInput::Failure { under, ticket } => self.failure(under, ticket, out),
            MappingInput::Status { under, status, added } => {
                self.status(under, status, &added, out);
            }
            MappingInput::Release { under } => self.release(under, out),
            MappingInput::SeekDone { poller, ticket, report } => {
                self.seek_done(poller, ticket, report, out);
            }
            MappingInput::Persisted { from, through } => self.persisted(from, through, out),
            MappingInput::PersistRejected { number } => self.rejected(number, out),
            MappingInput::Drain => self.drain(out),
            MappingInput::Close => self.close(out),
            MappingInput::Tick => {}
        }
        self.timers_due(out);
        if cfg!(debug_assertions) && self.mappings.len() <= CHECKED_MAPPINGS_MAX {
            debug_assert_eq!(self.check(), Ok(()));
        }
    }

    /// When the next deadline passes, on the monotonic clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn timers_due(&mut self, out: Out<'_>) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= self.now.monotonic
        {
            self.timers.pop_first();
            match timer {
                Timer::Drain { mapping, fence } => self.drain_over(mapping, fence, out),
                Timer::Seek { ticket } => self.seek_over(ticket, out),
                Timer::Counts { mapping } => self.write_counts(mapping, out),
                Timer::Erase { mapping } => self.erase(mapping, out),
            }
        }
    }

    pub(super) fn after(&mut self, wait_ms: Millis, timer: Timer) -> Millis {
        let at = self.now.monotonic.saturating_add(wait_ms);
        self.timers.insert((at, timer));
        at
    }

    pub(super) fn persist(&mut self, mutation: MappingMutation, then: Pending, out: Out<'_>) {
        let number = self.next_persist;
        self.next_persist += 1;
        self.pending.push_back((number, then));
        out.push(MappingEffect::Persist { number, mutation });
    }

    fn persisted(&mut self, from: PersistNumber, through: PersistNumber, out: Out<'_>) {
        while let Some((_, pending)) =
            self.pending.pop_front_if(|(number, _)| (from..=through).contains(number))
        {
            match pending {
                Pending::Change(change) => self.changed(*change, out),
                Pending::Checkpoint { mapping, poller, ticket, shard, checkpoint, .. } => {
                    self.checkpoint_written(mapping, poller, ticket, &shard, checkpoint, out);
                }
                Pending::Forget { mapping, poller, ticket, shard } => {
                    self.forgotten(mapping, poller, ticket, &shard, out);
                }
                Pending::Park(parking) => self.parked(*parking, out),
                Pending::Settle(settle) => self.settled(*settle, out),
                Pending::Sought(seek) => self.sought(*seek, out),
                Pending::Counts => {}
                Pending::Erase(erasing) => self.erased(erasing, out),
            }
        }
    }

    /// A disk that is full now may have room later; nothing of a refused write has happened.
    fn rejected(&mut self, number: PersistNumber, out: Out<'_>) {
        let Some((_, pending)) = self.pending.pop_front_if(|(first, _)| *first == number) else {
            return;
        };
        match pending {
            Pending::Change(change) => self.change_refused(*change, out),
            Pending::Checkpoint { mapping, poller, ticket, shard, bytes_before, .. } => {
                self.checkpoint_refused(mapping, poller, ticket, &shard, bytes_before, out);
            }
            Pending::Forget { mapping, poller, ticket, shard } => {
                self.forget_refused(mapping, poller, ticket, &shard, out);
            }
            Pending::Park(parking) => self.park_refused(*parking, out),
            Pending::Settle(settle) => self.settle_refused(*settle, out),
            Pending::Sought(seek) => self.sought_refused(*seek, out),
            Pending::Counts => {}
            Pending::Erase(erasing) => self.erase_refused(erasing),
        }
    }

    /// A report's write has ended; what waited for the last one goes on.
    pub(super) fn write_ended(&mut self, number: u64, out: Out<'_>) {
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        mapping.writing -= 1;
        if mapping.writing == 0 && mapping.lease.is_none() {
            self.free(number, out);
        }
    }

    fn drain(&mut self, out: Out<'_>) {
        self.draining = true;
        for poller in self.pollers.keys() {
            out.push(MappingEffect::SayDraining { poller: *poller });
        }
    }

    fn close(&mut self, out: Out<'_>) {
        let due = |timer: &(Millis, Timer)| match timer {
            (_, Timer::Counts { mapping }) => Some(*mapping),
            _ => None,
        };
        let due: Vec<u64> = self.timers.iter().filter_map(due).collect();
        self.timers.retain(|(_, timer)| !matches!(timer, Timer::Counts { .. }));
        due.into_iter().for_each(|mapping| self.write_counts(mapping, out));
    }

    /// Counts that a poller told are on their way to the disk, if they are not.
    pub(super) fn count(&mut self, number: u64, added: &Counts) {
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        mapping.record.counts.add(added);
        if !std::mem::replace(&mut mapping.counts_due, true) {
            self.after(self.limits.counts_age_ms, Timer::Counts { mapping: number });
        }
    }

    pub(super) fn find(&self, id: MappingId) -> Option<u64> {
        self.by_id.get(&id).copied()
    }

    /// Whether writes are under way.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Everybody who still waits for an answer; for a shell whose store has failed.
    #[must_use]
    pub fn waiting_callers(&self) -> Vec<Caller> {
        let pending = self.pending.iter().filter_map(|(_, pending)| match pending {
            Pending::Change(change) => Some(change.caller),
            Pending::Settle(settle) => settle.caller(),
            Pending::Sought(seek) => Some(seek.caller),
            _ => None,
        });
        pending.chain(self.seeks.values().map(|seek| seek.caller)).collect()
    }
}

pub(super) fn refuse(caller: Caller, refusal: MappingRefusal, out: Out<'_>) {
    out.push(MappingEffect::Reply { caller, answer: MappingAnswer::Refused(refusal) });
}

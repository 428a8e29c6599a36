//! What can be seen of the registry from outside. It changes nothing.

use std::sync::Arc;

use super::mapping::{Definition, Mapping, MappingId, MappingMode, MappingState};
use super::record::Checkpoint;
use super::registry::Registry;
use super::status::{Counts, Status};
use crate::Millis;

/// A mapping as it is now.
#[derive(Debug, Clone)]
pub struct MappingView {
    /// Its identity.
    pub id: MappingId,
    /// Grows with every change of a user.
    pub revision: u64,
    /// What its user made of it.
    pub definition: Definition,
    /// What its user wants of it.
    pub mode: MappingMode,
    /// What it is doing about it.
    pub state: MappingState,
    /// When it was made.
    pub created_at: Millis,
    /// When a user changed it last.
    pub modified_at: Millis,
    /// Who reads it.
    pub holder: Option<HolderView>,
    /// What that one told last; shards are empty and `live` is unset once nobody reads it.
    pub status: Option<Status>,
    /// When it told.
    pub told_at: Option<Millis>,
    /// Totals.
    pub counts: Counts,
    /// Keys with parked records.
    pub parked_keys: u64,
    /// Of those, keys whose records are being sent again.
    pub unparking_keys: u64,
    /// Parked records.
    pub parked_records: u64,
    /// Shards with a checkpoint.
    pub checkpoints: u64,
    /// Connected pollers that can read its kind.
    pub able_pollers: u64,
}

/// Who reads a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderView {
    /// Its name.
    pub poller: Arc<str>,
    /// Under which fence.
    pub fence: u64,
    /// It was asked to let go.
    pub asked_back: bool,
}

/// A parked key.
#[derive(Debug, Clone)]
pub struct ParkedKeyView {
    /// Orders keys by when they were parked.
    pub number: u64,
    /// The shard in which it was parked.
    pub shard: Arc<str>,
    /// The key.
    pub key: Arc<[u8]>,
    /// Its records.
    pub records: u64,
    /// Since when.
    pub since: Millis,
    /// What the function answered last.
    pub error: Box<str>,
    /// Its records are being sent again.
    pub unparking: bool,
}

/// A connected poller.
#[derive(Debug, Clone)]
pub struct PollerView {
    /// Its name.
    pub name: Arc<str>,
    /// Mappings that it holds.
    pub mappings: u64,
    /// It gets nothing more.
    pub draining: bool,
}

impl Registry {
    /// One mapping; `None` if there is none, or it is not durable yet.
    #[must_use]
    pub fn mapping(&self, id: MappingId) -> Option<MappingView> {
        let number = self.find(id)?;
        let mapping = self.mappings.get(&number)?;
        (mapping.state() != MappingState::Creating).then(|| self.view(mapping))
    }

    /// Up to `max` mappings with a larger id than `after`, by id, of which the definition is `wanted`.
    pub fn mappings(
        &self,
        after: Option<MappingId>,
        max: usize,
        wanted: impl Fn(&Definition) -> bool,
    ) -> Vec<MappingView> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let found = self.by_id.range((from, std::ops::Bound::Unbounded));
        let durable = found
            .filter_map(|(_, number)| self.mappings.get(number))
            .filter(|mapping| mapping.state() != MappingState::Creating);
        durable
            .filter(|mapping| wanted(&mapping.record.definition))
            .take(max)
            .map(|mapping| self.view(mapping))
            .collect()
    }

    /// All of them, the oldest first.
    #[must_use]
    pub fn by_age(&self) -> Vec<MappingView> {
        self.mappings.values().map(|mapping| self.view(mapping)).collect()
    }

    pub(super) fn view_of(&self, number: u64) -> Option<MappingView> {
        self.mappings.get(&number).map(|mapping| self.view(mapping))
    }

    fn view(&self, mapping: &Mapping) -> MappingView {
        let record = &mapping.record;
        let holder = mapping.lease.as_ref().and_then(|lease| {
            let poller = Arc::clone(&self.pollers.get(&lease.poller)?.name);
            let asked_back = lease.asked_back.is_some();
            Some(HolderView { poller, fence: lease.fence, asked_back })
        });
        let able = self.pollers.values().filter(|poller| poller.reads(&record.definition.kind));
        let unparking = mapping.parked.shown().filter(|(_, key)| key.unparking);
        MappingView {
            id: record.id,
            revision: mapping.revision,
            definition: record.definition.clone(),
            mode: record.mode,
            state: mapping.state(),
            created_at: record.created_at,
            modified_at: record.modified_at,
            holder,
            status: mapping.status.clone(),
            told_at: mapping.told_at,
            counts: record.counts,
            parked_keys: mapping.parked.shown().count() as u64,
            unparking_keys: unparking.count() as u64,
            parked_records: mapping.parked.records,
            checkpoints: mapping.checkpoints.len() as u64,
            able_pollers: able.count() as u64,
        }
    }

    /// The checkpoints of a mapping, by shard.
    pub fn checkpoints(&self, id: MappingId) -> impl Iterator<Item = (&Arc<str>, &Checkpoint)> {
        let mapping = self.find(id).and_then(|number| self.mappings.get(&number));
        let kept = mapping.into_iter().flat_map(|mapping| &mapping.checkpoints);
        kept.filter_map(|(shard, kept)| Some((shard, kept.checkpoint.as_ref()?)))
    }

    /// The parked keys of a mapping, by shard and key; `None` if there is no such mapping.
    #[must_use]
    pub fn parked_keys(&self, id: MappingId) -> Option<Vec<ParkedKeyView>> {
        let mapping = self.find(id).and_then(|number| self.mappings.get(&number))?;
        let view = |((shard, name), key): (&super::parked::KeyName, &super::parked::ParkedKey)| {
            ParkedKeyView {
                number: key.number,
                shard: Arc::clone(shard),
                key: Arc::clone(name),
                records: key.records.len() as u64,
                since: key.since,
                error: key.error.clone(),
                unparking: key.unparking,
            }
        };
        Some(mapping.parked.shown().map(view).collect())
    }

    /// Everybody who is connected.
    pub fn pollers(&self) -> impl Iterator<Item = PollerView> {
        self.pollers.values().map(|poller| PollerView {
            name: Arc::clone(&poller.name),
            mappings: poller.held.len() as u64,
            draining: poller.draining,
        })
    }

    /// Whether anybody is connected.
    #[must_use]
    pub fn has_pollers(&self) -> bool {
        !self.pollers.is_empty()
    }
}

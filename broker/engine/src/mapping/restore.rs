//! From rows on disk back to a registry. It does not repair: a row without its owner stops the start.

use super::change::keys;
use super::mapping::{Kept, Mapping};
use super::parked::{Parked, ParkedKey};
use super::record::{CheckpointRecord, MappingRecord, ParkedKeyRecord, ParkedRecordRow};
use super::registry::{Registry, Timer};
use std::collections::{BTreeMap, VecDeque};

/// A row that belongs to one that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphan {
    /// Number of the row that is missing.
    pub owner: u64,
}

/// Where parked keys are while their records come: mapping and name by row.
pub(super) type KeyPlaces = BTreeMap<u64, (u64, super::parked::KeyName)>;

impl Registry {
    /// Puts a mapping in.
    pub fn restore_mapping(&mut self, record: MappingRecord) {
        let number = record.number;
        self.next_mapping = self.next_mapping.max(number + 1);
        self.by_id.insert(record.id, number);
        if !record.deleting {
            // What was made before a name of a reader was one mapping's keeps it; the first one has the key.
            for key in keys(&record.definition) {
                self.by_source.entry(key).or_insert(number);
            }
        }
        let mapping = Mapping::new(record);
        if mapping.is_assignable() {
            self.waiting.insert(number);
        } else if mapping.record.deleting {
            self.timers.insert((0, Timer::Erase { mapping: number }));
        }
        self.mappings.insert(number, mapping);
    }

    /// Puts a checkpoint in.
    ///
    /// # Errors
    /// If its mapping is not there.
    pub fn restore_checkpoint(&mut self, record: CheckpointRecord) -> Result<(), Orphan> {
        let CheckpointRecord { number, mapping: owner, shard, checkpoint } = record;
        let mapping = self.mappings.get_mut(&owner).ok_or(Orphan { owner })?;
        self.next_checkpoint = self.next_checkpoint.max(number + 1);
        let bytes = checkpoint.bytes(&shard);
        mapping.checkpoint_bytes += bytes;
        mapping
            .checkpoints
            .insert(shard, Kept { number, checkpoint: Some(checkpoint), bytes, going: false });
        Ok(())
    }

    /// Puts a parked key in.
    ///
    /// # Errors
    /// If its mapping is not there.
    pub fn restore_parked_key(&mut self, record: ParkedKeyRecord) -> Result<(), Orphan> {
        let ParkedKeyRecord { number, mapping: owner, shard, key, since, error, unparking } =
            record;
        let mapping = self.mappings.get_mut(&owner).ok_or(Orphan { owner })?;
        self.next_parked_key = self.next_parked_key.max(number + 1);
        let name = (shard, key);
        mapping.parked.key_bytes += (name.0.len() + name.1.len()) as u64;
        let parked = ParkedKey {
            number,
            since,
            error,
            unparking,
            records: VecDeque::new(),
            joining: 0,
            settling: false,
            sent: 0,
            dropped: 0,
        };
        mapping.parked.keys.insert(name.clone(), parked);
        self.key_places.insert(number, (owner, name));
        Ok(())
    }

    /// Puts a parked record in; those of a key in the order of their numbers.
    ///
    /// # Errors
    /// If its key is not there.
    pub fn restore_parked_record(&mut self, row: ParkedRecordRow) -> Result<(), Orphan> {
        let missing = Orphan { owner: row.key };
        let (owner, name) = self.key_places.get(&row.key).ok_or(missing)?;
        let parked: &mut Parked = &mut self.mappings.get_mut(owner).ok_or(missing)?.parked;
        parked.records += 1;
        parked.bytes += u64::from(row.bytes);
        parked.keys.get_mut(name).ok_or(missing)?.records.push_back(row);
        self.next_parked_record = self.next_parked_record.max(row.number + 1);
        Ok(())
    }

    /// Everything was put in.
    pub fn restored(&mut self) {
        self.key_places = KeyPlaces::new();
    }
}

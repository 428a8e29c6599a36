//! What holds of a registry between two steps, whatever happened. Each has a number; a failure names it.
//!
//! | | |
//! |---|---|
//! | MAP-1 | a mapping has at most one poller, and that poller knows; a poller has what its mappings say |
//! | MAP-2 | a mapping waits for a poller exactly if it is assignable |
//! | MAP-3 | a fence was given once, and none is larger than the last |
//! | MAP-4 | nobody waits while a connected poller has room and reads the kind |
//! | MAP-5 | moves under way are counted once, on both sides |
//! | MAP-6 | sums of parked records, bytes and checkpoints are those of what is kept and under way |
//! | MAP-7 | every source and function has one mapping that is not on its way out |
//! | MAP-8 | a bound is not passed |

use std::collections::BTreeSet;

use super::change::keys;
use super::mapping::Mapping;
use super::registry::Registry;

impl Registry {
    /// Looks at everything; costs as much as there is.
    ///
    /// # Errors
    /// The number and a sentence of the first invariant that does not hold.
    pub fn check(&self) -> Result<(), String> {
        self.leases()?;
        self.moves()?;
        self.sums()?;
        self.sources()
    }

    fn leases(&self) -> Result<(), String> {
        let mut fences = BTreeSet::new();
        let mut held = 0;
        for (number, mapping) in &self.mappings {
            if self.waiting.contains(number) != mapping.is_assignable() {
                return Err(format!("MAP-2: {number} waits, or should: {mapping:?}"));
            }
            let Some(lease) = &mapping.lease else { continue };
            held += 1;
            let poller = self.pollers.get(&lease.poller);
            if poller.is_none_or(|poller| !poller.held.contains(number)) {
                return Err(format!(
                    "MAP-1: {number} is held by {:?}, who does not know",
                    lease.poller
                ));
            }
            if !fences.insert(lease.fence) || lease.fence > self.fences.last() {
                return Err(format!("MAP-3: {number} has the fence {}", lease.fence));
            }
        }
        let known: usize = self.pollers.values().map(|poller| poller.held.len()).sum();
        if known != held {
            return Err(format!("MAP-1: {held} mappings are held and pollers have {known}"));
        }
        for number in self.waiting.iter().filter(|_| !self.draining) {
            let kind = self.mappings.get(number).map(|mapping| &mapping.record.definition.kind);
            let able = |kind: &str| self.pollers.values().any(|poller| poller.takes(kind));
            if kind.is_none_or(|kind| able(kind)) {
                return Err(format!("MAP-4: {number} waits, and somebody could have it"));
            }
        }
        let over = self.pollers.values().find(|one| one.held.len() > one.mappings_max as usize);
        over.map_or(Ok(()), |poller| Err(format!("MAP-8: too many mappings: {poller:?}")))
    }

    fn moves(&self) -> Result<(), String> {
        let leases = self.mappings.values().filter_map(|mapping| mapping.lease.as_ref());
        let moving: Vec<_> =
            leases.filter_map(|lease| Some((lease.poller, lease.asked_back?.to?))).collect();
        let (from, to) = self
            .pollers
            .values()
            .fold((0, 0), |(from, to), poller| (from + poller.leaving, to + poller.coming));
        let moves = u32::try_from(moving.len()).unwrap_or(u32::MAX);
        if [from, to] != [moves; 2] || self.moving != moves || moves > self.limits.moves_max {
            let counted = self.moving;
            return Err(format!("MAP-5: {moves} moves, counted {counted}, from {from}, to {to}"));
        }
        Ok(())
    }

    fn sums(&self) -> Result<(), String> {
        for (number, mapping) in self.mappings.iter().filter(|(_, one)| one.writing == 0) {
            let wrong = |what: &str| Err(format!("MAP-6: {what} of {number}: {mapping:?}"));
            let Mapping { parked, checkpoints, .. } = mapping;
            if mapping.record.deleting {
                continue;
            }
            let records = parked.keys.values().flat_map(|key| &key.records);
            let (count, bytes) =
                records.fold((0, 0), |(n, sum), one| (n + 1, sum + u64::from(one.bytes)));
            if (count, bytes) != (parked.records, parked.bytes) {
                return wrong("parked records");
            }
            let names = parked.keys.keys().map(|(shard, key)| (shard.len() + key.len()) as u64);
            if names.sum::<u64>() != parked.key_bytes {
                return wrong("parked keys");
            }
            let kept = checkpoints.values().map(|kept| kept.bytes);
            if kept.sum::<u64>() != mapping.checkpoint_bytes {
                return wrong("checkpoints");
            }
            if parked.records > self.limits.parked_records_max
                || parked.bytes > self.limits.parked_bytes_max
                || parked.keys.len() > self.limits.parked_keys_max
                || checkpoints.len() > self.limits.checkpoints_max
            {
                return Err(format!("MAP-8: {number} has too much: {mapping:?}"));
            }
        }
        Ok(())
    }

    fn sources(&self) -> Result<(), String> {
        for (number, mapping) in self.mappings.iter().filter(|(_, one)| !one.record.deleting) {
            let keys = keys(&mapping.record.definition);
            let is_its = |key| self.by_source.get(key) == Some(number);
            // A name of a reader may be another's that was there before names were one mapping's.
            if !is_its(&keys[0]) || !keys.iter().all(|key| self.by_source.contains_key(key)) {
                return Err(format!("MAP-7: the source of {number} leads elsewhere"));
            }
        }
        Ok(())
    }
}

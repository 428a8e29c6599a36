//! The numbered invariants of a mapping, as predicates over its state. Checked after every step in debug
//! builds and in the simulation; the shell may ask at any time.
//!
//! - PE-1: no more batches are in flight than the mapping may have, and as many as its shards say.
//! - PE-2: no shard has more batches in flight than a shard may have (I6).
//! - PE-3: the checkpoint never passes a record without an outcome (I7).
//! - PE-4: after a step no deadline is left that has come: the shell cannot spin.
//! - PE-5: a mapping that is stopped has nothing in flight.
//! - PE-6: what is held is counted: while a batch is held nothing is fetched.
//!
//! The rest looks at every record, and is checked where few are in hand:
//!
//! - PE-10: a key, or a shard in order, is in at most one batch (I6).
//! - PE-11: conservation: every record in hand is in exactly one place (I7).
//! - PE-12: every record in hand has a lease that will be extended.

use std::collections::{BTreeMap, BTreeSet};

use crate::flight::State;
use crate::ledger;
use crate::run::Run;
use crate::shard::Shard;
use crate::{BatchId, Order, Origin, Poll, Sequence};

/// Records in hand up to which every one of them is looked at.
const EVERY_RECORD_MAX: u64 = 64;

pub(crate) fn broken(poll: &Poll) -> Option<&'static str> {
    let shards = || poll.shards.values().map(|entry| &entry.shard);
    let running: u32 = shards().map(|shard| shard.running).sum();
    let orphans = u32::try_from(poll.orphans.len()).unwrap_or(u32::MAX);
    let in_flight = poll.permits.in_flight();
    let held = shards().flat_map(|shard| shard.batches.values()).filter(|b| b.is_held).count();
    let holds = [
        ("PE-1", in_flight == running + orphans && in_flight <= poll.settings.maximum_concurrency),
        ("PE-4", poll.next_deadline().is_none_or(|deadline| deadline > poll.now)),
        ("PE-5", poll.run != Run::Stopped || in_flight == 0),
        ("PE-6", held as u64 == u64::from(poll.permits.held())),
    ];
    let of_mapping = holds.into_iter().find(|(_, holds)| !holds).map(|(name, _)| name);
    of_mapping.or_else(|| shards().find_map(|shard| of_shard(poll, shard)))
}

fn of_shard(poll: &Poll, shard: &Shard) -> Option<&'static str> {
    let limit = poll.settings.batches_per_shard_max;
    let is_running = shard.batches.values().filter(|batch| batch.state == State::Running).count();
    let holds = [
        ("PE-2", shard.running <= limit && is_running as u64 == u64::from(shard.running)),
        ("PE-3", shard.checkpoint.asked() <= shard.ledger.mark()),
    ];
    let broken = holds.into_iter().find(|(_, holds)| !holds).map(|(name, _)| name);
    if broken.is_some() || shard.ledger.in_hand() > EVERY_RECORD_MAX {
        return broken;
    }
    of_records(poll, shard)
}

fn of_records(poll: &Poll, shard: &Shard) -> Option<&'static str> {
    let mut lanes: BTreeMap<u64, BatchId> = BTreeMap::new();
    let mut sent: BTreeSet<Sequence> = BTreeSet::new();
    for batch in shard.batches.values().filter(|batch| batch.origin == Origin::Source) {
        for record in batch.left() {
            let lane = match poll.settings.order {
                Order::None => None,
                Order::Shard => Some(0),
                Order::Key => Some(shard.ledger.slot(record).key.0),
            };
            if lane.is_some_and(|lane| *lanes.entry(lane).or_insert(batch.id) != batch.id) {
                return Some("PE-10");
            }
            if !sent.insert(record) {
                return Some("PE-11");
            }
        }
    }
    let count = |wanted: &[ledger::State]| {
        shard.ledger.states().filter(|(_, state)| wanted.contains(state)).count() as u64
    };
    let (waiting, parking) = (count(&[ledger::State::Waiting]), count(&[ledger::State::Parking]));
    let in_batches = count(&[ledger::State::Sent, ledger::State::Void]);
    let is_kept = !shard.is_ending();
    let all_found = shard.lanes.is_counted()
        && waiting == shard.lanes.waiting_records()
        && parking == shard.parks.waiting_records()
        && in_batches == sent.len() as u64;
    if is_kept && !all_found {
        return Some("PE-11");
    }
    let uncovered = |(record, _): &(Sequence, ledger::State)| {
        shard.ledger.is_unsettled(*record) && !shard.lease.covers(*record)
    };
    if is_kept && shard.ledger.states().any(|slot| uncovered(&slot)) {
        return Some("PE-12");
    }
    None
}

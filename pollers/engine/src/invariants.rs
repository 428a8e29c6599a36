//! The numbered invariants of a shard, as one predicate over its state. Checked after every step in
//! debug builds and in the simulation; the shell may ask at any time.
//!
//! - PE-1: at most one batch is in flight, and it starts where the ended records end (I6).
//! - PE-2: a batch is in flight only while everything before it is durably settled: after a crash no
//!   more than one batch comes again (I7).
//! - PE-3: the checkpoint ends where records have ended, never behind one that has not (I7).
//! - PE-4: a batch has at least one record and no more than its limit.
//! - PE-5: the records that wait follow on those in flight without a gap: none is skipped or sent twice.
//! - PE-6: after a step no deadline is left that has come: the shell cannot spin.
//! - PE-7: a stopped shard has nothing in flight.

use crate::run::Run;
use crate::{Millis, Shard};

pub(crate) fn broken(shard: &Shard, now: Millis) -> Option<&'static str> {
    let Shard { flight, checkpoint, gather, link, settings, run } = shard;
    let waiting = flight.waiting().map(|(batch, ..)| batch);
    let batch = flight.running().map(|(batch, _)| batch).or(waiting);
    let ended = checkpoint.ended_end();
    let sent_end = batch.map_or(ended, |batch| batch.records.end);
    let in_flight = flight.running().is_some() || checkpoint.is_storing() || link.awaits_answer();
    let holds = [
        ("PE-1", batch.is_none_or(|batch| batch.records.first == ended)),
        ("PE-2", batch.is_none() || checkpoint.is_clean()),
        ("PE-3", checkpoint.stored_end() <= ended),
        (
            "PE-4",
            batch.is_none_or(|batch| {
                (1..=u64::from(settings.batch.records_max())).contains(&batch.records.count())
            }),
        ),
        ("PE-5", run.is_ending() || gather.first() == sent_end),
        ("PE-6", shard.next_deadline().is_none_or(|deadline| deadline > now)),
        ("PE-7", *run != Run::Stopped || !in_flight),
    ];
    holds.into_iter().find(|(_, holds)| !holds).map(|(name, _)| name)
}

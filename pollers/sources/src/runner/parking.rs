//! Keys that are parked and come back: what the broker is told of them, and what it orders. Which key is parked, and when one goes on, the
//! engine decides.

use std::time::Duration;

use trine_poll_engine::{BatchId, Input, Key, RecordMeta, Records, ShardId, Ticket};
use trine_proto::v1::{ParkReport, ParkedRecord, UnparkOrder};

use super::Runner;
use super::carry::element;
use super::shards::{ParkedAs, number, parking_key};
use super::status::Keeping;
use super::units::Done;
use crate::reports::Answered;
use crate::source::{Place, Record, ShardName};

impl Runner {
    pub(super) fn park(
        &mut self,
        id: ShardId,
        ticket: Ticket,
        _key: Key,
        records: &Records,
        failed: Option<BatchId>,
    ) {
        let Some(shard) = self.shards.get(id) else { return };
        let parked = shard.records(records);
        let Some(first) = parked.first() else { return };
        let error =
            failed.and_then(|batch| self.responses.get(&batch)).map(crate::invoke::Response::error);
        let report = ParkReport {
            mapping_id: self.plan.id.to_string(),
            fence: self.plan.fence,
            shard: shard.name.to_string(),
            key: parking_key(first),
            error: error.unwrap_or_default(),
            records: parked.into_iter().map(as_parked).collect(),
            ..ParkReport::default()
        };
        let reports = self.reports.clone();
        self.units.start(async move { Done::Parked(id, ticket, reports.park(report).await) });
    }

    pub(super) fn unpark_settled(&mut self, id: ShardId, ticket: Ticket, key: Key, count: u64) {
        let Some(shard) = self.shards.get(id) else { return };
        let parked = shard.parked_as(key);
        let report = ParkReport {
            mapping_id: self.plan.id.to_string(),
            fence: self.plan.fence,
            shard: parked.shard,
            key: parked.key,
            settled: u32::try_from(count).unwrap_or(u32::MAX),
            ..ParkReport::default()
        };
        let reports = self.reports.clone();
        self.units.start(async move {
            Done::UnparkSettled(id, ticket, key, count, reports.park(report).await)
        });
    }

    /// Tells the broker that a key which was unparked has failed again.
    fn still_parked(&mut self, parked: ParkedAs) {
        let report = ParkReport {
            mapping_id: self.plan.id.to_string(),
            fence: self.plan.fence,
            shard: parked.shard,
            key: parked.key,
            error: self.status.last_result().to_owned(),
            ..ParkReport::default()
        };
        self.tell_still_parked(report, Duration::ZERO);
    }

    /// Until it is told, the broker believes that the records are being sent.
    pub(super) fn tell_still_parked(&mut self, report: ParkReport, wait: Duration) {
        let reports = self.reports.clone();
        self.units.start(async move {
            tokio::time::sleep(wait).await;
            let answered = reports.park(report.clone()).await;
            Done::StillParked(Box::new(report), answered)
        });
    }

    pub(super) fn parked(&mut self, shard: ShardId, ticket: Ticket, answered: &Answered) {
        let full = matches!(answered, Answered::Full(_));
        let done = self.is_done(Keeping::Park, answered);
        self.step(match done {
            true => Input::Parked { shard, ticket },
            false => Input::ParkFailed { shard, ticket, full },
        });
        self.let_go(shard);
    }

    pub(super) fn unpark(&mut self, order: UnparkOrder) {
        let name = ShardName::new(&order.shard);
        // A shard that has ended opens never again; any other can send its records.
        let stand_in =
            || self.shards.iter().next().map(|(id, _)| id).filter(|_| self.is_over(&name));
        let Some(shard) = self.shards.numbered(&name).or_else(stand_in) else {
            // It will be opened.
            return self.unparks.push(order);
        };
        let now = self.clock.now_ms();
        let Some(open) = self.shards.get_mut(shard) else { return };
        let parked = ParkedAs { shard: order.shard.clone(), key: order.key.clone() };
        if open.returns_another(&parked) {
            return self.unparks.push(order);
        }
        let metas: Vec<_> = order
            .records
            .iter()
            .map(|record| RecordMeta {
                bytes: record.event.len() as u64,
                arrived_at: u64::try_from(record.arrived_at_ms).unwrap_or_default().min(now),
                key: number(&order.key),
                filtered: false,
            })
            .collect();
        self.coming_back = metas.len() as u64;
        let key = open.unpark(parked, order.records);
        self.step(Input::Unpark { shard, key, dropped: order.dropped, records: &metas });
    }

    /// Whether the shard has ended. One without a place may only not be open yet: if another sent its records, it would hold
    /// their keys for parked when it opens.
    fn is_over(&self, name: &ShardName) -> bool {
        self.places.get(name) == Some(&Place::Ended)
    }

    /// None of the records that came back is in hand any more. If they did not end, the broker is told that the key stays parked.
    pub(super) fn unpark_ended(&mut self, shard: ShardId, key: Key, done: bool) {
        let Some(open) = self.shards.get_mut(shard) else { return };
        open.unpark_ended(key);
        if !done {
            let parked = open.parked_as(key);
            self.still_parked(parked);
        }
        let orders = std::mem::take(&mut self.unparks);
        orders.into_iter().for_each(|order| self.unpark(order));
    }
}

fn as_parked(record: &Record) -> ParkedRecord {
    ParkedRecord {
        identifier: record.identifier.to_string(),
        position: record.position.to_string(),
        arrived_at_ms: record.arrived_at_ms.unwrap_or_default(),
        event: element(record),
    }
}

//! Records that were given up on their way to the on-failure destination: one failure record about all of them, or for a topic of Kafka
//! one about each (LS 4.6, 4.8). It does not know whether they are tried again; the engine does.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use trine_poll_engine::{Failure, Key, Millis, Origin, ShardId, Ticket};
use trine_proto::v1::{FailureReport, ParkedRecord, RecordKey};

use super::Runner;
use super::failure_record::{About, Head};
use super::payload::event;
use super::shards::Shard;
use super::units::Done;
use crate::reports::{Answered, Reports};
use crate::source::{Connect, Content, Envelope, Record, ShardName};

impl Runner {
    pub(super) fn deliver(&mut self, now: Millis, id: ShardId, ticket: Ticket, failure: &Failure) {
        // By its text the broker, and who gets it, know that a record which is told again is the same.
        let now_ms = *self.first_told.entry((id, ticket)).or_insert(now);
        let Some(shard) = self.shards.get(id) else { return };
        let given_up = given_up(shard, failure);
        let response = failure
            .batch
            .and_then(|batch| self.responses.get(&batch))
            .filter(|_| failure.had_response);
        let function_arn = &self.plan.function_arn;
        let head = Head::new(failure, &About { function_arn, response, now_ms });
        let report = FailureReport {
            mapping_id: self.plan.id.to_string(),
            fence: self.plan.fence,
            ..FailureReport::default()
        };
        let reports = self.reports.clone();
        if self.plan.fails_one_by_one && !given_up.is_empty() {
            let batch = OneByOne {
                head,
                report,
                connector: Arc::clone(&self.connector),
                shard: shard.name.clone(),
                envelope: shard.envelope.clone(),
            };
            self.units.start(async move {
                Done::Delivered(id, ticket, batch.report(given_up, &reports).await)
            });
            return;
        }
        let member = match given_up.is_empty() {
            // The final invocation of a tumbling window, which has no records of its own.
            true => ("WindowBatchInfo", json!({"shardId": shard.name.as_str(), "batchSize": 0})),
            false => {
                let given_up: Vec<_> = given_up.iter().collect();
                self.connector.batch_member(&shard.name, &given_up)
            }
        };
        let report = FailureReport {
            record: head.of_batch(member),
            records: u32::try_from(failure.records.count()).unwrap_or(u32::MAX),
            ..report
        };
        self.units.start(async move { Done::Delivered(id, ticket, reports.failure(report).await) });
    }
}

/// A batch of which each record is told by itself.
struct OneByOne {
    head: Head,
    /// What all reports have in common.
    report: FailureReport,
    connector: Arc<dyn Connect>,
    shard: ShardName,
    envelope: Envelope,
}

impl OneByOne {
    /// One after the other, so that records of one key stay in order. The first that is not taken ends it, and all of them are told again
    /// when the batch is.
    async fn report(self, given_up: Vec<Record>, reports: &Reports) -> Answered {
        for record in given_up {
            match reports.failure(self.report_of(&record)).await {
                Answered::Done => {}
                other => return other,
            }
        }
        Answered::Done
    }

    fn report_of(&self, record: &Record) -> FailureReport {
        let given_up = [record];
        let member = self.connector.record_member(&self.shard, record);
        let member = member.unwrap_or_else(|| self.connector.batch_member(&self.shard, &given_up));
        let payload = match &record.content {
            Content::Event(element) => {
                Some(event(&self.envelope, std::slice::from_ref(element), None))
            }
            Content::TooLarge(_) => None,
        };
        FailureReport {
            record: self.head.of_one(member, payload.as_deref()),
            records: 1,
            one: Some(RecordKey { key: record.key.clone() }),
            ..self.report.clone()
        }
    }
}

/// Cheap copies: their bytes are shared.
fn given_up(shard: &Shard, failure: &Failure) -> Vec<Record> {
    match failure.origin {
        Origin::Source => shard.records(&failure.records).into_iter().cloned().collect(),
        Origin::Park(key) => {
            let parked = shard.parked_records(&failure.records).into_iter();
            parked.map(|parked| as_record(parked, shard, key)).collect()
        }
    }
}

fn as_record(parked: &ParkedRecord, shard: &Shard, key: Key) -> Record {
    // One without a key is parked under its identifier.
    let key = Some(shard.parked_as(key).key).filter(|key| **key != *parked.identifier.as_bytes());
    Record {
        position: crate::Position::new(&parked.position),
        identifier: parked.identifier.as_str().into(),
        arrived_at_ms: Some(parked.arrived_at_ms),
        key,
        body: Bytes::new(),
        content: Content::Event(parked.event.clone()),
    }
}

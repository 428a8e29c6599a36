//! What leaves the task for a while: failure records on their way to a destination, once each, and parked records on
//! their way back from the store. It does not know when to try again; the poller does.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::task::JoinSet;
use trine_engine::mapping::{MappingView, PollerId};
use trine_engine::{Destination, Millis, Qualifier};
use trine_store::record::{ParkedEnvelope, decode_parked};
use trine_store::{Key, Table};

use super::MAPPING_SHARD;
use super::definition;
use super::message::{FailureRecord, MappingsHandle, Message};
use super::sessions::UnparkNews;
use crate::destinations::{DeliveryOutcome, DestinationRecord, Destinations, rfc3339};
use crate::shard::call::{Call, CallMode, ReplyBody, Target};
use crate::shard::message::ShardHandle;
use crate::store::SharedStore;

/// Failure records offered at a time, at most; the others wait, and with them the pollers that reported them.
const UNDER_WAY_MAX: usize = 64;

pub(super) struct Deliveries {
    queue: VecDeque<Failure>,
    under_way: usize,
    /// Given up with the task: nobody could be told how they ended.
    running: JoinSet<()>,
    way: Way,
}

/// What a delivery needs on its way.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) destinations: Destinations,
    pub(crate) store: SharedStore,
    pub(crate) shard: ShardHandle,
    pub(crate) mappings: MappingsHandle,
}

struct Failure {
    poller: PollerId,
    ticket: u64,
    view: MappingView,
    record: FailureRecord,
    at: Millis,
}

impl Deliveries {
    pub(super) fn new(way: Way) -> Self {
        Self { queue: VecDeque::new(), under_way: 0, running: JoinSet::new(), way }
    }

    pub(super) fn enqueue(
        &mut self,
        poller: PollerId,
        ticket: u64,
        view: MappingView,
        record: FailureRecord,
        at: Millis,
    ) {
        self.queue.push_back(Failure { poller, ticket, view, record, at });
    }

    /// A try has ended.
    pub(super) fn done(&mut self) {
        self.under_way -= 1;
    }

    /// Offers what waits, as far as there is room.
    pub(super) fn start(&mut self) {
        while self.running.try_join_next().is_some() {}
        while self.under_way < UNDER_WAY_MAX {
            let Some(failure) = self.queue.pop_front() else { return };
            self.under_way += 1;
            self.running.spawn(Box::pin(self.way.clone().offer(failure)));
        }
    }

    /// Reads parked records for the poller that is to send them again.
    pub(super) fn load(&mut self, poller: PollerId, mut news: UnparkNews, rows: Vec<u64>) {
        let way = self.way.clone();
        self.running.spawn(async move {
            let Way { store, mappings, .. } = way;
            let read = tokio::task::spawn_blocking(move || {
                rows.into_iter().map(|row| read(&store, row)).collect::<Result<Vec<_>, _>>()
            });
            match read.await.map_err(|error| error.to_string()).flatten() {
                Ok(records) => news.records = records,
                // The records stay where they are; a poller that gets the mapping next is given them again.
                Err(error) => {
                    let mapping = news.mapping;
                    return tracing::error!(%mapping, error, "parked records cannot be read");
                }
            }
            // Without a task there is nobody to send them.
            let _ = mappings.send(Message::Loaded { poller, news: Box::new(news) }).await;
        });
    }
}

fn read(store: &SharedStore, row: u64) -> Result<ParkedEnvelope, String> {
    let key = Key { table: Table::ParkedPayload, id: row };
    let found = store.get(MAPPING_SHARD, key).map_err(|error| error.to_string())?;
    let bytes = found.ok_or_else(|| format!("parked record {row} is not in the store"))?;
    decode_parked(bytes).map_err(|error| error.to_string())
}

impl Way {
    async fn offer(self, failure: Failure) {
        let (poller, ticket, mapping) = (failure.poller, failure.ticket, failure.view.id);
        let error = Box::pin(self.deliver(failure)).await.err().unwrap_or_default();
        if !error.is_empty() {
            tracing::warn!(%mapping, error, "a destination did not take a failure record");
        }
        // Without a task the poller reports it again to the next one.
        let _ = self.mappings.send(Message::Delivered { poller, ticket, error }).await;
    }

    /// One try.
    async fn deliver(&self, failure: Failure) -> Result<(), String> {
        let Failure { view, record: FailureRecord { json, key }, at, .. } = failure;
        let target = definition::on_failure(&view.definition)?
            .ok_or("The mapping has no on-failure destination.")?;
        let function = view.definition.function.to_string();
        let delivery_id = format!("{}-{:016x}", view.id, crate::shard::digest(&json));
        if let Destination::Function(name) = target {
            return self.to_function(name.to_string(), delivery_id, json).await;
        }
        let record = DestinationRecord {
            delivery_id,
            // Unqualified, as in the record (LS 4.6).
            function_arn: format!("trine:function:{function}"),
            function,
            success: false,
            timestamp: rfc3339(at),
            json,
            key,
            traceparent: String::new(),
            tracestate: String::new(),
        };
        match Box::pin(self.destinations.deliver(&target, record)).await {
            DeliveryOutcome::Taken => Ok(()),
            DeliveryOutcome::Failed(error) | DeliveryOutcome::Refused(error) => Err(error),
            DeliveryOutcome::Function(name) => Err(format!("{name} was not invoked")),
        }
    }

    /// The record becomes an event of the function, once: the idempotency key is the record's.
    async fn to_function(
        &self,
        name: String,
        delivery_id: String,
        record: Bytes,
    ) -> Result<(), String> {
        let target = Target { name, qualifier: Qualifier::Latest, qualified: false };
        let key = format!("trine-record-{delivery_id}").into_boxed_str();
        let mode = CallMode::Event { not_before: None, hops: 0, idempotency_key: Some(key) };
        let call = Call { tag: 0, target: 0, payload: record, mode, log_tail: false, extra: None };
        let reply = self.shard.call(target, call).await.map_err(|refusal| refusal.message)?;
        match reply.body {
            ReplyBody::Accepted { .. } => Ok(()),
            ReplyBody::Refused(refusal) => Err(refusal.message),
            _ => Err("an answer went astray".to_owned()),
        }
    }
}

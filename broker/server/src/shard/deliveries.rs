//! Records on their way to destinations: which are offered now, with what bytes, and why the last try failed. When to
//! try again is the engine's decision; how a destination is reached is `destinations/`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::task::JoinSet;
use trine_engine::{
    Answer, Caller, Deliver, DeliveryResult, Destination, End, Engine, EventRecord, EventStage,
    FunctionSettings, Input, RequestId,
};
use trine_proto::v1::Refusal;
use trine_store::Shard as StoreShard;
use trine_store::record::{decode_payload, decode_response};

use crate::destinations::{DeliveryOutcome, DestinationRecord, Destinations};
use crate::shard::call::{Call, CallMode, Extra, Target};
use crate::shard::message::{FunctionDelivery, Message, ShardHandle};
use crate::shard::saving::{payload_key, response_key};
use crate::shard::{EDGE_DELIVERY, Shard};
use crate::store::SharedStore;

/// Records offered at a time, at most.
const UNDER_WAY_MAX: usize = 64;

/// Errors of deliveries that are remembered, at most; the oldest ids go first.
const ERRORS_MAX: usize = 10_000;

/// Longest error that is remembered, in characters.
const ERROR_CHARS_MAX: usize = 500;

/// The shard's side of deliveries.
pub(crate) struct Deliveries {
    queue: VecDeque<Deliver>,
    under_way: usize,
    /// Given up with the shard: nobody could be told how they ended.
    offers: JoinSet<()>,
    /// Records that are being accepted by another function's queue, by tag.
    to_functions: HashMap<u64, (trine_engine::EntryId, RequestId)>,
    way: Way,
    errors: DeliveryErrors,
}

/// What a delivery needs on its way.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) destinations: Destinations,
    pub(crate) store: SharedStore,
    pub(crate) store_shard: StoreShard,
    pub(crate) shard: ShardHandle,
}

/// Why records were not taken, by invocation; shared with the edge that shows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeliveryErrors(Arc<Mutex<BTreeMap<RequestId, String>>>);

impl DeliveryErrors {
    pub(crate) fn get(&self, request_id: RequestId) -> String {
        self.lock().get(&request_id).cloned().unwrap_or_default()
    }

    fn set(&self, request_id: RequestId, error: &str) {
        let mut errors = self.lock();
        if error.is_empty() {
            errors.remove(&request_id);
            return;
        }
        errors.insert(request_id, error.chars().take(ERROR_CHARS_MAX).collect());
        if errors.len() > ERRORS_MAX {
            errors.pop_first();
        }
    }

    /// Every change is complete before anything that can panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<RequestId, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deliveries {
    pub(crate) fn new(way: Way, errors: DeliveryErrors) -> Self {
        Self {
            queue: VecDeque::new(),
            under_way: 0,
            offers: JoinSet::new(),
            to_functions: HashMap::new(),
            way,
            errors,
        }
    }

    pub(crate) fn enqueue(&mut self, deliver: Deliver) {
        self.queue.push_back(deliver);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.under_way > 0 || !self.queue.is_empty()
    }

    /// A try has ended.
    pub(crate) fn done(&mut self, request_id: RequestId, error: &str) {
        self.under_way -= 1;
        self.errors.set(request_id, error);
    }

    /// Offers what waits, as far as there is room.
    fn start(&mut self, engine: &Engine) {
        while self.offers.try_join_next().is_some() {}
        while self.under_way < UNDER_WAY_MAX {
            let Some(deliver) = self.queue.pop_front() else { return };
            self.under_way += 1;
            let settings = engine.settings(deliver.function).map(|(_, settings)| settings);
            let target = settings.and_then(|settings| target(settings, &deliver.record)).cloned();
            self.offers.spawn(self.way.clone().offer(deliver, target));
        }
    }
}

fn target<'s>(settings: &'s FunctionSettings, record: &EventRecord) -> Option<&'s Destination> {
    match &record.stage {
        EventStage::Ended(ended) if ended.end == End::Succeeded => settings.on_success.as_ref(),
        EventStage::Ended(_) => settings.on_failure.as_ref(),
        EventStage::Waiting { .. } => None,
    }
}

impl Way {
    async fn offer(self, deliver: Deliver, target: Option<Destination>) {
        let Deliver { entry, record, .. } = deliver;
        let request_id = record.request_id;
        let (result, error) = match target {
            None => (DeliveryResult::Refused, "The destination was removed.".to_owned()),
            Some(target) => match Box::pin(self.try_once(entry, &record, &target)).await {
                Ok(DeliveryOutcome::Taken) => (DeliveryResult::Taken, String::new()),
                Ok(DeliveryOutcome::Failed(error)) => (DeliveryResult::Failed, error),
                Ok(DeliveryOutcome::Refused(error)) => (DeliveryResult::Refused, error),
                // The shard takes it from here and tells itself.
                Ok(DeliveryOutcome::Function(_)) => return,
                Err(error) => (DeliveryResult::Failed, error),
            },
        };
        if result != DeliveryResult::Taken {
            tracing::warn!(%request_id, error, "a destination did not take a record");
        }
        // Without a shard the record stays pending on disk and is offered at the next start.
        let _ = self.shard.send(Message::Delivered { entry, request_id, result, error }).await;
    }

    async fn try_once(
        &self,
        entry: trine_engine::EntryId,
        record: &EventRecord,
        target: &Destination,
    ) -> Result<DeliveryOutcome, String> {
        let (payload, extra, response) = self.read(record).await?;
        let json = DestinationRecord::new(record, &payload, response.as_deref());
        if let Destination::Function(name) = target {
            let delivery = FunctionDelivery {
                entry,
                request_id: record.request_id,
                target: name.clone(),
                record: json.json.clone(),
                hops: record.hops.saturating_add(1),
                extra,
            };
            let message = Message::DeliverToFunction(Box::new(delivery));
            self.shard.send(message).await.map_err(|refusal| refusal.message)?;
            return Ok(DeliveryOutcome::Function(name.clone()));
        }
        let (traceparent, tracestate) = extra
            .map(|extra| {
                let Extra { traceparent, tracestate, .. } = *extra;
                (traceparent, tracestate)
            })
            .unwrap_or_default();
        let record = json.with_trace(traceparent, tracestate);
        Ok(Box::pin(self.destinations.deliver(target, record)).await)
    }

    /// Payload, its trace, and response, if there is one, from the store.
    async fn read(
        &self,
        record: &EventRecord,
    ) -> Result<(Bytes, Option<Box<Extra>>, Option<Bytes>), String> {
        let (store, shard) = (self.store.clone(), self.store_shard);
        let (payload, response) = (record.payload_seq, record.seq);
        let read = tokio::task::spawn_blocking(move || {
            let get = |key| store.get(shard, key).map_err(|error| error.to_string());
            let payload = get(payload_key(payload))?;
            let response = get(response_key(response))?;
            Ok::<_, String>((payload, response))
        });
        let (payload, response) = read.await.map_err(|error| error.to_string())??;
        let payload = payload.ok_or("the payload is not in the store")?;
        let payload = decode_payload(payload).map_err(|error| error.to_string())?;
        let response = response.map(decode_response).transpose();
        let response = response.map_err(|error| error.to_string())?;
        let traced = !payload.traceparent.is_empty() || !payload.tracestate.is_empty();
        let extra = traced.then(|| {
            let (traceparent, tracestate) = (payload.traceparent, payload.tracestate);
            Box::new(Extra { traceparent, tracestate, ..Extra::default() })
        });
        Ok((payload.payload, extra, response.map(|response| response.body)))
    }
}

impl Shard {
    pub(super) fn next_deliveries(&mut self) {
        self.deliveries.start(&self.engine);
    }

    /// The record becomes an event of the target function, once: the idempotency key is the finished invocation.
    pub(super) fn deliver_to_function(&mut self, delivery: FunctionDelivery) {
        let tag = self.tag();
        let FunctionDelivery { entry, request_id, target, record, hops, extra } = delivery;
        self.deliveries.to_functions.insert(tag, (entry, request_id));
        let caller = Caller { edge: EDGE_DELIVERY, tag };
        let target = Target {
            name: target.to_string(),
            qualifier: trine_engine::Qualifier::Latest,
            qualified: false,
        };
        let key = format!("trine-record-{request_id}");
        let mode =
            CallMode::Event { not_before: None, hops, idempotency_key: Some(key.into_boxed_str()) };
        let call = Call { tag, target: 0, payload: record, mode, log_tail: false, extra };
        let request_id = self.new_request_id();
        self.call(caller, request_id, &target, call);
    }

    pub(super) fn delivery_answer(&mut self, tag: u64, answer: Answer) {
        match answer {
            Answer::Accepted { .. } => self.delivery_over(tag, DeliveryResult::Taken, ""),
            Answer::Refused(refusal) => {
                let refusal = crate::refusal::from_engine(refusal, "the destination function");
                self.delivery_refused(tag, &refusal);
            }
            _ => self.delivery_over(tag, DeliveryResult::Failed, "an answer went astray"),
        }
    }

    /// The other function's queue did not take it now; an operator, or time, may change that.
    pub(super) fn delivery_refused(&mut self, tag: u64, refusal: &Refusal) {
        self.delivery_over(tag, DeliveryResult::Failed, &refusal.message);
    }

    fn delivery_over(&mut self, tag: u64, result: DeliveryResult, error: &str) {
        let Some((entry, request_id)) = self.deliveries.to_functions.remove(&tag) else { return };
        self.deliveries.done(request_id, error);
        self.step_later(Input::Delivered { entry, result });
    }
}

//! `InvocationService`: invoking, and looking after what was invoked.

use std::pin::Pin;
use std::sync::Weak;
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use trine_engine::{Answer, EventSeq, Input, InvocationView, RequestId};
use trine_proto::v1::invocation_service_server::InvocationService;
use trine_proto::v1::{
    CancelInvocationRequest, CancelInvocationResponse, Durability, ExplainInvocationRequest,
    ExplainInvocationResponse, GetInvocationRequest, GetInvocationResponse, Invocation,
    InvokeRequest, InvokeResponse, InvokeStreamRequest, ListInvocationsRequest,
    ListInvocationsResponse, Reason, RedriveInvocationsRequest, RedriveInvocationsResponse,
    Refusal,
};
use trine_store::record::decode_response;
use trine_store::{Shard as StoreShard, Store};

use crate::clock::Clock;
use crate::edge::stream::{Answers, StreamEdge};
use crate::edge::view::{self, Filter};
use crate::edge::{call, refused};
use crate::metrics::Metrics;
use crate::redrive::{Redrive, checked_rate};
use crate::refusal::{from_engine, gone, invalid, refuse};
use crate::request_id;
use crate::shard::deliveries::DeliveryErrors;
use crate::shard::message::{Message, ShardHandle};

/// Longest wait of `GetInvocation`.
const WAIT_MS_MAX: u64 = 60_000;

const PAGE_SIZE_DEFAULT: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1_000;

/// Places of the engine's table that one page of a list looks through.
pub(crate) const PAGE_PLACES: u32 = 16_384;

#[derive(Clone)]
pub(crate) struct InvocationEdge {
    pub(crate) shard: ShardHandle,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) durability: Durability,
    /// An edge lives as long as a client keeps its connection, which must not keep the store open.
    pub(crate) store: Weak<dyn Store>,
    pub(crate) store_shard: StoreShard,
    pub(crate) delivery_errors: DeliveryErrors,
}

impl InvocationEdge {
    async fn invoke_one(
        &self,
        mut request: InvokeRequest,
        timeout: Option<Duration>,
    ) -> Result<InvokeResponse, Refusal> {
        if let Some(timeout) = timeout {
            let wait = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            request.deadline_ms = Some(request.deadline_ms.map_or(wait, |own| own.min(wait)));
        }
        let target = call::target(&mut request)?;
        let call = call::call(request, 0, 0, &self.clock)?;
        call::response(self.shard.call(target, call).await?, self.durability)
    }

    pub(crate) async fn view(&self, request_id: RequestId) -> Result<InvocationView, Refusal> {
        let found = self.shard.query(move |engine| engine.invocation(request_id)).await?;
        found.ok_or_else(|| from_engine(trine_engine::Refusal::UnknownInvocation, ""))
    }

    async fn get(&self, request: GetInvocationRequest) -> Result<Invocation, Refusal> {
        let request_id = id(&request.request_id)?;
        if request.wait_ms > WAIT_MS_MAX {
            return Err(invalid("wait_ms must be 0 to 60000."));
        }
        if let Some(after_revision) = request.after_revision {
            let (reply, changed) = oneshot::channel();
            self.shard.send(Message::Watch { request_id, after_revision, reply }).await?;
            let wait = Duration::from_millis(request.wait_ms);
            // However the wait ends, the answer is what is true then.
            let _ = tokio::time::timeout(wait, changed).await;
        }
        let view = self.view(request_id).await?;
        let mut invocation = self.invocation(&view);
        if view::has_response(&view)
            && let Some(record) = &view.record
        {
            invocation.response = self.response(record.seq).await?;
        }
        Ok(invocation)
    }

    fn invocation(&self, view: &InvocationView) -> Invocation {
        let mut invocation = view::invocation(view);
        invocation.delivery_error = self.delivery_errors.get(view.request_id);
        invocation
    }

    /// The response as it lies in the store; empty if it was forgotten meanwhile.
    async fn response(&self, seq: EventSeq) -> Result<bytes::Bytes, Refusal> {
        let (store, shard) = (self.store.upgrade().ok_or_else(gone)?, self.store_shard);
        let key = trine_store::Key { table: trine_store::Table::Response, id: seq.0 };
        let read = tokio::task::spawn_blocking(move || store.get(shard, key)).await;
        let broken = |error: String| {
            refuse(Reason::Internal, format!("The response cannot be read: {error}."))
        };
        let found = read.map_err(|error| broken(error.to_string()))?;
        let Some(bytes) = found.map_err(|error| broken(error.to_string()))? else {
            return Ok(bytes::Bytes::new());
        };
        let envelope = decode_response(bytes).map_err(|error| broken(error.to_string()))?;
        Ok(envelope.body)
    }

    async fn list(
        &self,
        request: ListInvocationsRequest,
    ) -> Result<ListInvocationsResponse, Refusal> {
        let filter = Filter::parse(request.filter.unwrap_or_default())?;
        let size = match request.page_size {
            0 => PAGE_SIZE_DEFAULT,
            size if size <= PAGE_SIZE_MAX => size,
            _ => return Err(invalid("page_size must be 1 to 1000.")),
        };
        let from = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| {
                invalid("page_token must be a next_page_token of an earlier answer, or empty.")
            })?,
        };
        let look = move |engine: &trine_engine::Engine| {
            engine.invocations(from, PAGE_PLACES, size as usize, |view| filter.wants(view))
        };
        let (found, next) = self.shard.query(look).await?;
        Ok(ListInvocationsResponse {
            invocations: found.iter().map(|view| self.invocation(view)).collect(),
            next_page_token: next.map(|place| place.to_string()).unwrap_or_default(),
        })
    }

    async fn cancel(&self, request: CancelInvocationRequest) -> Result<Invocation, Refusal> {
        let request_id = id(&request.request_id)?;
        let before = self.view(request_id).await?;
        let cancel = move |caller, _| Input::Cancel { caller, request_id };
        if let Answer::Refused(refusal) = self.shard.control(cancel).await? {
            return Err(from_engine(refusal, before.function.as_str()));
        }
        // A synchronous one is not remembered: it is shown as it was last seen.
        match self.view(request_id).await {
            Ok(view) => Ok(self.invocation(&view)),
            Err(_) => Ok(Invocation {
                state: trine_proto::v1::InvocationState::Cancelled.into(),
                ..view::invocation(&before)
            }),
        }
    }

    async fn explain(
        &self,
        request: ExplainInvocationRequest,
    ) -> Result<ExplainInvocationResponse, Refusal> {
        let request_id = id(&request.request_id)?;
        let look = move |engine: &trine_engine::Engine| {
            Some((engine.invocation(request_id)?, engine.explain(request_id)?))
        };
        let found = self.shard.query(look).await?;
        let (view, waits) =
            found.ok_or_else(|| from_engine(trine_engine::Refusal::UnknownInvocation, ""))?;
        let (blocker, message, until_ms) = view::blocker(waits, view.function.as_str());
        Ok(ExplainInvocationResponse {
            blocker: blocker.into(),
            message,
            until_ms,
            invocation: Some(self.invocation(&view)),
        })
    }

    fn answer<T>(&self, outcome: Result<T, Refusal>) -> Result<Response<T>, Status> {
        outcome.map(Response::new).map_err(|refusal| refused(&self.metrics, &refusal))
    }
}

pub(crate) fn id(text: &str) -> Result<RequestId, Refusal> {
    request_id::parse(text).ok_or_else(|| {
        invalid("request_id must be a UUID like 0199d3f0-0000-7000-8000-000000000000.")
    })
}

/// The caller's patience, as gRPC carries it: it bounds the wait for a slot. Whoever has no more of it while the attempt
/// runs goes away by itself; nothing here ends the call.
fn grpc_timeout<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount.saturating_mul(3_600)),
        "M" => Duration::from_secs(amount.saturating_mul(60)),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[tonic::async_trait]
impl InvocationService for InvocationEdge {
    async fn invoke(
        &self,
        request: Request<InvokeRequest>,
    ) -> Result<Response<InvokeResponse>, Status> {
        let timeout = grpc_timeout(&request);
        let invoked = self.invoke_one(request.into_inner(), timeout).await;
        self.answer(invoked)
    }

    type InvokeStreamStream = Answers;

    async fn invoke_stream(
        &self,
        request: Request<Streaming<InvokeStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let edge = StreamEdge {
            shard: self.shard.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            durability: self.durability,
        };
        let opened = edge.open(request.into_inner()).await;
        self.answer(opened)
    }

    async fn get_invocation(
        &self,
        request: Request<GetInvocationRequest>,
    ) -> Result<Response<GetInvocationResponse>, Status> {
        let got = self.get(request.into_inner()).await;
        self.answer(got.map(|invocation| GetInvocationResponse { invocation: Some(invocation) }))
    }

    async fn list_invocations(
        &self,
        request: Request<ListInvocationsRequest>,
    ) -> Result<Response<ListInvocationsResponse>, Status> {
        let listed = self.list(request.into_inner()).await;
        self.answer(listed)
    }

    async fn cancel_invocation(
        &self,
        request: Request<CancelInvocationRequest>,
    ) -> Result<Response<CancelInvocationResponse>, Status> {
        let cancelled = self.cancel(request.into_inner()).await;
        self.answer(
            cancelled.map(|invocation| CancelInvocationResponse { invocation: Some(invocation) }),
        )
    }

    async fn explain_invocation(
        &self,
        request: Request<ExplainInvocationRequest>,
    ) -> Result<Response<ExplainInvocationResponse>, Status> {
        let explained = self.explain(request.into_inner()).await;
        self.answer(explained)
    }

    type RedriveInvocationsStream =
        Pin<Box<dyn Stream<Item = Result<RedriveInvocationsResponse, Status>> + Send>>;

    async fn redrive_invocations(
        &self,
        request: Request<RedriveInvocationsRequest>,
    ) -> Result<Response<Self::RedriveInvocationsStream>, Status> {
        let request = request.into_inner();
        let prepared = checked_rate(request.rate_per_second).and_then(|rate| {
            let ids: Result<Vec<_>, _> = request.request_ids.iter().map(|text| id(text)).collect();
            let filter = Filter::parse(request.filter.unwrap_or_default())?;
            Ok(Redrive {
                shard: self.shard.clone(),
                ids: ids?,
                filter,
                rate,
                left: request.count_max.unwrap_or(u64::MAX),
                dry_run: request.dry_run,
            })
        });
        let redrive = prepared.map_err(|refusal| refused(&self.metrics, &refusal))?;
        let (progress, messages) = mpsc::channel(4);
        let metrics = self.metrics.clone();
        tokio::spawn(async move {
            if let Err(refusal) = redrive.run(&progress).await {
                // The client may have gone; what was put back stays.
                let _ = progress.send(Err(refused(&metrics, &refusal))).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

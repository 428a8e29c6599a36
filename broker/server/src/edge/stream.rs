//! `InvokeStream`: frames of many calls in, frames of many answers out, none larger than a client takes. A frame costs
//! one message to the shard; calls that are refused here never reach it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::{Notify, mpsc, oneshot};
use tonic::{Status, Streaming};
use trine_engine::RequestId;
use trine_proto::v1::stream_answer::Result as Given;
use trine_proto::v1::{
    Durability, InvokeRequest, InvokeStreamRequest, InvokeStreamResponse, Reason, Refusal,
    StreamAnswer, StreamCall,
};

use crate::clock::Clock;
use crate::edge::{call, frame_holds};
use crate::metrics::Metrics;
use crate::refusal::refuse;
use crate::shard::call::{CallFrame, Reply, ReplyBody, Target};
use crate::shard::message::{Message, ShardHandle, StreamPlace};
use crate::shard::streams::StreamId;

/// Calls of one stream that may be open; beyond it the stream is not read, and HTTP/2 holds the client back.
pub(crate) const OPEN_CALLS_MAX: usize = 16_384;

/// Calls in one frame, at most.
const FRAME_CALLS_MAX: usize = 8_192;

/// What an answer takes in a frame beside its bytes, more than it needs: ids, version and tags; an error object that is
/// made here, or a warning.
const ANSWER_BYTES: usize = 256;

/// What the two halves of a stream share.
#[derive(Debug, Default)]
struct Open {
    calls: AtomicUsize,
    fewer: Notify,
}

pub(crate) struct StreamEdge {
    pub(crate) shard: ShardHandle,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) durability: Durability,
}

impl StreamEdge {
    pub(crate) async fn open(
        self,
        requests: Streaming<InvokeStreamRequest>,
    ) -> Result<Answers, Refusal> {
        let (outbox, replies) = mpsc::unbounded_channel();
        let (reply, opened) = oneshot::channel();
        let (shard, news) = (self.shard.clone(), outbox.clone());
        self.shard.send(Message::StreamOpened { outbox: news, shard, reply }).await?;
        let place = opened.await.ok().flatten().ok_or_else(|| {
            refuse(
                Reason::Overloaded,
                "Too many streams are open on this broker; use fewer, with more calls each.",
            )
        })?;
        let open = Arc::new(Open::default());
        let answers = Answers {
            replies,
            rest: Vec::new().into_iter(),
            open: Arc::clone(&open),
            durability: self.durability,
            metrics: self.metrics.clone(),
            reader: tokio::spawn(self.read(requests, place.stream, open, outbox)),
            _place: place,
        };
        Ok(answers)
    }

    /// Reads frames until the client ends the stream; what it sent is answered all the same. `outbox` keeps the
    /// answers' side open until every call of this side has its answer.
    async fn read(
        self,
        mut requests: Streaming<InvokeStreamRequest>,
        stream: StreamId,
        open: Arc<Open>,
        outbox: mpsc::UnboundedSender<Vec<Reply>>,
    ) -> Option<Status> {
        loop {
            let frame = match requests.message().await {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(status) => return Some(status),
            };
            open.calls.fetch_add(frame.calls.len(), Ordering::Relaxed);
            let (frame, refused) = self.decode(frame);
            if !refused.is_empty() && outbox.send(refused).is_err() {
                return None;
            }
            if !frame.calls.is_empty()
                && self.shard.send(Message::Calls { stream, frame }).await.is_err()
            {
                return Some(trine_proto::reason::status(&crate::refusal::gone()));
            }
            wait_below(&open, OPEN_CALLS_MAX).await;
        }
        wait_below(&open, 1).await;
        None
    }

    fn decode(&self, frame: InvokeStreamRequest) -> (CallFrame, Vec<Reply>) {
        let mut decoded =
            CallFrame { targets: Vec::new(), calls: Vec::with_capacity(frame.calls.len()) };
        let mut refused = Vec::new();
        let mut before = None;
        for (place, StreamCall { call_id, request }) in frame.calls.into_iter().enumerate() {
            let request = request.unwrap_or_default();
            let outcome = if place < FRAME_CALLS_MAX {
                self.decode_call(request, call_id, &mut before, &mut decoded)
            } else {
                Err(refuse(
                    Reason::InvalidArgument,
                    "A frame holds at most 8192 calls; send more frames.",
                ))
            };
            if let Err(refusal) = outcome {
                let body = ReplyBody::Refused(Box::new(refusal));
                refused.push(Reply { tag: call_id, request_id: RequestId(0), body });
            }
        }
        (decoded, refused)
    }

    /// `before`: the target of the call before this one in its frame, or why that named none.
    fn decode_call(
        &self,
        mut request: InvokeRequest,
        call_id: u64,
        before: &mut Option<Result<usize, Refusal>>,
        decoded: &mut CallFrame,
    ) -> Result<(), Refusal> {
        let place = match before {
            Some(same) if request.function.is_empty() => same.clone()?,
            Some(Ok(place)) if repeats(&decoded.targets[*place], &request) => *place,
            _ => {
                let named = call::target(&mut request).map(|target| {
                    decoded.targets.push(target);
                    decoded.targets.len() - 1
                });
                before.insert(named).clone()?
            }
        };
        decoded.calls.push(call::call(request, call_id, place, &self.clock)?);
        Ok(())
    }
}

/// Whether `request` names what the call before it named, as most calls of a frame do.
fn repeats(target: &Target, request: &InvokeRequest) -> bool {
    target.name == request.function && !target.qualified && request.qualifier.is_empty()
}

async fn wait_below(open: &Open, bound: usize) {
    loop {
        let fewer = open.fewer.notified();
        tokio::pin!(fewer);
        // Registered before the look, so that an answer in between is not missed.
        fewer.as_mut().enable();
        if open.calls.load(Ordering::Relaxed) < bound {
            return;
        }
        fewer.await;
    }
}

/// The answers of one stream, as tonic sends them.
pub(crate) struct Answers {
    replies: mpsc::UnboundedReceiver<Vec<Reply>>,
    /// Cut off from a parcel that was too large for one frame.
    rest: std::vec::IntoIter<Reply>,
    open: Arc<Open>,
    durability: Durability,
    metrics: Metrics,
    reader: tokio::task::JoinHandle<Option<Status>>,
    /// Given back however the stream ends.
    _place: StreamPlace,
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Answers {
    /// The first frame's worth of the rest.
    fn frame(&mut self) -> InvokeStreamResponse {
        let mut rest = std::mem::take(&mut self.rest);
        let fitting = frame_holds(rest.as_slice().iter().map(size));
        let answers = rest.by_ref().take(fitting).map(|reply| self.answer(reply)).collect();
        self.rest = rest;
        self.answered(fitting);
        InvokeStreamResponse { answers }
    }

    fn answered(&self, count: usize) {
        let before = self.open.calls.fetch_sub(count, Ordering::Relaxed);
        let after = before - count;
        if after == 0 || (before >= OPEN_CALLS_MAX && after < OPEN_CALLS_MAX) {
            self.open.fewer.notify_waiters();
        }
    }

    fn answer(&self, reply: Reply) -> StreamAnswer {
        let call_id = reply.tag;
        let given = match call::response(reply, self.durability) {
            Ok(response) => Given::Response(response),
            Err(refusal) => {
                self.metrics.refused(refusal.reason());
                Given::Refusal(refusal)
            }
        };
        StreamAnswer { call_id, result: Some(given) }
    }
}

/// What a reply takes in a frame, at most.
fn size(reply: &Reply) -> usize {
    let bytes = match &reply.body {
        ReplyBody::Response { payload, log_tail } | ReplyBody::Failed { payload, log_tail, .. } => {
            payload.len() + log_tail.len()
        }
        ReplyBody::Refused(refusal) => refusal.message.len(),
        ReplyBody::Accepted { .. } | ReplyBody::DryRun => 0,
    };
    ANSWER_BYTES + bytes
}

impl Stream for Answers {
    type Item = Result<InvokeStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.rest.len() == 0
            && let Poll::Ready(Some(replies)) = self.replies.poll_recv(context)
        {
            self.rest = replies.into_iter();
        }
        if self.rest.len() > 0 {
            return Poll::Ready(Some(Ok(self.frame())));
        }
        // The reader ends when the client has ended its side and every call has its answer.
        match Pin::new(&mut self.reader).poll(context) {
            Poll::Ready(Ok(Some(status))) => Poll::Ready(Some(Err(status))),
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

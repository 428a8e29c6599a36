//! `WorkerService.Session`: a worker's frames to the shard and the shard's news to the worker, heartbeats on both
//! sides. Who gets which attempt is decided in the engine.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Interval;
use tonic::{Request, Response, Status, Streaming};
use trine_engine::{FunctionName, Lease};
use trine_proto::v1::worker_service_server::WorkerService;
use trine_proto::v1::{
    Attempt, AttemptStop, Reason, Refusal, WorkerHello, WorkerServiceSessionRequest,
    WorkerServiceSessionResponse, WorkerWelcome,
};
use trine_proto::{RESPONSE_BYTES_MAX, WORKER_PROTOCOL_VERSION};

use crate::edge::{frame_holds, refused};
use crate::metrics::Metrics;
use crate::refusal::{gone, invalid, invalid_setting, refuse};
use crate::request_id;
use crate::shard::message::{
    Joined, Joining, Member, Message, Sent, SessionNews, ShardHandle, WorkerFrame,
};

/// Functions in one hello, and slots, at most.
const FUNCTIONS_MAX: usize = 1_024;
const SLOTS_MAX: u32 = 65_535;

/// What an attempt takes in a frame beside its bytes, more than it needs: numbers, ids, version, tags.
const ATTEMPT_BYTES: usize = 192;

/// Longest wait for the hello of a new session.
const HELLO_WAIT: Duration = Duration::from_secs(10);

pub(crate) struct SessionEdge {
    pub(crate) shard: ShardHandle,
    pub(crate) metrics: Metrics,
    pub(crate) heartbeat: Duration,
}

#[tonic::async_trait]
impl WorkerService for SessionEdge {
    type SessionStream = News;

    async fn session(
        &self,
        request: Request<Streaming<WorkerServiceSessionRequest>>,
    ) -> Result<Response<News>, Status> {
        let mut frames = request.into_inner();
        let joined = self.join(&mut frames).await;
        let (news, ended, member) = joined.map_err(|refusal| refused(&self.metrics, &refusal))?;
        self.metrics.session_opened();
        let (shard, metrics) = (self.shard.clone(), self.metrics.clone());
        let session = Session { shard, metrics, member, goodbye: false };
        tokio::spawn(session.read(frames, self.heartbeat * 2, ended));
        Ok(Response::new(news))
    }
}

impl SessionEdge {
    async fn join(
        &self,
        frames: &mut Streaming<WorkerServiceSessionRequest>,
    ) -> Result<(News, oneshot::Receiver<()>, Member), Refusal> {
        let first = tokio::time::timeout(HELLO_WAIT, frames.message()).await;
        let Ok(Ok(Some(WorkerServiceSessionRequest { hello: Some(hello), .. }))) = first else {
            return Err(invalid(
                "The first frame of a session must hold hello, within 10 seconds.",
            ));
        };
        let (functions, slots) = checked(hello)?;
        let (outbox, news) = mpsc::unbounded_channel();
        let (reply, answer) = oneshot::channel();
        let joining = Joining { outbox, shard: self.shard.clone(), reply };
        self.shard.send(Message::Join { functions, slots, joining }).await?;
        let Joined { member, unknown } = answer.await.map_err(|_| gone())??;
        let welcome = WorkerWelcome {
            protocol_version: WORKER_PROTOCOL_VERSION,
            session_id: format!("{}-{}", member.worker.index, member.worker.generation),
            heartbeat_interval_ms: u32::try_from(self.heartbeat.as_millis()).unwrap_or(u32::MAX),
            unknown_functions: unknown.iter().map(ToString::to_string).collect(),
            response_bytes_max: RESPONSE_BYTES_MAX as u64,
            broker: concat!("trine/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let (news, ended) = News::new(welcome, news, self.heartbeat);
        Ok((news, ended, member))
    }
}

fn checked(hello: WorkerHello) -> Result<(Vec<FunctionName>, u32), Refusal> {
    if hello.protocol_version != WORKER_PROTOCOL_VERSION {
        let offered = hello.protocol_version;
        return Err(refuse(
            Reason::UnsupportedProtocol,
            format!(
                "The worker speaks protocol version {offered}, this broker {WORKER_PROTOCOL_VERSION}; update the older of the two."
            ),
        ));
    }
    if hello.worker.is_empty() || hello.worker.chars().count() > 128 {
        return Err(invalid("hello.worker must be a name of 1 to 128 characters."));
    }
    if hello.functions.is_empty() || hello.functions.len() > FUNCTIONS_MAX {
        return Err(invalid("hello.functions must name 1 to 1024 functions."));
    }
    if hello.slots == 0 || hello.slots > SLOTS_MAX {
        return Err(invalid("hello.slots must be 1 to 65535."));
    }
    let functions: Result<Vec<_>, _> =
        hello.functions.iter().map(|name| FunctionName::new(name)).collect();
    let functions = functions.map_err(|error| invalid_setting(&error))?;
    let distinct: BTreeSet<_> = functions.iter().collect();
    if distinct.len() != functions.len() {
        return Err(invalid("hello.functions names a function twice."));
    }
    Ok((functions, hello.slots))
}

/// The reading side of a session; when it is dropped, its member has left.
struct Session {
    shard: ShardHandle,
    metrics: Metrics,
    member: Member,
    /// It said that it drains: its end is no loss.
    goodbye: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.goodbye {
            self.metrics.session_lost();
        }
    }
}

impl Session {
    /// Reads until the worker ends the session, the connection breaks, or it was silent for `silence`.
    async fn read(
        mut self,
        mut frames: Streaming<WorkerServiceSessionRequest>,
        silence: Duration,
        mut ended: oneshot::Receiver<()>,
    ) {
        let worker = self.member.worker;
        loop {
            let frame = tokio::select! {
                frame = tokio::time::timeout(silence, frames.message()) => frame,
                _ = &mut ended => return,
            };
            let frame = match frame {
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => return,
                Ok(Err(status)) => {
                    tracing::debug!(?worker, %status, "session broke");
                    return;
                }
                Err(_) => {
                    let silent_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
                    tracing::warn!(?worker, silent_ms, "worker is silent; taken for dead");
                    return;
                }
            };
            let WorkerServiceSessionRequest { started_through, outcomes, slots, draining, .. } =
                frame;
            self.goodbye |= draining;
            let slots = slots.map(|slots| slots.min(SLOTS_MAX));
            let frame = WorkerFrame { started_through, outcomes, slots, draining };
            let empty = frame.outcomes.is_empty()
                && frame.started_through.is_none()
                && frame.slots.is_none()
                && !frame.draining;
            if !empty && self.shard.send(Message::Worker { worker, frame }).await.is_err() {
                return;
            }
        }
    }
}

/// The writing side of a session, as tonic sends it.
pub(crate) struct News {
    welcome: Option<WorkerWelcome>,
    news: mpsc::UnboundedReceiver<SessionNews>,
    /// Cut off from a parcel that was too large for one frame.
    rest: SessionNews,
    heartbeat: Interval,
    /// Dropped with the stream: tells the reading side.
    _ending: oneshot::Sender<()>,
}

impl News {
    fn new(
        welcome: WorkerWelcome,
        news: mpsc::UnboundedReceiver<SessionNews>,
        interval: Duration,
    ) -> (Self, oneshot::Receiver<()>) {
        let (ending, ended) = oneshot::channel();
        let mut heartbeat = tokio::time::interval(interval);
        heartbeat.reset();
        let rest = SessionNews::default();
        (Self { welcome: Some(welcome), news, rest, heartbeat, _ending: ending }, ended)
    }

    /// The first frame's worth of what is to be said. What else the parcel says comes with its last attempts: a stop
    /// must not come before the attempt that it stops.
    fn frame(&mut self) -> WorkerServiceSessionResponse {
        let fitting = frame_holds(self.rest.attempts.iter().map(size));
        let later = self.rest.attempts.split_off(fitting);
        let attempts = std::mem::replace(&mut self.rest.attempts, later);
        let mut frame = WorkerServiceSessionResponse {
            attempts: attempts.into_iter().map(attempt).collect(),
            ..WorkerServiceSessionResponse::default()
        };
        if self.rest.attempts.is_empty() {
            let SessionNews { stops, draining, .. } = std::mem::take(&mut self.rest);
            frame.stops = stops.into_iter().map(stop).collect();
            frame.draining = draining;
        }
        frame
    }

    fn has_rest(&self) -> bool {
        !self.rest.attempts.is_empty() || !self.rest.stops.is_empty() || self.rest.draining
    }
}

/// What an attempt takes in a frame, at most.
fn size(sent: &Sent) -> usize {
    let Sent { payload, extra, invoked_function, .. } = sent;
    let extra = extra.as_ref().map_or(0, |extra| {
        extra.client_context.len() + extra.traceparent.len() + extra.tracestate.len()
    });
    ATTEMPT_BYTES + payload.len() + extra + invoked_function.as_ref().map_or(0, String::len)
}

fn attempt(sent: Sent) -> Attempt {
    let Sent { dispatch, payload, extra, log_tail, invoked_function, memory_mb } = sent;
    let extra = extra.map(|extra| *extra).unwrap_or_default();
    Attempt {
        entry: dispatch.lease.index,
        fence: dispatch.lease.fence,
        request_id: request_id::text(dispatch.request_id),
        function_index: dispatch.position,
        version: "$LATEST".to_owned(),
        payload,
        attempt: dispatch.attempt,
        timeout_ms: dispatch.timeout_ms,
        client_context: extra.client_context,
        traceparent: extra.traceparent,
        tracestate: extra.tracestate,
        log_tail,
        invoked_function: invoked_function.unwrap_or_default(),
        memory_mb,
    }
}

fn stop(lease: Lease) -> AttemptStop {
    AttemptStop { entry: lease.index, fence: lease.fence }
}

impl Stream for News {
    type Item = Result<WorkerServiceSessionResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(welcome) = self.welcome.take() {
            let first =
                WorkerServiceSessionResponse { welcome: Some(welcome), ..Default::default() };
            return Poll::Ready(Some(Ok(first)));
        }
        if !self.has_rest() {
            match self.news.poll_recv(context) {
                Poll::Ready(Some(news)) => self.rest = news,
                // The shard took the session for dead, or is gone itself.
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    return self.heartbeat.poll_tick(context).map(|_| Some(Ok(Default::default())));
                }
            }
        }
        self.heartbeat.reset();
        Poll::Ready(Some(Ok(self.frame())))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tokio_stream::StreamExt as _;
    use trine_engine::{Dispatch, EntryId, FunctionId, RequestId};
    use trine_proto::FRAME_BYTES_TARGET;

    use super::*;
    use crate::shard::call::Extra;

    fn sent(index: u32, payload: usize) -> Sent {
        let lease = Lease { index, fence: u64::MAX };
        let dispatch = Dispatch {
            worker: trine_engine::WorkerId { index: 0, generation: 0 },
            lease,
            entry: EntryId { index: 0, generation: 0 },
            payload_seq: 0,
            request_id: RequestId(u128::MAX),
            function: FunctionId { index: 0, generation: 0 },
            position: u32::MAX,
            attempt: u32::MAX,
            timeout_ms: u32::MAX,
        };
        let extra = Extra {
            client_context: vec![b' '; 3_583].into(),
            traceparent: "t".repeat(1_024),
            tracestate: "s".repeat(1_024),
        };
        let (extra, invoked_function) = (Some(Box::new(extra)), Some("f".repeat(140)));
        let payload = vec![b' '; payload].into();
        Sent { dispatch, payload, extra, log_tail: true, invoked_function, memory_mb: u32::MAX }
    }

    #[tokio::test]
    async fn a_parcel_is_cut_by_all_that_it_holds_and_its_stops_come_last() {
        let (outbox, parcels) = mpsc::unbounded_channel();
        let (mut news, _ended) =
            News::new(WorkerWelcome::default(), parcels, Duration::from_secs(60));
        let attempts: Vec<_> = (0..200).map(|index| sent(index, 2)).collect();
        let stops = vec![attempts[199].dispatch.lease];
        assert!(outbox.send(SessionNews { attempts, stops, draining: true }).is_ok());
        drop(outbox);
        let mut frames = Vec::new();
        while let Some(Ok(frame)) = news.next().await {
            assert!(frame.encoded_len() <= FRAME_BYTES_TARGET, "{} bytes", frame.encoded_len());
            frames.push(frame);
        }
        let (welcome, rest) = frames.split_first().unwrap();
        assert!(welcome.welcome.is_some());
        assert!(rest.len() > 1, "more than a frame's worth");
        let entries = rest.iter().flat_map(|frame| &frame.attempts).map(|attempt| attempt.entry);
        assert_eq!(entries.collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
        let (last, before) = rest.split_last().unwrap();
        assert!(before.iter().all(|frame| frame.stops.is_empty() && !frame.draining));
        assert_eq!((last.stops.len(), last.draining), (1, true));
    }
}

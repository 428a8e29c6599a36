//! `PollerService.Session`: a poller's reports to the registry and the registry's news to the poller, signs of life on
//! both sides. Who reads which mapping is decided in the registry; what a frame may hold is in `poller_frame.rs`.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Interval;
use tonic::{Request, Response, Status, Streaming};
use trine_engine::mapping::NewPoller;
use trine_proto::POLLER_PROTOCOL_VERSION;
use trine_proto::v1::poller_service_server::PollerService;
use trine_proto::v1::{
    PollerHello, PollerServiceSessionRequest, PollerServiceSessionResponse, PollerWelcome, Reason,
    Refusal,
};

use super::poller_frame::{self, Weighed};
use super::poller_news::Rest;
use super::refused;
use crate::clock::Clock;
use crate::mappings::message::{MappingsHandle, Member, Message};
use crate::mappings::sessions::PollerNews;
use crate::metrics::Metrics;
use crate::refusal::{gone, invalid, refuse};

/// Kinds in one hello, and mappings, at most.
const KINDS_MAX: usize = 64;
const MAPPINGS_MAX: u32 = 10_000;

/// Longest wait for the hello of a new session.
const HELLO_WAIT: Duration = Duration::from_secs(10);

/// A silent side is dead after this many heartbeat intervals.
const LEASE_HEARTBEATS: u32 = 2;

/// What a poller may have reported without having taken the answers: 1 for a report and 1 for each KiB of it. Then
/// nothing more of it is read.
const OPEN_WEIGHT_MAX: u32 = 65_536;

pub(crate) struct PollerEdge {
    pub(crate) mappings: MappingsHandle,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) heartbeat: Duration,
}

#[tonic::async_trait]
impl PollerService for PollerEdge {
    type SessionStream = News;

    async fn session(
        &self,
        request: Request<Streaming<PollerServiceSessionRequest>>,
    ) -> Result<Response<News>, Status> {
        let mut frames = request.into_inner();
        let joined = self.join(&mut frames).await;
        let (news, ended, member) = joined.map_err(|refusal| refused(&self.metrics, &refusal))?;
        self.metrics.mappings().session_opened();
        let session = Session {
            mappings: self.mappings.clone(),
            metrics: self.metrics.clone(),
            open: Arc::clone(&news.open),
            member,
            goodbye: false,
            broke: news.broke.clone(),
        };
        tokio::spawn(session.read(frames, self.heartbeat * LEASE_HEARTBEATS, ended));
        Ok(Response::new(news))
    }
}

impl PollerEdge {
    async fn join(
        &self,
        frames: &mut Streaming<PollerServiceSessionRequest>,
    ) -> Result<(News, oneshot::Receiver<()>, Member), Refusal> {
        let first = tokio::time::timeout(HELLO_WAIT, frames.message()).await;
        let Ok(Ok(Some(PollerServiceSessionRequest { hello: Some(hello), .. }))) = first else {
            return Err(invalid(
                "The first frame of a session must hold hello, within 10 seconds.",
            ));
        };
        let hello = checked(hello)?;
        let (outbox, news) = mpsc::unbounded_channel();
        let (reply, answer) = oneshot::channel();
        let member = self.mappings.clone();
        self.mappings.send(Message::Join { hello, outbox, reply, member }).await?;
        let member = answer.await.map_err(|_| gone())??;
        let ms = |wait: Duration| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let welcome = PollerWelcome {
            protocol_version: POLLER_PROTOCOL_VERSION,
            session_id: member.poller.0.to_string(),
            heartbeat_interval_ms: ms(self.heartbeat),
            lease_ms: ms(self.heartbeat * LEASE_HEARTBEATS),
            broker: concat!("trine/", env!("CARGO_PKG_VERSION")).to_owned(),
            now_ms: i64::try_from(self.clock.now()).unwrap_or(i64::MAX),
        };
        let (news, ended) = News::new(welcome, news, self.heartbeat);
        Ok((news, ended, member))
    }
}

fn checked(hello: PollerHello) -> Result<NewPoller, Refusal> {
    if hello.protocol_version != POLLER_PROTOCOL_VERSION {
        let offered = hello.protocol_version;
        return Err(refuse(
            Reason::UnsupportedProtocol,
            format!(
                "The poller speaks protocol version {offered}, this broker {POLLER_PROTOCOL_VERSION}; update the older of the two."
            ),
        ));
    }
    let is_odd = hello.poller.chars().any(char::is_control);
    if hello.poller.is_empty() || hello.poller.chars().count() > 128 || is_odd {
        let says =
            "hello.poller must be a name of 1 to 128 characters, none of them a control character.";
        return Err(invalid(says));
    }
    let fine = |kind: &String| {
        let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        !kind.is_empty() && kind.len() <= 64 && kind.bytes().all(known)
    };
    let distinct: BTreeSet<&String> = hello.kinds.iter().collect();
    if hello.kinds.is_empty()
        || hello.kinds.len() > KINDS_MAX
        || !hello.kinds.iter().all(fine)
        || distinct.len() != hello.kinds.len()
    {
        return Err(invalid(
            "hello.kinds must name 1 to 64 different kinds of 1 to 64 characters [a-z0-9_-].",
        ));
    }
    if !(1..=MAPPINGS_MAX).contains(&hello.mappings_max) {
        return Err(invalid("hello.mappings_max must be 1 to 10000."));
    }
    Ok(NewPoller {
        name: hello.poller.into(),
        kinds: hello.kinds.into_iter().map(Into::into).collect(),
        mappings_max: hello.mappings_max,
    })
}

/// Reports that have not been answered, and the room for more.
#[derive(Debug)]
pub(super) struct OpenReports {
    room: Semaphore,
    reports: Mutex<Numbered>,
}

#[derive(Debug, Default)]
struct Numbered {
    last: u64,
    /// The poller's ticket and the weight of each, by the number that it has here.
    open: HashMap<u64, (u64, u32)>,
}

impl OpenReports {
    fn new() -> Self {
        Self { room: Semaphore::new(OPEN_WEIGHT_MAX as usize), reports: Mutex::default() }
    }

    /// Takes the room for a frame, once there is some.
    async fn enter(&self, weight: u32) {
        // The semaphore is never closed; what is heavier than all of it takes all of it.
        if let Ok(permit) = self.room.acquire_many(weight.min(OPEN_WEIGHT_MAX)).await {
            permit.forget();
        }
    }

    /// Gives room back.
    fn leave(&self, weight: u32) {
        self.room.add_permits(weight as usize);
    }

    /// A number for the report with this ticket; two reports may have the same ticket, if a poller wants that.
    pub(super) fn number(&self, ticket: u64, weight: u32) -> u64 {
        let mut reports = self.lock();
        reports.last += 1;
        let number = reports.last;
        reports.open.insert(number, (ticket, weight));
        number
    }

    /// The report is answered: its ticket.
    pub(super) fn answered(&self, number: u64) -> u64 {
        let found = self.lock().open.remove(&number);
        let (ticket, weight) = found.unwrap_or((number, 0));
        self.leave(weight);
        ticket
    }

    /// Every change under the lock is complete before anything that can panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, Numbered> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading side of a session; when it is dropped, its member has left.
struct Session {
    mappings: MappingsHandle,
    metrics: Metrics,
    open: Arc<OpenReports>,
    member: Member,
    /// It said that it drains: its end is no loss.
    goodbye: bool,
    /// Tells the writing side why the session ends.
    broke: mpsc::Sender<Refusal>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.metrics.mappings().session_ended(!self.goodbye);
    }
}

impl Session {
    /// Reads until the poller ends the session, the connection breaks, a frame breaks a rule, or it was silent for
    /// `silence`.
    async fn read(
        mut self,
        mut frames: Streaming<PollerServiceSessionRequest>,
        silence: Duration,
        mut ended: oneshot::Receiver<()>,
    ) {
        let poller = self.member.poller;
        loop {
            let frame = tokio::select! {
                frame = tokio::time::timeout(silence, frames.message()) => frame,
                _ = &mut ended => return,
            };
            let frame = match frame {
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => return,
                Ok(Err(status)) => {
                    tracing::debug!(?poller, %status, "session broke");
                    return;
                }
                Err(_) => {
                    let silent_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
                    tracing::warn!(?poller, silent_ms, "poller is silent; taken for dead");
                    return;
                }
            };
            let Weighed { frame, reports, weight } = match poller_frame::read(poller, frame) {
                Ok(read) => read,
                Err(refusal) => {
                    tracing::warn!(?poller, error = refusal.message, "a frame broke a rule");
                    self.metrics.refused(refusal.reason());
                    // The writing side may be gone already.
                    let _ = self.broke.try_send(refusal);
                    return;
                }
            };
            self.goodbye |= frame.draining;
            if frame.is_empty() {
                continue;
            }
            let entered = tokio::select! {
                entered = tokio::time::timeout(silence, self.open.enter(weight)) => entered,
                _ = &mut ended => return,
            };
            if entered.is_err() {
                tracing::warn!(?poller, "poller takes no answers; taken for dead");
                return;
            }
            let (frame, unanswered) = poller_frame::numbered(frame, &reports, &self.open, weight);
            self.open.leave(unanswered);
            if self.mappings.send(Message::Frame { poller, frame }).await.is_err() {
                return;
            }
        }
    }
}

/// The writing side of a session, as tonic sends it.
pub(crate) struct News {
    welcome: Option<PollerWelcome>,
    news: mpsc::UnboundedReceiver<PollerNews>,
    rest: Rest,
    open: Arc<OpenReports>,
    heartbeat: Interval,
    /// Why the session ends, from the reading side, and to it.
    breaking: mpsc::Receiver<Refusal>,
    broke: mpsc::Sender<Refusal>,
    ended: bool,
    /// Dropped with the stream: tells the reading side.
    _ending: oneshot::Sender<()>,
}

impl News {
    fn new(
        welcome: PollerWelcome,
        news: mpsc::UnboundedReceiver<PollerNews>,
        interval: Duration,
    ) -> (Self, oneshot::Receiver<()>) {
        let (ending, ended) = oneshot::channel();
        let (broke, breaking) = mpsc::channel(1);
        let mut heartbeat = tokio::time::interval(interval);
        heartbeat.reset();
        let this = Self {
            welcome: Some(welcome),
            news,
            rest: Rest::default(),
            open: Arc::new(OpenReports::new()),
            heartbeat,
            breaking,
            broke,
            ended: false,
            _ending: ending,
        };
        (this, ended)
    }
}

impl Stream for News {
    type Item = Result<PollerServiceSessionResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(welcome) = self.welcome.take() {
            let first =
                PollerServiceSessionResponse { welcome: Some(welcome), ..Default::default() };
            return Poll::Ready(Some(Ok(first)));
        }
        if let Poll::Ready(Some(refusal)) = self.breaking.poll_recv(context) {
            self.ended = true;
            return Poll::Ready(Some(Err(trine_proto::reason::status(&refusal))));
        }
        if self.rest.is_empty() {
            match self.news.poll_recv(context) {
                Poll::Ready(Some(news)) => self.rest.add(news),
                // The registry took the session for dead, or is gone itself.
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    return self.heartbeat.poll_tick(context).map(|_| Some(Ok(Default::default())));
                }
            }
        }
        self.heartbeat.reset();
        let open = Arc::clone(&self.open);
        Poll::Ready(Some(Ok(self.rest.frame(&open))))
    }
}

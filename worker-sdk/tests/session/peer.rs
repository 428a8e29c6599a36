//! A scripted peer: the broker's side of a worker session as a test plays it, over an in-memory
//! connection, so that time can stand still.
//!
//! It speaks the published contract and knows nothing of the SDK's inside.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use trine_proto::v1::outcome::Result as Answer;
use trine_proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use trine_proto::v1::{
    Attempt, AttemptStop, Outcome, Reason, Refusal, WorkerHello, WorkerServiceSessionRequest,
    WorkerServiceSessionResponse, WorkerWelcome,
};
use trine_worker::{RunError, Worker};

/// Heartbeat interval of tests that are not about heartbeats: never due.
pub(crate) const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// A broker that does what the test says.
pub(crate) struct Peer {
    sessions: mpsc::UnboundedReceiver<PeerSession>,
    refusals: std::sync::Arc<Mutex<Vec<Status>>>,
}

/// One session, from the broker's side.
pub(crate) struct PeerSession {
    from_worker: Streaming<WorkerServiceSessionRequest>,
    to_worker: mpsc::Sender<Result<WorkerServiceSessionResponse, Status>>,
}

/// A worker that runs until it is told to stop.
pub(crate) struct Running {
    shutdown: Option<oneshot::Sender<()>>,
    result: JoinHandle<Result<(), RunError>>,
}

struct Script {
    sessions: mpsc::UnboundedSender<PeerSession>,
    refusals: std::sync::Arc<Mutex<Vec<Status>>>,
}

#[tonic::async_trait]
impl WorkerService for Script {
    type SessionStream = ReceiverStream<Result<WorkerServiceSessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<WorkerServiceSessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        if let Some(status) = self.refusals.lock().unwrap().pop() {
            return Err(status);
        }
        let (to_worker, frames) = mpsc::channel(64);
        let from_worker = request.into_inner();
        // A test that has ended takes no more sessions.
        let _ = self.sessions.send(PeerSession { from_worker, to_worker });
        Ok(Response::new(ReceiverStream::new(frames)))
    }
}

impl Peer {
    /// The peer as a gRPC service, for a server of the test's own.
    pub(crate) fn service() -> (Self, WorkerServiceServer<impl WorkerService>) {
        let (sender, sessions) = mpsc::unbounded_channel();
        let refusals = std::sync::Arc::<Mutex<Vec<Status>>>::default();
        let script = Script { sessions: sender, refusals: refusals.clone() };
        let service = WorkerServiceServer::new(script)
            .max_decoding_message_size(trine_proto::FRAME_BYTES_MAX);
        (Self { sessions, refusals }, service)
    }

    /// A peer and a channel to it, in memory.
    pub(crate) fn in_memory() -> (Self, Channel) {
        let (peer, service) = Self::service();
        let (sender, connections) = mpsc::unbounded_channel::<DuplexStream>();
        let incoming = UnboundedReceiverStream::new(connections).map(Ok::<_, std::io::Error>);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        let connector = tower::service_fn(move |_| {
            let (near, far) = tokio::io::duplex(1 << 20);
            let sent = sender.send(far).map_err(|_| std::io::Error::other("the peer is gone"));
            async move { sent.map(|()| TokioIo::new(near)) }
        });
        let channel = Endpoint::from_static("http://peer").connect_with_connector_lazy(connector);
        (peer, channel)
    }

    /// The next `count` sessions are refused with `reason`.
    pub(crate) fn refuse(&self, reason: Reason, count: usize) {
        let message = "the peer's sentence".to_owned();
        let refusal = Refusal { reason: reason.into(), message, retry_after_ms: None };
        let status = trine_proto::reason::status(&refusal);
        self.refusals.lock().unwrap().extend(std::iter::repeat_n(status, count));
    }

    /// The next session, before its hello.
    pub(crate) async fn accept(&mut self) -> PeerSession {
        self.sessions.recv().await.expect("the server is gone")
    }

    /// The next session, welcomed with heartbeats that are never due.
    pub(crate) async fn welcome(&mut self) -> PeerSession {
        let mut session = self.accept().await;
        session.hello().await;
        session.send(welcome(NEVER)).await;
        session
    }

    /// Whether no session has come.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.sessions.try_recv().is_err()
    }
}

impl PeerSession {
    /// Reads the first frame, which must hold a hello and nothing else.
    pub(crate) async fn hello(&mut self) -> WorkerHello {
        let first = self.frame().await.expect("the worker closed before its hello");
        let hello = first.hello.clone().expect("the first frame holds no hello");
        let alone =
            WorkerServiceSessionRequest { hello: first.hello.clone(), ..Default::default() };
        assert_eq!(first, alone, "the first frame holds more than the hello");
        hello
    }

    /// The next frame; `None` once the worker has closed its side.
    pub(crate) async fn frame(&mut self) -> Option<WorkerServiceSessionRequest> {
        self.from_worker.message().await.expect("the session broke")
    }

    /// The next frame or the error that broke the session.
    pub(crate) async fn frame_or_break(
        &mut self,
    ) -> Result<Option<WorkerServiceSessionRequest>, Status> {
        self.from_worker.message().await
    }

    /// Reads frames until they hold `count` outcomes.
    pub(crate) async fn outcomes(&mut self, count: usize) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while outcomes.len() < count {
            let frame = self.frame().await.expect("the worker closed with outcomes missing");
            outcomes.extend(frame.outcomes);
        }
        assert_eq!(outcomes.len(), count, "{outcomes:?}");
        outcomes
    }

    /// Reads frames until they hold one outcome, and gives what became of the attempt.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut outcomes = self.outcomes(1).await;
        outcomes.remove(0).result.expect("the outcome has no result")
    }

    /// Reads frames until they hold one function error, and gives its object.
    pub(crate) async fn function_error(&mut self) -> serde_json::Value {
        match self.answer().await {
            Answer::FunctionError(object) => serde_json::from_slice(&object).unwrap(),
            other => panic!("expected a function error, got {other:?}"),
        }
    }

    pub(crate) async fn send(&self, frame: WorkerServiceSessionResponse) {
        self.to_worker.send(Ok(frame)).await.expect("the session is gone");
    }

    pub(crate) async fn attempts(&self, attempts: impl IntoIterator<Item = Attempt>) {
        let attempts = attempts.into_iter().collect();
        self.send(WorkerServiceSessionResponse { attempts, ..Default::default() }).await;
    }

    pub(crate) async fn stop(&self, entry: u32) {
        let stops = vec![AttemptStop { entry, fence: fence(entry) }];
        self.send(WorkerServiceSessionResponse { stops, ..Default::default() }).await;
    }

    pub(crate) async fn drain(&self) {
        self.send(WorkerServiceSessionResponse { draining: true, ..Default::default() }).await;
    }

    pub(crate) async fn beat(&self) {
        self.send(WorkerServiceSessionResponse::default()).await;
    }

    /// Breaks the session with a status.
    pub(crate) async fn fail(&self, status: Status) {
        self.to_worker.send(Err(status)).await.expect("the session is gone");
    }
}

impl Running {
    pub(crate) fn start(worker: Worker) -> Self {
        let (shutdown, asked) = oneshot::channel();
        let result = tokio::spawn(worker.run_until(async move {
            // A test that has no use for a shutdown just ends.
            if asked.await.is_err() {
                std::future::pending().await
            }
        }));
        Self { shutdown: Some(shutdown), result }
    }

    /// Asks the worker to drain.
    pub(crate) fn shut_down(&mut self) {
        let _ = self.shutdown.take().expect("asked once").send(());
    }

    /// What `run_until` returned.
    pub(crate) async fn result(self) -> Result<(), RunError> {
        // Held until the end: its drop is not a request.
        let Self { shutdown, result } = self;
        let result = result.await.expect("the worker panicked");
        drop(shutdown);
        result
    }

    /// Drops the worker's future where it stands.
    pub(crate) fn abort(self) {
        self.result.abort();
    }
}

pub(crate) fn welcome(heartbeat: Duration) -> WorkerServiceSessionResponse {
    let welcome = WorkerWelcome {
        protocol_version: 1,
        session_id: "s-1".to_owned(),
        heartbeat_interval_ms: u32::try_from(heartbeat.as_millis()).unwrap(),
        unknown_functions: Vec::new(),
        response_bytes_max: u64::try_from(trine_proto::RESPONSE_BYTES_MAX).unwrap(),
        broker: "peer".to_owned(),
    };
    WorkerServiceSessionResponse { welcome: Some(welcome), ..Default::default() }
}

/// An attempt of the first function with 3 seconds to go.
pub(crate) fn attempt(entry: u32, payload: &'static str) -> Attempt {
    Attempt {
        entry,
        fence: fence(entry),
        request_id: format!("request-{entry}"),
        version: "$LATEST".to_owned(),
        payload: Bytes::from_static(payload.as_bytes()),
        attempt: 1,
        timeout_ms: 3000,
        memory_mb: 128,
        ..Attempt::default()
    }
}

pub(crate) fn fence(entry: u32) -> u64 {
    u64::from(entry) * 1000 + 7
}

pub(crate) fn response(text: &'static str) -> Answer {
    Answer::Response(Bytes::from_static(text.as_bytes()))
}

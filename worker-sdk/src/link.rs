//! The way to a session: connect, say hello, be welcomed.
//!
//! It does not try again; `supervisor.rs` does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use trine_proto::v1::worker_service_client::WorkerServiceClient;
use trine_proto::v1::{Reason, WorkerHello, WorkerServiceSessionResponse, WorkerWelcome};
use trine_proto::{FRAME_BYTES_MAX, RESPONSE_BYTES_MAX, WORKER_PROTOCOL_VERSION, reason};

use crate::book::OpenBook;
use crate::function::Function;
use crate::intake::Intake;
use crate::outbox::Outbox;
use crate::run_error::RunError;
use crate::session::Session;

/// Time from the first packet to the welcome, at most. A broker that is there but does not answer
/// is tried again, perhaps another one behind the same name.
const WELCOME_WAIT: Duration = Duration::from_secs(10);

/// Time for the TCP connection, at most.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// HTTP/2 pings: they find a connection that is gone although no packet said so.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_WAIT: Duration = Duration::from_secs(10);

/// Flow-control windows. One session is one stream, so the stream's window holds a largest frame's
/// worth of attempts; the connection's is above it so that it is never the one that stops first.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// Largest HTTP/2 frame that it takes. A batch of a poller comes in one piece instead of ten, each with its own reads and writes.
const HTTP2_FRAME_BYTES: u32 = 256 * 1024;

/// Room in a frame beside one largest response.
const FRAME_SPARE_BYTES: usize = 64 * 1024;

/// Where the broker is.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Connected to anew for every session: a channel that reconnects by itself would go on using a
    /// connection on which the broker has fallen silent.
    Endpoint(Box<Endpoint>),
    /// A channel of the user's, for TLS or for a broker in the same process.
    Channel(Channel),
}

/// Everything needed to open one of the worker's sessions.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) target: Target,
    pub(crate) functions: Arc<[Function]>,
    pub(crate) worker: String,
    pub(crate) slots: u32,
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// It would be the same next time.
    Final(RunError),
    /// Worth another try.
    Passing(String),
}

/// What a welcome says, checked.
#[derive(Debug, PartialEq, Eq)]
struct Terms {
    heartbeat: Duration,
    response_bytes_max: usize,
}

impl Link {
    /// Opens a session.
    pub(crate) async fn open(&self) -> Result<Session, LinkError> {
        timeout(WELCOME_WAIT, self.greet()).await.unwrap_or_else(|_| {
            let waited = WELCOME_WAIT.as_secs();
            Err(LinkError::Passing(format!("the broker sent no welcome within {waited} s")))
        })
    }

    async fn greet(&self) -> Result<Session, LinkError> {
        let channel = match &self.target {
            Target::Channel(channel) => channel.clone(),
            Target::Endpoint(endpoint) => tuned(endpoint).connect().await.map_err(|error| {
                LinkError::Passing(format!("{} is not reached: {}", endpoint.uri(), chain(&error)))
            })?,
        };
        let mut client = WorkerServiceClient::new(channel)
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(FRAME_BYTES_MAX);
        let book = OpenBook::new(self.hello());
        let response = client.session(Outbox::new(Arc::clone(&book))).await.map_err(refused)?;
        let mut inbound = response.into_inner();
        let first = inbound.message().await.map_err(refused)?;
        let welcome = welcome(first)?;
        let terms = Terms::of(&welcome)?;
        tracing::info!(
            broker = welcome.broker,
            session = welcome.session_id,
            worker = self.worker,
            slots = self.slots,
            "connected"
        );
        if !welcome.unknown_functions.is_empty() {
            let functions = welcome.unknown_functions.join(", ");
            tracing::warn!(functions, "not created yet; served as soon as they are");
        }
        let slots = usize::try_from(self.slots).unwrap_or(usize::MAX);
        let intake =
            Intake::new(self.functions.clone(), Arc::clone(&book), slots, terms.response_bytes_max);
        Ok(Session { inbound, book, intake, heartbeat: terms.heartbeat, _client: client })
    }

    fn hello(&self) -> WorkerHello {
        WorkerHello {
            protocol_version: WORKER_PROTOCOL_VERSION,
            worker: self.worker.clone(),
            functions: self.functions.iter().map(|function| function.name.to_string()).collect(),
            slots: self.slots,
            sdk: concat!("rust/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl Terms {
    fn of(welcome: &WorkerWelcome) -> Result<Self, LinkError> {
        let version = welcome.protocol_version;
        if version != WORKER_PROTOCOL_VERSION {
            return Err(LinkError::Final(RunError::refused(
                Reason::UnsupportedProtocol,
                format!(
                    "the broker answered with worker protocol {version}, \
                     this SDK speaks {WORKER_PROTOCOL_VERSION}"
                ),
            )));
        }
        if welcome.heartbeat_interval_ms == 0 {
            return Err(LinkError::Passing(
                "the broker's welcome has no heartbeat interval, expected 1 ms or more".to_owned(),
            ));
        }
        let response_bytes_max = match usize::try_from(welcome.response_bytes_max) {
            Ok(0) => RESPONSE_BYTES_MAX,
            Ok(bytes) => bytes.min(FRAME_BYTES_MAX - FRAME_SPARE_BYTES),
            Err(_) => FRAME_BYTES_MAX - FRAME_SPARE_BYTES,
        };
        let heartbeat = Duration::from_millis(welcome.heartbeat_interval_ms.into());
        Ok(Self { heartbeat, response_bytes_max })
    }
}

fn tuned(endpoint: &Endpoint) -> Endpoint {
    endpoint
        .clone()
        .connect_timeout(CONNECT_WAIT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_WAIT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES)
}

fn welcome(first: Option<WorkerServiceSessionResponse>) -> Result<WorkerWelcome, LinkError> {
    let frame = first.ok_or_else(|| {
        LinkError::Passing("the broker closed the session before its welcome".to_owned())
    })?;
    frame.welcome.ok_or_else(|| {
        LinkError::Passing(
            "the broker's first frame is not a welcome; is it a Trine broker?".to_owned(),
        )
    })
}

/// Sorts refusals: what this worker says of itself will be refused next time as well, everything
/// else may have passed by then.
fn refused(status: Status) -> LinkError {
    match reason::refusal(&status) {
        Some(refusal)
            if matches!(
                refusal.reason(),
                Reason::UnsupportedProtocol | Reason::InvalidArgument
            ) =>
        {
            LinkError::Final(RunError::refused(refusal.reason(), refusal.message))
        }
        Some(refusal) => {
            let reason = reason::name(refusal.reason());
            LinkError::Passing(format!("the broker refused: {reason}: {}", refusal.message))
        }
        None => LinkError::Passing(format!("no session: {}", chain(&status))),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use trine_proto::v1::Refusal;

    use super::*;

    fn welcome() -> WorkerWelcome {
        WorkerWelcome {
            protocol_version: 1,
            heartbeat_interval_ms: 1500,
            response_bytes_max: 1000,
            ..WorkerWelcome::default()
        }
    }

    fn response_bytes_max(offered: u64) -> usize {
        let welcome = WorkerWelcome { response_bytes_max: offered, ..welcome() };
        Terms::of(&welcome).unwrap().response_bytes_max
    }

    #[test]
    fn terms_are_bounded_by_what_a_frame_holds() {
        assert_eq!(Terms::of(&welcome()).unwrap().heartbeat, Duration::from_millis(1500));
        assert_eq!(response_bytes_max(1000), 1000);
        assert_eq!(response_bytes_max(0), RESPONSE_BYTES_MAX);
        assert_eq!(response_bytes_max(u64::MAX), FRAME_BYTES_MAX - FRAME_SPARE_BYTES);
    }

    #[test]
    fn another_protocol_is_final_and_a_missing_interval_is_not() {
        let other = WorkerWelcome { protocol_version: 2, ..welcome() };
        assert!(matches!(Terms::of(&other), Err(LinkError::Final(_))));
        let silent = WorkerWelcome { heartbeat_interval_ms: 0, ..welcome() };
        assert!(matches!(Terms::of(&silent), Err(LinkError::Passing(_))));
    }

    #[test]
    fn only_what_the_worker_says_of_itself_is_refused_for_good() {
        for reason in (0..).map_while(|number| Reason::try_from(number).ok()) {
            let refusal =
                Refusal { reason: reason.into(), message: "no".to_owned(), retry_after_ms: None };
            let is_final = matches!(refused(reason::status(&refusal)), LinkError::Final(_));
            let expected = [Reason::UnsupportedProtocol, Reason::InvalidArgument].contains(&reason);
            assert_eq!(is_final, expected, "{reason:?}");
        }
        assert!(matches!(refused(Status::invalid_argument("proxy")), LinkError::Passing(_)));
    }
}

//! A poller: connects to its broker for ever, offers the kinds of sources that it can read, and serves one session after the
//! other. It does not know what a mapping is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use trine_poll_engine::Backoff;
use trine_proto::v1::poller_service_client::PollerServiceClient;
use trine_proto::v1::{PollerHello, PollerServiceSessionRequest};
use trine_proto::{FRAME_BYTES_MAX, POLLER_PROTOCOL_VERSION};

use crate::adapters::kinds;
use crate::binding::Secrets;
use crate::clock::{monotonic, salt};
use crate::lease::Lease;
use crate::reports::Reports;
use crate::session::{Loss, Mappings, Session};
use crate::way::Way;

/// Longest wait for the broker's welcome.
const WELCOME_WAIT: Duration = Duration::from_secs(10);

/// Waits between sessions: a broker that comes back is found within the longest.
const RECONNECT: Backoff = Backoff::new(50, 5_000);

/// What a poller is told.
#[derive(Clone, Debug)]
pub struct PollerOptions {
    /// A name for people, 1..=128 characters.
    pub name: String,
    /// Mappings that it takes at most, 1..=10000.
    pub mappings_max: u32,
    /// Secrets by name, beside those in the environment.
    pub secrets: BTreeMap<String, String>,
}

impl PollerOptions {
    /// With room for a thousand mappings and no secrets of its own.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), mappings_max: 1_000, secrets: BTreeMap::new() }
    }
}

/// A running poller. Dropping it stops it too, but then nobody waits for what is in flight.
#[derive(Debug)]
#[must_use = "the poller stops when its handle is dropped"]
pub struct PollerHandle {
    until: watch::Sender<Option<Instant>>,
    running: JoinHandle<()>,
}

/// Starts a poller on the runtime of the caller. It reconnects for ever.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start_poller(way: impl Into<Way>, options: PollerOptions) -> PollerHandle {
    let (until, shutdown) = watch::channel(None);
    let poller = Poller { way: way.into(), options, shutdown, failures: 0, salt: salt() };
    PollerHandle { until, running: tokio::spawn(poller.run()) }
}

impl PollerHandle {
    /// Stops: nothing new is read or sent; what is in flight ends and is settled within `deadline`. True if all of it did; what did
    /// not comes again from the source.
    pub async fn shutdown(mut self, deadline: Duration) -> bool {
        let until = monotonic() + deadline;
        // A poller that has ended needs no telling.
        let _ = self.until.send(Some(until));
        let grace = Duration::from_secs(1);
        let ended = timeout(deadline + grace, &mut self.running).await;
        self.running.abort();
        matches!(ended, Ok(Ok(())))
    }
}

struct Poller {
    way: Way,
    options: PollerOptions,
    shutdown: watch::Receiver<Option<Instant>>,
    failures: u32,
    salt: u64,
}

impl Poller {
    async fn run(mut self) {
        while !self.is_over() {
            match self.session().await {
                Ok(()) => return,
                Err(loss) => tracing::warn!(
                    "{loss}; the mappings of this poller are somebody else's until it is back"
                ),
            }
            self.failures = self.failures.saturating_add(1);
            let wait = Duration::from_millis(RECONNECT.wait_ms(self.failures, self.salt));
            tokio::select! {
                () = sleep(wait) => {}
                // Its end is seen by the loop.
                _ = self.shutdown.wait_for(Option::is_some) => {}
            }
        }
    }

    fn is_over(&self) -> bool {
        self.shutdown.has_changed().is_err() || self.shutdown.borrow().is_some()
    }

    /// One session; ends well only when the poller was told to stop.
    async fn session(&mut self) -> Result<(), Loss> {
        let (reports, frames) = Reports::new();
        let hello = PollerHello {
            protocol_version: POLLER_PROTOCOL_VERSION,
            poller: self.options.name.clone(),
            kinds: kinds().into_iter().map(str::to_owned).collect(),
            mappings_max: self.options.mappings_max,
        };
        reports
            .send(PollerServiceSessionRequest { hello: Some(hello), ..Default::default() })
            .await;
        let mut client = PollerServiceClient::new(self.way.channel.clone())
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(FRAME_BYTES_MAX);
        let welcomed = async {
            let mut inbound = client
                .session(ReceiverStream::new(frames))
                .await
                .map_err(Loss::Broken)?
                .into_inner();
            let first = inbound.message().await.map_err(Loss::Broken)?.ok_or(Loss::Closed)?;
            Ok((inbound, first.welcome.ok_or(Loss::Closed)?))
        };
        let (inbound, welcome) =
            timeout(WELCOME_WAIT, welcomed).await.unwrap_or(Err(Loss::Silent(WELCOME_WAIT)))?;
        tracing::info!(
            session = welcome.session_id,
            broker = welcome.broker,
            "polling for this broker"
        );
        self.failures = 0;
        let mut session = Session {
            inbound,
            reports: reports.clone(),
            calls: Arc::clone(&self.way.calls),
            secrets: Secrets::new(self.options.secrets.clone()),
            heartbeat: Duration::from_millis(u64::from(welcome.heartbeat_interval_ms.max(1))),
            lease: Lease::new(Duration::from_millis(u64::from(welcome.lease_ms.max(1)))),
            mappings: Mappings::default(),
        };
        let ended = session.run(&mut self.shutdown).await;
        reports.close();
        session.mappings.abandon().await;
        ended
    }
}

//! Starts and stops a broker: store, shard, listener, edges. Composition only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tonic::transport::{Channel, Endpoint, Uri};
use trine_engine::mapping::Registry;
use trine_engine::{Engine, EngineLimits, Millis};
use trine_proto::FRAME_BYTES_MAX;
use trine_proto::v1::function_service_client::FunctionServiceClient;
use trine_proto::v1::invocation_service_client::InvocationServiceClient;
use trine_store::{Fence, StoreError};

use crate::calls::Calls;
use crate::clock::Clock;
use crate::destinations::Destinations;
use crate::disk::Disk;
use crate::edges::Edges;
use crate::front::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, serve};
use crate::lanes::Lanes;
use crate::listener::{Inside, Listener, ListeningSocket};
use crate::mappings::message::{MappingsHandle, Message as MappingMessage};
use crate::mappings::{self, Mappings};
use crate::metrics::{Metrics, Start};
use crate::options::BrokerOptions;
use crate::readiness::Readiness;
use crate::shard::deliveries::DeliveryErrors;
use crate::shard::message::{Message, ShardHandle};
use crate::shard::recover::recover;
use crate::shard::{SHARD, Shard};
use crate::store::{self, Closed, OpenStore, SharedStore};

/// How long answers that are under way may take to leave once nothing runs any more.
const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// A running broker. It needs the tokio runtime in which it was started for as long as it lives.
///
/// From within the process it is reached by [`functions`](Self::functions),
/// [`invocations`](Self::invocations) and [`channel`](Self::channel); from outside only if it was
/// told to [`listen`](BrokerOptions::listen).
#[derive(Debug)]
pub struct Broker {
    socket: Option<ListeningSocket>,
    inside: Inside,
    functions: FunctionServiceClient<Channel>,
    invocations: InvocationServiceClient<Channel>,
    calls: Calls,
    shard: ShardHandle,
    mappings: MappingsHandle,
    ready: Readiness,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    running: JoinHandle<Result<(), StoreError>>,
    closed: Closed,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Anybody could invoke anything: refused while there is no authentication.
    #[error(
        "{0} is not a loopback address; Trine has no authentication yet and listens on loopback only, for example 127.0.0.1:7400"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The store cannot be opened or read.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The system has no thread left.
    #[error("no thread could be started: {0}")]
    Thread(std::io::Error),
}

/// Why a broker stopped by itself.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StopReason {
    /// The store failed; whether the last events are on disk will show at the next start.
    #[error("the store failed: {0}")]
    Store(StoreError),
    /// The listener or the shard ended, which is a defect.
    #[error("the broker stopped unexpectedly: {0}")]
    Unexpected(String),
}

impl StopReason {
    fn of(ended: Result<Result<(), StoreError>, JoinError>) -> Self {
        match ended {
            Ok(Err(error)) => Self::Store(error),
            Ok(Ok(())) => Self::Unexpected("the shard ended".to_owned()),
            Err(panic) => Self::Unexpected(panic.to_string()),
        }
    }
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Every running attempt ended within the deadline.
    pub complete: bool,
    /// Attempts that were cut off.
    pub cut_off: u64,
}

impl Broker {
    /// Opens the store, recovers, binds and serves.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left behind.
    pub async fn start(options: BrokerOptions) -> Result<Self, StartError> {
        // Two engines on their way into their tasks are more than a caller's future should hold.
        Box::pin(Self::start_here(options)).await
    }

    async fn start_here(options: BrokerOptions) -> Result<Self, StartError> {
        if let Some(address) = options.listen.filter(|address| !address.ip().is_loopback()) {
            return Err(StartError::NotLoopback(address));
        }
        let clock = if options.virtual_time { Clock::virtual_time() } else { Clock::real() };
        let (metrics, facts) = Metrics::new(Start {
            version: env!("CARGO_PKG_VERSION"),
            at: clock.now(),
            virtual_time: options.virtual_time,
        });
        let lanes = Lanes::start(options.threads).map_err(StartError::Thread)?;
        let OpenStore { shared: store, durability, closed } = store::open(&options.store)?;
        let (shard, inbox) = ShardHandle::new();
        let (mappings, mapping_inbox) = MappingsHandle::new();
        let ((engine, fence), recovered) = recovered(&options, &store, clock.now()).await?;
        let Listener { connections, inside, socket } = listen(&options, metrics.clone()).await?;
        let edges = Edges {
            shard: shard.clone(),
            mappings: mappings.clone(),
            clock,
            metrics,
            durability,
            store,
            delivery_errors: DeliveryErrors::default(),
            disk: Disk::default(),
        };
        let destinations = Destinations::new(options.destinations.clone());
        let mapping_task = edges
            .mapping_task(recovered, mapping_inbox, destinations.clone())
            .map_err(StartError::Thread)?;
        let task = edges
            .shard_task(&options, (engine, fence), inbox, facts, destinations)
            .map_err(StartError::Thread)?;
        let ready = Readiness::new().await;
        let (stop, stopping) = watch::channel(false);
        let running = tokio::spawn(run(task, mapping_task, stop.clone()));
        let calls = Calls::new(edges.invocation());
        let front = edges.front(&options, ready.clone());
        let server = tokio::spawn(serve(front, lanes, connections, stopping));
        let functions = FunctionServiceClient::new(inside_channel(inside.clone()));
        let invocations = InvocationServiceClient::new(inside_channel(inside.clone()))
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(FRAME_BYTES_MAX);
        Ok(Self {
            socket,
            inside,
            functions,
            invocations,
            calls,
            shard,
            mappings,
            ready,
            stop,
            server,
            running,
            closed,
        })
    }

    /// Where it listens, if it does.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.as_ref().map(|socket| socket.address)
    }

    /// A new connection from within the process: the same contract, without the network. Workers,
    /// pollers and callers have one each and do not wait behind each other.
    #[must_use]
    pub fn channel(&self) -> Channel {
        inside_channel(self.inside.clone())
    }

    /// A client from within the process that creates functions and looks after them. All clones
    /// share a connection.
    #[must_use]
    pub fn functions(&self) -> FunctionServiceClient<Channel> {
        self.functions.clone()
    }

    /// A client from within the process that invokes functions and looks after what was invoked.
    /// All clones share a connection. Payloads may be as large as the contract allows, which is more
    /// than a client takes that is made from a [`channel`](Self::channel) and not told so.
    #[must_use]
    pub fn invocations(&self) -> InvocationServiceClient<Channel> {
        self.invocations.clone()
    }

    /// Invokes without any connection. Whoever sends large payloads from within the process, and none of the
    /// other calls, wants this and not [`invocations`](Self::invocations).
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.calls.clone()
    }

    /// Ends when the broker stops by itself. The process should end too, not with success.
    pub async fn stopped(&mut self) -> StopReason {
        let server = tokio::select! {
            biased;
            ended = &mut self.running => return StopReason::of(ended),
            ended = &mut self.server => ended,
        };
        if *self.stop.borrow() {
            // The shard has failed, and with it the server was told to stop.
            return StopReason::of((&mut self.running).await);
        }
        StopReason::Unexpected(format!("the server ended: {server:?}"))
    }

    /// Refuses new work, lets running attempts end within `deadline`, saves, closes. Afterwards
    /// another broker may start in the same folder; it goes on with the events that wait.
    pub async fn shutdown(mut self, deadline: Duration) -> Drained {
        self.ready.set(false).await;
        self.socket = None;
        let (reply, drained) = oneshot::channel();
        let told = self.shard.send(Message::Drain { reply }).await.is_ok();
        let (reply, pollers_gone) = oneshot::channel();
        let pollers_told = self.mappings.send(MappingMessage::Drain { reply }).await.is_ok();
        let complete = told && matches!(tokio::time::timeout(deadline, drained).await, Ok(Ok(())));
        let account = self.shard.query(Engine::account).await;
        let cut_off = account.map_or(0, |account| account.leases);
        if pollers_told {
            // What they invoked has ended; their last checkpoints may be on their way.
            let _ = tokio::time::timeout(FLUSH_WAIT, pollers_gone).await;
        }
        // All may have ended already, which is what is wanted.
        let _ = self.shard.send(Message::Stop).await;
        let _ = self.mappings.send(MappingMessage::Stop).await;
        if !self.running.is_finished() {
            let _ = tokio::time::timeout(FLUSH_WAIT, &mut self.running).await;
        }
        let _ = self.stop.send(true);
        if !self.server.is_finished()
            && tokio::time::timeout(FLUSH_WAIT, &mut self.server).await.is_err()
        {
            self.server.abort();
        }
        if tokio::time::timeout(FLUSH_WAIT, &mut self.closed).await.is_err() {
            tracing::warn!("the store is still being read and stays open until that has ended");
        }
        Drained { complete, cut_off }
    }
}

impl Drop for Broker {
    /// A broker that is dropped stops like one that is killed: what was acknowledged is on disk.
    fn drop(&mut self) {
        self.server.abort();
        self.shard.tell(Message::Stop);
        self.mappings.tell(MappingMessage::Stop);
    }
}

type Recovered = ((Engine, Fence), (Registry, Fence));

/// Both shards as they were when their last commits were durable.
async fn recovered(
    options: &BrokerOptions,
    store: &SharedStore,
    now: Millis,
) -> Result<Recovered, StartError> {
    let (store, limits, mapping_limits) =
        (Arc::clone(store), engine_limits(options), options.mapping_limits());
    let recovering = tokio::task::spawn_blocking(move || {
        let engine = recover(store.as_ref(), SHARD, limits, now)?;
        let registry = mappings::recover::recover(store.as_ref(), mapping_limits)?;
        Ok::<_, StoreError>((engine, registry))
    });
    Ok(recovering.await.map_err(|error| StartError::Thread(error.into()))??)
}

/// Runs the shard and that of the mappings. If the store of one fails, both end, and the last answers leave before anybody
/// hears of it and ends the process.
async fn run(
    shard: Shard,
    mappings: Mappings,
    stop: watch::Sender<bool>,
) -> Result<(), StoreError> {
    let (shard, mappings) = (Box::pin(shard.run()), Box::pin(mappings.run()));
    let ended = tokio::try_join!(shard, mappings).map(|_| ());
    if ended.is_err() {
        // Without a server there is nobody to tell.
        let _ = stop.send(true);
        let _ = tokio::time::timeout(FLUSH_WAIT, stop.closed()).await;
    }
    ended
}

async fn listen(options: &BrokerOptions, metrics: Metrics) -> Result<Listener, StartError> {
    let Some(address) = options.listen else { return Ok(Listener::inside()) };
    let bound = Listener::bind(address, options.limits.connections_max, metrics).await;
    bound.map_err(|source| StartError::Listen { address, source })
}

fn engine_limits(options: &BrokerOptions) -> EngineLimits {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (limits, timing) = (&options.limits, &options.timing);
    EngineLimits {
        account_concurrency: limits.account_concurrency,
        unreserved_concurrency_min: limits.unreserved_concurrency_min,
        queue_count_max: limits.queue_count_max,
        queue_bytes_max: limits.queue_bytes_max,
        history_count_max: limits.history_count_max,
        history_age_ms: ms(limits.history_age),
        functions_max: limits.functions_max,
        sync_waiting_max: limits.sync_waiting_max,
        placement_wait_ms: ms(timing.placement_wait),
        stop_grace_ms: ms(timing.stop_grace),
        delivery_age_ms: ms(timing.delivery_age_max),
        ..EngineLimits::default()
    }
}

fn inside_channel(inside: Inside) -> Channel {
    let connect = move |_: Uri| {
        let inside = inside.clone();
        async move { inside.connect().await.map(hyper_util::rt::TokioIo::new) }
    };
    Endpoint::from_static("http://inside.trine")
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect_with_connector_lazy(tower::service_fn(connect))
}

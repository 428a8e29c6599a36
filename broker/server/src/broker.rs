//! Starts and stops a broker: store, shard, listener, edges. Composition only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Uri};
use trine_engine::EngineLimits;
use trine_proto::FRAME_BYTES_MAX;
use trine_proto::v1::Durability;
use trine_proto::v1::admin_service_server::AdminServiceServer;
use trine_proto::v1::function_service_server::FunctionServiceServer;
use trine_proto::v1::invocation_service_server::InvocationServiceServer;
use trine_proto::v1::worker_service_server::WorkerServiceServer;
use trine_store::{Committer, Embedded, Memory, Options, Shard as StoreShard, StoreError};

use crate::clock::Clock;
use crate::destinations::Destinations;
use crate::edge::admin::AdminEdge;
use crate::edge::function::FunctionEdge;
use crate::edge::http;
use crate::edge::invocation::InvocationEdge;
use crate::edge::session::SessionEdge;
use crate::front::{CONNECTION_WINDOW_BYTES, Front, STREAM_WINDOW_BYTES, serve};
use crate::listener::{Inside, Listener, listen};
use crate::metrics::{Metrics, Start};
use crate::options::{BrokerOptions, StoreOption};
use crate::shard::deliveries::{Deliveries, DeliveryErrors, Way};
use crate::shard::loader::Loader;
use crate::shard::message::{Message, ShardHandle};
use crate::shard::recover::recover;
use crate::shard::{Parts, Shard, SharedStore};

/// The one shard of this release; its number is part of ids and keys so that there can be more.
const SHARD: StoreShard = StoreShard(0);

/// How long answers that are under way may take to leave once nothing runs any more.
const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    channel: Channel,
    shard: ShardHandle,
    ready: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    running: JoinHandle<Result<(), StoreError>>,
    accepting: JoinHandle<()>,
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
        if !options.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(options.listen));
        }
        let clock = if options.virtual_time { Clock::virtual_time() } else { Clock::real() };
        let (metrics, facts) = Metrics::new(Start {
            version: env!("CARGO_PKG_VERSION"),
            at: clock.now(),
            virtual_time: options.virtual_time,
        });
        let (store, durability) = open_store(&options.store)?;
        let (shard, inbox) = ShardHandle::new();
        let (engine, fence) = {
            let (store, limits, now) = (Arc::clone(&store), engine_limits(&options), clock.now());
            let recovering =
                tokio::task::spawn_blocking(move || recover(store.as_ref(), SHARD, limits, now));
            recovering.await.map_err(|error| StartError::Thread(error.into()))??
        };
        let Listener { address, connections, inside, accepting } =
            listen(options.listen, options.limits.connections_max, metrics.clone())
                .await
                .map_err(|source| StartError::Listen { address: options.listen, source })?;
        let (commits, committed) = mpsc::unbounded_channel();
        // The shard outlives its committer; a commit that nobody hears of is read at the next start.
        let done = Box::new(move |commit| drop(commits.send(commit)));
        let committer =
            Committer::start(Arc::clone(&store), SHARD, fence, done).map_err(StartError::Thread)?;
        let loader =
            Loader::start(Arc::clone(&store), SHARD, shard.clone()).map_err(StartError::Thread)?;
        let delivery_errors = DeliveryErrors::default();
        let way = Way {
            destinations: Destinations::new(options.destinations.clone()),
            store: Arc::clone(&store),
            store_shard: SHARD,
            shard: shard.clone(),
        };
        let task = Shard::new(Parts {
            engine,
            clock: clock.clone(),
            inbox,
            committer,
            committed,
            loader,
            deliveries: Deliveries::new(way, delivery_errors.clone()),
            payload_cache_bytes_max: options.limits.payload_cache_bytes_max,
            metrics: metrics.clone(),
            facts,
        });
        let running = tokio::spawn(task.run());
        let ready = Arc::new(AtomicBool::new(true));
        let (stop, stopping) = watch::channel(false);
        let edges =
            Edges { shard: shard.clone(), clock, metrics, durability, store, delivery_errors };
        let front = edges.front(&options, Arc::clone(&ready)).await;
        let server = tokio::spawn(serve(front, connections, stopping));
        let channel = inside_channel(inside);
        Ok(Self { address, channel, shard, ready, stop, server, running, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection from within the process, over the same contract and without the network.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Ends when the broker stops by itself. The process should end too, not with success.
    pub async fn stopped(&mut self) -> StopReason {
        tokio::select! {
            ended = &mut self.running => match ended {
                Ok(Err(error)) => StopReason::Store(error),
                Ok(Ok(())) => StopReason::Unexpected("the shard ended".to_owned()),
                Err(panic) => StopReason::Unexpected(panic.to_string()),
            },
            ended = &mut self.server => StopReason::Unexpected(format!("the server ended: {ended:?}")),
        }
    }

    /// Refuses new work, lets running attempts end within `deadline`, saves, closes.
    pub async fn shutdown(mut self, deadline: Duration) -> Drained {
        self.ready.store(false, Ordering::Relaxed);
        self.accepting.abort();
        let (reply, drained) = oneshot::channel();
        let told = self.shard.send(Message::Drain { reply }).await.is_ok();
        let complete = told && matches!(tokio::time::timeout(deadline, drained).await, Ok(Ok(())));
        let account = self.shard.query(trine_engine::Engine::account).await;
        let cut_off = account.map_or(0, |account| account.leases);
        // Both may have ended already, which is what is wanted.
        let _ = self.shard.send(Message::Stop).await;
        let _ = tokio::time::timeout(FLUSH_WAIT, &mut self.running).await;
        let _ = self.stop.send(true);
        if tokio::time::timeout(FLUSH_WAIT, &mut self.server).await.is_err() {
            self.server.abort();
        }
        Drained { complete, cut_off }
    }
}

impl Drop for Broker {
    /// A broker that is dropped stops like one that is killed: what was acknowledged is on disk.
    fn drop(&mut self) {
        self.accepting.abort();
        self.server.abort();
        self.shard.tell(Message::Stop);
    }
}

fn open_store(option: &StoreOption) -> Result<(SharedStore, Durability), StoreError> {
    match option {
        StoreOption::Memory => Ok((Arc::new(Memory::new()), Durability::Memory)),
        StoreOption::Embedded { dir } => {
            Ok((Arc::new(Embedded::open(dir, Options::default())?), Durability::LocalDisk))
        }
    }
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

/// What the edges share.
struct Edges {
    shard: ShardHandle,
    clock: Clock,
    metrics: Metrics,
    durability: Durability,
    store: SharedStore,
    delivery_errors: DeliveryErrors,
}

impl Edges {
    /// Every service and the HTTP side.
    async fn front(self, options: &BrokerOptions, ready: Arc<AtomicBool>) -> Front {
        let (health, health_service) = tonic_health::server::health_reporter();
        let invocation = InvocationServiceServer::new(InvocationEdge {
            shard: self.shard.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            durability: self.durability,
            store: self.store,
            store_shard: SHARD,
            delivery_errors: self.delivery_errors,
        })
        .max_decoding_message_size(FRAME_BYTES_MAX);
        let worker = WorkerServiceServer::new(SessionEdge {
            shard: self.shard.clone(),
            metrics: self.metrics.clone(),
            heartbeat: options.timing.heartbeat,
        })
        .max_decoding_message_size(FRAME_BYTES_MAX);
        let function = FunctionServiceServer::new(FunctionEdge {
            shard: self.shard.clone(),
            metrics: self.metrics.clone(),
            policy: options.destinations.clone(),
            limits: options.limits.clone(),
        });
        let admin = AdminServiceServer::new(AdminEdge {
            shard: self.shard.clone(),
            clock: self.clock,
            metrics: self.metrics.clone(),
            store: if self.durability == Durability::Memory { "memory" } else { "embedded" },
            configuration: options.configuration.clone(),
        });
        health.set_service_status("", tonic_health::ServingStatus::Serving).await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(trine_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            // The descriptors are built with this binary.
            .expect("the contract's own descriptors decode");
        let routes = Routes::from(http::router(self.shard, self.metrics, ready))
            .add_service(worker)
            .add_service(function)
            .add_service(admin)
            .add_service(health_service)
            .add_service(reflection);
        Front { invocation, routes }
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

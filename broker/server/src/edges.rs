//! Every service of the port, and the tasks behind them, made of what they share. Composition only: it does not start or stop anything by
//! itself.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use trine_engine::Engine;
use trine_engine::mapping::Registry;
use trine_proto::FRAME_BYTES_MAX;
use trine_proto::v1::Durability;
use trine_proto::v1::admin_service_server::AdminServiceServer;
use trine_proto::v1::function_service_server::FunctionServiceServer;
use trine_proto::v1::invocation_service_server::InvocationServiceServer;
use trine_proto::v1::mapping_service_server::MappingServiceServer;
use trine_proto::v1::poller_service_server::PollerServiceServer;
use trine_proto::v1::worker_service_server::WorkerServiceServer;
use trine_store::{Committer, Fence};

use crate::clock::{Clock, monotonic};
use crate::destinations::Destinations;
use crate::disk::Disk;
use crate::edge::admin::AdminEdge;
use crate::edge::function::FunctionEdge;
use crate::edge::http;
use crate::edge::invocation::InvocationEdge;
use crate::edge::mapping::MappingEdge;
use crate::edge::poller::PollerEdge;
use crate::edge::session::SessionEdge;
use crate::front::Front;
use crate::mappings::message::{MappingsHandle, Message as MappingMessage};
use crate::mappings::{self, Mappings};
use crate::metrics::{FactSink, Metrics};
use crate::options::BrokerOptions;
use crate::readiness::Readiness;
use crate::shard::deliveries::{Deliveries, DeliveryErrors, Way};
use crate::shard::loader::Loader;
use crate::shard::message::{Message, ShardHandle};
use crate::shard::{Parts, SHARD, Shard};
use crate::store::SharedStore;

/// What the edges share, and the tasks behind them.
pub(crate) struct Edges {
    pub(crate) shard: ShardHandle,
    pub(crate) mappings: MappingsHandle,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) durability: Durability,
    pub(crate) store: SharedStore,
    pub(crate) delivery_errors: DeliveryErrors,
    pub(crate) disk: Disk,
}

impl Edges {
    /// The task around the engine, with its threads.
    pub(crate) fn shard_task(
        &self,
        options: &BrokerOptions,
        (engine, fence): (Engine, Fence),
        inbox: mpsc::Receiver<Message>,
        facts: FactSink,
        destinations: Destinations,
    ) -> io::Result<Shard> {
        let (store, shard) = (&self.store, &self.shard);
        let (commits, committed) = mpsc::unbounded_channel();
        // The shard outlives its committer; a commit that nobody hears of is read at the next start.
        let disk = self.disk.clone();
        let done = Box::new(move |commit| {
            disk.note(&commit, monotonic());
            drop(commits.send(commit));
        });
        let committer = Committer::start(Arc::clone(store), SHARD, fence, done)?;
        let loader = Loader::start(Arc::clone(store), SHARD, shard.clone())?;
        let (store, shard) = (Arc::clone(store), shard.clone());
        let way = Way { destinations, store, store_shard: SHARD, shard };
        Ok(Shard::new(Parts {
            engine,
            clock: self.clock.clone(),
            inbox,
            committer,
            committed,
            loader,
            deliveries: Deliveries::new(way, self.delivery_errors.clone()),
            payload_cache_bytes_max: options.limits.payload_cache_bytes_max,
            metrics: self.metrics.clone(),
            facts,
        }))
    }

    /// The task around the registry, with its thread.
    pub(crate) fn mapping_task(
        &self,
        recovered: (Registry, Fence),
        inbox: mpsc::Receiver<MappingMessage>,
        destinations: Destinations,
    ) -> io::Result<Mappings> {
        let way = mappings::Way {
            destinations,
            store: Arc::clone(&self.store),
            shard: self.shard.clone(),
            mappings: self.mappings.clone(),
        };
        let (disk, metrics) = (self.disk.clone(), self.metrics.clone());
        Mappings::start(recovered, way, inbox, self.clock.clone(), disk, metrics)
    }

    pub(crate) fn invocation(&self) -> InvocationEdge {
        InvocationEdge {
            shard: self.shard.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            durability: self.durability,
            store: Arc::downgrade(&self.store),
            store_shard: SHARD,
            delivery_errors: self.delivery_errors.clone(),
        }
    }

    /// Every service and the HTTP side.
    pub(crate) fn front(self, options: &BrokerOptions, readiness: Readiness) -> Front {
        let Readiness { ready, health } = readiness;
        let invocation = InvocationServiceServer::new(self.invocation())
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
        let mapping = MappingServiceServer::new(MappingEdge {
            mappings: self.mappings.clone(),
            shard: self.shard.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            policy: options.destinations.clone(),
        });
        let poller = PollerServiceServer::new(PollerEdge {
            mappings: self.mappings.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            heartbeat: options.timing.heartbeat,
        })
        .max_decoding_message_size(FRAME_BYTES_MAX);
        let admin = AdminServiceServer::new(AdminEdge {
            shard: self.shard.clone(),
            clock: self.clock,
            metrics: self.metrics.clone(),
            store: if self.durability == Durability::Memory { "memory" } else { "embedded" },
            configuration: options.configuration.clone(),
        });
        let health = HealthServer::new(HealthService::from_health_reporter(health));
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(trine_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            // The descriptors are built with this binary.
            .expect("the contract's own descriptors decode");
        let routes = Routes::from(http::router(self.shard, self.mappings, self.metrics, ready))
            .add_service(worker)
            .add_service(function)
            .add_service(mapping)
            .add_service(poller)
            .add_service(admin)
            .add_service(health)
            .add_service(reflection);
        Front { invocation, routes }
    }
}

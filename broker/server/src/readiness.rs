//! Whether the broker takes requests, as `/readyz` and the health service say it. It does not find that out: who starts and stops the
//! broker sets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use trine_proto::v1::admin_service_server::AdminServiceServer;
use trine_proto::v1::function_service_server::FunctionServiceServer;
use trine_proto::v1::invocation_service_server::InvocationServiceServer;
use trine_proto::v1::mapping_service_server::MappingServiceServer;
use trine_proto::v1::poller_service_server::PollerServiceServer;
use trine_proto::v1::worker_service_server::WorkerServiceServer;

use crate::edge::admin::AdminEdge;
use crate::edge::function::FunctionEdge;
use crate::edge::invocation::InvocationEdge;
use crate::edge::mapping::MappingEdge;
use crate::edge::poller::PollerEdge;
use crate::edge::session::SessionEdge;

/// What `/readyz` and the health service say.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) health: HealthReporter,
}

impl Readiness {
    /// Of a broker that serves.
    pub(crate) async fn new() -> Self {
        let this = Self { ready: Arc::default(), health: HealthReporter::new() };
        this.set(true).await;
        this
    }

    /// For the broker, and for each of its services by name.
    pub(crate) async fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in [
            "",
            InvocationServiceServer::<InvocationEdge>::NAME,
            WorkerServiceServer::<SessionEdge>::NAME,
            FunctionServiceServer::<FunctionEdge>::NAME,
            MappingServiceServer::<MappingEdge>::NAME,
            PollerServiceServer::<PollerEdge>::NAME,
            AdminServiceServer::<AdminEdge>::NAME,
        ] {
            self.health.set_service_status(service, status).await;
        }
    }
}

//! Invocations from within the process: straight to their edge, without a wire between. It does not know who makes them.
//!
//! Over [`Broker::channel`](crate::Broker::channel) the same call is written, framed, moved through a pipe in memory, read and copied
//! together again, by tasks on three threads. For a batch of a poller, which is large and waited for, that is a third of its way
//! (`cargo xtask bench --only drain_jetstream`).

use tonic::{Request, Status};
use trine_proto::v1::invocation_service_server::InvocationService as _;
use trine_proto::v1::{InvokeRequest, InvokeResponse};

use crate::edge::invocation::InvocationEdge;

/// Invokes functions of the broker in this process. Clones are cheap. After the broker has stopped every call is refused with
/// `SHUTTING_DOWN`.
#[derive(Clone)]
pub struct Calls(InvocationEdge);

impl Calls {
    pub(crate) const fn new(edge: InvocationEdge) -> Self {
        Self(edge)
    }

    /// As `InvocationService.Invoke`; dropped before it has ended, the caller counts as gone.
    ///
    /// # Errors
    /// With the same refusals.
    pub async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, Status> {
        self.0.invoke(Request::new(request)).await.map(tonic::Response::into_inner)
    }
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

//! The way to a broker: a channel for the session, and a way for invocations, which may be a shorter one. It does not know what goes
//! over it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::codegen::BoxFuture;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use trine_proto::FRAME_BYTES_MAX;
use trine_proto::v1::invocation_service_client::InvocationServiceClient;
use trine_proto::v1::{InvokeRequest, InvokeResponse};

/// Calls of `InvocationService.Invoke`.
pub trait Invoke: Send + Sync {
    /// Invokes; the caller waits for no longer than `wait` for the start. Dropped before it has ended, the caller counts as gone.
    fn invoke(&self, request: InvokeRequest, wait: Duration) -> BoxFuture<InvokeResponse, Status>;
}

/// How a poller reaches its broker.
#[derive(Clone)]
pub struct Way {
    pub(crate) channel: Channel,
    pub(crate) calls: Arc<dyn Invoke>,
}

impl Way {
    /// To a broker in this process, which invokes without a wire between.
    pub fn inside(channel: Channel, calls: impl Invoke + 'static) -> Self {
        Self { channel, calls: Arc::new(calls) }
    }
}

/// To a broker elsewhere: everything goes over the channel.
impl From<Channel> for Way {
    fn from(channel: Channel) -> Self {
        let calls = InvocationServiceClient::new(channel.clone())
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(FRAME_BYTES_MAX);
        Self { channel, calls: Arc::new(calls) }
    }
}

impl Invoke for InvocationServiceClient<Channel> {
    fn invoke(&self, request: InvokeRequest, wait: Duration) -> BoxFuture<InvokeResponse, Status> {
        let mut client = self.clone();
        let mut request = Request::new(request);
        request.set_timeout(wait);
        Box::pin(async move {
            InvocationServiceClient::invoke(&mut client, request).await.map(Response::into_inner)
        })
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").finish_non_exhaustive()
    }
}

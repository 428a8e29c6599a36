//! Handlers: the user's async functions behind one type, as tower services.
//!
//! It knows payload and context; it does not know sessions, frames or leases.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::{Layer, Service};

use crate::context::Context;
use crate::error::{BoxError, Error, MARSHAL_ERROR, UNMARSHAL_ERROR};

/// One call of a handler: the request type of the services that tower layers wrap.
#[derive(Debug, Clone)]
pub struct Call {
    /// The invocation's payload, a JSON text.
    pub payload: Bytes,
    /// What is known of the attempt.
    pub context: Context,
}

/// A handler, and the layers around it, as a tower service. What
/// [`Worker::layer`](crate::Worker::layer) hands to a layer to wrap. Always ready; cheap to clone.
#[derive(Clone)]
pub struct HandlerService {
    handler: Arc<dyn Handler>,
}

/// The future of a [`HandlerService`].
pub struct HandlerFuture {
    future: Boxed,
}

type Boxed = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

/// Erased at this edge: the type of a stack of layers around a closure is nobody's business beyond.
trait Handler: Send + Sync {
    fn call(&self, call: Call) -> HandlerFuture;
}

impl HandlerService {
    /// Raw bytes in and out.
    pub(crate) fn raw<F, Fut, E>(handler: F) -> Self
    where
        F: Fn(Bytes, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes, E>> + Send + 'static,
        E: Into<Error>,
    {
        Self::erased(move |call: Call| {
            let answer = handler(call.payload, call.context);
            HandlerFuture::new(async move { answer.await.map_err(Into::into) })
        })
    }

    /// JSON in and out through serde.
    pub(crate) fn typed<F, Fut, In, Out, E>(handler: F) -> Self
    where
        F: Fn(In, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, E>> + Send + 'static,
        In: DeserializeOwned,
        Out: Serialize,
        E: Into<Error>,
    {
        Self::erased(move |call: Call| {
            let answer = match serde_json::from_slice(&call.payload) {
                Ok(input) => Ok(handler(input, call.context)),
                Err(error) => Err(Error::new(UNMARSHAL_ERROR, unmarshal_message::<In>(&error))),
            };
            HandlerFuture::new(async move {
                let output = answer?.await.map_err(Into::into)?;
                serde_json::to_vec(&output).map(Bytes::from).map_err(|error| {
                    let output = std::any::type_name::<Out>();
                    Error::new(MARSHAL_ERROR, format!("{output} does not serialise: {error}"))
                })
            })
        })
    }

    /// This service with `layer` around it.
    pub(crate) fn layered<L>(self, layer: &L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Call, Response = Bytes> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Error: Into<BoxError>,
        <L::Service as Service<Call>>::Future: Send,
    {
        let service = layer.layer(self);
        // A clone a call, as tower asks for: readiness belongs to the clone that became ready.
        Self::erased(move |call: Call| {
            let mut service = service.clone();
            HandlerFuture::new(async move {
                std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(layer_error)?;
                service.call(call).await.map_err(layer_error)
            })
        })
    }

    /// Calls the handler. What the user's closure does before its first `await` may happen now.
    pub(crate) fn start(&self, call: Call) -> HandlerFuture {
        self.handler.call(call)
    }

    fn erased(handler: impl Fn(Call) -> HandlerFuture + Send + Sync + 'static) -> Self {
        Self { handler: Arc::new(handler) }
    }
}

impl<F: Fn(Call) -> HandlerFuture + Send + Sync> Handler for F {
    fn call(&self, call: Call) -> HandlerFuture {
        self(call)
    }
}

impl Service<Call> for HandlerService {
    type Response = Bytes;
    type Error = Error;
    type Future = HandlerFuture;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> HandlerFuture {
        self.start(call)
    }
}

impl HandlerFuture {
    fn new(future: impl Future<Output = Result<Bytes, Error>> + Send + 'static) -> Self {
        Self { future: Box::pin(future) }
    }
}

impl Future for HandlerFuture {
    type Output = Result<Bytes, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.future.as_mut().poll(cx)))
    }
}

impl fmt::Debug for HandlerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerService").finish_non_exhaustive()
    }
}

impl fmt::Debug for HandlerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerFuture").finish_non_exhaustive()
    }
}

fn layer_error(error: impl Into<BoxError>) -> Error {
    Error::from_boxed(error.into())
}

fn unmarshal_message<In>(error: &serde_json::Error) -> String {
    format!("the payload is not a {}: {error}", std::any::type_name::<In>())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower::timeout::TimeoutLayer;

    use super::*;

    async fn call(service: &HandlerService, payload: &'static str) -> Result<Bytes, Error> {
        let payload = Bytes::from_static(payload.as_bytes());
        service.start(Call { payload, context: Context::detached("f") }).await
    }

    #[tokio::test]
    async fn a_typed_handler_speaks_json() {
        let double =
            HandlerService::typed(|number: u32, _| async move { Ok::<_, Error>(number * 2) });
        assert_eq!(call(&double, "21").await.unwrap(), "42");
        let error = call(&double, "\"x\"").await.unwrap_err();
        assert_eq!(error.error_type(), "Runtime.UnmarshalError");
        assert!(error.message().starts_with("the payload is not a u32: invalid type: string"));
    }

    #[tokio::test]
    async fn an_output_that_does_not_serialise_is_a_function_error() {
        let odd = HandlerService::typed(|(): (), _| async move {
            Ok::<_, Error>(std::collections::BTreeMap::from([((1, 2), 3)]))
        });
        let error = call(&odd, "null").await.unwrap_err();
        assert_eq!(error.error_type(), "Runtime.MarshalError");
    }

    #[tokio::test]
    async fn a_raw_handler_gets_the_bytes_as_they_are() {
        let echo = HandlerService::raw(|payload, _| async move { Ok::<_, Error>(payload) });
        assert_eq!(call(&echo, " {not json").await.unwrap(), " {not json");
    }

    #[tokio::test(start_paused = true)]
    async fn a_layer_sees_the_call_and_its_error_reaches_the_caller() {
        let slow = HandlerService::raw(|_, _| std::future::pending::<Result<Bytes, Error>>())
            .layered(&TimeoutLayer::new(Duration::from_secs(1)));
        assert_eq!(call(&slow, "{}").await.unwrap_err().message(), "request timed out");
    }

    #[tokio::test]
    async fn a_handlers_error_passes_a_layer_unchanged() {
        let failing =
            HandlerService::raw(|_, _| async { Err::<Bytes, _>(Error::new("Shop.Closed", "")) })
                .layered(&TimeoutLayer::new(Duration::from_secs(1)));
        assert_eq!(call(&failing, "{}").await.unwrap_err().error_type(), "Shop.Closed");
    }
}

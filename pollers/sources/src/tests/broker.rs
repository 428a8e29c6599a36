//! A broker with a script: it speaks the published contract over an in-memory connection or over TCP,
//! and a test answers each call by hand.

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::transport::server::Router;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use trine_proto::v1::invocation_service_server::{InvocationService, InvocationServiceServer};
use trine_proto::v1::{self, InvokeRequest, InvokeResponse, Reason, Refusal};
use trine_proto::{FRAME_BYTES_MAX, reason};

/// Longest that a test waits for a call, mostly of the paused clock.
const CALL_WAIT: Duration = Duration::from_secs(120);

/// The broker's end: the calls as they come.
pub(crate) struct Broker {
    calls: mpsc::UnboundedReceiver<Call>,
}

/// One invocation that waits for its answer. Dropped, it is answered by a broken connection.
pub(crate) struct Call {
    pub(crate) request: InvokeRequest,
    answer: oneshot::Sender<Result<InvokeResponse, Status>>,
}

impl Broker {
    /// A broker, and a channel to it that reconnects as any channel does.
    pub(crate) fn start() -> (Self, Channel) {
        let (calling, calls) = mpsc::unbounded_channel();
        let (connecting, connections) = mpsc::unbounded_channel::<DuplexStream>();
        let incoming = UnboundedReceiverStream::new(connections).map(Ok::<_, io::Error>);
        tokio::spawn(router(calling).serve_with_incoming(incoming));
        let connect = tower::service_fn(move |_| {
            let (here, there) = duplex(1024 * 1024);
            let connected = connecting.send(there).map(|()| TokioIo::new(here));
            std::future::ready(connected.map_err(io::Error::other))
        });
        let channel =
            Endpoint::from_static("http://broker.invalid").connect_with_connector_lazy(connect);
        (Self { calls }, channel)
    }

    /// A broker behind this listener, on threads of its own: shutting the runtime down kills it as
    /// SIGKILL would, with all connections. The listener stays, so that nobody else gets its address.
    pub(crate) fn listen(listener: &std::net::TcpListener) -> (Self, Runtime) {
        let (calling, calls) = mpsc::unbounded_channel();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = listener.try_clone().unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(async move {
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
            router(calling).serve_with_incoming(incoming).await
        });
        (Self { calls }, runtime)
    }

    /// The next call.
    pub(crate) async fn call(&mut self) -> Call {
        let call = timeout(CALL_WAIT, self.calls.recv()).await;
        call.expect("a call comes").expect("the broker runs")
    }

    /// Nobody calls for as long as this.
    pub(crate) async fn quiet(&mut self, wait: Duration) {
        // No channel is left: nobody can call.
        if let Ok(Some(call)) = timeout(wait, self.calls.recv()).await {
            panic!("a call came: {:?}", call.request);
        }
    }
}

fn router(calling: mpsc::UnboundedSender<Call>) -> Router {
    let service = InvocationServiceServer::new(Script { calling });
    Server::builder().add_service(service.max_decoding_message_size(FRAME_BYTES_MAX))
}

impl Call {
    /// The records of the payload.
    pub(crate) fn records(&self) -> Vec<Value> {
        let payload: Value = serde_json::from_slice(&self.request.payload).unwrap();
        payload["Records"].as_array().unwrap().clone()
    }

    pub(crate) fn succeed(self) {
        self.answer(Ok(InvokeResponse { payload: "null".into(), ..InvokeResponse::default() }));
    }

    pub(crate) fn fail(self) {
        let payload = r#"{"errorType":"Boom","errorMessage":"it went off"}"#.into();
        let function_error = "Unhandled".to_owned();
        self.answer(Ok(InvokeResponse { payload, function_error, ..InvokeResponse::default() }));
    }

    pub(crate) fn refuse(self, reason: Reason) {
        let message = "as the script says".to_owned();
        let refusal = Refusal { reason: reason.into(), message, retry_after_ms: None };
        self.answer(Err(reason::status(&refusal)));
    }

    fn answer(self, answer: Result<InvokeResponse, Status>) {
        self.answer.send(answer).expect("the poller waits for its answer");
    }
}

struct Script {
    calling: mpsc::UnboundedSender<Call>,
}

type Nothing<T> = tokio_stream::Pending<Result<T, Status>>;

#[tonic::async_trait]
impl InvocationService for Script {
    async fn invoke(
        &self,
        request: Request<InvokeRequest>,
    ) -> Result<Response<InvokeResponse>, Status> {
        let (answer, answered) = oneshot::channel();
        let call = Call { request: request.into_inner(), answer };
        self.calling.send(call).map_err(|_| Status::unavailable("the test is over"))?;
        let answer = answered.await.map_err(|_| Status::unavailable("the connection broke"))?;
        answer.map(Response::new)
    }

    type InvokeStreamStream = Nothing<v1::InvokeStreamResponse>;

    async fn invoke_stream(
        &self,
        _: Request<Streaming<v1::InvokeStreamRequest>>,
    ) -> Result<Response<Self::InvokeStreamStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn get_invocation(
        &self,
        _: Request<v1::GetInvocationRequest>,
    ) -> Result<Response<v1::GetInvocationResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_invocations(
        &self,
        _: Request<v1::ListInvocationsRequest>,
    ) -> Result<Response<v1::ListInvocationsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn cancel_invocation(
        &self,
        _: Request<v1::CancelInvocationRequest>,
    ) -> Result<Response<v1::CancelInvocationResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn explain_invocation(
        &self,
        _: Request<v1::ExplainInvocationRequest>,
    ) -> Result<Response<v1::ExplainInvocationResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    type RedriveInvocationsStream = Nothing<v1::RedriveInvocationsResponse>;

    async fn redrive_invocations(
        &self,
        _: Request<v1::RedriveInvocationsRequest>,
    ) -> Result<Response<Self::RedriveInvocationsStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}

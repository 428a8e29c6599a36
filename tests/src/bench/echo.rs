//! The servers that this program can be besides: a bare tonic echo of the same messages, and the worker of our side.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use trine_proto::v1;
use trine_proto::v1::invocation_service_server::SERVICE_NAME;
use trine_worker::{Error, RunError, Worker};

/// Name of the function that echoes.
pub const ECHO: &str = "echo";

/// Name of a function that no worker serves: its events stay queued.
pub const UNSERVED: &str = "unserved";

/// Longest wait of a worker for its broker.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// Slots of the echo worker.
const SLOTS: u32 = 2_048;

/// Serves a unary echo and nothing else, on a free port that it prints.
///
/// # Errors
/// If it cannot listen.
pub async fn serve_bare() -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    println!("{}", listener.local_addr().map_err(|error| error.to_string())?);
    tonic::transport::Server::builder()
        .add_service(Bare)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .map_err(|error| error.to_string())
}

/// Serves the function [`ECHO`] of the broker at `address` for ever; prints `ready` once it is connected.
///
/// # Errors
/// If the broker refuses it.
pub async fn work(address: &str) -> Result<(), String> {
    let serving = serving(address).await?;
    println!("ready");
    serving.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// The same in this process: ends when it is aborted.
///
/// # Errors
/// If it does not connect.
pub async fn serving(address: &str) -> Result<JoinHandle<Result<(), RunError>>, String> {
    let worker = Worker::connect(format!("http://{address}"))
        .function_raw(ECHO, |payload: Bytes, _| async move { Ok::<_, Error>(payload) })
        .slots(SLOTS)
        .name("bench");
    let mut connected = worker.connected();
    let running = tokio::spawn(worker.run_until(std::future::pending::<()>()));
    let waited = tokio::time::timeout(CONNECT_WAIT, connected.wait_for(|open| *open > 0)).await;
    waited.map_err(|_| "the worker did not connect".to_owned())?.map_err(|e| e.to_string())?;
    Ok(running)
}

/// The peer of the unary rows: the one method with nothing behind it, as tonic's own generated code would serve it.
/// Not the contract's generated service, whose codec is made for the broker.
#[derive(Debug, Clone, Copy)]
struct Bare;

impl NamedService for Bare {
    const NAME: &'static str = SERVICE_NAME;
}

impl UnaryService<v1::InvokeRequest> for Bare {
    type Response = v1::InvokeResponse;
    type Future = Ready<Result<Response<v1::InvokeResponse>, Status>>;

    fn call(&mut self, request: Request<v1::InvokeRequest>) -> Self::Future {
        let payload = request.into_inner().payload;
        ready(Ok(Response::new(v1::InvokeResponse { payload, ..Default::default() })))
    }
}

impl Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(grpc.unary(Bare, request).await)
        })
    }
}

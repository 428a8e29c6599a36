//! The servers that this program can be besides: a bare tonic echo of the same messages, and the worker of our side.

use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::Empty;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};
use trine_proto::v1;
use trine_proto::v1::invocation_service_server::{InvocationService, InvocationServiceServer};
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
        .add_service(InvocationServiceServer::new(Bare))
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

/// The peer of the unary rows: the generated service with nothing behind it.
#[derive(Debug, Clone, Copy)]
struct Bare;

/// An RPC that no row uses.
fn unused<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the bare echo answers Invoke only"))
}

#[tonic::async_trait]
impl InvocationService for Bare {
    async fn invoke(
        &self,
        request: Request<v1::InvokeRequest>,
    ) -> Result<Response<v1::InvokeResponse>, Status> {
        let payload = request.into_inner().payload;
        Ok(Response::new(v1::InvokeResponse { payload, ..v1::InvokeResponse::default() }))
    }

    type InvokeStreamStream = Empty<Result<v1::InvokeStreamResponse, Status>>;

    async fn invoke_stream(
        &self,
        _request: Request<Streaming<v1::InvokeStreamRequest>>,
    ) -> Result<Response<Self::InvokeStreamStream>, Status> {
        unused()
    }

    async fn get_invocation(
        &self,
        _request: Request<v1::GetInvocationRequest>,
    ) -> Result<Response<v1::GetInvocationResponse>, Status> {
        unused()
    }

    async fn list_invocations(
        &self,
        _request: Request<v1::ListInvocationsRequest>,
    ) -> Result<Response<v1::ListInvocationsResponse>, Status> {
        unused()
    }

    async fn cancel_invocation(
        &self,
        _request: Request<v1::CancelInvocationRequest>,
    ) -> Result<Response<v1::CancelInvocationResponse>, Status> {
        unused()
    }

    async fn explain_invocation(
        &self,
        _request: Request<v1::ExplainInvocationRequest>,
    ) -> Result<Response<v1::ExplainInvocationResponse>, Status> {
        unused()
    }

    type RedriveInvocationsStream = Empty<Result<v1::RedriveInvocationsResponse, Status>>;

    async fn redrive_invocations(
        &self,
        _request: Request<v1::RedriveInvocationsRequest>,
    ) -> Result<Response<Self::RedriveInvocationsStream>, Status> {
        unused()
    }
}

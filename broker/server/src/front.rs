//! The HTTP server on the port: connections in, requests to their services. It does not know what a request asks for.
//!
//! hyper's server and not tonic's on top of it: that one puts a router, a body in a box and four more futures around
//! every call, a sixth of what a small call costs here (`cargo xtask bench --only invoke_unary_8x64`). Calls of
//! `InvocationService` go straight to their service; everything else takes the router.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service as _};
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::ServiceExt as _;
use trine_proto::v1::invocation_service_server::InvocationServiceServer;

use crate::edge::invocation::InvocationEdge;
use crate::lanes::{Lanes, Place};
use crate::listener::Connection;

/// Streams of one connection, at most.
const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;

pub(crate) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Longest wait for the headers of an HTTP/1 request, and longest rest between two of them.
const HEADERS_WAIT: Duration = Duration::from_secs(10);
const HEADER_LIST_BYTES_MAX: u32 = 32 << 10;
const PENDING_RESETS_MAX: usize = 64;

/// Every service of the port.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) invocation: InvocationServiceServer<InvocationEdge>,
    pub(crate) routes: Routes,
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // Both are always ready: what is too much is refused behind them, with a reason.
        if names_invocation_service(request.uri().path()) {
            return self.invocation.clone().call(request);
        }
        Box::pin(self.routes.clone().oneshot(request.map(Body::new)))
    }
}

fn names_invocation_service(path: &str) -> bool {
    let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    service.is_some_and(|(service, _)| service == InvocationServiceServer::<InvocationEdge>::NAME)
}

/// Serves until `stopping` says so, then until the last connection has ended. Aborting it closes them.
pub(crate) async fn serve(
    front: Front,
    lanes: Lanes,
    mut connections: ReceiverStream<io::Result<Connection>>,
    mut stopping: watch::Receiver<bool>,
) {
    let http = http();
    let mut open = JoinSet::new();
    loop {
        let connection = tokio::select! {
            () = stopped(&mut stopping) => break,
            Some(_) = open.join_next() => continue,
            connection = connections.next() => connection,
        };
        match connection {
            Some(Ok(connection)) => {
                let place = lanes.place();
                let lane = place.runtime().clone();
                let served = one(http.clone(), front.clone(), connection, place, stopping.clone());
                open.spawn_on(served, &lane);
            }
            Some(Err(error)) => tracing::debug!(%error, "a connection could not be opened"),
            None => break,
        }
    }
    drop(connections);
    while open.join_next().await.is_some() {}
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WAIT);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(Some(KEEPALIVE_INTERVAL))
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX);
    http
}

async fn one(
    http: auto::Builder<TokioExecutor>,
    front: Front,
    connection: Connection,
    place: Place,
    mut stopping: watch::Receiver<bool>,
) {
    let connection = if place.is_home() { Ok(connection) } else { connection.moved_here() };
    let connection = match connection {
        Ok(connection) => connection,
        Err(error) => return tracing::warn!(%error, "a connection could not change its thread"),
    };
    let served = http.serve_connection(TokioIo::new(connection), front);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stopped(&mut stopping) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A broker that is gone stops its server too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::names_invocation_service;

    #[test]
    fn only_its_own_paths_go_to_the_invocation_service() {
        assert!(names_invocation_service("/trine.v1.InvocationService/Invoke"));
        for other in [
            "/trine.v1.InvocationService",
            "/trine.v1.InvocationServices/Invoke",
            "/trine.v1.FunctionService/ListFunctions",
            "trine.v1.InvocationService/Invoke",
            "/metrics",
            "*",
            "",
        ] {
            assert!(!names_invocation_service(other), "{other}");
        }
    }
}

//! The HTTP side of the port: `/metrics`, `/healthz`, `/readyz`. It does not know gRPC.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::oneshot;

use crate::clock::monotonic;
use crate::mappings::message::{MappingsHandle, Message as MappingMessage};
use crate::metrics::Metrics;
use crate::shard::message::{Message, ShardHandle};

#[derive(Clone)]
struct HttpEdge {
    shard: ShardHandle,
    mappings: MappingsHandle,
    metrics: Metrics,
    ready: Arc<AtomicBool>,
    started: Instant,
}

pub(crate) fn router(
    shard: ShardHandle,
    mappings: MappingsHandle,
    metrics: Metrics,
    ready: Arc<AtomicBool>,
) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(HttpEdge { shard, mappings, metrics, ready, started: monotonic() })
}

async fn metrics_text(State(edge): State<HttpEdge>) -> impl IntoResponse {
    let (reply, published) = oneshot::channel();
    // Without a shard the counters are still worth reading.
    if edge.shard.send(Message::Scrape { reply }).await.is_ok() {
        let _ = published.await;
    }
    let (reply, published) = oneshot::channel();
    if edge.mappings.send(MappingMessage::Scrape { reply }).await.is_ok() {
        let _ = published.await;
    }
    edge.metrics.uptime(monotonic().duration_since(edge.started));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], edge.metrics.render())
}

/// Ready: recovered, and neither draining nor stopped.
async fn readyz(State(edge): State<HttpEdge>) -> impl IntoResponse {
    let answers = edge.shard.query(|_| ()).await.is_ok();
    if answers && edge.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: the broker is starting, draining or stopped\n",
        )
    }
}

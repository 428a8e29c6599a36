//! Layers of tower around every function: one from the ecosystem, one written here.
//!
//! `cargo run -p trine-worker --example layers -- http://127.0.0.1:7400`

use std::task::Poll;
use std::time::{Duration, Instant};

use tower::timeout::TimeoutLayer;
use tower::{Service, layer::layer_fn};
use trine_worker::{Call, Context, Error, HandlerFuture, HandlerService, RunError, Worker};

#[tokio::main]
async fn main() -> Result<(), RunError> {
    tracing_subscriber::fmt().init();
    let broker = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7400".to_owned());
    Worker::connect(broker)
        .function("sleep", |seconds: u64, ctx: Context| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok::<_, Error>(format!("slept {seconds} s in attempt {}", ctx.attempt()))
        })
        // A layer sees what was there before it: Timed sees calls that the timeout cut short.
        .layer(TimeoutLayer::new(Duration::from_secs(2)))
        .layer(layer_fn(|inner: HandlerService| Timed { inner }))
        .run()
        .await
}

/// Logs how long each call took.
#[derive(Clone)]
struct Timed<S> {
    inner: S,
}

impl Service<Call> for Timed<HandlerService> {
    type Response = trine_worker::Bytes;
    type Error = Error;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<trine_worker::Bytes, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let request_id = call.context.request_id().to_owned();
        let begun = Instant::now();
        let answer: HandlerFuture = self.inner.call(call);
        Box::pin(async move {
            let answer = answer.await;
            tracing::info!(request_id, ok = answer.is_ok(), took = ?begun.elapsed());
            answer
        })
    }
}

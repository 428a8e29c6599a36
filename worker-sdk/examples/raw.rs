//! A function on raw bytes that does blocking work on threads of its own, reports progress in the
//! log tail, and stops when its attempt is stopped.
//!
//! `cargo run -p trine-worker --example raw -- http://127.0.0.1:7400`

use std::time::Duration;

use trine_worker::{Bytes, Context, Error, RunError, Worker};

#[tokio::main]
async fn main() -> Result<(), RunError> {
    tracing_subscriber::fmt().init();
    let broker = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7400".to_owned());
    Worker::connect(broker)
        .function_raw("digits", digits)
        .name("digits-example")
        .slots(2)
        .grace(Duration::from_secs(10))
        .run()
        .await
}

/// Counts the digits of a JSON text.
async fn digits(payload: Bytes, ctx: Context) -> Result<Bytes, Error> {
    ctx.log(format_args!("{} bytes, {:?} to go", payload.len(), ctx.remaining()));
    let stopped = ctx.cancellation();
    // On a blocking thread: a handler that computes must not hold up the others. The token stops
    // it, as dropping the handler does not reach a thread.
    let count = tokio::task::spawn_blocking(move || {
        payload
            .iter()
            .take_while(|_| !stopped.is_cancelled())
            .filter(|byte| byte.is_ascii_digit())
            .count()
    })
    .await?;
    ctx.log(format_args!("{count} digits"));
    Ok(Bytes::from(count.to_string()))
}

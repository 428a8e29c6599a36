//! The smallest worker: one typed function. Serves until Ctrl-C.
//!
//! `cargo run -p trine-worker --example hello`, with a broker on its default port.

use trine_worker::{Context, Error, RunError, Worker};

#[tokio::main]
async fn main() -> Result<(), RunError> {
    Worker::connect("http://127.0.0.1:7400")
        .function("hello", |name: String, _ctx: Context| async move {
            Ok::<_, Error>(format!("Hello, {name}!"))
        })
        .slots(8)
        .run()
        .await
}

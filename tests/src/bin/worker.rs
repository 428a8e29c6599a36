//! A worker process for tests: what a signal can freeze or kill while the test lives on.
//!
//! `worker URL FUNCTION SLOTS` prints `connected` for each session and `started PAYLOAD` for each call. A
//! payload that begins with `"hang` is never answered, any other one at once with itself.

use bytes::Bytes;
use trine_worker::{Context, Error, RunError, Worker};

#[tokio::main]
async fn main() -> Result<(), RunError> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("worker URL FUNCTION SLOTS");
    let (url, function, slots) = (next(), next(), next());
    let handler = |payload: Bytes, _: Context| async move {
        println!("started {}", String::from_utf8_lossy(&payload));
        if payload.starts_with(b"\"hang") {
            std::future::pending::<()>().await;
        }
        Ok::<_, Error>(payload)
    };
    let slots = slots.parse().expect("slots are a number");
    let worker = Worker::connect(url).function_raw(function, handler).slots(slots);
    let mut connected = worker.connected();
    tokio::spawn(async move {
        while connected.changed().await.is_ok() {
            if *connected.borrow_and_update() > 0 {
                println!("connected");
            }
        }
    });
    worker.run().await
}

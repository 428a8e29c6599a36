//! A broker inside a program: its workers and its callers are in the same process, and there is no socket.
//!
//! `cargo run -p trine-broker --example embedded`

use std::time::Duration;

use trine_broker::proto::v1::{
    CreateFunctionRequest, GetInvocationRequest, Invocation, InvocationType, InvokeRequest,
};
use trine_broker::{Broker, BrokerOptions, StoreOption};
use trine_worker::{Context, Error, Worker};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The folder holds what was accepted; a broker that is started in it again goes on from there.
    let folder = tempfile::tempdir()?;
    let store = StoreOption::Embedded { dir: folder.path().to_owned() };
    let broker = Broker::start(BrokerOptions { store, ..BrokerOptions::default() }).await?;

    // A function is a name with settings: timeout, retries, concurrency, destinations. These are Lambda's.
    let hello = CreateFunctionRequest { name: "hello".to_owned(), settings: None };
    broker.functions().create_function(hello).await?;

    // The worker is the one you would run elsewhere, but for what it is connected to.
    let worker = Worker::with_channel(broker.channel())
        .function("hello", |name: String, _: Context| async move {
            Ok::<_, Error>(format!("Hello, {name}!"))
        })
        .start()
        .await?;

    // Synchronous: the response holds the function's answer.
    let answer = broker.invocations().invoke(call("hello", r#""Ada""#)).await?.into_inner();
    println!("synchronous:  {}", String::from_utf8_lossy(&answer.payload));

    // Asynchronous: the response says that the event is on disk. It is delivered from there, and again if it fails.
    let event =
        InvokeRequest { r#type: InvocationType::Event.into(), ..call("hello", r#""Grace""#) };
    let accepted = broker.invocations().invoke(event).await?.into_inner();
    let ended = end_of(&broker, accepted.request_id).await?;
    println!("asynchronous: {}", String::from_utf8_lossy(&ended.response));

    // What runs ends first. What still waits stays in the folder.
    worker.shutdown().await?;
    broker.shutdown(Duration::from_secs(30)).await;
    Ok(())
}

fn call(function: &str, payload: &'static str) -> InvokeRequest {
    InvokeRequest { function: function.to_owned(), payload: payload.into(), ..Default::default() }
}

/// Waits until an event has ended, however it did.
async fn end_of(
    broker: &Broker,
    request_id: String,
) -> Result<Invocation, Box<dyn std::error::Error>> {
    let mut request = GetInvocationRequest { request_id, wait_ms: 60_000, after_revision: None };
    loop {
        let found = broker.invocations().get_invocation(request.clone()).await?.into_inner();
        let invocation = found.invocation.unwrap_or_default();
        if invocation.finished_at_ms.is_some() {
            return Ok(invocation);
        }
        // Answered when it changes again, or after wait_ms.
        request.after_revision = Some(invocation.revision);
    }
}

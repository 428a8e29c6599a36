//! The peer: core request/reply and JetStream publish on a real nats-server, through its official Rust client.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use bytes::Bytes;
use futures_util::StreamExt;

/// Request/reply with an echo responder in the same process, on a connection of its own: answers a second.
///
/// # Errors
/// If the server cannot be reached or a request fails.
pub async fn request_reply(
    address: &str,
    payload: Bytes,
    in_flight: usize,
    connections: usize,
    duration: Duration,
) -> Result<f64, String> {
    let responder = async_nats::connect(address).await.map_err(|error| error.to_string())?;
    let mut requests = responder.subscribe("echo").await.map_err(|error| error.to_string())?;
    let (asking, answering) = (responder.clone(), responder);
    let echo = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply
                && answering.publish(reply, request.payload).await.is_err()
            {
                break;
            }
        }
    });
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(async_nats::connect(address).await.map_err(|error| error.to_string())?);
    }
    // Asked on the responder's own connection: the server has read its subscription by then.
    asking.request("echo", payload.clone()).await.map_err(|error| error.to_string())?;
    let start = Instant::now();
    let callers = (0..in_flight).map(|place| {
        let (client, payload) = (clients[place % connections].clone(), payload.clone());
        tokio::spawn(async move {
            let mut answered = 0u64;
            while start.elapsed() < duration {
                let reply = client.request("echo", payload.clone()).await;
                reply.map_err(|error| error.to_string())?;
                answered += 1;
            }
            Ok::<_, String>(answered)
        })
    });
    let mut answered = 0;
    for caller in callers.collect::<Vec<_>>() {
        answered += caller.await.map_err(|error| error.to_string())??;
    }
    let rate = answered as f64 / start.elapsed().as_secs_f64();
    echo.abort();
    Ok(rate)
}

/// JetStream publish, each caller waiting for its acknowledgement: acknowledgements a second.
///
/// # Errors
/// If the server cannot be reached or a publish fails.
pub async fn publish(
    address: &str,
    payload: Bytes,
    in_flight: usize,
    connections: usize,
    duration: Duration,
) -> Result<f64, String> {
    let mut contexts = Vec::new();
    for _ in 0..connections {
        let client = async_nats::connect(address).await.map_err(|error| error.to_string())?;
        contexts.push(jetstream::new(client));
    }
    // A leftover of the run before would make this one larger; there may be none.
    let _ = contexts[0].delete_stream("bench").await;
    let config = jetstream::stream::Config {
        name: "bench".to_owned(),
        subjects: vec!["bench.>".to_owned()],
        ..jetstream::stream::Config::default()
    };
    contexts[0].create_stream(config).await.map_err(|error| error.to_string())?;
    let start = Instant::now();
    let callers = (0..in_flight).map(|place| {
        let (context, payload) = (contexts[place % connections].clone(), payload.clone());
        tokio::spawn(async move {
            let mut acknowledged = 0u64;
            while start.elapsed() < duration {
                let published = context.publish("bench.x", payload.clone()).await;
                published.map_err(|error| error.to_string())?.await.map_err(|e| e.to_string())?;
                acknowledged += 1;
            }
            Ok::<_, String>(acknowledged)
        })
    });
    let mut acknowledged = 0;
    for caller in callers.collect::<Vec<_>>() {
        acknowledged += caller.await.map_err(|error| error.to_string())??;
    }
    Ok(acknowledged as f64 / start.elapsed().as_secs_f64())
}

//! A closed-loop client of `InvokeStream`: a fixed number of calls is always in flight, each answer is followed by
//! the next call. It knows the published contract and nothing else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use trine_proto::FRAME_BYTES_MAX;
use trine_proto::v1::invocation_service_client::InvocationServiceClient;
use trine_proto::v1::stream_answer::Result as Given;
use trine_proto::v1::{InvocationType, InvokeRequest, InvokeStreamRequest, StreamCall};

/// What is asked for, over and over.
#[derive(Debug, Clone)]
pub struct Load {
    /// Address of the broker.
    pub address: String,
    /// Which function.
    pub function: String,
    /// With which payload.
    pub payload: Bytes,
    /// In which way.
    pub kind: InvocationType,
    /// Calls in flight over all connections.
    pub in_flight: usize,
    /// Connections, one stream each.
    pub connections: usize,
    /// For how long.
    pub duration: Duration,
}

/// Answers a second.
///
/// # Errors
/// If a connection fails or a call is refused: a refused load measures nothing.
pub async fn throughput(load: &Load) -> Result<f64, String> {
    let start = Instant::now();
    let share = load.in_flight / load.connections;
    let runs = (0..load.connections).map(|_| tokio::spawn(one_stream(load.clone(), share, start)));
    let mut answered = 0;
    for run in runs.collect::<Vec<_>>() {
        answered += run.await.map_err(|error| error.to_string())??;
    }
    Ok(answered as f64 / start.elapsed().as_secs_f64())
}

/// A connection set up as a busy client would.
///
/// # Errors
/// If the address is not one.
pub fn channel(address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| error.to_string())?;
    Ok(endpoint
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .connect_lazy())
}

async fn one_stream(load: Load, share: usize, start: Instant) -> Result<u64, String> {
    let mut client = InvocationServiceClient::new(channel(&load.address)?)
        .max_decoding_message_size(FRAME_BYTES_MAX);
    let (frames, outgoing) = mpsc::channel(share.max(1));
    let mut next = 0;
    send(&frames, &load, &mut next, share).await?;
    let answers = client.invoke_stream(ReceiverStream::new(outgoing)).await;
    let mut answers = answers.map_err(|status| status.to_string())?.into_inner();
    let mut answered = 0;
    let mut frames = Some(frames);
    while let Some(frame) = answers.message().await.map_err(|status| status.to_string())? {
        for answer in &frame.answers {
            match &answer.result {
                Some(Given::Response(response)) if response.function_error.is_empty() => {}
                other => return Err(format!("a call was not answered: {other:?}")),
            }
        }
        answered += frame.answers.len() as u64;
        if start.elapsed() >= load.duration {
            frames = None;
        }
        if let Some(frames) = &frames {
            send(frames, &load, &mut next, frame.answers.len()).await?;
        }
    }
    Ok(answered)
}

async fn send(
    frames: &mpsc::Sender<InvokeStreamRequest>,
    load: &Load,
    next: &mut u64,
    count: usize,
) -> Result<(), String> {
    let mut calls = Vec::with_capacity(count);
    for place in 0..count {
        *next += 1;
        let request = InvokeRequest {
            // Named once a frame; the others mean the same one.
            function: if place == 0 { load.function.clone() } else { String::new() },
            r#type: load.kind.into(),
            payload: load.payload.clone(),
            ..InvokeRequest::default()
        };
        calls.push(StreamCall { call_id: *next, request: Some(request) });
    }
    let sent = frames.send(InvokeStreamRequest { calls }).await;
    sent.map_err(|_| "the broker ended the stream".to_owned())
}

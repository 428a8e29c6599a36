//! What one worker carries: a peer with nothing behind it keeps every slot busy over a loopback
//! socket, and counts the outcomes.
//!
//! `cargo bench -p trine-worker` prints a row a set-up. The peer shares the machine, so a row is a
//! lower bound of what the worker can do; rows of one run compare.

// A benchmark has nobody to tell but the person who runs it.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use trine_proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use trine_proto::v1::{
    Attempt, WorkerServiceSessionRequest, WorkerServiceSessionResponse, WorkerWelcome,
};
use trine_worker::{Error, Worker};

const PAYLOAD_BYTES: usize = 128;
const MEASURED: Duration = Duration::from_secs(3);

struct Saturating {
    counts: mpsc::UnboundedSender<usize>,
    attempt: Attempt,
}

#[tonic::async_trait]
impl WorkerService for Saturating {
    type SessionStream = ReceiverStream<Result<WorkerServiceSessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<WorkerServiceSessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (to_worker, frames) = mpsc::channel(8);
        let session =
            saturate(request.into_inner(), to_worker, self.counts.clone(), self.attempt.clone());
        tokio::spawn(session);
        Ok(Response::new(ReceiverStream::new(frames)))
    }
}

/// Sends as many attempts as there are slots, and one for every outcome from then on.
async fn saturate(
    mut from_worker: Streaming<WorkerServiceSessionRequest>,
    to_worker: mpsc::Sender<Result<WorkerServiceSessionResponse, Status>>,
    counts: mpsc::UnboundedSender<usize>,
    attempt: Attempt,
) -> Option<()> {
    let hello = from_worker.message().await.ok()??.hello?;
    let welcome = WorkerWelcome {
        protocol_version: 1,
        heartbeat_interval_ms: 10_000,
        ..WorkerWelcome::default()
    };
    let welcome = WorkerServiceSessionResponse { welcome: Some(welcome), ..Default::default() };
    to_worker.send(Ok(welcome)).await.ok()?;
    let mut free = usize::try_from(hello.slots).ok()?;
    loop {
        let attempts = vec![attempt.clone(); free];
        let frame = WorkerServiceSessionResponse { attempts, ..Default::default() };
        to_worker.send(Ok(frame)).await.ok()?;
        free = from_worker.message().await.ok()??.outcomes.len();
        counts.send(free).ok()?;
    }
}

/// Attempts a second and outcomes a frame of a worker with these `slots` over these `channels`.
async fn measure(name: &str, slots: u32, channels: u32, attempt: Attempt) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (counts, mut outcomes) = mpsc::unbounded_channel();
    let service = WorkerServiceServer::new(Saturating { counts, attempt })
        .max_decoding_message_size(trine_proto::FRAME_BYTES_MAX);
    let incoming = TcpListenerStream::new(listener);
    let served = tokio::spawn(
        Server::builder()
            .initial_stream_window_size(4 * 1024 * 1024)
            .initial_connection_window_size(8 * 1024 * 1024)
            .add_service(service)
            .serve_with_incoming(incoming),
    );
    let worker = Worker::connect(address)
        .function_raw("echo", |payload, _| async move { Ok::<_, Error>(payload) })
        .function("double", |number: u64, _| async move { Ok::<_, Error>(number * 2) })
        .function_raw("yield", |payload, _| async move {
            tokio::task::yield_now().await;
            Ok::<_, Error>(payload)
        })
        .slots(slots)
        .channels(channels);
    let running = tokio::spawn(worker.run_until(std::future::pending()));
    let begun = Instant::now();
    let (mut attempts, mut frames) = (0_usize, 0_usize);
    while begun.elapsed() < MEASURED {
        attempts += outcomes.recv().await.unwrap();
        frames += 1;
    }
    let rate = usize::try_from(MEASURED.as_secs()).map_or(0, |seconds| attempts / seconds);
    println!("{name:40} {rate:>9}/s {:>6} outcomes a frame", attempts / frames.max(1));
    running.abort();
    served.abort();
}

#[tokio::main]
async fn main() {
    let echo = Attempt {
        request_id: "0198c5a0-0000-7000-8000-000000000000".to_owned(),
        version: "$LATEST".to_owned(),
        invoked_function: "echo".to_owned(),
        payload: Bytes::from(vec![b'1'; PAYLOAD_BYTES]),
        attempt: 1,
        timeout_ms: 3000,
        memory_mb: 128,
        fence: 1 << 40,
        entry: 1 << 20,
        ..Attempt::default()
    };
    let payload = Bytes::from_static(b"21");
    let double = Attempt { function_index: 1, payload, ..echo.clone() };
    let waits = Attempt { function_index: 2, ..echo.clone() };
    measure("raw, 128 slots, 1 channel", 128, 1, echo.clone()).await;
    measure("raw, 512 slots, 4 channels", 512, 4, echo.clone()).await;
    measure("typed, 128 slots, 1 channel", 128, 1, double).await;
    measure("raw and yields, 128 slots, 1 channel", 128, 1, waits).await;
    measure("raw, 1 slot, 1 channel", 1, 1, echo).await;
}

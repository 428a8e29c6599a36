//! What one worker carries: a peer with nothing behind it keeps every slot busy over a loopback
//! socket, and counts the outcomes.
//!
//! `cargo bench -p trine-worker` prints a row a set-up. The peer shares the machine, so a row is a
//! lower bound of what the worker can do; rows of one run compare.

// A benchmark has nobody to tell but the person who runs it.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use trine_proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use trine_proto::v1::{
    Attempt, WorkerServiceSessionRequest, WorkerServiceSessionResponse, WorkerWelcome,
};
use trine_worker::{Error, Worker};

const PAYLOAD_BYTES: usize = 128;
const MEASURED: Duration = Duration::from_secs(3);

struct Saturating {
    counts: mpsc::UnboundedSender<Count>,
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

/// Sends as many attempts as there are slots, and one for every outcome from then on. Like a broker it
/// reads what has arrived before it answers.
async fn saturate(
    mut from_worker: Streaming<WorkerServiceSessionRequest>,
    to_worker: mpsc::Sender<Result<WorkerServiceSessionResponse, Status>>,
    counts: mpsc::UnboundedSender<Count>,
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
        let mut frames = 1;
        tokio::task::yield_now().await;
        while let Some(more) = from_worker.message().now_or_never() {
            free += more.ok()??.outcomes.len();
            frames += 1;
        }
        counts.send(Count { attempts: free, frames }).ok()?;
    }
}

struct Count {
    attempts: usize,
    frames: usize,
}

/// Processor time that the threads of one name have used, in seconds. Linux only; elsewhere zero.
fn processor_seconds(thread: &str) -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let ticks: u64 = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter(|stat| stat.contains(&format!("({thread})")))
        .filter_map(|stat| {
            // After the name in brackets: state, then ten fields, then user and system time.
            let rest = stat.rsplit_once(") ")?.1;
            let fields: Vec<&str> = rest.split(' ').collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        })
        .sum();
    f64::from(u32::try_from(ticks).unwrap_or(u32::MAX)) / TICKS_A_SECOND
}

fn runtime(thread: &str, threads: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(thread)
        .enable_all()
        .build()
        .unwrap()
}

/// Attempts a second, outcomes a frame, and the worker's processor time an attempt.
fn measure(name: &str, slots: u32, channels: u32, attempt: Attempt) {
    let (peer, worker) = (runtime("bench-peer", 2), runtime("bench-worker", 2));
    let (counts, mut outcomes) = mpsc::unbounded_channel();
    let service = WorkerServiceServer::new(Saturating { counts, attempt })
        .max_decoding_message_size(trine_proto::FRAME_BYTES_MAX);
    let listener = peer.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // A listener of one's own does not get tonic's TCP_NODELAY; without it a frame waits 40 ms for
    // the acknowledgement of its first packets.
    let incoming = {
        let _context = peer.enter();
        TcpIncoming::from(listener).with_nodelay(Some(true))
    };
    peer.spawn(
        Server::builder()
            .initial_stream_window_size(4 * 1024 * 1024)
            .initial_connection_window_size(8 * 1024 * 1024)
            .add_service(service)
            .serve_with_incoming(incoming),
    );
    let served = Worker::connect(address)
        .function_raw("echo", |payload, _| async move { Ok::<_, Error>(payload) })
        .function("double", |number: u64, _| async move { Ok::<_, Error>(number * 2) })
        .function_raw("yield", |payload, _| async move {
            tokio::task::yield_now().await;
            Ok::<_, Error>(payload)
        })
        .slots(slots)
        .channels(channels);
    worker.spawn(served.run_until(std::future::pending()));
    let begun = Instant::now();
    let (mut attempts, mut frames) = (0_usize, 0_usize);
    while begun.elapsed() < MEASURED {
        let count = outcomes.blocking_recv().unwrap();
        attempts += count.attempts;
        frames += count.frames;
    }
    let attempts = f64::from(u32::try_from(attempts).unwrap());
    let frames = f64::from(u32::try_from(frames).unwrap());
    println!(
        "{name:38} {:>9.0}/s {:>6.1} outcomes a frame {:>6.2} µs of the worker an attempt, {:>6.2} of the peer",
        attempts / begun.elapsed().as_secs_f64(),
        attempts / frames,
        processor_seconds("bench-worker") * 1e6 / attempts,
        processor_seconds("bench-peer") * 1e6 / attempts,
    );
    worker.shutdown_background();
    peer.shutdown_background();
}

fn main() {
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
    measure("raw, 128 slots, 1 channel", 128, 1, echo.clone());
    measure("raw, 512 slots, 4 channels", 512, 4, echo.clone());
    measure("typed, 128 slots, 1 channel", 128, 1, double);
    measure("raw and yields, 128 slots, 1 channel", 128, 1, waits);
    measure("raw, 1 slot, 1 channel", 1, 1, echo);
}

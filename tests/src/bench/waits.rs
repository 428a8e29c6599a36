//! How long an event waits although nothing stands in its way: from its acknowledgement to its start on an idle worker, and
//! from the end of one attempt to the start of the next at a limit of one. Seen from the worker.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use trine_proto::v1::function_service_client::FunctionServiceClient;
use trine_proto::v1::invocation_service_client::InvocationServiceClient;
use trine_proto::v1::{CreateFunctionRequest, FunctionSettings, InvocationType};
use trine_worker::{Error, Worker};

use crate::bench::rows::payload;
use crate::bench::stream::channel;
use crate::bench::unary;

const FUNCTION: &str = "waits";

type Times = Arc<Mutex<Vec<(Instant, Instant)>>>;

/// A worker that notes when each attempt starts and ends.
async fn noting(address: &str, limit: Option<u32>) -> Result<Times, String> {
    let url = format!("http://{address}");
    let mut functions = FunctionServiceClient::new(channel(&url)?);
    let settings = FunctionSettings { reserved_concurrency: limit, ..FunctionSettings::default() };
    let request = CreateFunctionRequest { name: FUNCTION.to_owned(), settings: Some(settings) };
    functions.create_function(request).await.map_err(|status| status.to_string())?;
    let times = Times::default();
    let noted = Arc::clone(&times);
    let worker = Worker::connect(url)
        .function_raw(FUNCTION, move |payload: Bytes, _| {
            let noted = Arc::clone(&noted);
            async move {
                let start = Instant::now();
                tokio::task::yield_now().await;
                // A poisoned lock means a test thread panicked already.
                if let Ok(mut noted) = noted.lock() {
                    noted.push((start, Instant::now()));
                }
                Ok::<_, Error>(payload)
            }
        })
        .slots(8);
    let mut connected = worker.connected();
    tokio::spawn(worker.run_until(std::future::pending::<()>()));
    connected.wait_for(|open| *open > 0).await.map_err(|error| error.to_string())?;
    Ok(times)
}

fn taken(times: &Times) -> Vec<(Instant, Instant)> {
    times.lock().map(|times| times.clone()).unwrap_or_default()
}

fn p99_ms(mut waits: Vec<f64>) -> Result<f64, String> {
    waits.sort_unstable_by(f64::total_cmp);
    let place = waits.len() * 99 / 100;
    waits.get(place).copied().ok_or_else(|| "nothing was measured".to_owned())
}

/// One event after the other on an idle worker: acknowledgement to start, 99th percentile. A start before the
/// acknowledgement is seen counts as no wait.
///
/// # Errors
/// If an event is refused.
pub async fn accept_to_start_p99_ms(address: String, duration: Duration) -> Result<f64, String> {
    let times = noting(&address, None).await?;
    let mut client = InvocationServiceClient::new(channel(&format!("http://{address}"))?);
    let request = unary::request(FUNCTION, InvocationType::Event, &payload());
    let mut waits = Vec::new();
    let start = Instant::now();
    while start.elapsed() < duration {
        let before = taken(&times).len();
        client.invoke(request.clone()).await.map_err(|status| status.to_string())?;
        let accepted = Instant::now();
        while taken(&times).len() == before {
            tokio::task::yield_now().await;
        }
        let (started, _) = taken(&times)[before];
        waits.push(started.saturating_duration_since(accepted).as_secs_f64() * 1e3);
    }
    p99_ms(waits)
}

/// A backlog at reserved concurrency 1: end of one attempt to start of the next, 99th percentile.
///
/// # Errors
/// If an event is refused.
pub async fn slot_free_to_start_p99_ms(
    address: String,
    _duration: Duration,
) -> Result<f64, String> {
    const EVENTS: usize = 3_000;
    let times = noting(&address, Some(1)).await?;
    let request = unary::request(FUNCTION, InvocationType::Event, &payload());
    let url = format!("http://{address}");
    let mut client = InvocationServiceClient::new(channel(&url)?);
    for _ in 0..EVENTS {
        client.invoke(request.clone()).await.map_err(|status| status.to_string())?;
    }
    while taken(&times).len() < EVENTS {
        tokio::task::yield_now().await;
    }
    let times = taken(&times);
    let pairs = times.windows(2);
    let gap = |pair: &[(Instant, Instant)]| {
        pair[1].0.saturating_duration_since(pair[0].1).as_secs_f64() * 1e3
    };
    p99_ms(pairs.map(gap).collect())
}

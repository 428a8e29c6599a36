//! The rows: what is measured against whom, under which load (design.md section 10). Both sides of a row run in turn, in
//! one run, each alternation with fresh servers.

use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use trine_proto::v1::function_service_client::FunctionServiceClient;
use trine_proto::v1::{CreateFunctionRequest, InvocationType};

use crate::bench::echo::{ECHO, UNSERVED};
use crate::bench::process::{NatsSync, Process};
use crate::bench::report::{Bar, Row, median};
use crate::bench::stream::{self, Load};
use crate::bench::{backlog, drain, nats, unary, waits};

/// How a run is made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Alternations of ours and the peer's.
    pub rounds: usize,
    /// Length of one measurement.
    pub duration: Duration,
}

/// One measurement of one side.
pub(super) type Measure = fn(&Plan) -> Result<f64, String>;

/// A row to measure.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Name, as `--only` takes it.
    pub name: &'static str,
    /// One measurement of ours.
    pub(super) ours: Measure,
    /// One measurement of the peer's.
    pub(super) peer: Option<Measure>,
    pub(super) unit: &'static str,
    pub(super) durability: &'static str,
    pub(super) bar: Bar,
}

/// 128 bytes of JSON.
#[must_use]
pub fn payload() -> Bytes {
    Bytes::from(format!("\"{}\"", "x".repeat(126)))
}

/// All rows.
#[must_use]
pub fn all() -> Vec<Spec> {
    let mut rows = calls();
    rows.extend(events());
    rows.extend(drain::rows());
    rows
}

/// Synchronous invocations.
fn calls() -> Vec<Spec> {
    vec![
        Spec {
            name: "invoke_stream_128x1",
            ours: |plan| ours_stream(plan, ECHO, InvocationType::RequestResponse, 128, 1),
            peer: Some(|plan| nats_request(plan, 128, 1)),
            unit: "calls/s",
            durability: "none, answers | none",
            bar: Bar::AtLeast(2.5),
        },
        Spec {
            name: "invoke_stream_512x4",
            ours: |plan| ours_stream(plan, ECHO, InvocationType::RequestResponse, 512, 4),
            peer: Some(|plan| nats_request(plan, 512, 4)),
            unit: "calls/s",
            durability: "none, answers | none",
            bar: Bar::AtLeast(3.0),
        },
        Spec {
            name: "invoke_unary_8x64",
            ours: ours_h2load,
            peer: Some(bare_h2load),
            unit: "calls/s",
            durability: "none, answers | none",
            bar: Bar::AtLeast(0.70),
        },
        Spec {
            name: "invoke_unary_p50",
            ours: ours_latency,
            peer: Some(bare_latency),
            unit: "us",
            durability: "none, answers | none",
            bar: Bar::AtMost(2.0),
        },
    ]
}

/// Asynchronous ones, and what becomes of them.
fn events() -> Vec<Spec> {
    vec![
        Spec {
            name: "accept_unary_64",
            ours: ours_accept,
            peer: Some(|plan| jetstream(plan, NatsSync::Always, 64, 8)),
            unit: "events/s",
            durability: "fsync | fsync (sync_interval: always)",
            bar: Bar::AtLeast(10.0),
        },
        Spec {
            name: "accept_stream_512",
            ours: |plan| ours_stream(plan, UNSERVED, InvocationType::Event, 512, 1),
            peer: Some(|plan| jetstream(plan, NatsSync::Default, 512, 1)),
            unit: "events/s",
            durability: "fsync | OS cache (default sync_interval)",
            bar: Bar::AtLeast(0.7),
        },
        Spec {
            name: "accept_to_start_p99",
            ours: |plan| with_broker(plan, waits::accept_to_start_p99_ms),
            peer: None,
            unit: "ms",
            durability: "fsync before the start",
            bar: Bar::AtMost(5.0),
        },
        Spec {
            name: "slot_free_to_start_p99",
            ours: |plan| with_broker(plan, waits::slot_free_to_start_p99_ms),
            peer: None,
            unit: "ms",
            durability: "fsync before the start, limit 1",
            bar: Bar::AtMost(2.0),
        },
        Spec {
            name: "restart_1m_ready",
            ours: |_| wait(async { backlog::restart().await.map(|restart| restart.ready_s) }),
            peer: None,
            unit: "s",
            durability: "after kill -9, 1 M queued",
            bar: Bar::AtMost(5.0),
        },
        Spec {
            name: "restart_1m_resident",
            ours: |_| wait(async { backlog::restart().await.map(|restart| restart.resident_mib) }),
            peer: None,
            unit: "MiB",
            durability: "after kill -9, 1 M queued",
            bar: Bar::AtMost(500.0),
        },
    ]
}

impl Spec {
    /// Measures the row.
    ///
    /// # Errors
    /// If a server does not start, or a load is refused.
    pub fn measure(&self, plan: &Plan) -> Result<Row, String> {
        let (mut ours, mut peers, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            let own = (self.ours)(plan)?;
            ours.push(own);
            match self.peer {
                Some(peer) => {
                    let other = peer(plan)?;
                    peers.push(other);
                    ratios.push(own / other);
                }
                None => ratios.push(own),
            }
        }
        ours.sort_unstable_by(f64::total_cmp);
        peers.sort_unstable_by(f64::total_cmp);
        Ok(Row {
            name: self.name,
            ours: median(&ours),
            peer: self.peer.map(|_| median(&peers)),
            ratios,
            unit: self.unit,
            durability: self.durability,
            bar: self.bar,
        })
    }
}

/// A broker with the two functions, and a worker of the one, in processes of their own.
fn ours(with_worker: bool) -> Result<(Process, Option<Process>), String> {
    let broker = Process::broker()?;
    wait(create_functions(&broker.address, &[ECHO, UNSERVED]))?;
    let worker = with_worker.then(|| Process::own(&["work", &broker.address])).transpose()?;
    Ok((broker, worker))
}

pub(super) async fn create_functions(address: &str, names: &[&str]) -> Result<(), String> {
    let mut functions = FunctionServiceClient::new(stream::channel(&format!("http://{address}"))?);
    for name in names {
        let request = CreateFunctionRequest { name: (*name).to_owned(), settings: None };
        functions.create_function(request).await.map_err(|status| status.to_string())?;
    }
    Ok(())
}

pub(super) fn wait<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::task::block_in_place(|| Handle::current().block_on(future))
}

/// NATS's responder lives in the client's process, so our worker does too: the same three processes, two a side.
fn ours_stream(
    plan: &Plan,
    function: &str,
    kind: InvocationType,
    in_flight: usize,
    connections: usize,
) -> Result<f64, String> {
    let (broker, _) = ours(false)?;
    let load = Load {
        address: format!("http://{}", broker.address),
        function: function.to_owned(),
        payload: payload(),
        kind,
        in_flight,
        connections,
        duration: plan.duration,
    };
    wait(async {
        let serving = crate::bench::echo::serving(&broker.address).await?;
        let rate = stream::throughput(&load).await;
        serving.abort();
        rate
    })
}

fn nats_request(plan: &Plan, in_flight: usize, connections: usize) -> Result<f64, String> {
    let server = Process::nats(NatsSync::Default)?;
    wait(nats::request_reply(&server.address, payload(), in_flight, connections, plan.duration))
}

fn jetstream(
    plan: &Plan,
    sync: NatsSync,
    in_flight: usize,
    connections: usize,
) -> Result<f64, String> {
    let server = Process::nats(sync)?;
    wait(nats::publish(&server.address, payload(), in_flight, connections, plan.duration))
}

fn ours_h2load(plan: &Plan) -> Result<f64, String> {
    let (broker, _worker) = ours(true)?;
    let request = unary::request(ECHO, InvocationType::RequestResponse, &payload());
    unary::h2load(&broker.address, &request, 64, plan.duration)
}

fn bare_h2load(plan: &Plan) -> Result<f64, String> {
    let bare = Process::own(&["bare"])?;
    let request = unary::request(ECHO, InvocationType::RequestResponse, &payload());
    unary::h2load(&bare.address, &request, 64, plan.duration)
}

fn ours_latency(plan: &Plan) -> Result<f64, String> {
    let (broker, _worker) = ours(true)?;
    let request = unary::request(ECHO, InvocationType::RequestResponse, &payload());
    wait(unary::latency_p50_us(&broker.address, &request, plan.duration))
}

fn bare_latency(plan: &Plan) -> Result<f64, String> {
    let bare = Process::own(&["bare"])?;
    let request = unary::request(ECHO, InvocationType::RequestResponse, &payload());
    wait(unary::latency_p50_us(&bare.address, &request, plan.duration))
}

/// h2load is the crowd: 8 connections of 8 callers, each waiting for its answer. A crowd of tonic clients on the same two
/// cores would measure itself.
fn ours_accept(plan: &Plan) -> Result<f64, String> {
    let (broker, _) = ours(false)?;
    let request = unary::request(UNSERVED, InvocationType::Event, &payload());
    unary::h2load(&broker.address, &request, 8, plan.duration)
}

fn with_broker<F: Future<Output = Result<f64, String>>>(
    plan: &Plan,
    measure: impl Fn(String, Duration) -> F,
) -> Result<f64, String> {
    let (broker, _) = ours(false)?;
    wait(measure(broker.address.clone(), plan.duration))
}

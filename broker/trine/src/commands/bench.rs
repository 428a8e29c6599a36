//! `trine bench`: what is asked for and how the figures are shown.
//!
//! The load itself is in `bench/load.rs`.

mod load;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use trine_proto::reason;
use trine_proto::v1::{self, InvocationType, Reason};
use trine_proto::{ASYNC_PAYLOAD_BYTES_MAX, SYNC_PAYLOAD_BYTES_MAX};

use crate::commands::Context;
use crate::commands::bench::load::{Bound, Load, Measured, Plan};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::View;
use crate::paint::{Paint, Tone};
use crate::progress::Progress;
use crate::table::{Cell, Table};
use crate::{duration, histogram};

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(100);

/// A closed loop: every answer makes room for the next call, so that always the same number is
/// in flight. Ctrl-C ends it early and still prints the figures.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// The function to load; workers must serve it, except with --event.
    #[arg(long, value_name = "NAME")]
    function: String,
    /// Calls in flight, over all connections.
    #[arg(long, value_name = "COUNT", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    in_flight: u32,
    /// Connections, each with a stream of its own.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// How long.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    duration: Duration,
    /// How many calls, instead of how long.
    #[arg(long, conflicts_with = "duration", value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Send events: the figures are those of durable acceptance.
    #[arg(long)]
    event: bool,
    /// One call a request instead of frames of many over a stream.
    #[arg(long)]
    unary: bool,
    /// Size of the payload, a JSON text.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    payload_bytes: usize,
}

pub(crate) async fn run(context: &Context, arguments: BenchArguments) -> Result<Exit, Failure> {
    let plan = arguments.plan()?;
    let mut connections = Vec::new();
    for _ in 0..plan.connections {
        connections.push(context.connect().await?);
    }
    preflight(&connections[0], &plan.call).await?;

    let load = Load::start(connections, plan.clone());
    let progress = Progress::bar(&context.output, arguments.steps());
    let mut ticks = tokio::time::interval(TICK);
    let measured = {
        let finished = load.finish();
        tokio::pin!(finished);
        loop {
            tokio::select! {
                measured = &mut finished => break measured?,
                _ = ticks.tick() => arguments.draw(&progress, load.answered(), load.elapsed()),
                signal = tokio::signal::ctrl_c() => { signal?; load.stop(); }
            }
        }
    };
    drop(progress);
    let view = BenchView::of(&plan, &measured);
    context.output.show(&view)?;
    let all_refused = measured.latency.total() == 0;
    Ok(match measured.refused.keys().next() {
        Some(reason) if all_refused => Exit::of(*reason),
        _ => Exit::Ok,
    })
}

impl BenchArguments {
    fn plan(&self) -> Result<Plan, Failure> {
        let bytes_max = if self.event { ASYNC_PAYLOAD_BYTES_MAX } else { SYNC_PAYLOAD_BYTES_MAX };
        if !(2..=bytes_max).contains(&self.payload_bytes) {
            return Err(Failure::Usage(format!(
                "--payload-bytes {} is out of range: 2 to {bytes_max}",
                self.payload_bytes
            )));
        }
        if self.connections > self.in_flight {
            return Err(Failure::Usage(
                "--connections is larger than --in-flight: some would have nothing to do"
                    .to_owned(),
            ));
        }
        let kind = if self.event { InvocationType::Event } else { InvocationType::RequestResponse };
        Ok(Plan {
            call: v1::InvokeRequest {
                function: self.function.clone(),
                r#type: kind.into(),
                payload: Bytes::from(format!("\"{}\"", "x".repeat(self.payload_bytes - 2))),
                ..Default::default()
            },
            connections: self.connections,
            in_flight: self.in_flight,
            bound: self.count.map_or(Bound::Duration(self.duration), Bound::Count),
            unary: self.unary,
        })
    }

    /// The end of the progress bar.
    fn steps(&self) -> u64 {
        self.count.unwrap_or_else(|| duration::millis(self.duration))
    }

    fn draw(&self, progress: &Progress, answered: u64, elapsed: Duration) {
        let at = if self.count.is_some() { answered } else { duration::millis(elapsed) };
        progress.at(at, format!("{answered} answers, {:.0}/s", per_second(answered, elapsed)));
    }
}

/// Finds out with one call what would otherwise come back as thousands of equal refusals.
async fn preflight(
    connection: &crate::connection::Connection,
    call: &v1::InvokeRequest,
) -> Result<(), Failure> {
    let request = v1::InvokeRequest { r#type: InvocationType::DryRun.into(), ..call.clone() };
    connection.invocations().invoke(request).await.map_err(|status| connection.failure(&status))?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people; 2^53 calls are not reached")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { count as f64 / elapsed.as_secs_f64() }
}

/// The figures.
#[derive(Debug, Serialize)]
struct BenchView {
    function: String,
    r#type: &'static str,
    /// "stream" or "unary".
    mode: &'static str,
    in_flight: u32,
    connections: u32,
    payload_bytes: usize,
    elapsed_ms: u64,
    answered: u64,
    function_errors: u64,
    refused: BTreeMap<&'static str, u64>,
    /// Calls that had no answer when we stopped waiting.
    unfinished: u64,
    per_second: f64,
    latency_us: LatencyView,
    /// What the acknowledgement of an event stood for.
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<String>,
}

#[derive(Debug, Serialize)]
struct LatencyView {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl BenchView {
    fn of(plan: &Plan, measured: &Measured) -> Self {
        let event = plan.call.r#type() == InvocationType::Event;
        let name = |(reason, count): (&Reason, &u64)| (reason::name(*reason), *count);
        Self {
            function: plan.call.function.clone(),
            r#type: if event { "event" } else { "request_response" },
            mode: if plan.unary { "unary" } else { "stream" },
            in_flight: plan.in_flight,
            connections: plan.connections,
            payload_bytes: plan.call.payload.len(),
            elapsed_ms: duration::millis(measured.elapsed),
            answered: measured.latency.total(),
            function_errors: measured.function_errors,
            refused: measured.refused.iter().map(name).collect(),
            unfinished: measured.unfinished,
            per_second: per_second(measured.latency.total(), measured.elapsed),
            latency_us: LatencyView::of(&measured.latency),
            durability: event
                .then(|| crate::view::short(measured.durability.as_str_name(), "DURABILITY_")),
        }
    }
}

impl LatencyView {
    fn of(latency: &histogram::Histogram) -> Self {
        let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            p50: us(latency.quantile(500)),
            p90: us(latency.quantile(900)),
            p99: us(latency.quantile(990)),
            max: us(latency.max()),
        }
    }

    fn show(us: u64) -> String {
        match us {
            0..=9_999 => format!("{us} us"),
            10_000..=9_999_999 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
            _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        }
    }
}

impl View for BenchView {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::pairs();
        let connections = if self.connections == 1 { "connection" } else { "connections" };
        table.pair(
            "load",
            format!(
                "{} {} of {} bytes, {} in flight over {} {connections} ({})",
                self.function,
                if self.r#type == "event" { "events" } else { "calls" },
                self.payload_bytes,
                self.in_flight,
                self.connections,
                self.mode,
            ),
        );
        table.pair("time", duration::rough(Duration::from_millis(self.elapsed_ms)));
        table.pair("answered", self.answered.to_string());
        if self.function_errors > 0 {
            let errors = self.function_errors.to_string();
            table.pair("function errors", Cell::new(errors, Tone::Attention));
        }
        for (reason, count) in &self.refused {
            table.pair("refused", Cell::new(format!("{count} {reason}"), Tone::Attention));
        }
        if self.unfinished > 0 {
            table.pair("unfinished", Cell::new(self.unfinished.to_string(), Tone::Attention));
        }
        let rate = format!("{:.0} a second", self.per_second);
        table.pair("throughput", Cell::new(rate, Tone::Strong));
        let LatencyView { p50, p90, p99, max } = &self.latency_us;
        for (name, us) in [("p50", p50), ("p90", p90), ("p99", p99), ("max", max)] {
            table.pair(name, LatencyView::show(*us));
        }
        table.pair("durability", self.durability.clone().unwrap_or_default());
        table.text(paint)
    }
}

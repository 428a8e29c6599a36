//! What the broker says of itself to Prometheus: every metric, counted where the shard is and shown where
//! `/metrics` is.
//!
//! Two halves share one table: [`FactSink`] belongs to the shard and is the only one that writes what
//! functions do; [`Metrics`] is cloned into the edges, counts what happens there, and renders everything.
//! Labels hold names of functions that exist and values of closed lists, nothing that a client can choose.
//! Names, help and buckets are in `names.rs`; which crate and why is in `docs/adr/0002-metrics-crate.md`.

mod cell;
mod facts;
mod gauges;
mod mapping;
mod names;
mod render;
mod tally;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};
use trine_engine::Millis;
use trine_proto::reason;
use trine_proto::v1::Reason;

pub use facts::FactSink;
use gauges::AccountGauges;
pub(crate) use mapping::MappingMetrics;
use names::Name;
use render::register;
use tally::Table;

/// `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// What is known of a broker when it starts and never changes.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Its release, `0.1.0`.
    pub version: &'static str,
    /// When, by the machine's clock, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// Its own clock is moved by `AdvanceTime`.
    pub virtual_time: bool,
}

/// The edges' half: cheap to clone, safe to use from every task and thread.
#[derive(Debug, Clone)]
pub struct Metrics {
    table: Arc<Table>,
    registry: Registry,
    commit_duration: Histogram,
    commit_operations: Histogram,
    commit_bytes: Histogram,
    commit_batches: IntCounter,
    store_rejections: IntCounter,
    /// By the number of the reason.
    refused: Arc<[IntCounter]>,
    connections: IntGauge,
    connections_opened: IntCounter,
    connections_refused: IntCounter,
    sessions_opened: IntCounter,
    sessions_lost: IntCounter,
    payload_cache_bytes: IntGauge,
    uptime: Gauge,
    mappings: MappingMetrics,
}

impl Metrics {
    /// The two halves for one broker. Nothing is global: two brokers in one process count apart.
    #[must_use]
    pub fn new(start: Start) -> (Self, FactSink) {
        let registry = Registry::new();
        let table = Arc::new(Table::default());
        show_start(&registry, start);
        let declare = Declare { registry: &registry };
        let sink = FactSink::new(
            Arc::clone(&table),
            declare.counter(names::LATE_OUTCOMES),
            AccountGauges::new(&registry),
        );
        let metrics = Self {
            commit_duration: declare
                .histogram(names::COMMIT_DURATION, &names::COMMIT_DURATION_BOUNDS_SECONDS),
            commit_operations: declare
                .histogram(names::COMMIT_OPERATIONS, &names::COMMIT_OPERATIONS_BOUNDS),
            commit_bytes: declare.histogram(names::COMMIT_BYTES, &names::COMMIT_BYTES_BOUNDS),
            commit_batches: declare.counter(names::COMMIT_BATCHES),
            store_rejections: declare.counter(names::STORE_REJECTIONS),
            refused: declare.refused(),
            connections: declare.gauge(names::CONNECTIONS),
            connections_opened: declare.counter(names::CONNECTIONS_OPENED),
            connections_refused: declare.counter(names::CONNECTIONS_REFUSED),
            sessions_opened: declare.counter(names::SESSIONS_OPENED),
            sessions_lost: declare.counter(names::SESSIONS_LOST),
            payload_cache_bytes: declare.gauge(names::PAYLOAD_CACHE_BYTES),
            uptime: register(&registry, Gauge::new(names::UPTIME.name, names::UPTIME.help)),
            mappings: MappingMetrics::new(&declare),
            registry,
            table,
        };
        (metrics, sink)
    }

    /// Everything as Prometheus text. Gauges of the engine are as of the last
    /// [`FactSink::gauges`], counts as of now.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = render::text(&self.table, &self.registry);
        self.mappings.render(&mut text);
        text
    }

    /// What is counted of mappings and pollers.
    pub(crate) fn mappings(&self) -> &MappingMetrics {
        &self.mappings
    }

    /// A commit is durable: how long it took, and how much shared it (`trine_store::Committed`).
    pub fn commit(&self, took: Duration, batches: usize, ops: usize, bytes: usize) {
        self.commit_duration.observe(took.as_secs_f64());
        self.commit_operations.observe(ops as f64);
        self.commit_bytes.observe(bytes as f64);
        self.commit_batches.inc_by(u64::try_from(batches).unwrap_or(u64::MAX));
    }

    /// The store refused a commit and wrote nothing.
    pub fn store_rejected(&self) {
        self.store_rejections.inc();
    }

    /// A request was refused, whatever edge it came through.
    pub fn refused(&self, reason: Reason) {
        let number = usize::try_from(i32::from(reason)).unwrap_or(0);
        if let Some(counter) = self.refused.get(number) {
            counter.inc();
        }
    }

    /// A connection was taken.
    pub fn connection_opened(&self) {
        self.connections_opened.inc();
        self.connections.inc();
    }

    /// A connection that was taken is gone.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// A connection was closed at once because there are too many.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// A worker was welcomed.
    pub fn session_opened(&self) {
        self.sessions_opened.inc();
    }

    /// A worker's session ended in any other way than by its drain or the broker's.
    pub fn session_lost(&self) {
        self.sessions_lost.inc();
    }

    /// Payload bytes of waiting events that are in memory now.
    pub fn payload_cache_bytes(&self, bytes: u64) {
        self.payload_cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Time since the start, by the machine's monotonic clock.
    pub fn uptime(&self, since_start: Duration) {
        self.uptime.set(since_start.as_secs_f64());
    }
}

fn show_start(registry: &Registry, start: Start) {
    let declare = Declare { registry };
    let build = Opts::new(names::BUILD_INFO.name, names::BUILD_INFO.help);
    let build = build.const_label(names::VERSION, start.version);
    register(registry, IntGauge::with_opts(build)).set(1);
    let start_time = Gauge::new(names::START_TIME.name, names::START_TIME.help);
    register(registry, start_time).set(Duration::from_millis(start.at).as_secs_f64());
    declare.gauge(names::VIRTUAL_TIME).set(start.virtual_time.into());
}

/// Declares metrics without labels of their own.
struct Declare<'a> {
    registry: &'a Registry,
}

impl Declare<'_> {
    fn counter(&self, name: Name) -> IntCounter {
        register(self.registry, IntCounter::new(name.name, name.help))
    }

    fn gauge(&self, name: Name) -> IntGauge {
        register(self.registry, IntGauge::new(name.name, name.help))
    }

    fn histogram(&self, name: Name, bounds: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name.name, name.help).buckets(bounds.to_vec());
        register(self.registry, Histogram::with_opts(options))
    }

    /// One counter for each reason there is, so that all of them are there from the start.
    fn refused(&self) -> Arc<[IntCounter]> {
        let options = Opts::new(names::REFUSED.name, names::REFUSED.help);
        let family = register(self.registry, IntCounterVec::new(options, &[names::REASON]));
        let reasons = (0..).map_while(|number| Reason::try_from(number).ok());
        let counters = reasons.map(|reason| {
            // A refusal without a reason is a defect of the broker, and there is a reason for that.
            let known = if reason == Reason::Unspecified { Reason::Internal } else { reason };
            family.with_label_values(&[reason::name(known)])
        });
        counters.collect()
    }
}

//! The keys of the broker itself: names, defaults and bounds. The defaults are the library's.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::config::destinations;
use crate::config::resolver::Resolver;
use crate::config::value::{Bytes, StoreKind};
use trine_broker::{BrokerOptions, Limits, MappingBounds, StoreOption, Timing};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn resolve(resolver: &mut Resolver, data_dir: &Path) -> BrokerOptions {
    let listen =
        resolver.checked("listen", SocketAddr::from(([127, 0, 0, 1], 7400)), loopback_only);
    let kind = resolver.value("store", StoreKind::Embedded);
    BrokerOptions {
        listen: Some(listen),
        virtual_time: resolver.value("virtual_time", false),
        // The thread of the shard serves connections too.
        threads: resolver.within("threads", cores(), 1..=256) - 1,
        limits: limits(resolver),
        mappings: mappings(resolver),
        timing: timing(resolver),
        destinations: destinations::resolve(resolver, data_dir),
        store: match kind {
            StoreKind::Embedded => StoreOption::Embedded { dir: data_dir.to_owned() },
            StoreKind::Memory => StoreOption::Memory,
        },
        configuration: Vec::new(),
    }
}

pub(super) fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX).min(256)
}

fn loopback_only(address: &SocketAddr) -> Result<(), String> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err("refused: Trine has no authentication yet, so it listens on loopback only \
         (127.0.0.1 or [::1]); put a proxy that authenticates before it"
        .to_owned())
}

fn limits(resolver: &mut Resolver) -> Limits {
    let default = Limits::default();
    let account_concurrency =
        resolver.within("limits.account_concurrency", default.account_concurrency, 1..=1_000_000);
    let unreserved = "limits.unreserved_concurrency_min";
    // Whoever sets a small account limit and nothing else must not have to know this key.
    let unreserved_default = default.unreserved_concurrency_min.min(account_concurrency);
    let unreserved_concurrency_min = resolver.within(unreserved, unreserved_default, 0..=1_000_000);
    if unreserved_concurrency_min > account_concurrency {
        resolver.contradiction(
            unreserved,
            format!("more than limits.account_concurrency, which is {account_concurrency}"),
        );
    }
    let mut bytes =
        |key, default, max| resolver.within(key, Bytes(default), Bytes(0)..=Bytes(max)).0;
    let queue_bytes_max = bytes("limits.queue_bytes_max", default.queue_bytes_max, 1 << 50);
    let payload_cache_bytes_max =
        bytes("limits.payload_cache_bytes_max", default.payload_cache_bytes_max, 1 << 40);
    let mut count = |key, default, from, to| resolver.within(key, default, from..=to);
    Limits {
        account_concurrency,
        unreserved_concurrency_min,
        queue_bytes_max,
        payload_cache_bytes_max,
        functions_max: count("limits.functions_max", default.functions_max, 1, 1_000_000),
        sync_waiting_max: count("limits.sync_waiting_max", default.sync_waiting_max, 0, 10_000_000),
        connections_max: count("limits.connections_max", default.connections_max, 1, 1_000_000),
        queue_count_max: resolver.within(
            "limits.queue_count_max",
            default.queue_count_max,
            1..=1_000_000_000,
        ),
        history_count_max: resolver.within(
            "limits.history_count_max",
            default.history_count_max,
            0..=100_000_000,
        ),
        history_age: resolver.within(
            "limits.history_age",
            default.history_age,
            Duration::ZERO..=365 * DAY,
        ),
    }
}

fn mappings(resolver: &mut Resolver) -> MappingBounds {
    let default = MappingBounds::default();
    let mut count = |key, default, to| resolver.within(key, default, 1..=to);
    let mappings_max = count("limits.mappings_max", default.mappings_max, 100_000);
    let pollers_max = count("limits.pollers_max", default.pollers_max, 10_000);
    let checkpoints_max = count("limits.checkpoints_max", default.checkpoints_max, 1_000_000);
    let bytes = Bytes(0)..=Bytes(1 << 40);
    MappingBounds {
        mappings_max,
        pollers_max,
        checkpoints_max,
        parked_records_max: resolver.within(
            "limits.parked_records_max",
            default.parked_records_max,
            0..=100_000_000,
        ),
        parked_bytes_max: resolver
            .within("limits.parked_bytes_max", Bytes(default.parked_bytes_max), bytes)
            .0,
    }
}

fn timing(resolver: &mut Resolver) -> Timing {
    let default = Timing::default();
    let mut time = |key, default, from, to| resolver.within(key, default, from..=to);
    Timing {
        placement_wait: time(
            "timing.placement_wait",
            default.placement_wait,
            Duration::ZERO,
            15 * MINUTE,
        ),
        heartbeat: time("timing.heartbeat", default.heartbeat, SECOND / 10, 5 * MINUTE),
        stop_grace: time("timing.stop_grace", default.stop_grace, Duration::ZERO, 15 * MINUTE),
        delivery_age_max: time(
            "timing.delivery_age_max",
            default.delivery_age_max,
            MINUTE,
            14 * DAY,
        ),
        drain: time("timing.drain", default.drain, Duration::ZERO, HOUR),
    }
}

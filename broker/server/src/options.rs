//! What a broker is started with: values that are already checked against each other.
//!
//! It does not know files, environment variables or flags; the binary turns those into this.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use trine_engine::mapping::MappingLimits;

use crate::credentials::{AwsCredential, KafkaCredential, NatsCredential, RabbitMqCredential};

/// Everything a [`Broker`](crate::Broker) needs to start. [`BrokerOptions::default`] is a broker
/// for this process alone: without a socket, and with the memory store.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// Where to listen; port 0 is any free one. Any address but loopback is refused while no
    /// authentication exists. Default `None`: nowhere, only [`Broker::channel`](crate::Broker::channel)
    /// leads to it, and nobody reads its metrics.
    pub listen: Option<SocketAddr>,
    /// Where accepted events live. Default [`StoreOption::Memory`].
    pub store: StoreOption,
    /// Take the time from `AdminService.AdvanceTime` instead of the machine. Default false.
    pub virtual_time: bool,
    /// Threads of its own that connections are spread over, besides the runtime it is started on.
    /// Default 0: that runtime serves all of them.
    pub threads: u32,
    /// Bounds on what is accepted and kept.
    pub limits: Limits,
    /// Bounds on mappings and pollers.
    pub mappings: MappingBounds,
    /// Waits and intervals.
    pub timing: Timing,
    /// What destinations may reach.
    pub destinations: DestinationPolicy,
    /// The configuration in force, as name, value and origin, for `GetBroker` only.
    pub configuration: Vec<(String, String, String)>,
}

/// Which store to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOption {
    /// Nothing survives the process.
    Memory,
    /// The embedded store in this folder, created if it does not exist.
    Embedded {
        /// The data folder; one broker a folder.
        dir: PathBuf,
    },
}

/// Bounds. Each is a decision about overload.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Concurrent executions over all functions, 1..=1 000 000. Default 1000 (LS 5).
    pub account_concurrency: u32,
    /// What reservations must leave of it. Default 100, as Lambda keeps (LS 5).
    pub unreserved_concurrency_min: u32,
    /// Events waiting or running, at most; then `QUEUE_FULL`. Default 2 000 000.
    pub queue_count_max: u64,
    /// Payload bytes of those events, at most. Default 8 GiB.
    pub queue_bytes_max: u64,
    /// Ended invocations that are remembered, at most. Default 100 000.
    pub history_count_max: u64,
    /// How long an ended invocation is remembered. Default 24 h.
    pub history_age: Duration,
    /// Functions, at most. Default 10 000.
    pub functions_max: u32,
    /// Synchronous invocations waiting for a slot, at most; then `OVERLOADED`. Default 100 000.
    pub sync_waiting_max: u32,
    /// Connections, at most. Default 10 000.
    pub connections_max: u32,
    /// Payload bytes of waiting events that are kept in memory, beside the store. Default 64 MiB.
    pub payload_cache_bytes_max: u64,
}

/// Bounds on mappings. What a poller reports beyond one is refused, and its shard waits.
#[derive(Debug, Clone)]
pub struct MappingBounds {
    /// Mappings, at most. Default 10 000.
    pub mappings_max: u32,
    /// Connected pollers, at most. Default 1000.
    pub pollers_max: u32,
    /// Shards of a mapping with a checkpoint at the broker, at most. Default 10 000.
    pub checkpoints_max: u32,
    /// Parked records of a mapping, at most; the shard stops at the next that is to be parked. Default 100 000.
    pub parked_records_max: u64,
    /// Bytes of those, at most. Default 256 MiB.
    pub parked_bytes_max: u64,
}

/// Waits and intervals.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Longest wait of a synchronous invocation for a free slot. Default 5 s.
    pub placement_wait: Duration,
    /// How often each side of a worker session gives a sign of life; silence for two of them is
    /// death. Default 5 s.
    pub heartbeat: Duration,
    /// How long a handler that was told to stop may keep its concurrency. Default 5 s.
    pub stop_grace: Duration,
    /// How long a destination is tried before its record is set aside as undelivered. Default 6 h.
    pub delivery_age_max: Duration,
    /// How long running attempts may finish after SIGTERM. Default 30 s.
    pub drain: Duration,
}

/// What destinations may reach.
#[derive(Debug, Clone, Default)]
pub struct DestinationPolicy {
    /// Allow HTTP and SNS destinations, and SQS ones with an endpoint of their own, on loopback, link-local, private and metadata addresses. Default false.
    pub allow_internal_addresses: bool,
    /// Folder of file destinations. Unset: file destinations are refused.
    pub file_dir: Option<PathBuf>,
    /// User and password or token for NATS servers, by `host:port`; `""` for any.
    pub nats_credentials: Vec<NatsCredential>,
    /// Logins of Kafka clusters. A cluster without one is spoken to in the clear and without a login.
    pub kafka_credentials: Vec<KafkaCredential>,
    /// Logins of RabbitMQ servers.
    pub rabbitmq_credentials: Vec<RabbitMqCredential>,
    /// Keys that SQS is asked with. Unset: SQS destinations fail until there are some.
    pub aws_credential: Option<AwsCredential>,
}

impl BrokerOptions {
    /// A poller that is asked for a mapping has as long as running attempts have at a shutdown.
    pub(crate) fn mapping_limits(&self) -> MappingLimits {
        let drain = self.timing.drain.as_millis();
        let bounds = &self.mappings;
        MappingLimits {
            mappings_max: bounds.mappings_max,
            pollers_max: bounds.pollers_max,
            checkpoints_max: usize::try_from(bounds.checkpoints_max).unwrap_or(usize::MAX),
            parked_records_max: bounds.parked_records_max,
            parked_bytes_max: bounds.parked_bytes_max,
            drain_ms: u64::try_from(drain).unwrap_or(u64::MAX),
            ..MappingLimits::default()
        }
    }
}

impl Default for MappingBounds {
    fn default() -> Self {
        let limits = MappingLimits::default();
        Self {
            mappings_max: limits.mappings_max,
            pollers_max: limits.pollers_max,
            checkpoints_max: u32::try_from(limits.checkpoints_max).unwrap_or(u32::MAX),
            parked_records_max: limits.parked_records_max,
            parked_bytes_max: limits.parked_bytes_max,
        }
    }
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            listen: None,
            store: StoreOption::Memory,
            virtual_time: false,
            threads: 0,
            limits: Limits::default(),
            mappings: MappingBounds::default(),
            timing: Timing::default(),
            destinations: DestinationPolicy::default(),
            configuration: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            account_concurrency: 1000,
            unreserved_concurrency_min: 100,
            queue_count_max: 2_000_000,
            queue_bytes_max: 8 << 30,
            history_count_max: 100_000,
            history_age: Duration::from_secs(24 * 3600),
            functions_max: 10_000,
            sync_waiting_max: 100_000,
            connections_max: 10_000,
            payload_cache_bytes_max: 64 << 20,
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            placement_wait: Duration::from_secs(5),
            heartbeat: Duration::from_secs(5),
            stop_grace: Duration::from_secs(5),
            delivery_age_max: Duration::from_secs(6 * 3600),
            drain: Duration::from_secs(30),
        }
    }
}

//! Every metric of the broker: name, help, labels, buckets. Names are an API; this is the one file where
//! they are written, and `docs/metrics.md` lists the same ones (`cargo xtask tidy` compares them).
//!
//! It knows neither when something is counted nor how it is shown.

use trine_engine::Millis;
use trine_engine::mapping::Count as MappingCount;

/// Label whose values are names of functions that exist, and nothing else.
pub(super) const FUNCTION: &str = "function";
/// Label of a closed list of reasons.
pub(super) const REASON: &str = "reason";
/// Label of the ways an event can die; values as in a destination record (LS 3.3).
pub(super) const CONDITION: &str = "condition";
/// Label of the broker's release.
pub(super) const VERSION: &str = "version";

/// Label whose values are ids of mappings that exist, and `other` for those beyond the bound.
pub(super) const MAPPING: &str = "mapping";
/// Label of the kind of a mapping's source.
pub(super) const SOURCE: &str = "source";
/// Label of the closed list of a mapping's states.
pub(super) const STATE: &str = "state";

/// A metric as it is published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
}

const fn name(name: &'static str, help: &'static str) -> Name {
    Name { name, help }
}

/// Something that is counted twice: per function, and for the account. The series of a function goes
/// with the function; the account's stays, and is there from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Invocations,
    FunctionErrors,
    ThrottledReserved,
    ThrottledAccount,
    ThrottledNoWorker,
    ThrottledNoCapacity,
    EventsReceived,
    DroppedRetriesExhausted,
    DroppedEventAgeExceeded,
    DroppedZeroReservedConcurrency,
    DroppedRecursiveInvocation,
    DeadLettersForgotten,
    Deliveries,
    DeliveryFailures,
    Undelivered,
    LeasesExpired,
    AttemptsUnspent,
    AttemptsLost,
    SlotsAbandoned,
}

/// Number of [`Count`]s; the size of a tally.
pub(super) const COUNTS: usize = Count::SlotsAbandoned as usize + 1;

/// Families that appear together: with the first thing counted in any of them, all are there, so that the
/// rare ones start from a zero. Ten thousand idle functions then do not cost half a million series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Invocations,
    Throttles,
    Events,
    Destinations,
    Faults,
}

/// One family of counts, in its two forms.
#[derive(Debug)]
pub(super) struct CountFamily {
    pub(super) group: Group,
    pub(super) function: &'static str,
    pub(super) account: &'static str,
    pub(super) help: &'static str,
    /// Label that tells its counts apart, if it has more than one.
    pub(super) by: &'static str,
    /// Its counts and, for each, the value of that label.
    pub(super) counts: &'static [(Count, &'static str)],
}

pub(super) const COUNT_FAMILIES: [CountFamily; 13] = [
    CountFamily {
        group: Group::Invocations,
        function: "trine_invocations_total",
        account: "trine_account_invocations_total",
        help: "Attempts that were sent to a worker, first ones and retries.",
        by: "",
        counts: &[(Count::Invocations, "")],
    },
    CountFamily {
        group: Group::Invocations,
        function: "trine_function_errors_total",
        account: "trine_account_function_errors_total",
        help: "Attempts that ended with a function error: exceptions, timeouts, lost workers, cancels.",
        by: "",
        counts: &[(Count::FunctionErrors, "")],
    },
    CountFamily {
        group: Group::Throttles,
        function: "trine_throttles_total",
        account: "trine_account_throttles_total",
        help: "Starts that were refused (synchronous) or put off (asynchronous); never an attempt.",
        by: REASON,
        counts: &[
            (Count::ThrottledReserved, "reserved_concurrency"),
            (Count::ThrottledAccount, "account_concurrency"),
            (Count::ThrottledNoWorker, "no_worker"),
            (Count::ThrottledNoCapacity, "no_capacity"),
        ],
    },
    CountFamily {
        group: Group::Events,
        function: "trine_async_events_received_total",
        account: "trine_account_async_events_received_total",
        help: "Asynchronous events that were made durable.",
        by: "",
        counts: &[(Count::EventsReceived, "")],
    },
    CountFamily {
        group: Group::Events,
        function: "trine_async_events_dropped_total",
        account: "trine_account_async_events_dropped_total",
        help: "Asynchronous events that ended without success, also when a failure destination has them.",
        by: CONDITION,
        counts: &[
            (Count::DroppedRetriesExhausted, "RetriesExhausted"),
            (Count::DroppedEventAgeExceeded, "EventAgeExceeded"),
            (Count::DroppedZeroReservedConcurrency, "ZeroReservedConcurrency"),
            (Count::DroppedRecursiveInvocation, "RecursiveInvocation"),
        ],
    },
    CountFamily {
        group: Group::Events,
        function: "trine_dead_letters_forgotten_total",
        account: "trine_account_dead_letters_forgotten_total",
        help: "Dead events that were forgotten by age or bound and cannot be redriven any more.",
        by: "",
        counts: &[(Count::DeadLettersForgotten, "")],
    },
    CountFamily {
        group: Group::Destinations,
        function: "trine_destination_deliveries_total",
        account: "trine_account_destination_deliveries_total",
        help: "Records that a destination took.",
        by: "",
        counts: &[(Count::Deliveries, "")],
    },
    CountFamily {
        group: Group::Destinations,
        function: "trine_destination_delivery_failures_total",
        account: "trine_account_destination_delivery_failures_total",
        help: "Tries to deliver a record that failed; most are tried again.",
        by: "",
        counts: &[(Count::DeliveryFailures, "")],
    },
    CountFamily {
        group: Group::Destinations,
        function: "trine_destination_undelivered_total",
        account: "trine_account_destination_undelivered_total",
        help: "Records that were set aside as undelivered; they can be redriven.",
        by: "",
        counts: &[(Count::Undelivered, "")],
    },
    CountFamily {
        group: Group::Faults,
        function: "trine_leases_expired_total",
        account: "trine_account_leases_expired_total",
        help: "Attempts that the broker ended at the function timeout.",
        by: "",
        counts: &[(Count::LeasesExpired, "")],
    },
    CountFamily {
        group: Group::Faults,
        function: "trine_attempts_unspent_total",
        account: "trine_account_attempts_unspent_total",
        help: "Attempts that came back before they had started; they do not count as attempts.",
        by: "",
        counts: &[(Count::AttemptsUnspent, "")],
    },
    CountFamily {
        group: Group::Faults,
        function: "trine_attempts_lost_total",
        account: "trine_account_attempts_lost_total",
        help: "Running attempts that were lost with their worker.",
        by: "",
        counts: &[(Count::AttemptsLost, "")],
    },
    CountFamily {
        group: Group::Faults,
        function: "trine_slots_abandoned_total",
        account: "trine_account_slots_abandoned_total",
        help: "Handlers that kept silent for the whole stop grace; each keeps a slot until its worker speaks.",
        by: "",
        counts: &[(Count::SlotsAbandoned, "")],
    },
];

/// Outcomes under a lease that is no more. Their function is not known any more.
pub(super) const LATE_OUTCOMES: Name =
    name("trine_late_outcomes_total", "Outcomes refused because their lease had ended.");

/// A histogram over whole milliseconds, per function.
#[derive(Debug)]
pub(super) struct MillisHistogram {
    pub(super) group: Group,
    pub(super) name: &'static str,
    pub(super) help: &'static str,
}

/// Upper bounds, inclusive: from the shortest time that can be told apart to the longest timeout (LS 2.3).
pub(super) const DURATION_BOUNDS: usize = 17;
pub(super) const DURATION_BOUNDS_MS: [Millis; DURATION_BOUNDS] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
    900_000,
];
pub(super) const DURATION: MillisHistogram = MillisHistogram {
    group: Group::Invocations,
    name: "trine_invocation_duration_seconds",
    help: "Time from sending an attempt to its end.",
};

/// Upper bounds, inclusive: up to the longest age of an event (LS 3.2), with the retries, which come after
/// 1 and 3 minutes, in buckets of their own.
pub(super) const EVENT_AGE_BOUNDS: usize = 17;
pub(super) const EVENT_AGE_BOUNDS_MS: [Millis; EVENT_AGE_BOUNDS] = [
    1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000,
    1_800_000, 7_200_000, 21_600_000,
];
pub(super) const EVENT_AGE: MillisHistogram = MillisHistogram {
    group: Group::Events,
    name: "trine_async_event_age_seconds",
    help: "Age of an event at each of its attempts, from acceptance or not_before.",
};

/// What is measured of a function, as of the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FunctionGauge {
    Running,
    Reserved,
    Queued,
    Ready,
    QueuedBytes,
    OldestReadyAgeMs,
    Workers,
    FreeSlots,
}

/// Number of [`FunctionGauge`]s.
pub(super) const FUNCTION_GAUGES: usize = FunctionGauge::FreeSlots as usize + 1;

/// Each gauge and its name, in the order of the enum.
pub(super) const FUNCTION_GAUGE_NAMES: [(FunctionGauge, Name); FUNCTION_GAUGES] = [
    (
        FunctionGauge::Running,
        name("trine_concurrent_executions", "Concurrency that the function uses."),
    ),
    (
        FunctionGauge::Reserved,
        name("trine_reserved_concurrent_executions", "The function's reserved concurrency."),
    ),
    (FunctionGauge::Queued, name("trine_queue_events", "Asynchronous events that have not ended.")),
    (
        FunctionGauge::Ready,
        name("trine_queue_ready_events", "Of them, those that could start now."),
    ),
    (FunctionGauge::QueuedBytes, name("trine_queue_bytes", "Payload bytes of events not ended.")),
    (
        FunctionGauge::OldestReadyAgeMs,
        name(
            "trine_queue_oldest_ready_age_seconds",
            "Age of the first event that could start now; 0 if there is none.",
        ),
    ),
    (
        FunctionGauge::Workers,
        name("trine_function_workers", "Worker sessions that serve the function."),
    ),
    (
        FunctionGauge::FreeSlots,
        name("trine_function_free_slots", "Free slots of those sessions, shared with others."),
    ),
];

pub(super) const ACCOUNT_LIMIT: Name = name(
    "trine_account_concurrent_executions_limit",
    "Limit on concurrent executions over all functions.",
);
pub(super) const ACCOUNT_RUNNING: Name =
    name("trine_account_concurrent_executions", "Concurrency in use over all functions.");
pub(super) const UNRESERVED_LIMIT: Name = name(
    "trine_unreserved_concurrent_executions_limit",
    "What reservations leave of the account's limit.",
);
pub(super) const UNRESERVED_RUNNING: Name = name(
    "trine_unreserved_concurrent_executions",
    "Concurrency in use by functions without a reservation.",
);
pub(super) const FUNCTIONS: Name = name("trine_functions", "Functions that exist.");
pub(super) const ACCOUNT_QUEUE_EVENTS: Name =
    name("trine_account_queue_events", "Asynchronous events that have not ended.");
pub(super) const ACCOUNT_QUEUE_BYTES: Name =
    name("trine_account_queue_bytes", "Payload bytes of events that have not ended.");
pub(super) const RECORDS_PENDING: Name =
    name("trine_destination_pending_records", "Records that no destination has taken yet.");
pub(super) const SYNC_WAITING: Name =
    name("trine_sync_waiting", "Synchronous invocations that wait for a slot.");
pub(super) const REMEMBERED: Name =
    name("trine_invocations_remembered", "Ended invocations that can still be asked for.");
pub(super) const SESSIONS: Name = name("trine_worker_sessions", "Connected worker sessions.");
pub(super) const SLOTS: Name = name("trine_slots", "Slots of all worker sessions.");
pub(super) const SLOTS_TAKEN: Name = name("trine_slots_taken", "Slots that a lease takes.");
pub(super) const LEASES: Name = name("trine_leases_held", "Leases that are held.");
pub(super) const SLOT_DRIFT: Name =
    name("trine_slot_drift", "Slots taken less leases held. Anything but 0 is a leak.");

pub(super) const COMMIT_DURATION: Name =
    name("trine_store_commit_duration_seconds", "Time of one commit, its fsync included.");
pub(super) const COMMIT_DURATION_BOUNDS_SECONDS: [f64; 15] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];
pub(super) const COMMIT_OPERATIONS: Name =
    name("trine_store_commit_operations", "Rows written or deleted by one commit.");
pub(super) const COMMIT_OPERATIONS_BOUNDS: [f64; 8] =
    [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 8192.0];
pub(super) const COMMIT_BYTES: Name =
    name("trine_store_commit_bytes", "Bytes of the values written by one commit.");
pub(super) const COMMIT_BYTES_BOUNDS: [f64; 8] =
    [256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 16_777_216.0];
pub(super) const COMMIT_BATCHES: Name = name(
    "trine_store_batches_total",
    "Batches that the shard handed in; many of them share one commit.",
);
pub(super) const STORE_REJECTIONS: Name =
    name("trine_store_rejections_total", "Commits that the store refused without writing.");

pub(super) const REFUSED: Name =
    name("trine_requests_refused_total", "Requests that were refused, by reason code.");
pub(super) const CONNECTIONS: Name = name("trine_connections", "Open connections.");
pub(super) const CONNECTIONS_OPENED: Name =
    name("trine_connections_opened_total", "Connections that were taken.");
pub(super) const CONNECTIONS_REFUSED: Name =
    name("trine_connections_refused_total", "Connections that were closed at once, at the bound.");
pub(super) const SESSIONS_OPENED: Name =
    name("trine_worker_sessions_opened_total", "Worker sessions that were welcomed.");
pub(super) const SESSIONS_LOST: Name = name(
    "trine_worker_sessions_lost_total",
    "Worker sessions that ended without a goodbye: silence, a broken connection, a broken rule.",
);
/// What is counted of a mapping (LS 7), as its pollers tell it.
pub(super) const MAPPING_COUNTS: [(MappingCount, Name); 16] = [
    (
        MappingCount::PolledEvents,
        name("trine_mapping_polled_events_total", "Records read from the source."),
    ),
    (
        MappingCount::FilteredOutEvents,
        name("trine_mapping_filtered_out_events_total", "Records that no filter let pass."),
    ),
    (
        MappingCount::InvokedEvents,
        name("trine_mapping_invoked_events_total", "Records sent to the function, retries again."),
    ),
    (
        MappingCount::FailedInvokeEvents,
        name(
            "trine_mapping_failed_invoke_events_total",
            "Records sent to the function that failed.",
        ),
    ),
    (
        MappingCount::DroppedEvents,
        name("trine_mapping_dropped_events_total", "Records given up that no destination has."),
    ),
    (
        MappingCount::OnFailureDeliveredEvents,
        name(
            "trine_mapping_on_failure_delivered_events_total",
            "Records given up whose failure record a destination has.",
        ),
    ),
    (
        MappingCount::DeletedEvents,
        name("trine_mapping_deleted_events_total", "Records deleted in the source after success."),
    ),
    (
        MappingCount::CommittedEvents,
        name("trine_mapping_committed_events_total", "Records whose place was committed."),
    ),
    (
        MappingCount::PollingErrors,
        name("trine_mapping_polling_errors_total", "Reads of the source that failed."),
    ),
    (
        MappingCount::InvokeErrors,
        name("trine_mapping_invoke_errors_total", "Batches whose invocation failed."),
    ),
    (
        MappingCount::CommitErrors,
        name("trine_mapping_commit_errors_total", "Checkpoints or acknowledgements that failed."),
    ),
    (
        MappingCount::OnFailureDeliveryErrors,
        name(
            "trine_mapping_on_failure_delivery_errors_total",
            "Tries to deliver a failure record that failed; they are tried again.",
        ),
    ),
    (
        MappingCount::Throttles,
        name(
            "trine_mapping_throttles_total",
            "Batches put off for lack of concurrency or workers; never an attempt.",
        ),
    ),
    (
        MappingCount::ParkedEvents,
        name("trine_mapping_parked_events_total", "Records set aside behind their key."),
    ),
    (
        MappingCount::Reconnects,
        name("trine_mapping_reconnects_total", "Times that the source was connected to anew."),
    ),
    (
        MappingCount::SourceGaps,
        name(
            "trine_mapping_source_gaps_total",
            "Times that records may have been lost in the source or come twice.",
        ),
    ),
];

pub(super) const MAPPING_ITERATOR_AGE: Name = name(
    "trine_mapping_iterator_age_seconds",
    "Age of the last record of the newest batch, of the shard where it is highest.",
);
pub(super) const MAPPING_LAG_SUM: Name =
    name("trine_mapping_offset_lag", "Records that all shards have beyond their checkpoints.");
pub(super) const MAPPING_LAG_MAX: Name =
    name("trine_mapping_offset_lag_max", "The same, of the shard where it is highest.");
pub(super) const MAPPING_LIVE: Name =
    name("trine_mapping_live", "1 if a poller reads the source, else 0.");
pub(super) const MAPPING_PARKED_KEYS: Name =
    name("trine_mapping_parked_keys", "Keys whose records are set aside.");
pub(super) const MAPPING_PARKED_RECORDS: Name =
    name("trine_mapping_parked_records", "Records that are set aside.");
pub(super) const MAPPINGS: Name = name("trine_mappings", "Mappings that exist, by state.");
pub(super) const POLLERS: Name = name("trine_poller_sessions", "Connected poller sessions.");
pub(super) const POLLERS_OPENED: Name =
    name("trine_poller_sessions_opened_total", "Poller sessions that were welcomed.");
pub(super) const POLLERS_LOST: Name = name(
    "trine_poller_sessions_lost_total",
    "Poller sessions that ended without a goodbye: silence, a broken connection, a broken rule.",
);
pub(super) const MAPPING_ASSIGNMENTS: Name =
    name("trine_mapping_assignments_total", "Mappings given to a poller, each time again.");
pub(super) const MAPPING_FENCE_REFUSALS: Name = name(
    "trine_mapping_fence_refusals_total",
    "Reports refused because somebody else holds the mapping.",
);
pub(super) const MAPPING_LEASES_OVERDUE: Name = name(
    "trine_mapping_leases_overdue_total",
    "Mappings that a poller was asked for and did not let go of in time.",
);

pub(super) const PAYLOAD_CACHE_BYTES: Name =
    name("trine_payload_cache_bytes", "Payload bytes of waiting events kept in memory.");

pub(super) const BUILD_INFO: Name = name("trine_build_info", "Always 1; the release is a label.");
pub(super) const START_TIME: Name =
    name("trine_start_time_seconds", "When the broker started, seconds since the Unix epoch.");
pub(super) const UPTIME: Name =
    name("trine_uptime_seconds", "Time since the start by the machine's monotonic clock.");
pub(super) const VIRTUAL_TIME: Name =
    name("trine_virtual_time", "1 if the broker's clock is moved by AdvanceTime, else 0.");

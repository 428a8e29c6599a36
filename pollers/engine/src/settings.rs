//! Everything a mapping is told once, at its start. It does not know which source has which defaults;
//! who makes settings from parameters does (LS 4.2).

use crate::{Backoff, BatchLimits, Millis};

/// Most batches of a mapping at a time if nobody limits them: SQS's ceiling (LS 4.5).
pub const MAXIMUM_CONCURRENCY_DEFAULT: u32 = 1_250;

/// Records that may have been read beyond the checkpoint of a shard if nobody says otherwise.
pub const LOOKAHEAD_RECORDS_DEFAULT: u32 = 10_000;

/// Most of them that can be asked for.
pub const LOOKAHEAD_RECORDS_MAX: u32 = 100_000;

/// Most records of one [`Effect::Park`](crate::Effect::Park).
pub const PARK_RECORDS_MAX: u64 = 1_000;

/// Their bytes, unless one record alone has more.
pub const PARK_BYTES_MAX: u64 = 1 << 20;

/// Most records of one key that may have come back from the park and not have ended.
pub const UNPARK_RECORDS_MAX: u64 = 10_000;

/// Largest state of a tumbling window, in bytes; a larger one ends the window (LS 4.6).
pub const WINDOW_STATE_BYTES_MAX: u64 = 1024 * 1024;

/// How long a shard without records waits before it concludes its window, in milliseconds (LS 4.6: at
/// most two minutes).
pub const WINDOW_IDLE_MS: Millis = 120_000;

/// The settings of a mapping. Every value of these types is allowed; a 0 where at least 1 is needed counts as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How large a batch may become (LS 4.2, 4.3). Default of [`Self::new`]: as given.
    pub batch: BatchLimits,
    /// When the window of a batch starts (LS 4.3). Default: at the previous batch's end.
    pub window_start: WindowStart,
    /// What order is kept. Default: of the shard.
    pub order: Order,
    /// How the source is told of ends. Default: by checkpoints.
    pub settling: Settling,
    /// Batches of one shard at a time, from 1: the parallelization factor 1..=10 of LS 4.2, and beyond. A
    /// batch that waits to be sent again does not count. [`Order::Shard`] and tumbling windows have 1
    /// whatever this says. Default: 1.
    pub batches_per_shard_max: u32,
    /// Batches of a shard that are read while as many run as may, each against a free permit. To be 0 where a record that is given
    /// back unsent has lost something: a queue counts how often it gave it out. Default: 0.
    pub batches_ahead: u32,
    /// Batches of the mapping at a time, from 1 (LS 4.2 has 2..=1000). Default:
    /// [`MAXIMUM_CONCURRENCY_DEFAULT`].
    pub maximum_concurrency: u32,
    /// Records of a shard that may have been read and not be settled durably, 1..=[`LOOKAHEAD_RECORDS_MAX`].
    /// Default: [`LOOKAHEAD_RECORDS_DEFAULT`].
    pub lookahead_records_max: u32,
    /// How often records are sent again after function errors, 0..=10000 (LS 4.2, `MaximumRetryAttempts`).
    /// `None`: for ever, also with an on-failure destination (LS 4.8 has a silent 10 there). Default: `None`.
    pub retries_max: Option<u32>,
    /// How old a record may become, 60000..=604800000 ms (LS 4.2, `MaximumRecordAgeInSeconds`); looked at before
    /// every send. `None`: any age. Default: `None`.
    pub record_age_ms_max: Option<Millis>,
    /// A batch on which the function failed is cut in two (LS 4.6). Default: off.
    pub bisect: bool,
    /// Partial answers are allowed (LS 4.2, `ReportBatchItemFailures`). The engine needs it only for the ramp
    /// (LS 4.5) and for what is parked. Default: off.
    pub report_batch_item_failures: bool,
    /// What becomes of records whose retries are used up. Default: discard.
    pub exhausted: Exhausted,
    /// There is an on-failure destination: whatever is given up is settled only after
    /// `FailureDelivered` (LS 4.6). Default: none.
    pub on_failure_destination: bool,
    /// Who sends records again after function errors. Default: the engine.
    pub retried_by: RetriedBy,
    /// How long the source waits for a verdict before it redelivers, in milliseconds (LS 4.5); every record in hand
    /// is extended well before half of it has passed. Only with [`Settling::PerRecord`]. `None`: it waits for ever.
    /// Default: `None`.
    pub source_lease_ms: Option<Millis>,
    /// Records in hand can be settled after the source was built anew. If not, those that wait are
    /// let go when it goes, since it will give them again. Tumbling windows need it, and have it whatever this
    /// says: records that came again would be counted twice in their state. Default: they can.
    pub survives_reconnect: bool,
    /// Length of a tumbling window, 1000..=900000 ms (LS 4.2). Needs order: it makes the order that of the
    /// shard, with one batch at a time, because the state of a window passes from batch to batch. Default: none.
    pub tumbling_window_ms: Option<Millis>,
    /// Concurrency grows from a few batches while there is backlog (LS 4.5, SQS standard). Default: all of
    /// it at once.
    pub ramp: Option<Ramp>,
    /// How long batches in flight may take to end when their shard is revoked, in milliseconds; after that it
    /// is released without their outcome. Default: 10 000.
    pub revoke_drain_ms: Millis,
    /// Longest wait of one receive for the first record, in milliseconds. Default: 1 000.
    pub receive_wait_ms: Millis,
    /// Waits after function errors. Default: [`Backoff::FUNCTION_ERRORS`].
    pub function_errors: Backoff,
    /// Waits of the probe while the function is not reached; no attempt is spent. Cap it below what the
    /// source bears. Default: [`Backoff::NOT_REACHED`].
    pub not_reached: Backoff,
    /// Waits before the source is built anew, or one shard is asked again after a failed receive. Default:
    /// [`Backoff::RECONNECT`].
    pub reconnect: Backoff,
    /// Waits before a checkpoint or verdicts are told again. Default: [`Backoff::CHECKPOINT`].
    pub checkpoint: Backoff,
    /// Waits before the on-failure destination is told again. Default: [`Backoff::DELIVERY`].
    pub delivery: Backoff,
    /// Waits before records are parked again. Default: [`Backoff::DELIVERY`].
    pub park: Backoff,
    /// Spreads the waits of mappings that would otherwise move in step: any number, best a different
    /// one for each.
    pub salt: u64,
}

/// When the window of a batch starts (LS 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowStart {
    /// When the previous batch of the shard ended: Kinesis, DynamoDB Streams, SQS, Kafka. Where several batches of
    /// a shard run at a time it starts no later than the first record is read, or a steady flow of ends
    /// would put it off for ever.
    PreviousBatchEnd,
    /// With the first record of the batch: RabbitMQ, ActiveMQ.
    FirstRecord,
}

/// What order is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// None.
    None,
    /// All records of a shard, one batch at a time.
    Shard,
    /// Records of one key. A batch may mix keys, a key is in at most one batch at a time and its later
    /// records wait: Kinesis with a parallelization factor, key lanes on Kafka, SQS FIFO groups. Keys are
    /// spread over the batches that may run, so that a slow one keeps few others.
    Key,
}

/// How the source is told of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settling {
    /// By [`Effect::StoreCheckpoint`](crate::Effect::StoreCheckpoint): everything up to a record has ended.
    LowWater,
    /// By [`Effect::Settle`](crate::Effect::Settle): a verdict for each record.
    PerRecord,
}

/// What becomes of records whose retries are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exhausted {
    /// They are given up (LS 4.6).
    Discard,
    /// Their keys are parked: they and all later records of these keys are set aside in order, the rest flows.
    ParkKey,
}

/// Who sends records again after function errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetriedBy {
    /// The engine: it holds them and sends them again after a wait.
    Engine,
    /// The source (SQS): they are settled as `Failed` and forgotten. With [`Order::Key`] what is in hand of their
    /// keys behind them is given back as well. Needs [`Settling::PerRecord`]; without it the engine does.
    Source,
}

/// How concurrency grows (LS 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// Batches at a time at first and after idleness, from 1. LS 4.5: 5.
    pub start: u32,
    /// How many more a minute while there is backlog. LS 4.5: 300.
    pub per_minute: u32,
    /// At most this many. LS 4.5: 1250.
    pub ceiling: u32,
}

impl Ramp {
    /// That of SQS standard queues (LS 4.5).
    pub const SQS: Self = Self { start: 5, per_minute: 300, ceiling: 1_250 };
}

impl Settings {
    /// The defaults with these limits.
    #[must_use]
    pub const fn new(batch: BatchLimits) -> Self {
        Self {
            batch,
            window_start: WindowStart::PreviousBatchEnd,
            order: Order::Shard,
            settling: Settling::LowWater,
            batches_per_shard_max: 1,
            batches_ahead: 0,
            maximum_concurrency: MAXIMUM_CONCURRENCY_DEFAULT,
            lookahead_records_max: LOOKAHEAD_RECORDS_DEFAULT,
            retries_max: None,
            record_age_ms_max: None,
            bisect: false,
            report_batch_item_failures: false,
            exhausted: Exhausted::Discard,
            on_failure_destination: false,
            retried_by: RetriedBy::Engine,
            source_lease_ms: None,
            survives_reconnect: true,
            tumbling_window_ms: None,
            ramp: None,
            revoke_drain_ms: 10_000,
            receive_wait_ms: 1_000,
            function_errors: Backoff::FUNCTION_ERRORS,
            not_reached: Backoff::NOT_REACHED,
            reconnect: Backoff::RECONNECT,
            checkpoint: Backoff::CHECKPOINT,
            delivery: Backoff::DELIVERY,
            park: Backoff::DELIVERY,
            salt: 0,
        }
    }

    /// The same, with what contradicts itself made consistent: the engine works on this.
    #[must_use]
    pub(crate) fn normal(self) -> Self {
        let per_record = matches!(self.settling, Settling::PerRecord);
        let windowed = self.tumbling_window_ms.is_some();
        let order = if windowed { Order::Shard } else { self.order };
        let one = matches!(order, Order::Shard);
        let state_bytes = if windowed { WINDOW_STATE_BYTES_MAX } else { 0 };
        Self {
            batch: self.batch.with_room_for(state_bytes),
            order,
            batches_per_shard_max: if one { 1 } else { self.batches_per_shard_max.max(1) },
            // Its records belong to one window or another only when the one before has ended.
            batches_ahead: if windowed { 0 } else { self.batches_ahead },
            maximum_concurrency: self.maximum_concurrency.max(1),
            lookahead_records_max: self.lookahead_records_max.clamp(1, LOOKAHEAD_RECORDS_MAX),
            retried_by: if per_record { self.retried_by } else { RetriedBy::Engine },
            source_lease_ms: self.source_lease_ms.filter(|_| per_record),
            survives_reconnect: self.survives_reconnect || windowed,
            tumbling_window_ms: self.tumbling_window_ms.map(|length| length.max(1)),
            ..self
        }
    }
}

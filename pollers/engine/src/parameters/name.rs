//! Owns the list of parameters: their names, and to which kinds of source each applies (LS 4.2).

use std::fmt;

use crate::SourceKind::{
    self, ActiveMq, Custom, DynamoDbStreams, File, Kafka, Kinesis, Nats, RabbitMq, Redis, Sqs,
    SqsFifo,
};

/// A parameter of a mapping: the fields of [`Parameters`](super::Parameters).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    BatchSize,
    BatchingWindowMs,
    ParallelizationFactor,
    MaximumConcurrency,
    StartingPosition,
    StartingPositionTimestampMs,
    MaximumRecordAgeSeconds,
    MaximumRetryAttempts,
    BisectBatchOnFunctionError,
    TumblingWindowSeconds,
    ReportBatchItemFailures,
    OnFailure,
    Filters,
    KeyOrder,
    ExhaustedPolicy,
    LookaheadRecordsMax,
}

/// Streams: read in order, from a place that is kept, and given up by us.
pub(super) const STREAMS: &[SourceKind] =
    &[Kafka, Kinesis, DynamoDbStreams, Nats, Redis, File, Custom];

/// Those that know a key of a record beside its data.
pub(super) const KEYED: &[SourceKind] = &[Kafka, Kinesis, DynamoDbStreams, Nats, Custom];

/// Those that can say which record was the first at a time.
pub(super) const TIMED: &[SourceKind] = &[Kafka, Kinesis, Nats, Redis];

impl Name {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 16] = [
        Self::BatchSize,
        Self::BatchingWindowMs,
        Self::ParallelizationFactor,
        Self::MaximumConcurrency,
        Self::StartingPosition,
        Self::StartingPositionTimestampMs,
        Self::MaximumRecordAgeSeconds,
        Self::MaximumRetryAttempts,
        Self::BisectBatchOnFunctionError,
        Self::TumblingWindowSeconds,
        Self::ReportBatchItemFailures,
        Self::OnFailure,
        Self::Filters,
        Self::KeyOrder,
        Self::ExhaustedPolicy,
        Self::LookaheadRecordsMax,
    ];

    /// As the contract and the command line have it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::BatchSize => "batch_size",
            Self::BatchingWindowMs => "batching_window_ms",
            Self::ParallelizationFactor => "parallelization_factor",
            Self::MaximumConcurrency => "maximum_concurrency",
            Self::StartingPosition => "starting_position",
            Self::StartingPositionTimestampMs => "starting_position_timestamp_ms",
            Self::MaximumRecordAgeSeconds => "maximum_record_age_seconds",
            Self::MaximumRetryAttempts => "maximum_retry_attempts",
            Self::BisectBatchOnFunctionError => "bisect_batch_on_function_error",
            Self::TumblingWindowSeconds => "tumbling_window_seconds",
            Self::ReportBatchItemFailures => "report_batch_item_failures",
            Self::OnFailure => "on_failure",
            Self::Filters => "filters",
            Self::KeyOrder => "key_order",
            Self::ExhaustedPolicy => "exhausted_policy",
            Self::LookaheadRecordsMax => "lookahead_records_max",
        }
    }

    /// The kinds of source to which it applies (LS 4.2).
    ///
    /// On Lambda, age, retries, bisect and partial answers of Kafka need provisioned mode; Trine has no
    /// modes, and Kafka has them. What Lambda does not have at all follows what the source can do.
    #[must_use]
    pub const fn kinds(self) -> &'static [SourceKind] {
        match self {
            Self::BatchSize | Self::MaximumConcurrency | Self::Filters => &SourceKind::ALL,
            Self::BatchingWindowMs => &[
                Kafka,
                Sqs,
                Kinesis,
                DynamoDbStreams,
                RabbitMq,
                ActiveMq,
                Nats,
                Redis,
                File,
                Custom,
            ],
            Self::ParallelizationFactor | Self::TumblingWindowSeconds => {
                &[Kinesis, DynamoDbStreams]
            }
            // Where another adapter begins is a matter of its own configuration.
            Self::StartingPosition => &[Kafka, Kinesis, DynamoDbStreams, Nats, Redis, File],
            Self::StartingPositionTimestampMs => TIMED,
            // The lines of a file have no age.
            Self::MaximumRecordAgeSeconds => {
                &[Kafka, Kinesis, DynamoDbStreams, Nats, Redis, Custom]
            }
            Self::MaximumRetryAttempts => {
                &[Kafka, Kinesis, DynamoDbStreams, RabbitMq, ActiveMq, Nats, Redis, File, Custom]
            }
            Self::ReportBatchItemFailures => {
                &[Kafka, Sqs, SqsFifo, Kinesis, DynamoDbStreams, Nats, Redis, File, Custom]
            }
            Self::KeyOrder => KEYED,
            Self::BisectBatchOnFunctionError
            | Self::OnFailure
            | Self::ExhaustedPolicy
            | Self::LookaheadRecordsMax => STREAMS,
        }
    }

    /// Whether it applies to `kind`.
    #[must_use]
    pub fn applies_to(self, kind: SourceKind) -> bool {
        self.kinds().contains(&kind)
    }

    /// Whether it is decided when a mapping is made and never changed (LS 4.2).
    #[must_use]
    pub const fn only_at_creation(self) -> bool {
        matches!(self, Self::StartingPosition | Self::StartingPositionTimestampMs)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

//! The settings of a mapping on the command line. It knows the notation; ranges and defaults are the broker's.

use std::time::Duration;

use clap::{Args, ValueEnum};
use trine_proto::v1;

use crate::destination::DestinationArgument;
use crate::failure::Failure;
use crate::{destination, duration, instant};

/// The settings of a mapping.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingsArguments {
    /// Records of a batch at most, 1 to 10000; SQS FIFO 1 to 10 [default: 100; SQS 10].
    #[arg(long, value_name = "COUNT")]
    batch_size: Option<u32>,
    /// How long a batch is filled, 0s to 5m [default: 0s; Kafka, RabbitMQ, ActiveMQ 500ms].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    batching_window: Option<Duration>,
    /// Batches of one shard at a time, 1 to 10; Kinesis and DynamoDB Streams [default: 1].
    #[arg(long, value_name = "COUNT")]
    parallelization_factor: Option<u32>,
    /// Batches at a time over the whole mapping, from 1 [default: the source's own limit].
    #[arg(long, value_name = "COUNT")]
    maximum_concurrency: Option<u32>,
    /// Where a new mapping begins to read a stream.
    #[arg(long, value_enum, value_name = "POSITION")]
    starting_position: Option<PositionArgument>,
    /// The time for --starting-position at-timestamp: 2026-01-31T23:59:59Z, or milliseconds since the Unix epoch.
    #[arg(long, value_name = "TIME", value_parser = instant::parse)]
    starting_position_timestamp: Option<i64>,
    /// Age at which a record is given up, 1m to 168h, or for-ever [default: for-ever].
    #[arg(long, value_name = "DURATION|for-ever", value_parser = age)]
    maximum_record_age: Option<i32>,
    /// Retries after function errors, 0 to 10000, or for-ever [default: for-ever; RabbitMQ, ActiveMQ 6].
    #[arg(long, value_name = "COUNT|for-ever", value_parser = retries)]
    maximum_retry_attempts: Option<i32>,
    /// Cut a batch that failed in two [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    bisect_batch_on_function_error: Option<bool>,
    /// Length of a tumbling window, 0s to 15m; Kinesis and DynamoDB Streams [default: 0s, none].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_seconds)]
    tumbling_window: Option<u32>,
    /// Read which records of a batch failed out of the function's answer [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    report_batch_item_failures: Option<bool>,
    /// Where the record of a batch that was given up goes: function:NAME, http(s)://…,
    /// nats://HOST:PORT/SUBJECT, jetstream://HOST:PORT/SUBJECT, sqs:ARN, sns:URL#TOPIC_ARN, kafka://HOST:PORT/TOPIC,
    /// kafka://TOPIC, rabbitmq://HOST:PORT/QUEUE, file:NAME, none.
    #[arg(long, value_name = "DESTINATION", value_parser = destination::parse)]
    on_failure: Option<DestinationArgument>,
    /// Let only records pass that match this pattern or another one; may be repeated; none takes all away.
    #[arg(long, value_name = "PATTERN|none")]
    filter: Vec<String>,
    /// What order is kept on a keyed source [default: shard].
    #[arg(long, value_enum, value_name = "ORDER")]
    key_order: Option<OrderArgument>,
    /// What becomes of a record whose attempts are used up [default: discard].
    #[arg(long, value_enum, value_name = "POLICY")]
    exhausted_policy: Option<PolicyArgument>,
    /// Records that may have been read beyond the checkpoint of a shard, 1 to 100000 [default: 10000].
    #[arg(long, value_name = "COUNT")]
    lookahead_records_max: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PositionArgument {
    TrimHorizon,
    Latest,
    AtTimestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OrderArgument {
    Shard,
    Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PolicyArgument {
    Discard,
    ParkKey,
}

/// What `--clear` takes: the names of the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SettingName {
    BatchSize,
    BatchingWindow,
    ParallelizationFactor,
    MaximumConcurrency,
    MaximumRecordAge,
    MaximumRetryAttempts,
    BisectBatchOnFunctionError,
    TumblingWindow,
    ReportBatchItemFailures,
    OnFailure,
    Filter,
    KeyOrder,
    ExhaustedPolicy,
    LookaheadRecordsMax,
}

impl SettingName {
    /// The field of `MappingSettings`.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::BatchSize => "batch_size",
            Self::BatchingWindow => "batching_window_ms",
            Self::ParallelizationFactor => "parallelization_factor",
            Self::MaximumConcurrency => "maximum_concurrency",
            Self::MaximumRecordAge => "maximum_record_age_seconds",
            Self::MaximumRetryAttempts => "maximum_retry_attempts",
            Self::BisectBatchOnFunctionError => "bisect_batch_on_function_error",
            Self::TumblingWindow => "tumbling_window_seconds",
            Self::ReportBatchItemFailures => "report_batch_item_failures",
            Self::OnFailure => "on_failure",
            Self::Filter => "filters",
            Self::KeyOrder => "key_order",
            Self::ExhaustedPolicy => "exhausted_policy",
            Self::LookaheadRecordsMax => "lookahead_records_max",
        }
    }
}

impl SettingsArguments {
    /// What is to be set, and what was given as `none`.
    pub(super) fn split(self) -> Result<(v1::MappingSettings, Vec<SettingName>), Failure> {
        let mut none = Vec::new();
        let on_failure = match self.on_failure {
            Some(DestinationArgument::To(destination)) => Some(destination),
            Some(DestinationArgument::None) => {
                none.push(SettingName::OnFailure);
                None
            }
            None => None,
        };
        let mut filters = self.filter;
        if filters.iter().any(|filter| filter == "none") {
            if filters.len() > 1 {
                return Err(Failure::Usage("--filter none goes without other patterns".to_owned()));
            }
            filters.clear();
            none.push(SettingName::Filter);
        }
        let window = self.batching_window.map(|window| u32::try_from(window.as_millis()));
        let window = window.transpose();
        let batching_window_ms =
            window.map_err(|_| Failure::Usage("--batching-window is too long".to_owned()))?;
        let settings = v1::MappingSettings {
            batch_size: self.batch_size,
            batching_window_ms,
            parallelization_factor: self.parallelization_factor,
            maximum_concurrency: self.maximum_concurrency,
            starting_position: self.starting_position.map(|position| {
                match position {
                    PositionArgument::TrimHorizon => v1::StartingPosition::TrimHorizon,
                    PositionArgument::Latest => v1::StartingPosition::Latest,
                    PositionArgument::AtTimestamp => v1::StartingPosition::AtTimestamp,
                }
                .into()
            }),
            starting_position_timestamp_ms: self.starting_position_timestamp,
            maximum_record_age_seconds: self.maximum_record_age,
            maximum_retry_attempts: self.maximum_retry_attempts,
            bisect_batch_on_function_error: self.bisect_batch_on_function_error,
            tumbling_window_seconds: self.tumbling_window,
            report_batch_item_failures: self.report_batch_item_failures,
            on_failure,
            filters,
            key_order: self.key_order.map(|order| {
                match order {
                    OrderArgument::Shard => v1::KeyOrder::Shard,
                    OrderArgument::Key => v1::KeyOrder::Key,
                }
                .into()
            }),
            exhausted_policy: self.exhausted_policy.map(|policy| {
                match policy {
                    PolicyArgument::Discard => v1::ExhaustedPolicy::Discard,
                    PolicyArgument::ParkKey => v1::ExhaustedPolicy::ParkKey,
                }
                .into()
            }),
            lookahead_records_max: self.lookahead_records_max,
        };
        Ok((settings, none))
    }
}

/// -1 stands for no limit (LS 4.2); nobody should have to know that.
const FOR_EVER: &str = "for-ever";

fn age(text: &str) -> Result<i32, String> {
    if text == FOR_EVER {
        return Ok(-1);
    }
    let seconds =
        duration::parse_seconds(text).map_err(|error| format!("{error}, or {FOR_EVER}"))?;
    i32::try_from(seconds).map_err(|_| "too long".to_owned())
}

fn retries(text: &str) -> Result<i32, String> {
    match text {
        FOR_EVER => Ok(-1),
        _ => text.parse().map_err(|_| format!("expected a whole number, or {FOR_EVER}")),
    }
}

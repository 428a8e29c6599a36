//! Owns what is in force: every parameter with its value, set or default. It does not know what can be had:
//! `check` does.

use super::name::{KEYED, STREAMS};
use super::{ExhaustedPolicy, KeyOrder, Name, ParameterError, Parameters, StartingPosition};
use crate::SourceKind::{ActiveMq, Kafka, RabbitMq, Sqs, SqsFifo};
use crate::{
    BATCH_RECORDS_DEFAULT, Filters, LOOKAHEAD_RECORDS_DEFAULT, MAXIMUM_CONCURRENCY_DEFAULT, Millis,
    SourceKind,
};

const SQS_BATCH_DEFAULT: u32 = 10;
/// LS 4.9.
const MQ_RETRIES_DEFAULT: i32 = 6;
/// LS 4.2: Kafka and MQ.
const WINDOW_MS_DEFAULT: u32 = 500;

/// All parameters as they are in force. Every value is one that can be had.
#[derive(Debug)]
pub struct Effective {
    /// What is read.
    pub kind: SourceKind,
    /// Most records of a batch.
    pub batch_size: u32,
    /// How long a batch is filled, in milliseconds; 0 where windows do not apply.
    pub batching_window_ms: Millis,
    /// Batches of one shard at a time, at least 1.
    pub batches_per_shard_max: u32,
    /// Batches of the mapping at a time, at least 1.
    pub maximum_concurrency: u32,
    /// Where to begin; nothing where there is no place to begin at.
    pub start: Option<Start>,
    /// How old a record may become, in milliseconds; nothing: any age.
    pub record_age_ms_max: Option<Millis>,
    /// How often records are sent again after function errors; nothing: for ever, or until the source
    /// says otherwise.
    pub retries_max: Option<u32>,
    /// Whether a failed batch is cut in two.
    pub bisect: bool,
    /// Length of a tumbling window, in milliseconds.
    pub tumbling_window_ms: Option<Millis>,
    /// Whether partial answers are read.
    pub report_batch_item_failures: bool,
    /// Whether there is an on-failure destination.
    pub on_failure: bool,
    /// What is let through.
    pub filters: Filters,
    /// What order is kept. Nothing where records have no keys beside their data: then a stream keeps that of
    /// its shard and a queue what it keeps itself.
    pub key_order: Option<KeyOrder>,
    /// What becomes of a record whose attempts are used up.
    pub exhausted_policy: ExhaustedPolicy,
    /// Records of a shard that may have been read beyond its checkpoint.
    pub lookahead_records_max: u32,
    rows: Vec<Row>,
}

/// Where to begin to read a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that is there.
    TrimHorizon,
    /// With what comes from now on.
    Latest,
    /// With the first record at or after this time, in milliseconds since the epoch.
    AtTimestamp(i64),
}

/// Who decided a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetBy {
    /// Nobody: it is the default of the source's kind.
    Default,
    /// The user, in the mapping.
    Mapping,
}

/// A parameter as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub name: Name,
    /// Its value, for people.
    pub value: String,
    /// Who decided it.
    pub set_by: SetBy,
}

impl Effective {
    /// The parameters that apply to the kind, in the order of [`Name::ALL`].
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// Most batches of a shard that the parameter stands for (LS 4.2).
const FACTOR_MAX: u32 = 10;

impl Parameters {
    /// What is in force with a source of this kind at `now_ms`, milliseconds since the epoch.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first.
    pub fn effective(
        &self,
        kind: SourceKind,
        now_ms: i64,
    ) -> Result<Effective, Vec<ParameterError>> {
        let mut errors = self.errors(kind, now_ms);
        let patterns: Vec<&str> = self.filters.iter().map(String::as_str).collect();
        match Filters::parse(kind, &patterns) {
            Ok(filters) if errors.is_empty() => Ok(self.in_force(kind, filters)),
            Ok(_) => Err(errors),
            Err(invalid) => {
                errors.push(ParameterError::Filter(invalid));
                Err(errors)
            }
        }
    }

    /// Everything was checked.
    fn in_force(&self, kind: SourceKind, filters: Filters) -> Effective {
        let maximum_concurrency = self.maximum_concurrency.unwrap_or(match kind {
            RabbitMq => 1,
            ActiveMq => 5,
            _ => MAXIMUM_CONCURRENCY_DEFAULT,
        });
        let retries = self.maximum_retry_attempts.unwrap_or(match kind {
            RabbitMq | ActiveMq => MQ_RETRIES_DEFAULT,
            _ => -1,
        });
        let parallel = self.parallelization_factor.is_some_and(|factor| factor > 1);
        let by_default = if parallel { KeyOrder::Key } else { KeyOrder::Shard };
        let key_order = KEYED.contains(&kind).then(|| self.key_order.unwrap_or(by_default));
        let batches_per_shard_max = match (key_order, self.parallelization_factor) {
            (Some(KeyOrder::Shard), _) => 1,
            (None, _) if STREAMS.contains(&kind) => 1,
            (_, Some(factor)) => factor,
            (_, None) => maximum_concurrency,
        };
        let age = self.maximum_record_age_seconds.unwrap_or(-1);
        let window = self.tumbling_window_seconds.unwrap_or(0);
        let mut effective = Effective {
            kind,
            batch_size: self.batch_size.unwrap_or(match kind {
                Sqs | SqsFifo => SQS_BATCH_DEFAULT,
                _ => BATCH_RECORDS_DEFAULT,
            }),
            batching_window_ms: Millis::from(self.batching_window_ms.unwrap_or(match kind {
                Kafka | RabbitMq | ActiveMq => WINDOW_MS_DEFAULT,
                _ => 0,
            })),
            batches_per_shard_max,
            maximum_concurrency,
            start: self.start(kind),
            record_age_ms_max: Millis::try_from(age).ok().map(|seconds| seconds * 1_000),
            retries_max: u32::try_from(retries).ok(),
            bisect: self.bisect_batch_on_function_error.unwrap_or(false),
            tumbling_window_ms: (window > 0).then(|| Millis::from(window) * 1_000),
            report_batch_item_failures: self.report_batch_item_failures.unwrap_or(false),
            on_failure: self.on_failure,
            filters,
            key_order,
            exhausted_policy: self.exhausted_policy.unwrap_or(ExhaustedPolicy::Discard),
            lookahead_records_max: self.lookahead_records_max.unwrap_or(LOOKAHEAD_RECORDS_DEFAULT),
            rows: Vec::new(),
        };
        let applying = Name::ALL.into_iter().filter(|name| name.applies_to(kind));
        let rows = applying.filter_map(|name| {
            let set_by = if self.sets(name) { SetBy::Mapping } else { SetBy::Default };
            let value = shown(name, &effective, &self.filters)?;
            Some(Row { name, value, set_by })
        });
        effective.rows = rows.collect();
        effective
    }

    fn start(&self, kind: SourceKind) -> Option<Start> {
        if !Name::StartingPosition.applies_to(kind) {
            return None;
        }
        Some(match (self.starting_position, self.starting_position_timestamp_ms) {
            (Some(StartingPosition::AtTimestamp), Some(time)) => Start::AtTimestamp(time),
            (Some(StartingPosition::Latest), _) => Start::Latest,
            _ => Start::TrimHorizon,
        })
    }
}

/// The value of a parameter for people; nothing for a time that is not asked for.
fn shown(name: Name, effective: &Effective, filters: &[String]) -> Option<String> {
    let or_for_ever = |value: Option<u64>| value.map_or_else(|| "-1".to_owned(), |n| n.to_string());
    let seconds = |ms: Option<Millis>| ms.map(|ms| ms / 1_000);
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let text = match name {
        Name::BatchSize => effective.batch_size.to_string(),
        Name::BatchingWindowMs => effective.batching_window_ms.to_string(),
        // Keys that run in parallel without it are bounded by the concurrency alone.
        Name::ParallelizationFactor if effective.batches_per_shard_max > FACTOR_MAX => return None,
        Name::ParallelizationFactor => effective.batches_per_shard_max.to_string(),
        Name::MaximumConcurrency => effective.maximum_concurrency.to_string(),
        Name::StartingPosition => match effective.start? {
            Start::TrimHorizon => "TRIM_HORIZON".to_owned(),
            Start::Latest => "LATEST".to_owned(),
            Start::AtTimestamp(_) => "AT_TIMESTAMP".to_owned(),
        },
        Name::StartingPositionTimestampMs => match effective.start? {
            Start::AtTimestamp(time) => time.to_string(),
            Start::TrimHorizon | Start::Latest => return None,
        },
        Name::MaximumRecordAgeSeconds => or_for_ever(seconds(effective.record_age_ms_max)),
        Name::MaximumRetryAttempts => or_for_ever(effective.retries_max.map(u64::from)),
        Name::BisectBatchOnFunctionError => on(effective.bisect),
        Name::TumblingWindowSeconds => {
            seconds(effective.tumbling_window_ms).unwrap_or(0).to_string()
        }
        Name::ReportBatchItemFailures => on(effective.report_batch_item_failures),
        Name::OnFailure => if effective.on_failure { "set" } else { "none" }.to_owned(),
        Name::Filters if filters.is_empty() => "none".to_owned(),
        Name::Filters => filters.join(" or "),
        Name::KeyOrder => match effective.key_order? {
            KeyOrder::Shard => "SHARD".to_owned(),
            KeyOrder::Key => "KEY".to_owned(),
        },
        Name::ExhaustedPolicy => match effective.exhausted_policy {
            ExhaustedPolicy::Discard => "DISCARD".to_owned(),
            ExhaustedPolicy::ParkKey => "PARK_KEY".to_owned(),
        },
        Name::LookaheadRecordsMax => effective.lookahead_records_max.to_string(),
    };
    Some(text)
}

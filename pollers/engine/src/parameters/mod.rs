//! Owns what a user may set of a mapping (LS 4.2): which parameters there are, whether they can be had
//! together and with this kind of source, and what may change later. It does not know destinations:
//! `on_failure` is there or not. The rules are in `check`, what is in force in `effective`.
//!
//! Nothing is changed silently: a value that cannot be had is refused, and one that was not set is shown
//! with its default.

mod check;
mod effective;
mod error;
mod name;

pub use self::effective::{Effective, Row, SetBy, Start};
pub use self::error::ParameterError;
pub use self::name::Name;

/// Where a mapping begins to read a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartingPosition {
    /// With the oldest record that is there.
    TrimHorizon,
    /// With what comes from now on.
    Latest,
    /// With the first record at or after a time.
    AtTimestamp,
}

/// What order is kept on a keyed source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyOrder {
    /// All records of a shard, one batch at a time.
    Shard,
    /// Records of one key; different keys run in parallel.
    Key,
}

/// What becomes of a record whose attempts are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExhaustedPolicy {
    /// It goes to the on-failure destination, if there is one, and the source goes on (LS 4.6).
    Discard,
    /// It and all later ones of its key are set aside in order; the rest goes on.
    ParkKey,
}

/// What a user has set. `None` is left to the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Most records of a batch, 1..=10000; SQS FIFO 1..=10. Default 100; SQS 10.
    pub batch_size: Option<u32>,
    /// How long a batch is filled, 0..=300000 ms; not SQS FIFO. Default 0; Kafka, RabbitMQ and ActiveMQ 500.
    pub batching_window_ms: Option<u32>,
    /// Batches of a shard at a time, 1..=10; Kinesis and DynamoDB Streams. Default 1.
    pub parallelization_factor: Option<u32>,
    /// Batches of the mapping at a time, 1..=100000. Lambda has 2..=1000, on SQS alone. Default 1250, the ceiling
    /// of LS 4.5; RabbitMQ 1, ActiveMQ 5 (LS 4.9).
    pub maximum_concurrency: Option<u32>,
    /// Needed with Kafka, Kinesis and DynamoDB Streams; default of NATS, Redis and file: the trim
    /// horizon. Others have none.
    pub starting_position: Option<StartingPosition>,
    /// Milliseconds since the epoch, not in the future; with [`StartingPosition::AtTimestamp`] and never without.
    pub starting_position_timestamp_ms: Option<i64>,
    /// -1, for ever, or 60..=604800 seconds. Default -1.
    pub maximum_record_age_seconds: Option<i32>,
    /// -1, for ever, or 0..=10000. Default -1; RabbitMQ and ActiveMQ 6 (LS 4.9). With an on-failure destination -1
    /// stays -1, where Lambda makes it 10 on Kafka (LS 4.8).
    pub maximum_retry_attempts: Option<i32>,
    /// Default off.
    pub bisect_batch_on_function_error: Option<bool>,
    /// 0..=900 seconds, 0 is none; Kinesis and DynamoDB Streams. Default 0.
    pub tumbling_window_seconds: Option<u32>,
    /// Default off.
    pub report_batch_item_failures: Option<bool>,
    /// There is an on-failure destination. Default none.
    pub on_failure: bool,
    /// Patterns; see [`Filters`](crate::Filters). Default none: every record passes.
    pub filters: Vec<String>,
    /// Default [`KeyOrder::Shard`]; with a parallelization factor above 1, [`KeyOrder::Key`].
    pub key_order: Option<KeyOrder>,
    /// Default [`ExhaustedPolicy::Discard`].
    pub exhausted_policy: Option<ExhaustedPolicy>,
    /// Records of a shard that may have been read beyond its checkpoint, 1..=100000. Default 10000.
    pub lookahead_records_max: Option<u32>,
}

impl Parameters {
    /// These with `change` over them, and with what `clear` names left to the defaults again. Whether the
    /// result can be had, [`Parameters::effective`] says.
    ///
    /// # Errors
    /// What is only decided at creation (LS 4.2, last paragraph), names that no parameter has, and
    /// parameters that are both set and cleared: all of them.
    pub fn updated(&self, change: &Self, clear: &[&str]) -> Result<Self, Vec<ParameterError>> {
        let mut errors = Vec::new();
        let mut cleared = Vec::new();
        for text in clear {
            match Name::ALL.iter().find(|name| name.text() == *text) {
                None => errors.push(ParameterError::Unknown((*text).to_owned())),
                Some(name) => cleared.push(*name),
            }
        }
        for name in Name::ALL {
            let (sets, clears) = (change.sets(name), cleared.contains(&name));
            if (sets || clears) && name.only_at_creation() {
                errors.push(ParameterError::OnlyAtCreation(name));
            } else if sets && clears {
                errors.push(ParameterError::SetAndCleared(name));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut updated = self.clone();
        for name in Name::ALL {
            if change.sets(name) {
                updated.copy(name, change);
            } else if cleared.contains(&name) {
                updated.copy(name, &Self::default());
            }
        }
        Ok(updated)
    }

    /// Whether this one is set.
    #[must_use]
    pub const fn sets(&self, name: Name) -> bool {
        match name {
            Name::BatchSize => self.batch_size.is_some(),
            Name::BatchingWindowMs => self.batching_window_ms.is_some(),
            Name::ParallelizationFactor => self.parallelization_factor.is_some(),
            Name::MaximumConcurrency => self.maximum_concurrency.is_some(),
            Name::StartingPosition => self.starting_position.is_some(),
            Name::StartingPositionTimestampMs => self.starting_position_timestamp_ms.is_some(),
            Name::MaximumRecordAgeSeconds => self.maximum_record_age_seconds.is_some(),
            Name::MaximumRetryAttempts => self.maximum_retry_attempts.is_some(),
            Name::BisectBatchOnFunctionError => self.bisect_batch_on_function_error.is_some(),
            Name::TumblingWindowSeconds => self.tumbling_window_seconds.is_some(),
            Name::ReportBatchItemFailures => self.report_batch_item_failures.is_some(),
            Name::OnFailure => self.on_failure,
            Name::Filters => !self.filters.is_empty(),
            Name::KeyOrder => self.key_order.is_some(),
            Name::ExhaustedPolicy => self.exhausted_policy.is_some(),
            Name::LookaheadRecordsMax => self.lookahead_records_max.is_some(),
        }
    }

    fn copy(&mut self, name: Name, from: &Self) {
        match name {
            Name::BatchSize => self.batch_size = from.batch_size,
            Name::BatchingWindowMs => self.batching_window_ms = from.batching_window_ms,
            Name::ParallelizationFactor => {
                self.parallelization_factor = from.parallelization_factor;
            }
            Name::MaximumConcurrency => self.maximum_concurrency = from.maximum_concurrency,
            Name::StartingPosition => self.starting_position = from.starting_position,
            Name::StartingPositionTimestampMs => {
                self.starting_position_timestamp_ms = from.starting_position_timestamp_ms;
            }
            Name::MaximumRecordAgeSeconds => {
                self.maximum_record_age_seconds = from.maximum_record_age_seconds;
            }
            Name::MaximumRetryAttempts => {
                self.maximum_retry_attempts = from.maximum_retry_attempts;
            }
            Name::BisectBatchOnFunctionError => {
                self.bisect_batch_on_function_error = from.bisect_batch_on_function_error;
            }
            Name::TumblingWindowSeconds => {
                self.tumbling_window_seconds = from.tumbling_window_seconds;
            }
            Name::ReportBatchItemFailures => {
                self.report_batch_item_failures = from.report_batch_item_failures;
            }
            Name::OnFailure => self.on_failure = from.on_failure,
            Name::Filters => self.filters.clone_from(&from.filters),
            Name::KeyOrder => self.key_order = from.key_order,
            Name::ExhaustedPolicy => self.exhausted_policy = from.exhausted_policy,
            Name::LookaheadRecordsMax => self.lookahead_records_max = from.lookahead_records_max,
        }
    }
}

#[cfg(test)]
mod tests;

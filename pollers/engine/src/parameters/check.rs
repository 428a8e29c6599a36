//! Owns the rules of LS 4.2: which parameters can be had with a kind of source, in which range, and with each
//! other. It knows no defaults but where a rule is about one.

use super::name::{KEYED, TIMED};
use super::{ExhaustedPolicy, KeyOrder, Name, ParameterError, Parameters, StartingPosition};
use crate::SourceKind::{DynamoDbStreams, Kafka, Kinesis, Sqs, SqsFifo};
use crate::{BATCH_RECORDS_MAX, BATCH_WINDOW_MS_MAX, SourceKind};

const FIFO_BATCH_MAX: u32 = 10;

impl Parameters {
    /// Everything that is wrong but the filters.
    pub(super) fn errors(&self, kind: SourceKind, now_ms: i64) -> Vec<ParameterError> {
        let foreign =
            Name::ALL.into_iter().filter(|name| self.sets(*name) && !name.applies_to(kind));
        let mut errors: Vec<_> =
            foreign.map(|name| ParameterError::NotOfKind { name, kind }).collect();
        self.check_ranges(kind, &mut errors);
        self.check_start(kind, now_ms, &mut errors);
        self.check_together(kind, &mut errors);
        errors
    }

    fn check_ranges(&self, kind: SourceKind, errors: &mut Vec<ParameterError>) {
        let (batch_size, batches) = match kind {
            SqsFifo => (FIFO_BATCH_MAX, "1..=10"),
            _ => (BATCH_RECORDS_MAX, "1..=10000"),
        };
        let window = self.batching_window_ms.map(i64::from);
        let window_max = i64::try_from(BATCH_WINDOW_MS_MAX).unwrap_or(i64::MAX);
        let ranges: [(Name, Option<i64>, i64, i64, &'static str); 8] = [
            (Name::BatchSize, self.batch_size.map(i64::from), 1, batch_size.into(), batches),
            (Name::BatchingWindowMs, window, 0, window_max, "0..=300000 milliseconds"),
            (
                Name::ParallelizationFactor,
                self.parallelization_factor.map(i64::from),
                1,
                10,
                "1..=10",
            ),
            (
                Name::MaximumConcurrency,
                self.maximum_concurrency.map(i64::from),
                1,
                100_000,
                "1..=100000",
            ),
            (
                Name::MaximumRetryAttempts,
                self.maximum_retry_attempts.map(i64::from),
                -1,
                10_000,
                "-1 or 0..=10000",
            ),
            (
                Name::TumblingWindowSeconds,
                self.tumbling_window_seconds.map(i64::from),
                0,
                900,
                "0..=900 seconds",
            ),
            (
                Name::LookaheadRecordsMax,
                self.lookahead_records_max.map(i64::from),
                1,
                100_000,
                "1..=100000",
            ),
            (
                Name::MaximumRecordAgeSeconds,
                // -1 is no age.
                self.maximum_record_age_seconds.filter(|age| *age != -1).map(i64::from),
                60,
                604_800,
                "-1 or 60..=604800 seconds",
            ),
        ];
        for (name, value, min, max, expected) in ranges {
            // What does not apply was told already.
            if let Some(value) = value
                && !(min..=max).contains(&value)
                && name.applies_to(kind)
            {
                errors.push(ParameterError::OutOfRange { name, value, expected });
            }
        }
    }

    fn check_start(&self, kind: SourceKind, now_ms: i64, errors: &mut Vec<ParameterError>) {
        let at_timestamp = self.starting_position == Some(StartingPosition::AtTimestamp);
        if !Name::StartingPosition.applies_to(kind) {
            return;
        }
        if self.starting_position.is_none() && matches!(kind, Kafka | Kinesis | DynamoDbStreams) {
            let expected = match kind {
                DynamoDbStreams => "TRIM_HORIZON or LATEST",
                _ => "TRIM_HORIZON, LATEST or AT_TIMESTAMP",
            };
            errors.push(ParameterError::Missing { name: Name::StartingPosition, kind, expected });
        }
        if !TIMED.contains(&kind) {
            if at_timestamp {
                let value = "AT_TIMESTAMP";
                errors.push(ParameterError::ValueNotOfKind { value, kind, known_by: TIMED });
            }
            return;
        }
        match self.starting_position_timestamp_ms {
            None if at_timestamp => errors.push(ParameterError::Missing {
                name: Name::StartingPositionTimestampMs,
                kind,
                expected: "the time for AT_TIMESTAMP",
            }),
            Some(_) if !at_timestamp => errors.push(ParameterError::Contradiction {
                this: "starting_position_timestamp_ms",
                that: "another starting_position than AT_TIMESTAMP",
                instead: "leave it out or set AT_TIMESTAMP",
            }),
            Some(value) if value < 0 => errors.push(ParameterError::OutOfRange {
                name: Name::StartingPositionTimestampMs,
                value,
                expected: "milliseconds since the epoch",
            }),
            Some(timestamp_ms) if timestamp_ms > now_ms => {
                errors.push(ParameterError::InFuture { timestamp_ms, now_ms });
            }
            _ => {}
        }
    }

    fn check_together(&self, kind: SourceKind, errors: &mut Vec<ParameterError>) {
        let large = self.batch_size.is_some_and(|size| size > 10);
        if kind == Sqs && large && self.batching_window_ms.unwrap_or(0) == 0 {
            errors.push(ParameterError::WindowNeeded);
        }
        let parallel = self.parallelization_factor.is_some_and(|factor| factor > 1);
        let windowed = self.tumbling_window_seconds.is_some_and(|seconds| seconds > 0);
        let (shard, key) = (Some(KeyOrder::Shard), Some(KeyOrder::Key));
        let contradictions = [
            (
                parallel && self.key_order == shard,
                "a parallelization_factor above 1",
                "the key order of the shard",
                "choose one",
            ),
            // The state of a window goes from batch to batch.
            (
                windowed && parallel,
                "a tumbling window",
                "a parallelization_factor above 1",
                "its batches run one after the other; choose one",
            ),
            (
                windowed && self.key_order == key,
                "a tumbling window",
                "the order of keys",
                "its batches run one after the other; choose one",
            ),
        ];
        for (there, this, that, instead) in contradictions {
            if there && Name::ParallelizationFactor.applies_to(kind) {
                errors.push(ParameterError::Contradiction { this, that, instead });
            }
        }
        if self.exhausted_policy == Some(ExhaustedPolicy::ParkKey)
            && !KEYED.contains(&kind)
            && Name::ExhaustedPolicy.applies_to(kind)
        {
            let value = "PARK_KEY";
            errors.push(ParameterError::ValueNotOfKind { value, kind, known_by: KEYED });
        }
        let is_ever = |limit: Option<i32>| limit.is_some_and(|limit| limit >= 0);
        if self.exhausted_policy == Some(ExhaustedPolicy::ParkKey)
            && KEYED.contains(&kind)
            && !is_ever(self.maximum_retry_attempts)
        {
            errors.push(ParameterError::Contradiction {
                this: "the policy PARK_KEY",
                that: "retries without end",
                instead: "no key would ever be parked, set maximum_retry_attempts",
            });
        }
    }
}

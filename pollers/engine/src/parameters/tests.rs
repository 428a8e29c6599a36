//! The parameters of a mapping against LS 4.2, a row a rule.

use super::*;
use crate::SourceKind::{
    self, ActiveMq, Custom, DynamoDbStreams, File, Kafka, Kinesis, Nats, RabbitMq, Redis, Sqs,
    SqsFifo,
};

const NOW_MS: i64 = 1_760_000_000_000;

type P = Parameters;

/// Nothing set but what the kind needs.
fn least(kind: SourceKind) -> Parameters {
    let needed = matches!(kind, Kafka | Kinesis | DynamoDbStreams);
    let starting_position = needed.then_some(StartingPosition::Latest);
    Parameters { starting_position, ..P::default() }
}

/// What is wrong with the parameters that `set` makes of the least ones.
fn says(kind: SourceKind, set: impl FnOnce(&mut Parameters)) -> Vec<String> {
    let mut parameters = least(kind);
    set(&mut parameters);
    let effective = parameters.effective(kind, NOW_MS);
    effective.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn effective(kind: SourceKind, set: impl FnOnce(&mut Parameters)) -> Effective {
    let mut parameters = least(kind);
    set(&mut parameters);
    parameters.effective(kind, NOW_MS).unwrap_or_else(|errors| panic!("{kind}: {errors:?}"))
}

fn row(effective: &Effective, name: Name) -> (String, SetBy) {
    let row = effective.rows().iter().find(|row| row.name == name);
    row.map(|row| (row.value.clone(), row.set_by)).unwrap_or_else(|| panic!("{name}"))
}

/// Sets one parameter, to something that is in its range with every kind that has it.
fn set_something(parameters: &mut Parameters, name: Name) {
    match name {
        Name::BatchSize => parameters.batch_size = Some(5),
        Name::BatchingWindowMs => parameters.batching_window_ms = Some(1),
        Name::ParallelizationFactor => parameters.parallelization_factor = Some(1),
        Name::MaximumConcurrency => parameters.maximum_concurrency = Some(1),
        Name::StartingPosition => {
            parameters.starting_position = Some(StartingPosition::TrimHorizon)
        }
        Name::StartingPositionTimestampMs => {
            parameters.starting_position = Some(StartingPosition::AtTimestamp);
            parameters.starting_position_timestamp_ms = Some(NOW_MS);
        }
        Name::MaximumRecordAgeSeconds => parameters.maximum_record_age_seconds = Some(60),
        Name::MaximumRetryAttempts => parameters.maximum_retry_attempts = Some(0),
        Name::BisectBatchOnFunctionError => parameters.bisect_batch_on_function_error = Some(true),
        Name::TumblingWindowSeconds => parameters.tumbling_window_seconds = Some(0),
        Name::ReportBatchItemFailures => parameters.report_batch_item_failures = Some(true),
        Name::OnFailure => parameters.on_failure = true,
        Name::Filters => parameters.filters = vec!["{\"a\":[1]}".to_owned()],
        Name::KeyOrder => parameters.key_order = Some(KeyOrder::Key),
        Name::ExhaustedPolicy => parameters.exhausted_policy = Some(ExhaustedPolicy::Discard),
        Name::LookaheadRecordsMax => parameters.lookahead_records_max = Some(1),
    }
}

/// LS 4.2, columns: a letter a kind, in the order of `SourceKind::ALL`: KSFkDRAnrfc.
const MATRIX: [(Name, &str); 16] = [
    (Name::BatchSize, "KSFkDRAnrfc"),
    (Name::BatchingWindowMs, "KS-kDRAnrfc"),
    (Name::ParallelizationFactor, "---kD------"),
    (Name::MaximumConcurrency, "KSFkDRAnrfc"),
    (Name::StartingPosition, "K--kD--nrf-"),
    (Name::StartingPositionTimestampMs, "K--k---nr--"),
    (Name::MaximumRecordAgeSeconds, "K--kD--nr-c"),
    (Name::MaximumRetryAttempts, "K--kDRAnrfc"),
    (Name::BisectBatchOnFunctionError, "K--kD--nrfc"),
    (Name::TumblingWindowSeconds, "---kD------"),
    (Name::ReportBatchItemFailures, "KSFkD--nrfc"),
    (Name::OnFailure, "K--kD--nrfc"),
    (Name::Filters, "KSFkDRAnrfc"),
    (Name::KeyOrder, "K--kD--n--c"),
    (Name::ExhaustedPolicy, "K--kD--nrfc"),
    (Name::LookaheadRecordsMax, "K--kD--nrfc"),
];

#[test]
fn every_parameter_applies_where_ls_4_2_says() {
    for (name, columns) in MATRIX {
        for (kind, column) in SourceKind::ALL.into_iter().zip(columns.chars()) {
            let says = says(kind, |p| set_something(p, name));
            let refused = says
                .iter()
                .any(|text| text.starts_with(&format!("{name} does not apply to {kind};")));
            assert_eq!(refused, column == '-', "{name} with {kind}: {says:?}");
            assert_eq!(says.is_empty(), column != '-', "{name} with {kind}: {says:?}");
            if column != '-' {
                let effective = effective(kind, |p| set_something(p, name));
                assert_eq!(row(&effective, name).1, SetBy::Mapping, "{name} with {kind}");
                // One that depends on another sets that too.
                let others = effective.rows().iter().filter(|row| row.set_by == SetBy::Mapping);
                let needed = least(kind).starting_position.is_some();
                let expected = match name {
                    Name::StartingPositionTimestampMs => 2,
                    Name::StartingPosition => 1,
                    _ => 1 + usize::from(needed),
                };
                assert_eq!(others.count(), expected, "{name} with {kind}");
            }
        }
    }
}

/// The rule, kind, what is set, what is said; nothing: it can be had.
type Rule = (&'static str, SourceKind, fn(&mut Parameters), &'static [&'static str]);

const RULES: &[Rule] = &[
    ("BatchSize 1..10000", Kafka, |p| p.batch_size = Some(10_000), &[]),
    (
        "BatchSize 1..10000",
        Kafka,
        |p| p.batch_size = Some(0),
        &["batch_size is 0, expected 1..=10000"],
    ),
    (
        "BatchSize 1..10000",
        Kinesis,
        |p| p.batch_size = Some(10_001),
        &["batch_size is 10001, expected 1..=10000"],
    ),
    ("BatchSize, FIFO ≤10", SqsFifo, |p| p.batch_size = Some(10), &[]),
    (
        "BatchSize, FIFO ≤10",
        SqsFifo,
        |p| p.batch_size = Some(11),
        &["batch_size is 11, expected 1..=10"],
    ),
    (
        "window, SQS standard only",
        SqsFifo,
        |p| p.batching_window_ms = Some(1_000),
        &[
            "batching_window_ms does not apply to SQS FIFO; it applies to Kafka, SQS, Kinesis, DynamoDB Streams, RabbitMQ, ActiveMQ, NATS, Redis, file and custom",
        ],
    ),
    ("window 0..300 s", Sqs, |p| p.batching_window_ms = Some(300_000), &[]),
    (
        "window 0..300 s",
        Sqs,
        |p| p.batching_window_ms = Some(300_001),
        &["batching_window_ms is 300001, expected 0..=300000 milliseconds"],
    ),
    (
        "LS 4.1, 4.3: BatchSize > 10 without window",
        Sqs,
        |p| p.batch_size = Some(11),
        &[
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ],
    ),
    (
        "LS 4.1, 4.3: BatchSize > 10 with window 0",
        Sqs,
        |p| (p.batch_size, p.batching_window_ms) = (Some(11), Some(0)),
        &[
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ],
    ),
    (
        "LS 4.1, 4.3: BatchSize > 10 with window",
        Sqs,
        |p| (p.batch_size, p.batching_window_ms) = (Some(11), Some(1)),
        &[],
    ),
    ("LS 4.3: enforced for SQS only", Kinesis, |p| p.batch_size = Some(11), &[]),
    ("ParallelizationFactor 1..10", Kinesis, |p| p.parallelization_factor = Some(10), &[]),
    (
        "ParallelizationFactor 1..10",
        Kinesis,
        |p| p.parallelization_factor = Some(11),
        &["parallelization_factor is 11, expected 1..=10"],
    ),
    (
        "ParallelizationFactor 1..10",
        DynamoDbStreams,
        |p| p.parallelization_factor = Some(0),
        &["parallelization_factor is 0, expected 1..=10"],
    ),
    (
        "ParallelizationFactor",
        Kafka,
        |p| p.parallelization_factor = Some(2),
        &[
            "parallelization_factor does not apply to Kafka; it applies to Kinesis and DynamoDB Streams",
        ],
    ),
    ("MaximumConcurrency from 1", Sqs, |p| p.maximum_concurrency = Some(1), &[]),
    (
        "MaximumConcurrency from 1",
        RabbitMq,
        |p| p.maximum_concurrency = Some(0),
        &["maximum_concurrency is 0, expected 1..=100000"],
    ),
    ("MaximumConcurrency beyond 1000", Sqs, |p| p.maximum_concurrency = Some(100_000), &[]),
    (
        "MaximumConcurrency, a bound",
        Sqs,
        |p| p.maximum_concurrency = Some(100_001),
        &["maximum_concurrency is 100001, expected 1..=100000"],
    ),
    (
        "StartingPosition required",
        Kinesis,
        |p| p.starting_position = None,
        &["starting_position is needed with Kinesis: TRIM_HORIZON, LATEST or AT_TIMESTAMP"],
    ),
    (
        "StartingPosition required",
        DynamoDbStreams,
        |p| p.starting_position = None,
        &["starting_position is needed with DynamoDB Streams: TRIM_HORIZON or LATEST"],
    ),
    (
        "StartingPosition required",
        Kafka,
        |p| p.starting_position = None,
        &["starting_position is needed with Kafka: TRIM_HORIZON, LATEST or AT_TIMESTAMP"],
    ),
    ("StartingPosition, ours: a default", Nats, |_| {}, &[]),
    (
        "StartingPosition, not for queues",
        Sqs,
        |p| p.starting_position = Some(StartingPosition::Latest),
        &[
            "starting_position does not apply to SQS; it applies to Kafka, Kinesis, DynamoDB Streams, NATS, Redis and file",
        ],
    ),
    (
        "DDB: no AT_TIMESTAMP",
        DynamoDbStreams,
        |p| p.starting_position = Some(StartingPosition::AtTimestamp),
        &[
            "AT_TIMESTAMP is not possible with DynamoDB Streams, only with Kafka, Kinesis, NATS and Redis",
        ],
    ),
    (
        "file: no AT_TIMESTAMP",
        File,
        |p| p.starting_position = Some(StartingPosition::AtTimestamp),
        &["AT_TIMESTAMP is not possible with file, only with Kafka, Kinesis, NATS and Redis"],
    ),
    (
        "timestamp needed",
        Kafka,
        |p| p.starting_position = Some(StartingPosition::AtTimestamp),
        &["starting_position_timestamp_ms is needed with Kafka: the time for AT_TIMESTAMP"],
    ),
    (
        "timestamp, not in future",
        Kinesis,
        |p| {
            (p.starting_position, p.starting_position_timestamp_ms) =
                (Some(StartingPosition::AtTimestamp), Some(NOW_MS))
        },
        &[],
    ),
    (
        "timestamp, not in future",
        Kinesis,
        |p| {
            (p.starting_position, p.starting_position_timestamp_ms) =
                (Some(StartingPosition::AtTimestamp), Some(NOW_MS + 1))
        },
        &[
            "starting_position_timestamp_ms is 1760000000001, which is in the future; expected at most now, 1760000000000",
        ],
    ),
    (
        "timestamp, of this era",
        Redis,
        |p| {
            (p.starting_position, p.starting_position_timestamp_ms) =
                (Some(StartingPosition::AtTimestamp), Some(-1))
        },
        &["starting_position_timestamp_ms is -1, expected milliseconds since the epoch"],
    ),
    (
        "timestamp without AT_TIMESTAMP",
        Kinesis,
        |p| p.starting_position_timestamp_ms = Some(1),
        &[
            "starting_position_timestamp_ms cannot be had with another starting_position than AT_TIMESTAMP; leave it out or set AT_TIMESTAMP",
        ],
    ),
    ("MaximumRecordAge −1, 60..604800", Kinesis, |p| p.maximum_record_age_seconds = Some(-1), &[]),
    (
        "MaximumRecordAge −1, 60..604800",
        Kinesis,
        |p| p.maximum_record_age_seconds = Some(604_800),
        &[],
    ),
    (
        "MaximumRecordAge −1, 60..604800",
        Kinesis,
        |p| p.maximum_record_age_seconds = Some(59),
        &["maximum_record_age_seconds is 59, expected -1 or 60..=604800 seconds"],
    ),
    (
        "MaximumRecordAge −1, 60..604800",
        Kinesis,
        |p| p.maximum_record_age_seconds = Some(604_801),
        &["maximum_record_age_seconds is 604801, expected -1 or 60..=604800 seconds"],
    ),
    ("MaximumRetryAttempts −1..10000", Kafka, |p| p.maximum_retry_attempts = Some(-1), &[]),
    ("MaximumRetryAttempts −1..10000", Kafka, |p| p.maximum_retry_attempts = Some(10_000), &[]),
    (
        "MaximumRetryAttempts −1..10000",
        Kafka,
        |p| p.maximum_retry_attempts = Some(-2),
        &["maximum_retry_attempts is -2, expected -1 or 0..=10000"],
    ),
    (
        "MaximumRetryAttempts −1..10000",
        Kafka,
        |p| p.maximum_retry_attempts = Some(10_001),
        &["maximum_retry_attempts is 10001, expected -1 or 0..=10000"],
    ),
    (
        "retries, age, bisect, partial, destination of Kafka: no modes",
        Kafka,
        |p| {
            p.maximum_record_age_seconds = Some(60);
            p.maximum_retry_attempts = Some(3);
            p.bisect_batch_on_function_error = Some(true);
            p.report_batch_item_failures = Some(true);
            p.on_failure = true;
        },
        &[],
    ),
    ("TumblingWindow 0..900", Kinesis, |p| p.tumbling_window_seconds = Some(900), &[]),
    (
        "TumblingWindow 0..900",
        Kinesis,
        |p| p.tumbling_window_seconds = Some(901),
        &["tumbling_window_seconds is 901, expected 0..=900 seconds"],
    ),
    (
        "TumblingWindow and factor",
        Kinesis,
        |p| (p.tumbling_window_seconds, p.parallelization_factor) = (Some(1), Some(2)),
        &[
            "a tumbling window cannot be had with a parallelization_factor above 1; its batches run one after the other; choose one",
        ],
    ),
    (
        "TumblingWindow and order of keys",
        Kinesis,
        |p| (p.tumbling_window_seconds, p.key_order) = (Some(1), Some(KeyOrder::Key)),
        &[
            "a tumbling window cannot be had with the order of keys; its batches run one after the other; choose one",
        ],
    ),
    (
        "OnFailure: SQS has its own queue",
        Sqs,
        |p| p.on_failure = true,
        &[
            "on_failure does not apply to SQS; it applies to Kafka, Kinesis, DynamoDB Streams, NATS, Redis, file and custom",
        ],
    ),
    (
        "LS 4.9: MQ without partial answers",
        ActiveMq,
        |p| p.report_batch_item_failures = Some(true),
        &[
            "report_batch_item_failures does not apply to ActiveMQ; it applies to Kafka, SQS, SQS FIFO, Kinesis, DynamoDB Streams, NATS, Redis, file and custom",
        ],
    ),
    (
        "FilterCriteria",
        Sqs,
        |p| p.filters = vec!["{}".to_owned()],
        &[
            "Invalid filter pattern definition. Filter 1: an empty object asks for nothing; expected keys",
        ],
    ),
    (
        "FilterCriteria ≤10",
        Custom,
        |p| p.filters = vec!["{\"a\":[1]}".to_owned(); 11],
        &["Invalid filter pattern definition. 11 filters, expected at most 10"],
    ),
    (
        "key order of the shard, factor 1",
        Kinesis,
        |p| (p.key_order, p.parallelization_factor) = (Some(KeyOrder::Shard), Some(1)),
        &[],
    ),
    (
        "key order of the shard, factor 2",
        Kinesis,
        |p| (p.key_order, p.parallelization_factor) = (Some(KeyOrder::Shard), Some(2)),
        &[
            "a parallelization_factor above 1 cannot be had with the key order of the shard; choose one",
        ],
    ),
    (
        "park needs keys",
        Kafka,
        |p| {
            p.exhausted_policy = Some(ExhaustedPolicy::ParkKey);
            p.maximum_retry_attempts = Some(3);
        },
        &[],
    ),
    (
        "park needs an end of retries",
        Kafka,
        |p| p.exhausted_policy = Some(ExhaustedPolicy::ParkKey),
        &[
            "the policy PARK_KEY cannot be had with retries without end; no key would ever be parked, set maximum_retry_attempts",
        ],
    ),
    (
        "park needs keys",
        File,
        |p| p.exhausted_policy = Some(ExhaustedPolicy::ParkKey),
        &[
            "PARK_KEY is not possible with file, only with Kafka, Kinesis, DynamoDB Streams, NATS and custom",
        ],
    ),
    ("lookahead 1..100000", Kafka, |p| p.lookahead_records_max = Some(100_000), &[]),
    (
        "lookahead 1..100000",
        Kafka,
        |p| p.lookahead_records_max = Some(0),
        &["lookahead_records_max is 0, expected 1..=100000"],
    ),
    (
        "lookahead 1..100000",
        Kafka,
        |p| p.lookahead_records_max = Some(100_001),
        &["lookahead_records_max is 100001, expected 1..=100000"],
    ),
    (
        "all that is wrong, once each",
        DynamoDbStreams,
        |p| {
            p.starting_position = None;
            p.starting_position_timestamp_ms = Some(NOW_MS + 1);
            p.batch_size = Some(0);
            p.filters = vec!["1".to_owned()];
        },
        &[
            "starting_position_timestamp_ms does not apply to DynamoDB Streams; it applies to Kafka, Kinesis, NATS and Redis",
            "batch_size is 0, expected 1..=10000",
            "starting_position is needed with DynamoDB Streams: TRIM_HORIZON or LATEST",
            "Invalid filter pattern definition. Filter 1: expected a JSON object",
        ],
    ),
];

#[test]
fn what_cannot_be_had_is_refused_and_the_rest_is_not() {
    for (rule, kind, set, expected) in RULES {
        assert_eq!(says(*kind, set), *expected, "LS 4.2 {rule}");
    }
}

/// LS 4.2, defaults: kind, batch size, window, batches a shard, concurrency, retries.
const DEFAULTS: [(SourceKind, u32, u64, u32, u32, Option<u32>); 11] = [
    (Kafka, 100, 500, 1, 1_250, None),
    (Sqs, 10, 0, 1_250, 1_250, None),
    (SqsFifo, 10, 0, 1_250, 1_250, None),
    (Kinesis, 100, 0, 1, 1_250, None),
    (DynamoDbStreams, 100, 0, 1, 1_250, None),
    (RabbitMq, 100, 500, 1, 1, Some(6)),
    (ActiveMq, 100, 500, 5, 5, Some(6)),
    (Nats, 100, 0, 1, 1_250, None),
    (Redis, 100, 0, 1, 1_250, None),
    (File, 100, 0, 1, 1_250, None),
    (Custom, 100, 0, 1, 1_250, None),
];

#[test]
fn defaults_are_those_of_ls_4_2() {
    for (kind, batch_size, window_ms, per_shard, concurrency, retries) in DEFAULTS {
        let effective = effective(kind, |_| {});
        assert_eq!(effective.batch_size, batch_size, "{kind}");
        assert_eq!(effective.batching_window_ms, window_ms, "{kind}");
        assert_eq!(effective.batches_per_shard_max, per_shard, "{kind}");
        assert_eq!(effective.maximum_concurrency, concurrency, "{kind}");
        assert_eq!(effective.retries_max, retries, "{kind}");
        assert_eq!(effective.record_age_ms_max, None, "{kind}");
        assert_eq!(effective.tumbling_window_ms, None, "{kind}");
        assert_eq!(effective.lookahead_records_max, 10_000, "{kind}");
        assert_eq!(effective.exhausted_policy, ExhaustedPolicy::Discard, "{kind}");
        assert!(!effective.bisect && !effective.report_batch_item_failures, "{kind}");
        let own = matches!(kind, Nats | Redis | File).then_some(Start::TrimHorizon);
        let start = effective.start.filter(|_| least(kind).starting_position.is_none());
        assert_eq!(start, own, "{kind}");
    }
}

#[test]
fn values_come_in_force_as_they_were_set() {
    let kinesis = effective(Kinesis, |p| {
        p.parallelization_factor = Some(4);
        p.maximum_record_age_seconds = Some(60);
        p.maximum_retry_attempts = Some(0);
        p.starting_position = Some(StartingPosition::AtTimestamp);
        p.starting_position_timestamp_ms = Some(5);
    });
    assert_eq!((kinesis.batches_per_shard_max, kinesis.key_order), (4, Some(KeyOrder::Key)));
    assert_eq!((kinesis.record_age_ms_max, kinesis.retries_max), (Some(60_000), Some(0)));
    assert_eq!(kinesis.start, Some(Start::AtTimestamp(5)));
    let windowed = effective(Kinesis, |p| p.tumbling_window_seconds = Some(900));
    assert_eq!(windowed.tumbling_window_ms, Some(900_000));
    // Key lanes on Kafka: as many as may run.
    let lanes =
        effective(Kafka, |p| (p.key_order, p.maximum_concurrency) = (Some(KeyOrder::Key), Some(7)));
    assert_eq!(lanes.batches_per_shard_max, 7);
    // LS 4.8 makes 10 of it.
    let kafka = effective(Kafka, |p| (p.maximum_retry_attempts, p.on_failure) = (Some(-1), true));
    assert_eq!(row(&kafka, Name::MaximumRetryAttempts), ("-1".to_owned(), SetBy::Mapping));
    assert_eq!(kafka.retries_max, None);
}

#[test]
fn all_that_applies_is_shown_with_who_decided_it() {
    let sqs = effective(Sqs, |p| {
        (p.batch_size, p.batching_window_ms) = (Some(20), Some(1_500));
        p.filters = vec!["{\"a\":[1]}".to_owned(), "{\"b\":[2]}".to_owned()];
    });
    let rows: Vec<_> =
        sqs.rows().iter().map(|row| (row.name.text(), row.value.as_str(), row.set_by)).collect();
    use SetBy::{Default, Mapping};
    let expected = [
        ("batch_size", "20", Mapping),
        ("batching_window_ms", "1500", Mapping),
        ("maximum_concurrency", "1250", Default),
        ("report_batch_item_failures", "off", Default),
        ("filters", "{\"a\":[1]} or {\"b\":[2]}", Mapping),
    ];
    assert_eq!(rows, expected);
    let kinesis = effective(Kinesis, |p| p.parallelization_factor = Some(2));
    assert_eq!(row(&kinesis, Name::ParallelizationFactor), ("2".to_owned(), Mapping));
    assert_eq!(row(&kinesis, Name::KeyOrder), ("KEY".to_owned(), Default));
    assert_eq!(row(&kinesis, Name::StartingPosition), ("LATEST".to_owned(), Mapping));
    assert_eq!(row(&kinesis, Name::TumblingWindowSeconds), ("0".to_owned(), Default));
    // No time was asked for.
    assert!(kinesis.rows().iter().all(|row| row.name != Name::StartingPositionTimestampMs));
}

/// LS 4.2, last paragraph.
#[test]
fn an_update_changes_what_it_names_and_never_the_start() {
    let stored = Parameters {
        starting_position: Some(StartingPosition::AtTimestamp),
        starting_position_timestamp_ms: Some(5),
        batch_size: Some(7),
        on_failure: true,
        ..P::default()
    };
    for name in Name::ALL {
        let mut change = P::default();
        set_something(&mut change, name);
        let errors = stored.updated(&change, &[]).err().unwrap_or_default();
        let start = change.starting_position.is_some();
        assert_eq!(errors.is_empty(), !start, "{name}: {errors:?}");
        let updated = stored.updated(&change, &[]);
        assert!(
            updated.is_err() || updated.as_ref().is_ok_and(|updated| updated.sets(name)),
            "{name}"
        );

        let cleared = stored.updated(&P::default(), &[name.text()]);
        let may = !name.only_at_creation();
        assert_eq!(cleared.is_ok_and(|cleared| !cleared.sets(name)), may, "{name}");
        let both = stored.updated(&change, &[name.text()]).unwrap_err();
        assert!(!both.is_empty(), "{name}");
    }
    let change = Parameters { maximum_concurrency: Some(1), ..P::default() };
    let updated = stored.updated(&change, &["batch_size", "on_failure"]).unwrap();
    let expected = Parameters {
        batch_size: None,
        on_failure: false,
        maximum_concurrency: Some(1),
        ..stored.clone()
    };
    assert_eq!(updated, expected);
    assert!(updated.effective(Kafka, NOW_MS).is_ok());

    let change = Parameters {
        starting_position: Some(StartingPosition::Latest),
        key_order: Some(KeyOrder::Key),
        ..P::default()
    };
    let errors = stored.updated(&change, &["key_order", "batchsize"]).unwrap_err();
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 3);
    assert!(errors[0].starts_with(
        "there is no parameter \"batchsize\"; expected one of batch_size, batching_window_ms,"
    ));
    assert_eq!(
        errors[1],
        "starting_position can only be set when the mapping is made; to read on from elsewhere, seek"
    );
    assert_eq!(errors[2], "key_order is to be set and cleared; expected one of the two");
}

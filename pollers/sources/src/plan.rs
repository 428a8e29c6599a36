//! A mapping as its broker assigned it, made ready to be read: the engine's settings, the filters, the judge of answers, the connector.
//! It does no I/O.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use trine_poll_engine::{
    Backoff, BatchAnswer, BatchLimits, Effective, Exhausted, ExhaustedPolicy, Filters, ItemId,
    KeyOrder, Order, Parameters, Ramp, RetriedBy, Settings, Settling as EngineSettling, SourceKind,
    Start, StartingPosition, WindowAnswer, WindowStart,
};
use trine_proto::v1;
use trine_proto::v1::source_config::Source as Config;
use trine_proto::v1::{Assignment, Mapping, ParkedKeyState, ShardCheckpoint};

use crate::adapters::connector;
use crate::binding::{Binding, Secrets};
use crate::clock::salt;
use crate::source::{Connect, Place, Places, Position, ShardName};
use crate::{Descriptor, Keeper, Ordering, Redelivery, Settling, SourceError};

/// What surrounds the records of a payload at most, in bytes: the source's own members and those of a tumbling window.
const ENVELOPE_BYTES: u64 = 4 * 1024;

/// Longest wait before a function that could not be reached is tried again, in milliseconds. LS 3.1 goes up to five minutes; a poller
/// that holds records looks more often, since a look costs one refused call.
const NOT_REACHED_MS_MAX: u64 = 10_000;

/// A starting position was checked against the broker's clock when it was set. This process's own may be behind that.
const ANY_TIME: i64 = i64::MAX;

/// How long what is in flight of a shard that is given back may take, in milliseconds: whoever gets the shard next must not overtake it.
/// A little less than the time that Kafka's member waits for it.
const REVOKE_DRAIN_MS: u64 = 230_000;

/// A mapping that can be read.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) id: Arc<str>,
    pub(crate) fence: u64,
    pub(crate) function: String,
    pub(crate) qualifier: String,
    /// `trine:function:NAME`.
    pub(crate) function_arn: String,
    pub(crate) kind_name: &'static str,
    /// Of the source, for events of tumbling windows.
    pub(crate) source_arn: String,
    pub(crate) settings: Settings,
    pub(crate) filters: Filters,
    pub(crate) answers: Answers,
    /// Shards without a place begin with the next record that comes: where that is, is to be kept before anything is read.
    pub(crate) begins_at_end: bool,
    /// Records may be set aside by key.
    pub(crate) parks: bool,
    /// What is given up goes to a topic of Kafka, which gets records of Kafka one by one (LS 4.8).
    pub(crate) fails_one_by_one: bool,
    pub(crate) connector: Arc<dyn Connect>,
    pub(crate) parked: Vec<ParkedKeyState>,
    /// Tumbling windows that are open at the checkpoint: start and state.
    pub(crate) windows: HashMap<ShardName, (u64, Bytes)>,
}

/// Reads what a function answered (LS 4.5, 4.6, 4.8).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers {
    report_batch_item_failures: bool,
    windowed: bool,
    /// Records are named by partition and offset.
    kafka: bool,
}

impl Answers {
    /// Whether tumbling windows have a state.
    pub(crate) const fn windowed(self) -> bool {
        self.windowed
    }

    /// What the answer says of the batch with these identifiers, and the state of the open tumbling window, a JSON text.
    pub(crate) fn judge(
        self,
        payload: &Bytes,
        identifiers: &[&str],
    ) -> (BatchAnswer, Option<Bytes>) {
        if !self.windowed && !self.report_batch_item_failures {
            return (BatchAnswer::Succeeded, None);
        }
        let ids: Vec<_> = identifiers.iter().map(|identifier| self.item_id(identifier)).collect();
        if self.windowed {
            let answer = WindowAnswer::read(payload, self.report_batch_item_failures, &ids);
            let state = answer.state.map(|state| payload.slice_ref(state.json.as_bytes()));
            return (answer.batch, state);
        }
        (BatchAnswer::read(payload, self.report_batch_item_failures, &ids), None)
    }

    fn item_id(self, identifier: &str) -> ItemId<'_> {
        let of_kafka = || {
            let (partition, offset) = identifier.rsplit_once(':')?;
            Some(ItemId::Offset { partition, offset: offset.parse().ok()? })
        };
        let offset = if self.kafka { of_kafka() } else { None };
        offset.unwrap_or(ItemId::Text(identifier))
    }
}

impl Plan {
    /// What a broker assigned, and how far its shards are settled.
    ///
    /// # Errors
    /// When the mapping cannot be read as it is: somebody has to change it.
    pub(crate) fn of(
        assignment: &Assignment,
        secrets: &Secrets,
    ) -> Result<(Self, Places), SourceError> {
        let mapping = assignment.mapping.as_ref().ok_or_else(|| incomplete("mapping"))?;
        let config = mapping
            .source
            .as_ref()
            .and_then(|source| source.source.as_ref())
            .ok_or_else(|| incomplete("source"))?;
        let kind = kind(config);
        let effective = parameters(mapping).effective(kind, ANY_TIME).map_err(|errors| {
            let says: Vec<_> = errors.iter().map(ToString::to_string).collect();
            SourceError::configuration(says.join("; "))
        })?;
        let binding = Binding {
            mapping_id: mapping.id.as_str().into(),
            start: effective.start.unwrap_or(Start::TrimHorizon),
            secrets: secrets.clone(),
        };
        let connector = connector(config, &binding)?;
        let (places, windows) = kept(&assignment.checkpoints);
        let answers = Answers {
            report_batch_item_failures: effective.report_batch_item_failures,
            windowed: effective.tumbling_window_ms.is_some(),
            kafka: kind == SourceKind::Kafka,
        };
        let plan = Self {
            id: mapping.id.as_str().into(),
            fence: assignment.fence,
            function: mapping.function.clone(),
            qualifier: mapping.qualifier.clone(),
            function_arn: format!("trine:function:{}", mapping.function),
            kind_name: connector.descriptor().kind,
            source_arn: source_arn(config),
            settings: settings(&effective, &connector.descriptor())?,
            begins_at_end: effective.start == Some(Start::Latest)
                && connector.descriptor().settling == Settling::LowWater(Keeper::Broker),
            parks: effective.exhausted_policy == ExhaustedPolicy::ParkKey,
            fails_one_by_one: kind == SourceKind::Kafka && fails_to_kafka(mapping),
            filters: effective.filters,
            answers,
            connector,
            parked: assignment.parked.clone(),
            windows,
        };
        Ok((plan, places))
    }
}

/// The engine's settings: what is in force, on a source that can do what it can.
fn settings(effective: &Effective, descriptor: &Descriptor) -> Result<Settings, SourceError> {
    let limits =
        BatchLimits::new(effective.batch_size, effective.batching_window_ms).map_err(|wrong| {
            let says: Vec<_> = wrong.iter().map(ToString::to_string).collect();
            SourceError::configuration(says.join("; "))
        })?;
    let order = match (descriptor.ordering, effective.key_order) {
        (Ordering::None, _) => Order::None,
        (Ordering::Key, _) | (Ordering::Shard, Some(KeyOrder::Key)) => Order::Key,
        (Ordering::Shard, Some(KeyOrder::Shard) | None) => Order::Shard,
    };
    let per_record = descriptor.settling == Settling::PerRecord;
    let window_start = match effective.kind {
        SourceKind::RabbitMq | SourceKind::ActiveMq => WindowStart::FirstRecord,
        _ => WindowStart::PreviousBatchEnd,
    };
    let of_source = descriptor.shard_concurrency_max.unwrap_or(u32::MAX);
    Ok(Settings {
        window_start,
        order,
        settling: if per_record { EngineSettling::PerRecord } else { EngineSettling::LowWater },
        batches_per_shard_max: effective.batches_per_shard_max.min(of_source),
        batches_ahead: u32::from(descriptor.redelivery == Redelivery::Poller),
        maximum_concurrency: effective.maximum_concurrency,
        lookahead_records_max: effective.lookahead_records_max,
        retries_max: effective.retries_max,
        record_age_ms_max: effective.record_age_ms_max,
        bisect: effective.bisect,
        report_batch_item_failures: effective.report_batch_item_failures,
        exhausted: match effective.exhausted_policy {
            ExhaustedPolicy::Discard => Exhausted::Discard,
            ExhaustedPolicy::ParkKey => Exhausted::ParkKey,
        },
        on_failure_destination: effective.on_failure,
        retried_by: match descriptor.redelivery {
            Redelivery::Poller => RetriedBy::Engine,
            Redelivery::Source => RetriedBy::Source,
        },
        survives_reconnect: descriptor.outlives_connection,
        tumbling_window_ms: effective.tumbling_window_ms,
        // LS 4.5: standard queues only.
        ramp: (effective.kind == SourceKind::Sqs).then_some(Ramp::SQS),
        receive_wait_ms: u64::try_from(descriptor.receive_wait.as_millis()).unwrap_or(u64::MAX),
        revoke_drain_ms: REVOKE_DRAIN_MS,
        not_reached: Backoff::NOT_REACHED.capped(NOT_REACHED_MS_MAX),
        salt: salt(),
        ..Settings::new(limits.with_envelope(ENVELOPE_BYTES))
    })
}

fn parameters(mapping: &Mapping) -> Parameters {
    let settings = mapping.settings.clone().unwrap_or_default();
    Parameters {
        batch_size: settings.batch_size,
        batching_window_ms: settings.batching_window_ms,
        parallelization_factor: settings.parallelization_factor,
        maximum_concurrency: settings.maximum_concurrency,
        starting_position: settings.starting_position.and_then(starting_position),
        starting_position_timestamp_ms: settings.starting_position_timestamp_ms,
        maximum_record_age_seconds: settings.maximum_record_age_seconds,
        maximum_retry_attempts: settings.maximum_retry_attempts,
        bisect_batch_on_function_error: settings.bisect_batch_on_function_error,
        tumbling_window_seconds: settings.tumbling_window_seconds,
        report_batch_item_failures: settings.report_batch_item_failures,
        on_failure: settings.on_failure.is_some(),
        filters: settings.filters,
        key_order: settings.key_order.and_then(key_order),
        exhausted_policy: settings.exhausted_policy.and_then(exhausted_policy),
        lookahead_records_max: settings.lookahead_records_max,
    }
}

fn fails_to_kafka(mapping: &Mapping) -> bool {
    let settings = mapping.settings.as_ref();
    let target = settings.and_then(|settings| settings.on_failure.as_ref()?.target.as_ref());
    matches!(target, Some(v1::destination::Target::Kafka(_)))
}

fn starting_position(wire: i32) -> Option<StartingPosition> {
    match v1::StartingPosition::try_from(wire).ok()? {
        v1::StartingPosition::Unspecified => None,
        v1::StartingPosition::TrimHorizon => Some(StartingPosition::TrimHorizon),
        v1::StartingPosition::Latest => Some(StartingPosition::Latest),
        v1::StartingPosition::AtTimestamp => Some(StartingPosition::AtTimestamp),
    }
}

fn key_order(wire: i32) -> Option<KeyOrder> {
    match v1::KeyOrder::try_from(wire).ok()? {
        v1::KeyOrder::Unspecified => None,
        v1::KeyOrder::Shard => Some(KeyOrder::Shard),
        v1::KeyOrder::Key => Some(KeyOrder::Key),
    }
}

fn exhausted_policy(wire: i32) -> Option<ExhaustedPolicy> {
    match v1::ExhaustedPolicy::try_from(wire).ok()? {
        v1::ExhaustedPolicy::Unspecified => None,
        v1::ExhaustedPolicy::Discard => Some(ExhaustedPolicy::Discard),
        v1::ExhaustedPolicy::ParkKey => Some(ExhaustedPolicy::ParkKey),
    }
}

fn incomplete(what: &str) -> SourceError {
    SourceError::configuration(format!(
        "the broker's assignment has no {what}; it is of another version than this poller"
    ))
}

fn kind(config: &Config) -> SourceKind {
    match config {
        Config::Kafka(_) => SourceKind::Kafka,
        Config::Sqs(sqs) if sqs.queue_arn.ends_with(".fifo") => SourceKind::SqsFifo,
        Config::Sqs(_) => SourceKind::Sqs,
        Config::Kinesis(_) => SourceKind::Kinesis,
        Config::DynamodbStreams(_) => SourceKind::DynamoDbStreams,
        Config::Rabbitmq(_) => SourceKind::RabbitMq,
        Config::Activemq(_) => SourceKind::ActiveMq,
        Config::Nats(_) => SourceKind::Nats,
        Config::Redis(_) => SourceKind::Redis,
        Config::File(_) => SourceKind::File,
        Config::Custom(_) => SourceKind::Custom,
    }
}

/// Only sources that have tumbling windows have an ARN that anybody asks for.
fn source_arn(config: &Config) -> String {
    match config {
        Config::Kinesis(kinesis) => kinesis.stream_arn.clone(),
        Config::DynamodbStreams(streams) => streams.stream_arn.clone(),
        _ => String::new(),
    }
}

type Windows = HashMap<ShardName, (u64, Bytes)>;

/// What the broker keeps of the shards.
fn kept(checkpoints: &[ShardCheckpoint]) -> (Places, Windows) {
    let mut places = Places::new();
    let mut windows = Windows::new();
    for checkpoint in checkpoints {
        let shard = ShardName::new(&checkpoint.shard);
        if checkpoint.ended {
            places.insert(shard, Place::Ended);
            continue;
        }
        if let Ok(start_ms @ 1..) = u64::try_from(checkpoint.window_start_ms) {
            windows.insert(shard.clone(), (start_ms, checkpoint.window_state.clone()));
        }
        if !checkpoint.position.is_empty() {
            places.insert(shard, Place::After(Position::new(&checkpoint.position)));
        }
    }
    (places, windows)
}

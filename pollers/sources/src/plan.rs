//! A mapping as its broker assigned it, made ready to be read: the engine's settings, the filters, the judge of answers, the connector.
//! It does no I/O.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use trine_poll_engine::{
    BatchAnswer, BatchLimits, Filters, ItemId, Settings, SourceKind, WindowAnswer,
};
use trine_proto::v1::source_config::Source as Config;
use trine_proto::v1::{Assignment, Mapping, ParkedKeyState, ShardCheckpoint};

use crate::SourceError;
use crate::adapters::connector;
use crate::binding::{Binding, Secrets, Start};
use crate::clock::salt;
use crate::source::{Connect, Envelope, Place, Places, Position, ShardName};

/// What surrounds the records of a payload at most, in bytes: the source's own members and those of a tumbling window.
const ENVELOPE_BYTES: u64 = 4 * 1024;

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
    /// Records may be set aside by key.
    pub(crate) parks: bool,
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
    /// What the answer says of the batch with these identifiers, and the state of the open tumbling window, a JSON text.
    pub(crate) fn judge(
        self,
        payload: &Bytes,
        identifiers: &[&str],
    ) -> (BatchAnswer, Option<Bytes>) {
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
        let settings = mapping.settings.clone().unwrap_or_default();
        let kind = kind(config);
        let binding = Binding {
            mapping_id: mapping.id.as_str().into(),
            start: Start::TrimHorizon,
            secrets: secrets.clone(),
        };
        let connector = connector(config, &binding)?;
        let patterns: Vec<&str> = settings.filters.iter().map(String::as_str).collect();
        let filters = Filters::parse(kind, &patterns)
            .map_err(|error| SourceError::configuration(error.to_string()))?;
        let (places, windows) = kept(&assignment.checkpoints);
        let plan = Self {
            id: mapping.id.as_str().into(),
            fence: assignment.fence,
            function: mapping.function.clone(),
            qualifier: mapping.qualifier.clone(),
            function_arn: format!("trine:function:{}", mapping.function),
            kind_name: connector.descriptor().kind,
            source_arn: source_arn(config),
            settings: Settings::new(BatchLimits::new(100, 0).unwrap()),
            filters,
            answers: Answers {
                report_batch_item_failures: true,
                windowed: false,
                kafka: kind == SourceKind::Kafka,
            },
            parks: false,
            connector,
            parked: assignment.parked.clone(),
            windows,
        };
        Ok((plan, places))
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

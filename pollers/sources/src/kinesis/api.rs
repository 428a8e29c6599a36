//! The requests to one stream of Kinesis. It does not know when they are made.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record as Raw, Shard, ShardIteratorType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;

use super::config::KinesisConfig;
use super::event::{EventWriter, batch_member};
use crate::aws::stream::{Api, Call, Cursor, Listed, Pace, Portion, Refusal};
use crate::aws::{Arrival, code, is_throttle, trouble};
use crate::{Record, ShardName, SourceError, Unit};

/// One stream.
#[derive(Debug)]
pub(super) struct Kinesis {
    client: Client,
    stream_arn: String,
    events: EventWriter,
}

impl Api for Kinesis {
    type Config = KinesisConfig;
    type Raw = Raw;

    const KIND: &'static str = "kinesis";
    /// Five reads a second and shard are all that its readers have together; Lambda takes one (LS 4.6).
    const PACE: Pace = Pace {
        idle: Duration::from_secs(1),
        busy: Duration::from_millis(250),
        throttled: Duration::from_millis(500),
    };
    const READ_RECORDS_MAX: u32 = 10_000;
    const ITERATES_BY_TIME: bool = true;
    const TELLS_TRIMMED: bool = false;

    fn connect(config: &KinesisConfig) -> Unit<'_, Self> {
        Box::pin(async move {
            let client = Client::new(&config.access.sdk()?);
            let stream_arn = config.arn.text.to_string();
            Ok(Self { client, stream_arn, events: EventWriter::new(config) })
        })
    }

    fn shards(&self) -> Call<'_, Vec<Listed>> {
        Box::pin(async move {
            let mut listed = Vec::new();
            let mut token: Option<String> = None;
            loop {
                let call = self.client.list_shards();
                // A token stands for the stream, and both together are refused.
                let call = match token.take() {
                    Some(token) => call.next_token(token),
                    None => call.stream_arn(&self.stream_arn),
                };
                let answer =
                    call.send().await.map_err(|error| self.refusal("ListShards", error))?;
                listed.extend(answer.shards.unwrap_or_default().into_iter().map(to_listed));
                token = answer.next_token.filter(|token| !token.is_empty());
                if token.is_none() {
                    return Ok(listed);
                }
            }
        })
    }

    fn iterator<'a>(&'a self, shard: &'a ShardName, from: &'a Cursor) -> Call<'a, String> {
        Box::pin(async move {
            let call = self
                .client
                .get_shard_iterator()
                .stream_arn(&self.stream_arn)
                .shard_id(shard.as_str());
            let call = match from {
                Cursor::TrimHorizon => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
                Cursor::Latest => call.shard_iterator_type(ShardIteratorType::Latest),
                Cursor::AtTimestamp(time) => call
                    .shard_iterator_type(ShardIteratorType::AtTimestamp)
                    .timestamp(DateTime::from_millis(*time)),
                Cursor::At(number) => call
                    .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                    .starting_sequence_number(number),
                Cursor::After(number) => call
                    .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                    .starting_sequence_number(number),
            };
            match call.send().await {
                Ok(answer) => answer.shard_iterator.ok_or_else(|| {
                    Refusal::Broken(SourceError::unreachable("GetShardIterator gave no iterator"))
                }),
                // The shard was listed: it is the number that is not of this stream, which was made anew under its name.
                Err(error)
                    if matches!(from, Cursor::At(_) | Cursor::After(_))
                        && is_unknown_number(code(&error)) =>
                {
                    Err(Refusal::Lost(trouble("GetShardIterator", &error).to_string()))
                }
                Err(error) => Err(self.refusal("GetShardIterator", error)),
            }
        })
    }

    fn read<'a>(&'a self, iterator: &'a str, records_max: u32) -> Call<'a, Portion<Raw>> {
        Box::pin(async move {
            let limit = i32::try_from(records_max.min(Self::READ_RECORDS_MAX)).unwrap_or(i32::MAX);
            let call = self.client.get_records().shard_iterator(iterator).limit(limit);
            let answer = call.stream_arn(&self.stream_arn).send().await;
            let answer = answer.map_err(|error| self.refusal("GetRecords", error))?;
            Ok(Portion {
                raw: answer.records,
                next: answer.next_shard_iterator,
                more: answer.millis_behind_latest.is_some_and(|millis| millis > 0),
            })
        })
    }

    fn sequence_number(raw: &Raw) -> &str {
        &raw.sequence_number
    }

    fn arrived_at_ms(raw: &Raw) -> Option<i64> {
        Arrival::of(raw.approximate_arrival_timestamp.as_ref()?).map(|arrival| arrival.0)
    }

    fn record(&self, shard: &ShardName, raw: Raw) -> Record {
        self.events.record(shard, raw)
    }

    fn batch_member(
        config: &KinesisConfig,
        shard: &ShardName,
        given_up: &[&Record],
    ) -> (&'static str, Value) {
        batch_member(config, shard, given_up)
    }
}

impl Kinesis {
    fn refusal<E>(&self, call: &str, error: SdkError<E, HttpResponse>) -> Refusal
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match code(&error) {
            Some("ExpiredIteratorException" | "ExpiredNextTokenException") => Refusal::Expired,
            Some("ResourceNotFoundException") => {
                // Lambda's own words (LS 4.1), and which call found out.
                let says = format!("Stream not found: {} ({call})", self.stream_arn);
                Refusal::Broken(SourceError::configuration(says))
            }
            Some(code) if is_throttle(code) => Refusal::Throttled,
            _ => Refusal::Broken(trouble(call, &error)),
        }
    }
}

fn is_unknown_number(code: Option<&str>) -> bool {
    matches!(code, Some("InvalidArgumentException" | "ResourceNotFoundException"))
}

fn to_listed(shard: Shard) -> Listed {
    let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
    let range = shard.sequence_number_range;
    Listed {
        shard: ShardName::new(&shard.shard_id),
        parents: parents.into_iter().flatten().map(|parent| ShardName::new(&parent)).collect(),
        closed: range.is_some_and(|range| range.ending_sequence_number.is_some()),
    }
}

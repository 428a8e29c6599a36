//! The requests to one stream of DynamoDB. It does not know when they are made.

use std::time::Duration;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::{Record as Raw, Shard, ShardIteratorType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;

use super::config::StreamConfig;
use super::event::{EventWriter, batch_member};
use crate::aws::stream::{Api, Call, Cursor, Listed, Pace, Portion, Refusal};
use crate::aws::{Arrival, code, is_throttle, trouble};
use crate::{Record, ShardName, SourceError, Unit};

/// A read ends at 1 MiB of records: one that brought half of it was perhaps cut short by that.
const CUT_BYTES: i64 = 512 * 1024;

/// One stream.
#[derive(Debug)]
pub(super) struct DynamoDbStreams {
    client: Client,
    stream_arn: String,
    events: EventWriter,
}

impl Api for DynamoDbStreams {
    type Config = StreamConfig;
    type Raw = Raw;

    const KIND: &'static str = "dynamodb_streams";
    /// Four reads a second and shard (LS 4.7).
    const PACE: Pace = Pace {
        idle: Duration::from_millis(250),
        busy: Duration::from_millis(250),
        throttled: Duration::from_millis(500),
    };
    const READ_RECORDS_MAX: u32 = 1000;
    const ITERATES_BY_TIME: bool = false;
    const TELLS_TRIMMED: bool = true;

    fn connect(config: &StreamConfig) -> Unit<'_, Self> {
        Box::pin(async move {
            let client = Client::new(&config.access.sdk()?);
            let stream_arn = config.arn.text.to_string();
            Ok(Self { client, stream_arn, events: EventWriter::new(config) })
        })
    }

    fn shards(&self) -> Call<'_, Vec<Listed>> {
        Box::pin(async move {
            let mut listed = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let call = self.client.describe_stream().stream_arn(&self.stream_arn);
                let answer = call.set_exclusive_start_shard_id(after.take()).send().await;
                let answer = answer.map_err(|error| self.refusal("DescribeStream", error))?;
                let Some(stream) = answer.stream_description else { return Ok(listed) };
                listed.extend(stream.shards.unwrap_or_default().into_iter().filter_map(to_listed));
                after = stream.last_evaluated_shard_id.filter(|shard| !shard.is_empty());
                if after.is_none() {
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
                Cursor::TrimHorizon | Cursor::AtTimestamp(_) => {
                    call.shard_iterator_type(ShardIteratorType::TrimHorizon)
                }
                Cursor::Latest => call.shard_iterator_type(ShardIteratorType::Latest),
                Cursor::At(number) => call
                    .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                    .sequence_number(number),
                Cursor::After(number) => call
                    .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                    .sequence_number(number),
            };
            let answer = call.send().await;
            let answer = answer.map_err(|error| self.refusal("GetShardIterator", error))?;
            answer.shard_iterator.ok_or_else(|| {
                Refusal::Broken(SourceError::unreachable("GetShardIterator gave no iterator"))
            })
        })
    }

    fn read<'a>(&'a self, iterator: &'a str, records_max: u32) -> Call<'a, Portion<Raw>> {
        Box::pin(async move {
            let limit = i32::try_from(records_max.min(Self::READ_RECORDS_MAX)).unwrap_or(i32::MAX);
            let answer = self.client.get_records().shard_iterator(iterator).limit(limit);
            let answer = answer.send().await.map_err(|error| self.refusal("GetRecords", error))?;
            // One without a number could neither be settled nor reported.
            let numbered = |raw: &Raw| !Self::sequence_number(raw).is_empty();
            let raw: Vec<_> =
                answer.records.unwrap_or_default().into_iter().filter(numbered).collect();
            let size = |raw: &Raw| raw.dynamodb.as_ref().and_then(|change| change.size_bytes);
            let bytes: i64 = raw.iter().filter_map(size).sum();
            Ok(Portion { raw, next: answer.next_shard_iterator, more: bytes >= CUT_BYTES })
        })
    }

    fn sequence_number(raw: &Raw) -> &str {
        let change = raw.dynamodb.as_ref();
        change.and_then(|change| change.sequence_number.as_deref()).unwrap_or_default()
    }

    fn arrived_at_ms(raw: &Raw) -> Option<i64> {
        let created = raw.dynamodb.as_ref()?.approximate_creation_date_time.as_ref()?;
        Arrival::of(created).map(|arrival| arrival.0)
    }

    fn record(&self, _: &ShardName, raw: Raw) -> Record {
        self.events.record(&raw)
    }

    fn batch_member(
        config: &StreamConfig,
        shard: &ShardName,
        given_up: &[&Record],
    ) -> (&'static str, Value) {
        batch_member(config, shard, given_up)
    }
}

impl DynamoDbStreams {
    fn refusal<E>(&self, call: &str, error: SdkError<E, HttpResponse>) -> Refusal
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match code(&error) {
            Some("ExpiredIteratorException") => Refusal::Expired,
            Some("TrimmedDataAccessException") => Refusal::Lost(trouble(call, &error).to_string()),
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

fn to_listed(shard: Shard) -> Option<Listed> {
    let range = shard.sequence_number_range;
    Some(Listed {
        shard: ShardName::new(&shard.shard_id?),
        parents: shard.parent_shard_id.iter().map(|parent| ShardName::new(parent)).collect(),
        closed: range.is_some_and(|range| range.ending_sequence_number.is_some()),
    })
}

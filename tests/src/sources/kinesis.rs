//! A stream of Kinesis.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::json;
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{KinesisSource, MappingSettings, StartingPosition};

use super::Record;
use super::aws::{Aws, CREDENTIALS};
use super::field::{Field, Order, Producer, Reading, Trouble};
use crate::fixture::LIMIT;
use crate::fixture::wait::until;

const SHARDS: u32 = 4;
const KEYS: u32 = 64;

#[derive(Debug)]
pub struct KinesisField {
    aws: Aws,
    stream: String,
    arn: String,
}

#[derive(Debug)]
struct Puts {
    aws: Aws,
    stream: String,
}

impl KinesisField {
    /// Makes a stream.
    ///
    /// # Errors
    /// What the server at `address` did not do.
    pub async fn open(address: &str, stream: &str) -> Result<Self, Trouble> {
        let aws = Aws::kinesis(address);
        aws.call("CreateStream", &json!({"StreamName": stream, "ShardCount": SHARDS})).await?;
        let mut arn = String::new();
        until("an active stream", LIMIT, async || {
            let asked = json!({"StreamName": stream});
            let Ok(described) = aws.call("DescribeStreamSummary", &asked).await else {
                return false;
            };
            let summary = &described["StreamDescriptionSummary"];
            arn = summary["StreamARN"].as_str().unwrap_or_default().to_owned();
            summary["StreamStatus"] == "ACTIVE"
        })
        .await;
        Ok(Self { aws, stream: stream.to_owned(), arn })
    }
}

impl Field for KinesisField {
    fn source(&self) -> Source {
        let access = Some(self.aws.access());
        Source::Kinesis(KinesisSource { stream_arn: self.arn.clone(), access })
    }

    fn settings(&self) -> MappingSettings {
        let start = StartingPosition::TrimHorizon.into();
        MappingSettings { starting_position: Some(start), ..MappingSettings::default() }
    }

    fn environment(&self) -> &'static [(&'static str, &'static str)] {
        CREDENTIALS
    }

    fn order(&self) -> Order {
        Order::Key(KEYS)
    }

    fn reading(&self) -> Reading {
        Reading::Shards(SHARDS)
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, Trouble>> {
        let producer: Box<dyn Producer> =
            Box::new(Puts { aws: self.aws.clone(), stream: self.stream.clone() });
        ready(Ok(producer)).boxed()
    }
}

impl Producer for Puts {
    fn send<'a>(&'a mut self, records: &'a [Record]) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let entry = |record: &Record| {
                json!({"PartitionKey": record.key_text(), "Data": STANDARD.encode(record.text())})
            };
            let entries: Vec<_> = records.iter().map(entry).collect();
            let parameters = json!({"StreamName": self.stream, "Records": entries});
            let answer = self.aws.call("PutRecords", &parameters).await?;
            match answer["FailedRecordCount"].as_u64().unwrap_or(0) {
                0 => Ok(()),
                failed => Err(format!("PutRecords: {failed} records were not taken: {answer}")),
            }
        }
        .boxed()
    }
}

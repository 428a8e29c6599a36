//! The stream of a DynamoDB table: each key is an item, each record a new version of it.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::json;
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{DynamoDbStreamsSource, MappingSettings, StartingPosition};

use super::Record;
use super::aws::{Aws, CREDENTIALS};
use super::field::{Field, Order, Producer, Reading, Trouble};

const TABLE: &str = "records";
const KEYS: u32 = 100;

/// Items of one request, each of another key.
const ITEMS_MAX: usize = 25;

#[derive(Debug)]
pub(super) struct DynamoDbField {
    aws: Aws,
    arn: String,
}

#[derive(Debug)]
struct Puts(Aws);

impl DynamoDbField {
    pub(super) async fn open(address: &str) -> Result<Self, Trouble> {
        let aws = Aws::dynamodb(address);
        let table = json!({
            "TableName": TABLE,
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            // Without the old image: each record holds one version.
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"},
        });
        let made = aws.call("CreateTable", &table).await?;
        let arn = made["TableDescription"]["LatestStreamArn"].as_str();
        let arn = arn.ok_or_else(|| format!("CreateTable: no stream: {made}"))?.to_owned();
        Ok(Self { aws, arn })
    }
}

impl Field for DynamoDbField {
    fn source(&self) -> Source {
        let access = Some(self.aws.access());
        Source::DynamodbStreams(DynamoDbStreamsSource { stream_arn: self.arn.clone(), access })
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
        Reading::Shards(1)
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, Trouble>> {
        let producer: Box<dyn Producer> = Box::new(Puts(self.aws.clone()));
        ready(Ok(producer)).boxed()
    }
}

impl Producer for Puts {
    fn send<'a>(&'a mut self, records: &'a [Record]) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            for chunk in records.chunks(ITEMS_MAX) {
                let put = |record: &Record| {
                    let item =
                        json!({"id": {"S": record.key_text()}, "text": {"S": record.text()}});
                    json!({"PutRequest": {"Item": item}})
                };
                let puts: Vec<_> = chunk.iter().map(put).collect();
                let parameters = json!({"RequestItems": {TABLE: puts}});
                let answer = self.0.call("BatchWriteItem", &parameters).await?;
                if answer["UnprocessedItems"].as_object().is_some_and(|left| !left.is_empty()) {
                    return Err(format!("BatchWriteItem: not all were taken: {answer}"));
                }
            }
            Ok(())
        }
        .boxed()
    }
}

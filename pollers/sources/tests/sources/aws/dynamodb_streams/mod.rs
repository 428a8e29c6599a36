//! The `dynamodb-streams` source against DynamoDB Local and MiniStack, and against a stub for what they do not do. Where they
//! differ from DynamoDB: `deviations.md`.

mod events;
mod refusals;
mod starting;

use std::sync::Arc;

use serde_json::{Value, json};
use trine_pollers::conformance::Subject;
use trine_pollers::{Connect, Start};
use trine_proto::v1::DynamoDbStreamsSource;

use crate::aws::{Api, access, binding, unique};
use crate::skip::server;

const LOCAL: &str = "TRINE_DYNAMODB";
const MINISTACK: &str = "TRINE_MINISTACK";

mod local {
    use super::{LOCAL, Table};
    trine_pollers::conformance_suite!(
        #[tokio::test(flavor = "multi_thread")]
        Table::new(LOCAL).await
    );
}

mod ministack {
    use super::{MINISTACK, Table};
    trine_pollers::conformance_suite!(
        #[tokio::test(flavor = "multi_thread")]
        Table::new(MINISTACK).await
    );
}

/// A table of its own, with a stream.
#[derive(Debug)]
pub(crate) struct Table {
    api: Api,
    endpoint: String,
    name: String,
    arn: String,
}

impl Table {
    pub(crate) async fn new(variable: &str) -> Option<Self> {
        let endpoint = server(variable)?;
        let api = Api::dynamodb(&endpoint);
        let name = unique("t");
        let made = json!({
            "TableName": name,
            "AttributeDefinitions": [{"AttributeName": "Id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        });
        let made = api.call("CreateTable", made).await;
        let arn = made["TableDescription"]["LatestStreamArn"].as_str().expect("an ARN").to_owned();
        Some(Self { api, endpoint, name, arn })
    }

    pub(crate) fn config(&self) -> DynamoDbStreamsSource {
        DynamoDbStreamsSource { stream_arn: self.arn.clone(), access: Some(access(&self.endpoint)) }
    }

    pub(crate) fn connector_from(&self, start: Start) -> Arc<dyn Connect> {
        trine_pollers::dynamodb_streams::connector(&self.config(), &binding(start))
            .expect("a connector")
    }

    pub(crate) async fn put(&self, item: Value) {
        self.api.call("PutItem", json!({"TableName": self.name, "Item": item})).await;
    }

    pub(crate) async fn delete(&self, id: &str) {
        let key = json!({"TableName": self.name, "Key": {"Id": {"S": id}}});
        self.api.call("DeleteItem", key).await;
    }

    /// The shard gets no more records, and the stream neither.
    async fn end_stream(&self) {
        let end = json!({"TableName": self.name, "StreamSpecification": {"StreamEnabled": false}});
        self.api.call("UpdateTable", end).await;
    }
}

impl Subject for Table {
    fn connector(&mut self) -> Arc<dyn Connect> {
        self.connector_from(Start::TrimHorizon)
    }

    async fn produce(&mut self, key: &str, text: &str) {
        self.put(json!({"Id": {"S": key}, "text": {"S": text}})).await;
    }

    fn text(&self, event: &[u8]) -> String {
        let event: Value = serde_json::from_slice(event).expect("JSON");
        event["dynamodb"]["NewImage"]["text"]["S"].as_str().expect("a text").to_owned()
    }

    fn record_bytes_max(&self) -> usize {
        // An item has at most 400 KB.
        400 * 1000
    }
}

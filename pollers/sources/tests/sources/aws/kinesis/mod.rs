//! The `kinesis` source against kinesis-local, and against a stub for what that does not do. Where it differs from Kinesis:
//! `deviations.md`.

mod events;
mod refusals;
mod resharding;
mod starting;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::timeout;
use trine_pollers::conformance::Subject;
use trine_pollers::{Connect, Start};
use trine_proto::v1::KinesisSource;

use crate::aws::{Api, PROMPT, access, binding, unique};
use crate::skip::server;

const KINESIS: &str = "TRINE_KINESIS";
/// How often the world behind the source is asked again.
const MOMENT: Duration = Duration::from_millis(20);

trine_pollers::conformance_suite!(
    #[tokio::test(flavor = "multi_thread")]
    Stream::new(1).await
);

/// A stream of its own, as long as the test lasts.
#[derive(Debug)]
pub(crate) struct Stream {
    api: Api,
    endpoint: String,
    arn: String,
}

impl Stream {
    pub(crate) async fn new(shards: u32) -> Option<Self> {
        let endpoint = server(KINESIS)?;
        let api = Api::kinesis(&endpoint);
        let name = unique("s");
        let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}");
        let made = json!({"StreamName": name, "ShardCount": shards});
        // Only so many streams are made at a time.
        every_moment(async || api.try_call("CreateStream", made.clone()).await.ok()).await;
        let stream = Self { api, endpoint, arn };
        stream.is_active().await;
        Some(stream)
    }

    /// Waits until the stream has been made or resharded.
    async fn is_active(&self) {
        every_moment(async || {
            let asked = json!({"StreamARN": self.arn});
            let stream = self.api.try_call("DescribeStreamSummary", asked).await.ok()?;
            (stream["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE").then_some(())
        })
        .await;
    }

    pub(crate) fn config(&self) -> KinesisSource {
        KinesisSource { stream_arn: self.arn.clone(), access: Some(access(&self.endpoint)) }
    }

    pub(crate) fn connector_from(&self, start: Start) -> Arc<dyn Connect> {
        trine_pollers::kinesis::connector(&self.config(), &binding(start)).expect("a connector")
    }

    /// Puts a record and gives its sequence number.
    pub(crate) async fn put(&self, key: &str, data: &[u8]) -> String {
        let data = STANDARD.encode(data);
        let put = json!({"StreamARN": self.arn, "PartitionKey": key, "Data": data});
        let mut moments = tokio::time::interval(MOMENT);
        loop {
            moments.tick().await;
            // While the stream is resharded it takes nothing for a moment.
            if let Ok(answer) = self.api.try_call("PutRecord", put.clone()).await {
                return answer["SequenceNumber"].as_str().expect("a number").to_owned();
            }
        }
    }

    async fn split(&self, shard: &str, at: &str) {
        let split = json!({"StreamARN": self.arn, "ShardToSplit": shard, "NewStartingHashKey": at});
        self.api.call("SplitShard", split).await;
        self.is_active().await;
    }

    async fn merge(&self, shard: &str, adjacent: &str) {
        let merge = json!({
            "StreamARN": self.arn,
            "ShardToMerge": shard,
            "AdjacentShardToMerge": adjacent
        });
        self.api.call("MergeShards", merge).await;
        self.is_active().await;
    }
}

impl Drop for Stream {
    /// The server has room for so many shards only.
    fn drop(&mut self) {
        let (api, arn) = (self.api.clone(), self.arn.clone());
        let gone = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let deleted = api.try_call("DeleteStream", json!({"StreamARN": arn}));
            drop(runtime.expect("a runtime").block_on(deleted));
        });
        drop(gone.join());
    }
}

/// Asks again and again, until there is an answer: the world behind the source tells nobody when it has changed.
pub(crate) async fn every_moment<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut moments = tokio::time::interval(MOMENT);
    let answered = async {
        loop {
            moments.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    timeout(PROMPT, answered).await.expect("it happens")
}

impl Subject for Stream {
    fn connector(&mut self) -> Arc<dyn Connect> {
        self.connector_from(Start::TrimHorizon)
    }

    async fn produce(&mut self, key: &str, text: &str) {
        self.put(key, text.as_bytes()).await;
    }

    fn text(&self, event: &[u8]) -> String {
        let event: Value = serde_json::from_slice(event).expect("JSON");
        let data = event["kinesis"]["data"].as_str().expect("data");
        String::from_utf8(STANDARD.decode(data).expect("base64")).expect("UTF-8")
    }

    fn record_bytes_max(&self) -> usize {
        // 1 MiB, key included; 10 MiB on AWS for streams that are set so.
        1024 * 1024
    }
}

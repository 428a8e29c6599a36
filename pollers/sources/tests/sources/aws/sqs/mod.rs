//! The `sqs` source against MiniStack and ElasticMQ. Where they differ from SQS: `deviations.md`.

mod events;
mod queue;
mod settling;

use std::sync::Arc;

use serde_json::{Value, json};
use trine_pollers::conformance::Subject;
use trine_pollers::{Connect, Start};
use trine_proto::v1::SqsSource;

use crate::aws::{Api, access, binding, unique};
use crate::skip::server;

const MINISTACK: &str = "TRINE_MINISTACK";
const ELASTICMQ: &str = "TRINE_ELASTICMQ";

mod standard {
    mod ministack {
        use super::super::{MINISTACK, Queue};
        trine_pollers::conformance_suite!(
            #[tokio::test(flavor = "multi_thread")]
            Queue::standard(MINISTACK).await
        );
    }
    mod elasticmq {
        use super::super::{ELASTICMQ, Queue};
        trine_pollers::conformance_suite!(
            #[tokio::test(flavor = "multi_thread")]
            Queue::standard(ELASTICMQ).await
        );
    }
}

mod fifo {
    mod ministack {
        use super::super::{MINISTACK, Queue};
        trine_pollers::conformance_suite!(
            #[tokio::test(flavor = "multi_thread")]
            Queue::fifo(MINISTACK).await
        );
    }
    mod elasticmq {
        use super::super::{ELASTICMQ, Queue};
        trine_pollers::conformance_suite!(
            #[tokio::test(flavor = "multi_thread")]
            Queue::fifo(ELASTICMQ).await
        );
    }
}

/// A queue of its own.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) api: Api,
    pub(crate) endpoint: String,
    pub(crate) url: String,
    pub(crate) arn: String,
    fifo: bool,
}

impl Queue {
    pub(crate) async fn standard(variable: &str) -> Option<Self> {
        Some(Self::make(&server(variable)?, &unique("q"), json!({"VisibilityTimeout": "4"})).await)
    }

    pub(crate) async fn fifo(variable: &str) -> Option<Self> {
        let attributes = json!({"VisibilityTimeout": "4", "FifoQueue": "true"});
        Some(Self::make(&server(variable)?, &format!("{}.fifo", unique("q")), attributes).await)
    }

    pub(crate) async fn make(endpoint: &str, name: &str, attributes: Value) -> Self {
        let api = Api::sqs(endpoint);
        let made =
            api.call("CreateQueue", json!({"QueueName": name, "Attributes": attributes})).await;
        let url = made["QueueUrl"].as_str().expect("a URL").to_owned();
        let asked = json!({"QueueUrl": url, "AttributeNames": ["QueueArn"]});
        let asked = api.call("GetQueueAttributes", asked).await;
        let arn = asked["Attributes"]["QueueArn"].as_str().expect("an ARN").to_owned();
        let fifo = name.ends_with(".fifo");
        Self { api, endpoint: endpoint.to_owned(), url, arn, fifo }
    }

    pub(crate) fn config(&self) -> SqsSource {
        SqsSource {
            queue_arn: self.arn.clone(),
            access: Some(access(&self.endpoint)),
            queue_url: String::new(),
        }
    }

    pub(crate) async fn send(&self, group: &str, body: &str) -> Value {
        let mut message = json!({"QueueUrl": self.url, "MessageBody": body});
        if self.fifo {
            message["MessageGroupId"] = group.replace(' ', "-").into();
            message["MessageDeduplicationId"] = unique("d").into();
        }
        self.api.call("SendMessage", message).await
    }

    /// Messages that are visible and those that are in flight, as the queue counts them.
    pub(crate) async fn counts(&self) -> (u64, u64) {
        let asked = json!({"QueueUrl": self.url, "AttributeNames": ["All"]});
        let attributes = self.api.call("GetQueueAttributes", asked).await;
        let count = |name: &str| {
            let text = attributes["Attributes"][name].as_str().expect("a count");
            text.parse().expect("a number")
        };
        (count("ApproximateNumberOfMessages"), count("ApproximateNumberOfMessagesNotVisible"))
    }
}

impl Subject for Queue {
    fn connector(&mut self) -> Arc<dyn Connect> {
        trine_pollers::sqs::connector(&self.config(), &binding(Start::TrimHorizon))
            .expect("a connector")
    }

    async fn produce(&mut self, key: &str, text: &str) {
        self.send(key, text).await;
    }

    fn text(&self, event: &[u8]) -> String {
        let event: Value = serde_json::from_slice(event).expect("JSON");
        event["body"].as_str().expect("a body").to_owned()
    }

    fn record_bytes_max(&self) -> usize {
        // SQS's 1 MiB, and 256 KiB of the stand-ins.
        256 * 1024
    }
}

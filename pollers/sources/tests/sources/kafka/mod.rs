//! Kafka against a real broker (`TRINE_KAFKA`), and against the client library's mock cluster for errors that a real one cannot be
//! made to give.

mod events;
mod places;
mod poller;
mod rebalance;
mod topic;
mod troubles;

use std::sync::Arc;

use topic::Topic;
use trine_pollers::conformance::Subject;
use trine_pollers::{Connect, Start};

/// A topic of one partition and a mapping of its own.
struct Kafka {
    topic: Topic,
}

impl Kafka {
    async fn new() -> Option<Self> {
        Some(Self { topic: Topic::create(1).await? })
    }
}

impl Subject for Kafka {
    fn connector(&mut self) -> Arc<dyn Connect> {
        self.topic.connector(Start::TrimHorizon)
    }

    async fn produce(&mut self, key: &str, text: &str) {
        self.topic.produce(key, text.as_bytes()).await;
    }

    fn text(&self, event: &[u8]) -> String {
        topic::text(event)
    }

    fn record_bytes_max(&self) -> usize {
        topic::RECORD_BYTES_MAX
    }
}

trine_pollers::conformance_suite!(
    #[tokio::test(flavor = "multi_thread")]
    Kafka::new().await
);

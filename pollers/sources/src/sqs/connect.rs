//! From a mapping to an open queue.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::Client;
use serde_json::{Value, json};

use super::config::SqsConfig;
use super::queue::Queue;
use super::reader::QueueReader;
use crate::aws::Arrival;
use crate::{
    Change, Connect, Descriptor, Envelope, Opened, Ordering, Places, Reader, Record, Redelivery,
    Settling, ShardName, Sought, Source, SourceError, Target, Unit,
};

/// Half of SQS's longest long poll: a stop waits for it or gives back what it brings, and an idle queue still costs six requests a
/// minute only.
const RECEIVE_WAIT: Duration = Duration::from_secs(10);

/// Makes connections to one queue.
#[derive(Debug)]
pub(super) struct SqsConnector {
    config: SqsConfig,
}

impl SqsConnector {
    pub(super) fn new(config: SqsConfig) -> Self {
        Self { config }
    }
}

impl Connect for SqsConnector {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            kind: "sqs",
            ordering: if self.config.is_fifo() { Ordering::Key } else { Ordering::None },
            settling: Settling::PerRecord,
            redelivery: Redelivery::Source,
            outlives_connection: true,
            receive_wait: RECEIVE_WAIT,
            shard_concurrency_max: None,
        }
    }

    fn connect(&self, _: Places) -> Unit<'_, Arc<dyn Source>> {
        Box::pin(async move {
            let client = Client::new(&self.config.access.sdk()?);
            let queue = Arc::new(Queue::open(client, &self.config).await?);
            let opened = Opened {
                shard: ShardName::new(self.config.queue()),
                envelope: Envelope::records(),
                lease: Some(queue.lease()),
                reader: Arc::new(QueueReader::new(queue)) as Arc<dyn Reader>,
            };
            Ok(Arc::new(SqsSource { opened: Mutex::new(Some(opened)) }) as Arc<dyn Source>)
        })
    }

    fn seek(&self, _: Places, _: Target, _: bool) -> Unit<'_, Vec<Sought>> {
        Box::pin(async {
            Err(SourceError::configuration(
                "an SQS queue has no place to seek to: a message that was taken is deleted, and one that was not comes again by itself",
            ))
        })
    }

    fn batch_member(&self, _: &ShardName, given_up: &[&Record]) -> (&'static str, Value) {
        let id = |record: Option<&&Record>| record.map(|record| record.identifier.to_string());
        let sent = |record: Option<&&Record>| {
            let sent = record.and_then(|record| record.arrived_at_ms);
            sent.map(|ms| Arrival(ms).text_with_millis())
        };
        let member = json!({
            "firstMessageId": id(given_up.first()),
            "lastMessageId": id(given_up.last()),
            "approximateArrivalOfFirstRecord": sent(given_up.first()),
            "approximateArrivalOfLastRecord": sent(given_up.last()),
            "batchSize": given_up.len(),
            "queueArn": &*self.config.arn.text,
        });
        ("SQSBatchInfo", member)
    }
}

/// One connection: its queue, until it is taken.
struct SqsSource {
    opened: Mutex<Option<Opened>>,
}

impl Source for SqsSource {
    fn next_change(&self) -> Unit<'_, Change> {
        Box::pin(async move {
            let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
            match opened {
                Some(opened) => Ok(Change::Opened(opened)),
                None => std::future::pending().await,
            }
        })
    }
}
